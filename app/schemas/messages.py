"""What the bridge itself reads of a Messages request."""

from __future__ import annotations

from app.schemas.base import Boundary, Count, Flag, Name, Objects


class CountTokensRequest(Boundary):
    """``POST /v1/messages/count_tokens``."""

    model = Name(required=True)
    messages = Objects(required=True)


class MessagesRequest(CountTokensRequest):
    """``POST /v1/messages``."""

    max_tokens = Count(required=True)
    stream = Flag(allow_none=True)


COUNT_TOKENS_REQUEST = CountTokensRequest()
MESSAGES_REQUEST = MessagesRequest()
