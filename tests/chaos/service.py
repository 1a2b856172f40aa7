"""The service as the lanes run it: ``POST /fresh`` puts one in its place that has neither token nor model list yet."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from app import create_app
from app.settings import Settings
from tests.support.evidence import Recorded


class _Renewable:
    def __init__(self) -> None:
        self._app = create_app(Settings.from_env(os.environ))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/fresh":
            return self._app(environ, start_response)
        self._app.extensions["gateway"].close()
        folder = tempfile.mkdtemp(dir=os.environ["DATA_DIR"])
        self._app = create_app(Settings.from_env(dict(os.environ) | {"DATA_DIR": folder}))
        start_response("204 No Content", [])
        return []


app = Recorded(_Renewable())
