"""Copilot's whole chat answers in neutral terms. (Native ones are normalized in `native.response`.)"""

from __future__ import annotations

from typing import Any, Final

from app.converters.chat import quirks, thought_signatures
from app.converters.chat.annotations import decode_annotations
from app.converters.chat.native.response import normalize_answer
from app.converters.chat.thoughts import thoughts
from app.converters.chat.vocabulary import finish_from_chat, usage_from_chat
from app.converters.codec import Identity
from app.converters.neutral.vocabulary import Part, Refusal, Response, Text, ToolCall
from app.converters.wire.accounting import FIELD, extra_with

UNNAMED: Final = "chatcmpl-unnamed"
"""The id of an answer to which upstream gave none, for what is made from it."""

# What the filters found is told natively; of a converted answer it is no part.
_ENVELOPE: Final = frozenset({"id", "object", "created", "model", "choices", "usage", FIELD, "prompt_filter_results"})


def decode_response(body: dict[str, Any]) -> Response:
    """Upstream → neutral. All entries of ``choices`` are one answer (contract §6.3.3).

    Raises: UpstreamProtocolError for what is no answer; the decoded error for an error with status 200.
    """
    model = body.get("model")
    answer = normalize_answer(body, Identity(model if isinstance(model, str) else "", 0, UNNAMED))
    choice = answer["choices"][0]
    parts = _parts(choice["message"], answer["id"])
    kinds = {type(part) for part in parts}
    reason = finish_from_chat(choice["finish_reason"], has_calls=ToolCall in kinds, has_refusal=Refusal in kinds)
    return Response(
        answer["id"],
        answer["model"],
        answer["created"] or None,
        parts,
        reason,
        usage=usage_from_chat(answer.get("usage")),
        extra=extra_of(answer) | extra_with(answer.get(FIELD)),
    )


def extra_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a normalized answer or chunk says beside the envelope, such as ``system_fingerprint``."""
    extra = {key: value for key, value in answer.items() if key not in _ENVELOPE and value is not None}
    return {"chat": extra} if extra else {}


def decode_call(call: dict[str, Any]) -> ToolCall:
    """A normalized call, whole or its first fragment."""
    custom, function = call.get("custom"), call.get("function")
    call_id, _ = thought_signatures.split(call["id"])
    if isinstance(custom, dict) and not isinstance(function, dict):
        return ToolCall(call_id, str(custom.get("name") or ""), str(custom.get("input") or ""), kind="custom")
    function = function if isinstance(function, dict) else {}
    proof = function.get("thought_signature")
    signature = proof if isinstance(proof, str) and proof else None
    arguments = quirks.arguments_of(function)
    return ToolCall(
        call_id,
        str(function.get("name") or ""),
        arguments if arguments.strip() else "",
        signature=signature,
        origin="chat" if signature else None,
    )


def _parts(message: dict[str, Any], given_id: str) -> tuple[Part, ...]:
    parts: list[Part] = list(thoughts(message))
    if message["content"]:
        parts.append(Text(message["content"], decode_annotations(message.get("annotations"))))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append(Refusal(message["refusal"]))
    parts += [decode_call(call) for call in message.get("tool_calls", [])]
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        # Contract §6.5.14: the same id as a stream of this answer would make.
        parts.append(decode_call({"id": quirks.make_call_id(given_id, 0, 0), "function": legacy}))
    return tuple(parts)
