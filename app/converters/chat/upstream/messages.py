"""Neutral messages → messages for a chat upstream. Contract §6.2, §6.6; conversion rules §1.1, §2.

Every message is written by itself, from what stands in it and what the request says as a whole, so that adding a turn
changes nothing of the turns before (prefix stability).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.converters.chat.upstream.content import content_of
from app.converters.chat.upstream.target_model import TargetModel
from app.converters.chat.vocabulary import CACHE_MARK, OPENAI_ID_CHARS
from app.converters.neutral.conversation import distinct_call_ids, map_call_ids, pair_tools, valid_call_id
from app.converters.neutral.field_table import drop_foreign
from app.converters.neutral.sealed_signatures import proof_for_upstream
from app.converters.neutral.tools import call_as_function, input_of
from app.converters.neutral.vocabulary import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from app.converters.wire import json_bytes
from app.errors import UnsupportedFeatureError

# OpenAI's limits for ids on this endpoint; others are only known to want sane characters.
_ID_CHARS: Final = 64

_ERROR_PREFIX: Final = "Error: "
_SEE_BELOW: Final = "(The result is in the user message after the tool results.)"


def encode_messages(messages: Iterable[Message], target: TargetModel) -> list[dict[str, Any]]:
    """Results right behind their calls, ids and names made valid, each part in a form that upstream takes.

    Raises: InvalidRequestError for a call without result or a result without call; UnsupportedFeatureError for a part
            that no chat model behind Copilot takes.
    """
    limit = OPENAI_ID_CHARS if target.is_openai else _ID_CHARS
    # Distinct first: the number that tells two ids apart must not make one too long.
    distinct = distinct_call_ids(pair_tools(messages))
    encoded: list[dict[str, Any]] = []
    for message in map_call_ids(distinct, lambda call_id: valid_call_id(call_id, limit=limit)):
        drop_foreign(message.extra, "chat", target.losses, path="messages[].")
        if message.role == "assistant":
            encoded += _assistant(message, target)
        elif message.role == "user":
            encoded += _user(message, target)
        else:
            encoded += _instructions(message, target)
    return encoded


def _instructions(message: Message, target: TargetModel) -> list[dict[str, Any]]:
    """A system message holds text alone; what else it held follows in a user message."""
    role = "developer" if message.role == "developer" and target.is_openai else "system"
    texts = [part for part in message.parts if isinstance(part, Text | Opaque)]
    others = [part for part in message.parts if not isinstance(part, Text | Opaque)]
    return _written(role, texts, message, target) + (_written("user", others, message, target) if others else [])


def _user(message: Message, target: TargetModel) -> list[dict[str, Any]]:
    encoded = [_tool(result, target) for result in message.results]
    moved = [part for result in message.results for part in _moved(result, target)]
    if moved:
        encoded += _written("user", moved, Message("user"), target)
    rest = [part for part in message.parts if not isinstance(part, ToolResult)]
    if rest or not message.parts:
        encoded += _written("user", rest, message, target)
    return encoded


def _written(role: str, parts: Sequence[Part], message: Message, target: TargetModel) -> list[dict[str, Any]]:
    """A message of content alone, or none where there is nothing to say: Claude refuses empty texts (contract §6.2)."""
    content, is_marked = content_of(parts, target)
    if not content and not target.is_openai:
        return []
    written: dict[str, Any] = {"role": role, "content": content}
    return [_finished(written, message, is_marked=is_marked)]


def _finished(written: dict[str, Any], message: Message, *, is_marked: bool) -> dict[str, Any]:
    if message.name:
        written["name"] = message.name
    if is_marked:
        written["copilot_cache_control"] = dict(CACHE_MARK)
    return {**written, **message.extra.get("chat", {})}


def _tool(result: ToolResult, target: TargetModel) -> dict[str, Any]:
    """The text of a result. Pictures and documents are not for tool messages: see `_moved`."""
    parts: list[Part] = [part for part in result.parts if _is_for_tool(part)]
    if any(not _is_for_tool(part) for part in result.parts) and not any(isinstance(part, Text) for part in parts):
        parts.append(Text(_SEE_BELOW))
    if result.is_error:
        target.losses.note("messages[].content[].is_error", "as a prefix of the text")
        parts = _with_prefix(parts)
    content, is_marked = content_of(parts, target, marks_message=False)
    written: dict[str, Any] = {"role": "tool", "tool_call_id": result.call_id, "content": content}
    if result.cache or is_marked:
        written["copilot_cache_control"] = dict(CACHE_MARK)
    return written


def _with_prefix(parts: list[Part]) -> list[Part]:
    first = next((part for part in parts if isinstance(part, Text)), None)
    if first is None:
        return [Text(_ERROR_PREFIX.strip()), *parts]
    if first.text.lower().startswith("error"):
        return parts
    said = Text(_ERROR_PREFIX + first.text, cache=first.cache)
    return [said if part is first else part for part in parts]


def _is_for_tool(part: Part) -> bool:
    return not isinstance(part, Image | File)


def _moved(result: ToolResult, target: TargetModel) -> list[Part]:
    """The pictures and documents of a result, for a user message that says where they belong."""
    media = [part for part in result.parts if not _is_for_tool(part)]
    if not media:
        return []
    target.losses.note("messages[].content[].tool_result", "pictures and documents in a user message behind it")
    return [Text(f"From the result of tool call {result.call_id}:"), *media]


def _assistant(message: Message, target: TargetModel) -> list[dict[str, Any]]:
    written: dict[str, Any] = {"role": "assistant"}
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, Text | Opaque | File | Audio) or (isinstance(part, Refusal) and not target.is_openai):
            parts.append(part)
        elif isinstance(part, Image):
            raise UnsupportedFeatureError(
                "A turn of the model's own holds text alone: send pictures in a message of the user.",
                param=part.path or "messages",
            )
    calls = message.calls
    content, is_marked = content_of(parts, target, marks_message=not calls)
    refusals = "".join(part.text for part in message.parts if isinstance(part, Refusal)) if target.is_openai else ""
    thought = _thought([part for part in message.parts if isinstance(part, Reasoning)], target)
    if not content and not refusals and not calls and not thought and not target.is_openai:
        return []
    written["content"] = content if content or not (calls or refusals) else None
    if refusals:
        written["refusal"] = refusals
    written.update(thought)
    if calls:
        written["tool_calls"] = [_call(call, target) for call in calls]
        is_marked = bool(calls[-1].cache)
        if any(call.cache for call in calls[:-1]):
            target.losses.drop("messages[].content[].cache_control", "chat has no mark between calls")
    return [_finished(written, message, is_marked=is_marked)]


def _call(call: ToolCall, target: TargetModel) -> dict[str, Any]:
    function = call_as_function(call)
    arguments = function.arguments if function.arguments.strip() else "{}"
    value, is_object = input_of(arguments)
    if not is_object and not target.is_openai:
        # Behind the other vendors' models the text is parsed: one torn call of old must not end the conversation.
        target.losses.note("messages[].tool_calls[].arguments", "were no JSON object, kept under one key")
        arguments = json_bytes.dumps(value).decode()
    details: dict[str, Any] = {"name": target.names.wire_of(call), "arguments": arguments}
    if call.signature and call.origin == "chat" and target.has_proofs:
        details["thought_signature"] = call.signature
    return {"id": call.call_id, "type": "function", "function": details}


def _thought(thoughts: list[Reasoning], target: TargetModel) -> dict[str, Any]:
    """The one pair of text and proof that an assistant message has room for (contract §6.6).

    A proof stays with its own text; where it came late and alone (Azure, split chunks), with the text before it.
    """
    if not thoughts:
        return {}
    if not target.has_proofs:
        target.losses.drop("messages[].reasoning", "upstream has refused a proof of this conversation")
        return {}
    own = [thought for thought in thoughts if proof_for_upstream(thought, "chat")]
    if any(thought.signature and thought not in own for thought in thoughts):
        target.losses.drop("messages[].reasoning.signature", "the proof belongs to another protocol")
    if not own:
        text = "\n\n".join(thought.text for thought in thoughts if thought.text)
        return {"reasoning_text": text} if text else {}
    first, *later = own
    # A later proof without a text of its own is the rest of the first one, in another chunk.
    proof = (first.signature or "") + "".join(thought.signature or "" for thought in later if not thought.text)
    text = first.text or "".join(thought.text for thought in thoughts if thought.origin is None)
    if any(thought.text for thought in thoughts if thought is not first and thought.text not in text):
        target.losses.drop("messages[].reasoning", "chat has one thought per turn")
    if first.id is not None and first.id == first.signature:
        return {"cot_summary": text, "cot_id": first.id} if text else {"cot_id": first.id}
    return {"reasoning_text": text, "reasoning_opaque": proof} if text else {"reasoning_opaque": proof}
