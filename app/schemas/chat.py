"""What the bridge itself reads of a Chat Completions request."""

from __future__ import annotations

from app.schemas.base import Boundary, Count, Flag, Name, Objects, Options


class ChatRequest(Boundary):
    """``POST /v1/chat/completions``."""

    model = Name(required=True)
    messages = Objects(required=True)
    stream = Flag(allow_none=True)
    stream_options = Options(allow_none=True)
    n = Count(allow_none=True)
