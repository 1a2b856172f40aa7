"""Content blocks of a client's request → neutral parts (contract §8.2; Anthropic "Messages", content blocks)."""

from __future__ import annotations

import dataclasses
from typing import Any

from app.converters.messages.citations import citations
from app.converters.messages.vocabulary import PROTOCOL, thought_from_client
from app.converters.neutral import tools
from app.converters.neutral.vocabulary import (
    CacheMark,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    located,
)
from app.converters.wire import reading
from app.errors import UnsupportedFeatureError

Json = dict[str, Any]

_ROLES = ("user", "assistant", "system", "developer")


def decode_message(message: Any, path: str) -> Message:
    """One message. Results belong to users, calls and thoughts to assistants; who mixes them up is told so."""
    fields = reading.obj(message, path)
    role = fields.get("role")
    if role not in _ROLES:
        reading.wrong(f"{path}.role", "'user' or 'assistant'")
    parts = decode_content(fields.get("content"), f"{path}.content")
    for at, part in enumerate(parts):
        if isinstance(part, ToolResult) if role != "user" else isinstance(part, ToolCall | Reasoning):
            raise reading.complaint(f"{path}.content[{at}]", f"cannot stand in a message of role {role}")
    return Message(role, parts)


def decode_content(content: Any, path: str) -> tuple[Part, ...]:
    """A string or a list of blocks. A plain string is one Text; an empty one is nothing, like null."""
    if isinstance(content, str):
        return (Text(content),) if content else ()
    if content is None:
        return ()
    return tuple(decode_block(block, f"{path}[{at}]") for at, block in enumerate(reading.items(content, path)))


def decode_block(block: Any, path: str) -> Part:
    """One block. A type that we do not know is kept for the protocol that does."""
    fields = reading.obj(block, path)
    kind = reading.string(fields.get("type"), f"{path}.type")
    decode = _DECODERS.get(kind)
    if decode is not None:
        return located(decode(fields, path), path)
    if kind == "container_upload":
        raise UnsupportedFeatureError(f"{path}: Copilot runs no containers that could take a file", param=path)
    return Opaque(PROTOCOL, fields, path)


def mark_of(fields: Json) -> CacheMark:
    """Whether the prompt cache may end at this block or tool, and for how long it is to last."""
    mark = fields.get("cache_control")
    if not isinstance(mark, dict):
        return False
    return "1h" if mark.get("ttl") == "1h" else True


def _text(fields: Json, path: str) -> Part:
    return Text(reading.string(fields.get("text"), f"{path}.text"), citations(fields.get("citations")), mark_of(fields))


def _source(fields: Json, path: str) -> tuple[Json, str, str]:
    source = reading.obj(fields.get("source"), f"{path}.source")
    return source, reading.string(source.get("type"), f"{path}.source.type"), f"{path}.source"


def _image(fields: Json, path: str) -> Part:
    source, kind, inner = _source(fields, path)
    cache = mark_of(fields)
    if kind == "base64":
        media_type, data = (
            reading.string(source.get("media_type"), f"{inner}.media_type"),
            reading.string(source.get("data"), f"{inner}.data"),
        )
        return Image(data=data, media_type=media_type, cache=cache)
    if kind == "url":
        return Image.of(reading.string(source.get("url"), f"{inner}.url"), cache=cache)
    if kind == "file":
        return Image(file_id=reading.string(source.get("file_id"), f"{inner}.file_id"), cache=cache)
    return reading.wrong(f"{inner}.type", "'base64', 'url' or 'file'")


def _document(fields: Json, path: str) -> Part:
    source, kind, inner = _source(fields, path)
    setting = fields.get("citations")
    file = File(
        title=reading.opt_string(fields.get("title"), f"{path}.title"),
        context=reading.opt_string(fields.get("context"), f"{path}.context"),
        citations=setting.get("enabled") is True if isinstance(setting, dict) else None,
        cache=mark_of(fields),
    )
    if kind == "base64":
        media_type = reading.string(source.get("media_type"), f"{inner}.media_type")
        return dataclasses.replace(
            file, data=reading.string(source.get("data"), f"{inner}.data"), media_type=media_type
        )
    if kind == "text":
        return dataclasses.replace(
            file, text=reading.string(source.get("data"), f"{inner}.data"), media_type="text/plain"
        )
    if kind == "url":
        return dataclasses.replace(file, url=reading.string(source.get("url"), f"{inner}.url"))
    if kind == "file":
        return dataclasses.replace(file, file_id=reading.string(source.get("file_id"), f"{inner}.file_id"))
    if kind == "content":
        return dataclasses.replace(file, parts=decode_content(source.get("content"), f"{inner}.content"))
    return reading.wrong(f"{inner}.type", "'base64', 'text', 'url', 'content' or 'file'")


def _search_result(fields: Json, path: str) -> Part:
    """A search result is a text document with an address."""
    texts = decode_content(fields.get("content"), f"{path}.content")
    return File(
        parts=texts,
        title=reading.opt_string(fields.get("title"), f"{path}.title"),
        context=reading.opt_string(fields.get("source"), f"{path}.source"),
        cache=mark_of(fields),
    )


def _thinking(fields: Json, _path: str) -> Part:
    signature = fields.get("signature")
    text = fields.get("thinking")
    return thought_from_client(text if isinstance(text, str) else "", signature if isinstance(signature, str) else "")


def _redacted(fields: Json, path: str) -> Part:
    thought = thought_from_client("", reading.string(fields.get("data"), f"{path}.data"))
    return dataclasses.replace(thought, redacted=True) if thought.origin == PROTOCOL else thought


def _call(fields: Json, path: str) -> Part:
    given = fields.get("input")
    if given is not None and not isinstance(given, dict):
        reading.wrong(f"{path}.input", "an object")
    return ToolCall(
        reading.string(fields.get("id"), f"{path}.id"),
        reading.opt_string(fields.get("name"), f"{path}.name") or "",
        tools.arguments_of(given),
        cache=mark_of(fields),
    )


def _result(fields: Json, path: str) -> Part:
    content = tools.result_text(fields.get("content"))
    return ToolResult(
        reading.string(fields.get("tool_use_id"), f"{path}.tool_use_id"),
        decode_content(content, f"{path}.content"),
        is_error=reading.opt_bool(fields.get("is_error"), f"{path}.is_error") is True,
        cache=mark_of(fields),
    )


_DECODERS = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _call,
    "tool_result": _result,
}
