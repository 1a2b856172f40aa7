"""A WSGI wrapper that tells how many greenlets its worker has, which nobody can see from outside."""

from __future__ import annotations

import gc
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from gevent.hub import RawGreenlet

GREENLETS = "/greenlets-of-this-worker"


class Counted:
    def __init__(self, app: Flask) -> None:
        self._app = app
        self.extensions = app.extensions  # where the worker finds the services

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != GREENLETS:
            return self._app(environ, start_response)
        alive = [it for it in gc.get_objects() if isinstance(it, RawGreenlet) and it]
        names = Counter(str(getattr(it, "_run", None) or type(it).__name__) for it in alive)
        body = json.dumps({"pid": os.getpid(), "names": names}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
