"""gunicorn's log, without a line per request: the app writes its own."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger


class ServerLog(Logger):  # type: ignore[misc]
    """As gunicorn's, but that it gathers nothing for the access log. With a logging configuration of ours it would
    collect the headers of every request and every answer, for a line that is written nowhere."""

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing."""
