"""Messages of a chat client → neutral messages. Contract §6.2, §6.6; conversion rules §2."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from app.converters.chat import anthropic_forms, quirks, thought_signatures
from app.converters.chat.fields import ANSWER_ONLY
from app.converters.chat.thoughts import thoughts
from app.converters.chat.vocabulary import CACHE_MARKS, ROLES, has_cache_mark
from app.converters.neutral import sealed_signatures
from app.converters.neutral.tools import result_text
from app.converters.neutral.vocabulary import (
    Audio,
    Extra,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    located,
    split_data_url,
)
from app.converters.wire import reading
from app.errors import InvalidRequestError, UnsupportedFeatureError

_KNOWN: Final = ANSWER_ONLY | {
    "role",
    "content",
    "name",
    "refusal",
    "audio",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "reasoning_content",
    "reasoning_text",
    "reasoning_opaque",
    "thinking",
    "signature",
    "cot_summary",
    "cot_id",
    *CACHE_MARKS,
}
_TEXTS: Final = frozenset({"text", "input_text", "output_text"})
_IMAGES: Final = frozenset({"image_url", "input_image", "image"})


class MessageDecoder:
    """The messages of one request, in order. Knows the legacy function calls that still wait for their result."""

    def __init__(self) -> None:
        self._unanswered: list[tuple[str, str]] = []

    def decode(self, raw: Any, index: int, where: str = "messages") -> Message:
        """Raises: InvalidRequestError, UnsupportedFeatureError. where: the name of the list that it stands in."""
        path = f"{where}[{index}]"
        message = thought_signatures.restored(reading.obj(raw, path))
        role = message.get("role")
        extra = _extra(message)
        if role == "tool":
            return Message("user", (_result(message, path),), extra=extra)
        if role == "function":
            return Message("user", (self._function_result(message, path),), extra=extra)
        name = reading.opt_string(message.get("name"), f"{path}.name") or None
        if role == "assistant":
            parts = self._assistant(message, path, index)
        else:
            parts = content_parts(message.get("content"), f"{path}.content", str(role))
        if has_cache_mark(message):
            parts = _marked(parts)
        found = next((known for known in ROLES if known == role), None)
        if found is None:
            reading.wrong(f"{path}.role", "system, developer, user, assistant or tool")
        return Message(found, tuple(parts), name, extra)

    def _assistant(self, message: dict[str, Any], path: str, index: int) -> list[Part]:
        if message.get("audio") is not None:
            raise UnsupportedFeatureError("No model behind the bridge speaks.", param=f"{path}.audio")
        parts: list[Part] = list(thoughts(message))
        if message.get("content") is not None:
            parts += content_parts(message["content"], f"{path}.content", "assistant")
        if message.get("refusal"):
            parts.append(Refusal(reading.string(message["refusal"], f"{path}.refusal")))
        calls = message.get("tool_calls")
        if calls is not None:
            where = f"{path}.tool_calls"
            said = {part.call_id for part in parts if isinstance(part, ToolCall)}
            given = (_call(call, f"{where}[{at}]") for at, call in enumerate(reading.items(calls, where)))
            # Who writes Anthropic's blocks may say the same call in chat's words as well.
            parts += [call for call in given if call.call_id not in said]
        legacy = reading.opt_obj(message.get("function_call"), f"{path}.function_call")
        if legacy is not None:
            name = reading.name(legacy.get("name"), f"{path}.function_call.name")
            # Its place is what makes it the same in every later turn; a result finds it by its name.
            call_id = f"call_function_{index}"
            self._unanswered.append((name, call_id))
            parts.append(ToolCall(call_id, name, quirks.arguments_of(legacy)))
        return parts

    def _function_result(self, message: dict[str, Any], path: str) -> ToolResult:
        name = reading.name(message.get("name"), f"{path}.name")
        waiting = next((known for known in reversed(self._unanswered) if known[0] == name), None)
        if waiting is None:
            raise InvalidRequestError(
                f"There is a result of function {name!r}, but no call of it before that.", param=f"{path}.name"
            )
        self._unanswered.remove(waiting)
        return ToolResult(waiting[1], tuple(content_parts(message.get("content"), f"{path}.content")))


def content_parts(content: Any, path: str, role: str = "") -> list[Part]:
    """Content as parts: a string is one Text; an empty string, null and an empty list are none.

    role: of the message that it is the content of, whose calls or results may be among it as Anthropic's blocks.
    """
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        reading.wrong(path, "a string or a list of parts")
    return [located(_part(part, f"{path}[{at}]", role), f"{path}[{at}]") for at, part in enumerate(content)]


def _part(raw: Any, path: str, role: str) -> Part:
    if isinstance(raw, str):
        return Text(raw)
    part = reading.obj(raw, path)
    kind = "image_url" if part.get("type") is None and "image_url" in part else part.get("type")
    if not isinstance(kind, str):
        reading.wrong(f"{path}.type", "the type of the part, e.g. text or image_url")
    if kind in _TEXTS:
        return Text(reading.string(part.get("text"), f"{path}.text"), cache=has_cache_mark(part))
    if kind in _IMAGES:
        return _image(part, path)
    if kind == "refusal":
        return Refusal(reading.string(part.get("refusal"), f"{path}.refusal"))
    if kind == "file":
        return _file(part, path)
    if kind == "input_audio":
        audio = reading.obj(part.get("input_audio"), f"{path}.input_audio")
        return Audio(
            reading.name(audio.get("data"), f"{path}.input_audio.data"),
            reading.opt_string(audio.get("format"), f"{path}.input_audio.format"),
        )
    return _block(part, kind, path, role) if kind in anthropic_forms.BLOCKS else Opaque("chat", part)


def _block(part: dict[str, Any], kind: str, path: str, role: str) -> Part:
    """One of Anthropic's blocks, in a message of the role that it belongs to."""
    if anthropic_forms.BLOCKS[kind] != role:
        reading.wrong(
            path, f"content; a block of type {kind} belongs to a message of role {anthropic_forms.BLOCKS[kind]}"
        )
    if kind == "tool_use":
        return anthropic_forms.decode_call(part, path)
    if kind == "tool_result":
        call_id = reading.string(part.get("tool_use_id"), f"{path}.tool_use_id")
        is_error = reading.opt_bool(part.get("is_error"), f"{path}.is_error") is True
        parts = content_parts(result_text(part.get("content")), f"{path}.content")
        return ToolResult(call_id, tuple(parts), is_error=is_error, cache=has_cache_mark(part))
    return anthropic_forms.decode_thought(part, path)


