"""``/v1/probe/…``: what ``flask doctor --public-url`` measures the way in with. Calls nobody, costs nothing.

It stands under ``/v1``, because a proxy may treat that differently from the rest, and is a POST that answers with the
very headers of a real stream, so that the proxies in front treat it as one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Blueprint, Response, request

from app.blueprints._endpoint import json_response, read_body
from app.errors import InvalidRequestError
from app.gateway import current_gateway
from app.reply import EVENT_STREAM

bp = Blueprint("probe", __name__, url_prefix="/v1/probe")

_MOST_EVENTS, _MOST_INTERVAL_MS = 60, 1000


@bp.post("/stream")
def stream() -> Response:
    """Small events at an even pace: ``data: {"n": 0, "sent_ms": 0.0, "seen": {…}}``.

    Query: ``events`` (1–60, default 20) and ``interval_ms`` (10–1000, default 150). `sent_ms` counts from the first
    event; ``seen``, in the first event, is what has become of the request on its way to us.
    Raises: InvalidRequestError.
    """
    events = _bounded("events", default=20, low=1, high=_MOST_EVENTS)
    interval_s = _bounded("interval_ms", default=150, low=10, high=_MOST_INTERVAL_MS) / 1000
    request.get_data(cache=False)
    return Response(_paced(events, interval_s, _seen()), headers=EVENT_STREAM)


@bp.post("/body")
def body() -> Response:
    """``{"received_bytes": …}``: how much of a body got through. One over MAX_BODY_BYTES is a 413 as everywhere."""
    return json_response({"received_bytes": len(read_body())})


def _paced(events: int, interval_s: float, seen: dict[str, Any]) -> Iterator[bytes]:
    started_at = time.monotonic()
    for n in range(events):
        if n:
            time.sleep(interval_s)
        told = {"n": n, "sent_ms": round((time.monotonic() - started_at) * 1000, 1)}
        yield b"data: " + orjson.dumps(told if n else {**told, "seen": seen}) + b"\n\n"


def _seen() -> dict[str, Any]:
    """The request as it reached us, after TRUSTED_PROXIES was applied to it, and the limits that must fit the proxy."""
    settings = current_gateway().settings
    return {
        "http": request.environ.get("SERVER_PROTOCOL", ""),
        "base": request.url_root.rstrip("/"),
        "forwarded_for": len([part for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]),
        "trusted_proxies": settings.trusted_proxies,
        "max_body_bytes": settings.max_body_bytes,
    }


def _bounded(name: str, *, default: int, low: int, high: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and low <= int(text) <= high):
        raise InvalidRequestError(f"'{name}' must be a whole number from {low} to {high}.", param=name)
    return int(text)
