"""Content blocks of a client's request → neutral parts (contract §8.2; Anthropic "Messages", content blocks)."""

from __future__ import annotations

import dataclasses
from typing import Any

from app.converters import tools
from app.converters.ir import Annotation, File, Image, Message, Opaque, Part, Reasoning, Text, ToolCall, ToolResult
from app.converters.messages.shapes import Json, a_list, a_string, an_object, bad, maybe_flag, maybe_string
from app.converters.messages.tables import PROTOCOL, thought_from_client
from app.errors import UnsupportedFeatureError

_ROLES = ("user", "assistant", "system", "developer")


def decode_message(message: Any, path: str) -> Message:
    """One message. Results belong to users, calls and thoughts to assistants; who mixes them up is told so."""
    fields = an_object(message, path)
    role = fields.get("role")
    if role not in _ROLES:
        raise bad(f"{path}.role", "Input should be 'user' or 'assistant'")
    parts = decode_content(fields.get("content"), f"{path}.content")
    for at, part in enumerate(parts):
        if isinstance(part, ToolResult) if role != "user" else isinstance(part, ToolCall | Reasoning):
            raise bad(f"{path}.content[{at}]", f"a message of role {role} cannot hold this block")
    return Message(role, parts)


def decode_content(content: Any, path: str) -> tuple[Part, ...]:
    """A string or a list of blocks. A plain string is one Text, an empty one nothing."""
    if isinstance(content, str):
        return (Text(content),) if content else ()
    if content is None:
        raise bad(path, "Field required")
    return tuple(decode_block(block, f"{path}[{at}]") for at, block in enumerate(a_list(content, path)))


def decode_block(block: Any, path: str) -> Part:
    """One block. A type that we do not know is kept for the protocol that does."""
    fields = an_object(block, path)
    kind = a_string(fields, "type", path)
    decode = _DECODERS.get(kind)
    if decode is not None:
        return decode(fields, path)
    if kind == "container_upload":
        raise UnsupportedFeatureError(f"{path}: Copilot runs no containers that could take a file", param=path)
    return Opaque(PROTOCOL, fields)


def has_mark(fields: Json) -> bool:
    """Whether the prompt cache may end at this block or tool."""
    return isinstance(fields.get("cache_control"), dict)


def citations(value: Any) -> tuple[Annotation, ...]:
    """The ``citations`` of a text block."""
    return tuple(citation(one) for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def citation(fields: Json) -> Annotation:
    """One citation. Its wire form is kept; what other protocols can say of it stands beside."""
    url = fields.get("url")
    is_url = isinstance(url, str)
    is_file = isinstance(fields.get("document_index"), int)
    title = fields.get("title") if is_url else fields.get("document_title")
    cited = fields.get("cited_text")
    return Annotation(
        kind="url" if is_url else "file" if is_file else "other",
        url=url if is_url else None,
        title=title if isinstance(title, str) else None,
        cited_text=cited if isinstance(cited, str) else None,
        origin=PROTOCOL,
        value=fields,
    )


def _text(fields: Json, path: str) -> Part:
    return Text(a_string(fields, "text", path), citations(fields.get("citations")), has_mark(fields))


def _source(fields: Json, path: str) -> tuple[Json, str, str]:
    source = an_object(fields.get("source"), f"{path}.source")
    return source, a_string(source, "type", f"{path}.source"), f"{path}.source"


def _image(fields: Json, path: str) -> Part:
    source, kind, inner = _source(fields, path)
    cache = has_mark(fields)
    if kind == "base64":
        media_type, data = a_string(source, "media_type", inner), a_string(source, "data", inner)
        return Image(data=data, media_type=media_type, cache=cache)
    if kind == "url":
        return Image.of(a_string(source, "url", inner), cache=cache)
    if kind == "file":
        return Image(file_id=a_string(source, "file_id", inner), cache=cache)
    raise bad(f"{inner}.type", "Input should be 'base64', 'url' or 'file'")


def _document(fields: Json, path: str) -> Part:
    source, kind, inner = _source(fields, path)
    setting = fields.get("citations")
    file = File(
        title=maybe_string(fields, "title", path),
        context=maybe_string(fields, "context", path),
        citations=setting.get("enabled") is True if isinstance(setting, dict) else None,
        cache=has_mark(fields),
    )
    if kind == "base64":
        media_type = a_string(source, "media_type", inner)
        return dataclasses.replace(file, data=a_string(source, "data", inner), media_type=media_type)
    if kind == "text":
        return dataclasses.replace(file, text=a_string(source, "data", inner), media_type="text/plain")
    if kind == "url":
        return dataclasses.replace(file, url=a_string(source, "url", inner))
    if kind == "file":
        return dataclasses.replace(file, file_id=a_string(source, "file_id", inner))
    if kind == "content":
        return dataclasses.replace(file, parts=decode_content(source.get("content"), f"{inner}.content"))
    raise bad(f"{inner}.type", "Input should be 'base64', 'text', 'url', 'content' or 'file'")


def _search_result(fields: Json, path: str) -> Part:
    """A search result is a text document with an address."""
    texts = decode_content(fields.get("content"), f"{path}.content")
    return File(
        parts=texts,
        title=maybe_string(fields, "title", path),
        context=maybe_string(fields, "source", path),
        cache=has_mark(fields),
    )


def _thinking(fields: Json, path: str) -> Part:
    signature = fields.get("signature")
    text = fields.get("thinking")
    return thought_from_client(text if isinstance(text, str) else "", signature if isinstance(signature, str) else "")


def _redacted(fields: Json, path: str) -> Part:
    thought = thought_from_client("", a_string(fields, "data", path))
    return dataclasses.replace(thought, redacted=True) if thought.origin == PROTOCOL else thought


def _call(fields: Json, path: str) -> Part:
    given = fields.get("input")
    if given is not None and not isinstance(given, dict):
        raise bad(f"{path}.input", "Input should be a valid dictionary")
    return ToolCall(
        a_string(fields, "id", path),
        a_string(fields, "name", path),
        tools.arguments_of(given),
        cache=has_mark(fields),
    )


def _result(fields: Json, path: str) -> Part:
    content = fields.get("content")
    return ToolResult(
        a_string(fields, "tool_use_id", path),
        () if content is None else decode_content(content, f"{path}.content"),
        is_error=maybe_flag(fields, "is_error", path) is True,
        cache=has_mark(fields),
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