def _image(part: dict[str, Any], path: str) -> Image:
    is_marked = has_cache_mark(part)
    source = part.get("source")
    if "image_url" not in part and isinstance(source, dict):
        # Anthropic's form, which slips into chat bodies (the native path knows it too).
        if source.get("type") == "base64":
            data = reading.name(source.get("data"), f"{path}.source.data")
            media_type = reading.opt_string(source.get("media_type"), f"{path}.source.media_type")
            return Image(data=data, media_type=media_type, cache=is_marked)
        return Image.of(reading.name(source.get("url"), f"{path}.source.url"), cache=is_marked)
    given = part.get("image_url")
    if isinstance(given, str):
        detail = reading.opt_string(part.get("detail"), f"{path}.detail")
        return Image.of(reading.name(given, f"{path}.image_url"), detail=detail, cache=is_marked)
    image = reading.obj(given, f"{path}.image_url")
    url = reading.name(image.get("url"), f"{path}.image_url.url")
    return Image.of(url, detail=reading.opt_string(image.get("detail"), f"{path}.image_url.detail"), cache=is_marked)


def _file(part: dict[str, Any], path: str) -> File:
    file = reading.obj(part.get("file"), f"{path}.file")
    name = reading.opt_string(file.get("filename"), f"{path}.file.filename")
    is_marked = has_cache_mark(part)
    if file.get("file_data") is not None:
        given = reading.name(file["file_data"], f"{path}.file.file_data")
        media_type, data = split_data_url(given) or ("", given)
        return File(data=data, name=name, media_type=media_type or None, cache=is_marked)
    file_id = file.get("file_id")
    if not file_id:
        reading.wrong(f"{path}.file", "an object with file_data or file_id")
    return File(file_id=reading.string(file_id, f"{path}.file.file_id"), name=name, cache=is_marked)


def _call(raw: Any, path: str) -> ToolCall:
    call = reading.obj(raw, path)
    call_id = reading.string(call.get("id"), f"{path}.id")
    is_marked = has_cache_mark(call)
    if call.get("type") == "custom" or ("custom" in call and "function" not in call):
        custom = reading.obj(call.get("custom"), f"{path}.custom")
        text = reading.opt_string(custom.get("input"), f"{path}.custom.input") or ""
        called = reading.opt_string(custom.get("name"), f"{path}.custom.name") or ""
        return ToolCall(call_id, called, text, kind="custom", cache=is_marked)
    function = reading.obj(call.get("function"), f"{path}.function")
    name = reading.opt_string(function.get("name"), f"{path}.function.name") or ""
    proof = function.get("thought_signature")
    signature = proof if isinstance(proof, str) and proof and sealed_signatures.MARK not in proof else None
    return ToolCall(
        call_id,
        name,
        quirks.arguments_of(function),
        signature=signature,
        origin="chat" if signature else None,
        cache=is_marked,
    )


def _result(message: dict[str, Any], path: str) -> ToolResult:
    call_id = reading.string(message.get("tool_call_id"), f"{path}.tool_call_id")
    parts = content_parts(result_text(message.get("content")), f"{path}.content")
    return ToolResult(call_id, tuple(parts), cache=has_cache_mark(message))


def _marked(parts: list[Part]) -> list[Part]:
    """A mark on a whole message stands at its end, or before what cannot bear one."""
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if isinstance(part, Text | Image | File | ToolCall):
            return [*parts[:at], dataclasses.replace(part, cache=True), *parts[at + 1 :]]
    return parts


def _extra(message: dict[str, Any]) -> Extra:
    unknown = {key: value for key, value in message.items() if value is not None and key not in _KNOWN}
    return {"chat": unknown} if unknown else {}
