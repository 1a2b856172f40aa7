"""Neutral events → a toy client's stream."""

from __future__ import annotations

from typing import Any

from app.converters.codec import Identity
from app.converters.neutral.events import Event, PartDelta, ResponseEnd, StreamError
from app.converters.neutral.request_traits import Traits
from app.converters.neutral.vocabulary import Request
from app.converters.wire import json_bytes, sse
from tests.support.toy.response import encode_error

KEEP_ALIVE = sse.comment(b"still here")


def frame(event: dict[str, Any]) -> bytes:
    return sse.frame(json_bytes.dumps(event))


class StreamEncoder:
    def __init__(self, _request: Request, identity: Identity, _traits: Traits) -> None:
        self._identity = identity

    def feed(self, event: Event) -> bytes:
        match event:
            case PartDelta(field="text"):
                return frame({"bit": event.value})
            case ResponseEnd():
                return frame({"over": event.finish_reason, "from": self._identity.model})
            case StreamError():
                return frame(encode_error(event.error, ""))
        return b""
