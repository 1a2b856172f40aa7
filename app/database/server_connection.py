"""A connection to PostgreSQL that is closed when it is closed.

pg8000 tells the server good-bye first. Where that fails, as the connection is broken, it forgets the file around its
socket, and the descriptor stays open until garbage is collected: one for each call that meets a server that goes away.
"""

from __future__ import annotations

import contextlib

from pg8000 import Connection


class ServerConnection(Connection):  # type: ignore[misc]
    """pg8000's, but for its end."""

    def close(self) -> None:
        """Raises: what pg8000 raises; the descriptor is closed all the same."""
        file = self._sock
        try:
            super().close()
        finally:
            if file is not None:
                with contextlib.suppress(OSError):  # what could not be sent is still in it
                    file.close()
