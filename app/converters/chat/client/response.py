"""Whole chat answers in neutral terms, both ways. (Native ones are normalized in `response`.)"""

from __future__ import annotations

from typing import Any, Final

from app.converters.chat import thought_signatures
from app.converters.chat.annotations import encode_annotations
from app.converters.chat.client.cursor_tools import enveloped_names
from app.converters.chat.vocabulary import finish_to_chat, usage_to_chat
from app.converters.neutral.conversation import valid_call_id
from app.converters.neutral.sealed_signatures import BLANK_LINE, MARK, seal
from app.converters.neutral.tools import ToolNames
from app.converters.neutral.vocabulary import Reasoning, Refusal, Request, Response, Text, ToolCall
from app.converters.wire.accounting import COPILOT

_ID_PREFIX: Final = "chatcmpl-"


def encode_response(response: Response, request: Request, *, model: str) -> dict[str, Any]:
    """Neutral → client. model: the name the client asked for."""
    message = _message(response, request)
    reason = finish_to_chat(
        response.finish_reason,
        has_refusal=bool(message["refusal"]),
        has_calls="tool_calls" in message or "function_call" in message,
        is_legacy="function_call" in message,
    )
    answer: dict[str, Any] = {
        "id": answer_id(response.id),
        "object": "chat.completion",
        "created": response.created_at or 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
    }
    if response.usage is not None:
        answer["usage"] = usage_to_chat(response.usage)
    answer.update(response.extra.get("chat", {}))
    answer.update(response.extra.get(COPILOT, {}))
    return answer


def wants_functions(request: Request) -> bool:
    """Whether the client speaks of legacy ``functions`` (`request.is_legacy`) and gets its call that way."""
    return bool(request.tools) and not request.has_tools_field and request.parallel_tool_calls is False


def answer_id(given: str) -> str:
    """An id as chat clients expect it, from an upstream's of any protocol."""
    return _ID_PREFIX + valid_call_id(given.removeprefix(_ID_PREFIX) or "unnamed")


def encode_call(call: ToolCall, enveloped: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A call in the client's terms (restored), without index. A function call without arguments has an empty object.

    enveloped: the free-text tools whose calls go in the envelope of a function, see `cursor_tools`.
    """
    is_text = call.kind == "custom"
    if is_text and call.name not in enveloped:
        return {"id": call.call_id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    arguments = call.arguments if is_text or call.arguments.strip() else "{}"
    function: dict[str, Any] = {"name": call.name, "arguments": arguments}
    if call.signature and call.origin == "chat":
        function["thought_signature"] = call.signature
        return {"id": thought_signatures.shown(call.call_id, call.signature), "type": "function", "function": function}
    return {"id": call.call_id, "type": "function", "function": function}


def proof_of(thought: Reasoning, *, lead: int = 0) -> dict[str, str]:
    """The field that carries a proof home: Copilot's own as it came, a foreign one sealed (`sealed_signatures`).

    lead: how many characters were told before its text, to keep it apart.
    """
    if not thought.signature or thought.origin is None:
        return {}
    if thought.origin == "chat":
        return {"cot_id" if thought.id == thought.signature else "reasoning_opaque": thought.signature}
    if MARK in thought.signature:
        # A proof that holds a mark cannot be packed, nor could it ever be verified: the thought goes without.
        return {}
    return {"reasoning_opaque": seal(thought, marks_text=True, lead=lead)}


def between(has_text: bool, phase: str | None, following: Text) -> str:
    """What stands between two texts of one answer: a blank line where another message begins, or another phase."""
    return BLANK_LINE if has_text and (phase != following.phase or following.is_apart) else ""


def _message(response: Response, request: Request) -> dict[str, Any]:
    texts: list[str] = []
    annotations: list[dict[str, Any]] = []
    phase: str | None = None
    for part in response.parts:
        if isinstance(part, Text):
            if part.text:
                texts.append(between(any(texts), phase, part))
                phase = part.phase
            annotations += encode_annotations(part.annotations, sum(map(len, texts)), len(part.text))
            texts.append(part.text)
    names, enveloped = ToolNames(request.tools), enveloped_names(request.tools)
    calls = [encode_call(names.restore(call), enveloped) for call in response.calls]
    refusal = "".join(part.text for part in response.parts if isinstance(part, Refusal))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not (calls or refusal) else None,
        "refusal": refusal or None,
        **_thought([part for part in response.parts if isinstance(part, Reasoning)]),
    }
    if annotations:
        message["annotations"] = annotations
    if calls and wants_functions(request) and "function" in calls[0]:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    return message


def _thought(found: list[Reasoning]) -> dict[str, str]:
    """The texts joined, those that are apart by a blank line, which ``sealed_signatures.unseal_all`` takes away."""
    thought: dict[str, str] = {}
    leads: list[str] = []
    for at, part in enumerate(found):
        is_next = part.is_apart and bool(part.text) and any(one.text for one in found[:at])
        leads.append(BLANK_LINE if is_next else "")
    if text := "".join(lead + part.text for lead, part in zip(leads, found, strict=True)):
        # The first is the name that clients read, the second is Copilot's own (client notes §0.10).
        thought = {"reasoning_content": text, "reasoning_text": text}
    for lead, part in zip(leads, found, strict=True):
        for name, proof in proof_of(part, lead=len(lead)).items():
            thought[name] = thought.get(name, "") + proof
    return thought
