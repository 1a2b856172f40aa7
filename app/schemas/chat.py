"""What the bridge itself reads of a Chat Completions request."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields

from app.schemas.base import Boundary, Count, Flag, Name, Objects, Options


class _Unsaid(fields.Field[Any]):
    """A second conversation beside ``messages``: which of the two is meant, nobody can know."""

    shape: ClassVar[dict[str, Any]] = {"enum": ["", []]}
    default_error_messages = {"invalid": "stands beside 'messages': send the conversation in one of them"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value not in ("", []):
            raise self.make_error("invalid")
        return value


class _Input(fields.Field[Any]):
    """The conversation as Responses has it. Only the shape: what is in it is for the converters."""

    shape: ClassVar[dict[str, Any]] = {"type": ["string", "array"]}
    default_error_messages = {"invalid": "must be a string or a list of items"}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str | list):
            raise self.make_error("invalid")
        return value


class ChatRequest(Boundary):
    """``POST /v1/chat/completions``."""

    model = Name(required=True)
    messages = Objects(required=True)
    input = _Unsaid(allow_none=True)
    stream = Flag(allow_none=True)
    stream_options = Options(allow_none=True)
    n = Count(allow_none=True)


class InputRequest(Boundary):
    """The same with ``input`` in place of messages, as Cursor sends it (``converters.cursor``)."""

    model = Name(required=True)
    input = _Input(required=True)
    stream = Flag(allow_none=True)
    stream_options = Options(allow_none=True)
    max_output_tokens = Count(allow_none=True)


CHAT_REQUEST = ChatRequest()
INPUT_REQUEST = InputRequest()
