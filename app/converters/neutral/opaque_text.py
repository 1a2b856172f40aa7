"""Content that only another protocol knows, as text: what was said reaches the model, or the request is refused.

An unknown *setting* only advises and may go. Unknown *content* was said by a person, a tool or the model itself:
results of tools that a server ran, summaries of the conversation before, what a search for tools has found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from app.converters.neutral.losses import Losses
from app.converters.neutral.vocabulary import Message, Opaque, Part, Request, Role, Text, ToolResult
from app.converters.wire import json_bytes
from app.errors import Sentence, UnsupportedFeatureError

# What is read first, in this order and without its name; all else follows under its own, but for what is for machines.
_FIRST: Final = (
    *(
        "mcp_server_name",
        "server_label",
        "title",
        "name",
        "tool_name",
        "url",
        "description",
        "query",
        "queries",
        "command",
        "code",
        "action",
        "text",
    ),
    *("transcript", "content", "output", "outputs", "result", "results", "stdout", "stderr", "summary", "error"),
    *("error_code", "message", "tool_reference", "tool_references", "tools", "logs", "source"),
)
_OF_CALLS: Final = ("output", "outputs", "result", "results", "error")
_SHOWN_IN_CALLS: Final = ("name", "input", "arguments")
_FOR_MACHINES: Final = frozenset(
    {
        *("type", "id", "call_id", "tool_use_id", "tool_call_id", "approval_request_id", "status", "role", "phase"),
        *("cache_control", "caller", "created_by", "execution", "namespace", "index", "is_error", "approve"),
        *("citations", "annotations", "logprobs", "detail", "media_type", "signature", "fingerprint"),
        *("authorization", "headers", "domain_secrets", "data", "file_data"),
    }
)
"""Keys of ids and marks, of secrets, and of bytes."""
_ENCRYPTED: Final = "encrypted_"
_AS_BYTES: Final = ("b64", "b64_json", "base64")
_DATA_URL: Final = re.compile(r"data:[\w.+-]{0,80}/?[\w.+-]{0,80}(?:;[\w=.-]{1,80}){0,4};base64,", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{40,}+={0,2}")
_PICTURES: Final = frozenset({"image_generation_call"})
"""Items whose result is the bytes of a picture."""
_HOLDERS: Final = ("content", "source", "output", "outputs", "result", "results")
_AS_JSON: Final = ("schema", "parameters")
_LEADS: Final = {
    "tool_reference": "This tool is available now:",
    "compaction": "Summary of the conversation so far:",
}
_DEEPEST: Final = 8


def with_readable_parts(request: Request, upstream: str, losses: Losses) -> Request:
    """The request with text for all parts that `upstream` does not know; the same object if there are none.

    Raises: UnsupportedFeatureError for what a person or a tool has said and that holds nothing to read.
    """
    if not any(_is_foreign(part, upstream) for message in request.messages for part in _all_parts(message)):
        return request
    messages = (
        replace(message, parts=tuple(_readable(message.parts, message.role, upstream, losses)))
        for message in request.messages
    )
    # A message of which nothing is left would read as one in which nothing was said.
    kept = (new for new, old in zip(messages, request.messages, strict=True) if new.parts or not old.parts)
    return replace(request, messages=tuple(kept))


def text_of(value: Any) -> str:
    """What there is to read in a block or an item of any protocol; "" if there is nothing."""
    if not isinstance(value, dict):
        return ""
    kind = str(value.get("type") or "part")
    if (
        kind.endswith(("tool_use", "_call", "_approval_request"))
        and (given := value.get("input", value.get("arguments"))) is not None
    ):
        shown = given if isinstance(given, str) else json_bytes.dumps(given).decode("utf-8", "replace")
        told = [line for key in _OF_CALLS if value.get(key) is not None for line in _lines(value[key], 0)]
        about = _about({key: one for key, one in value.items() if key not in (*_OF_CALLS, *_SHOWN_IN_CALLS)}, 0)
        return "\n".join([f"[{value.get('name') or kind}: {shown}]", *filter(None, told), *about])
    lines = lines_of({**value, "result": None} if kind in _PICTURES and _is_bytes(value.get("result")) else value)
    if isinstance(value.get("approve"), bool):
        lines.append("approved" if value["approve"] else "denied")
    if not lines:
        return ""
    lead = _LEADS.get(kind) or ("" if isinstance(value.get("text"), str) else f"[{kind}]")
    return "\n".join([lead, *lines] if lead else lines)


def lines_of(value: Any) -> list[str]:
    """The same line by line, of a part of a block too, and without a word on what it is."""
    return [line for line in _lines(value, 0) if line]


def _all_parts(message: Message) -> Iterator[Part]:
    for part in message.parts:
        yield part
        if isinstance(part, ToolResult):
            yield from part.parts


def _is_foreign(part: Part, upstream: str) -> bool:
    return isinstance(part, Opaque) and part.origin != upstream


def _readable(parts: tuple[Part, ...], role: Role, upstream: str, losses: Losses) -> Iterator[Part]:
    for part in parts:
        if isinstance(part, ToolResult):
            yield replace(part, parts=tuple(_readable(part.parts, "user", upstream, losses)))
        elif isinstance(part, Opaque) and part.origin != upstream:
            yield from _told(part, role, losses)
        else:
            yield part


def refuse_bytes(value: Any, path: str) -> None:
    """Raise UnsupportedFeatureError for a block in whose content a file is, which no text can tell."""
    kind = value.get("type") if isinstance(value, dict) else None
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack += one
        elif isinstance(one, dict):
            if one.get("type") == "base64":
                raise UnsupportedFeatureError(
                    f"Content of the type {str(kind)[:80]!r} with a file in it cannot be carried to this "
                    "model: leave the file out, or send it in a message of the user.",
                    param=path,
                )
            stack += [one[key] for key in _HOLDERS if key in one]


def _told(part: Opaque, role: Role, losses: Losses) -> Iterator[Part]:
    kind = part.value.get("type") if isinstance(part.value, dict) else None
    path = f"messages[].content[].{kind or 'part'}"
    refuse_bytes(part.value, part.path or path)
    if text := text_of(part.value):
        losses.note(path, "as text")
        yield Text(f"{text}\n" if role == "assistant" else text)
    elif role == "assistant":
        # The model's own turn of old, and nothing that another model could make use of.
        losses.drop(
            path,
            Sentence(
                "only the %(origin)s protocol knows this kind of part, and there is nothing to read in it",
                origin=part.origin,
            ),
        )
    else:
        raise UnsupportedFeatureError(
            f"Content of the type {str(kind)[:80]!r} cannot be carried to this model: send it as text, an image or a "
            "document, or choose a model that takes it.",
            param=part.path or path,
        )


def _lines(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value.strip()
    elif depth > _DEEPEST:
        return
    elif isinstance(value, list):
        for item in value:
            yield from _lines(item, depth + 1)
    elif isinstance(value, dict):
        if value.get("type") == "image" and _DATA_URL.match(str(value.get("url"))):
            value = {**value, "url": None}
        for key in _FIRST:
            if value.get(key) is not None:
                yield from _lines(value[key], depth + 1)
        yield from _about({key: one for key, one in value.items() if key not in _FIRST}, depth)
        if _is_plain_source(value):
            yield value["data"].strip()


def _about(value: dict[str, Any], depth: int) -> Iterator[str]:
    """What stands under keys that nobody knows beforehand, each behind its key."""
    for key, inner in value.items():
        if key in _FOR_MACHINES or key.startswith(_ENCRYPTED) or key.endswith(_AS_BYTES) or inner is None:
            continue
        if key.endswith(_AS_JSON):
            yield f"{key}: {json_bytes.dumps(inner).decode('utf-8', 'replace')}"
        elif isinstance(inner, str | int | float):
            yield f"{key}: {json_bytes.dumps(inner).decode() if not isinstance(inner, str) else inner.strip()}"
        else:
            first, *more = [line for line in _lines(inner, depth + 1) if line] or [""]
            yield from [f"{key}: {first}", *more] if first else ()


def _is_bytes(value: Any) -> bool:
    return isinstance(value, str) and _BASE64.fullmatch(value) is not None


def _is_plain_source(value: dict[str, Any]) -> bool:
    """Whether the data of a document's source are its text."""
    return value.get("type") == "text" and isinstance(value.get("data"), str)
