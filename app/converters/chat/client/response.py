"""Whole chat answers in neutral terms, both ways. (Native ones are mended in `response`.)"""

from __future__ import annotations

from typing import Any, Final

from app.converters.chat import call_proofs, quirks
from app.converters.chat.annotations import decode_annotations, encode_annotations
from app.converters.chat.envelopes import enveloped_names
from app.converters.chat.message_decoder import thoughts
from app.converters.chat.response import mend_answer
from app.converters.chat.tables import finish_from_chat, finish_to_chat, usage_from_chat, usage_to_chat
from app.converters.conversation import valid_call_id
from app.converters.ir import Part, Reasoning, Refusal, Request, Response, Text, ToolCall
from app.converters.seal import MARK, seal
from app.converters.tools import ToolNames

UNNAMED: Final = "chatcmpl-unnamed"
"""The id of an answer to which upstream gave none; a door that wants better ones hands in its own."""

_ID_PREFIX: Final = "chatcmpl-"
_ENVELOPE: Final = frozenset({"id", "object", "created", "model", "choices", "usage"})


def decode_response(body: dict[str, Any], *, fallback_id: str = UNNAMED) -> Response:
    """Upstream → neutral. All entries of ``choices`` are one answer (contract §6.3.3).

    Raises: UpstreamProtocolError for what is no answer; the decoded error for an error with status 200.
    """
    model = body.get("model")
    answer = mend_answer(body, model=model if isinstance(model, str) else "", created=0, fallback_id=fallback_id)
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
        extra=extra_of(answer),
    )


def encode_response(response: Response, request: Request, *, model: str, created: int = 0) -> dict[str, Any]:
    """Neutral → client. model: the name the client asked for. created: epoch seconds, where upstream gave none."""
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
        "created": created if response.created_at is None else response.created_at,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
    }
    if response.usage is not None:
        answer["usage"] = usage_to_chat(response.usage)
    answer.update(response.extra.get("chat", {}))
    return answer


def wants_functions(request: Request) -> bool:
    """Whether the client speaks of legacy ``functions`` (`request_decoder.is_legacy`) and gets its call that way."""
    return bool(request.tools) and not request.has_tools_field and request.parallel_tool_calls is False


def answer_id(given: str) -> str:
    """An id as chat clients expect it, from an upstream's of any protocol."""
    return _ID_PREFIX + valid_call_id(given.removeprefix(_ID_PREFIX) or "unnamed")


def extra_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a mended answer or chunk says beside the envelope, such as ``system_fingerprint``."""
    extra = {key: value for key, value in answer.items() if key not in _ENVELOPE and value is not None}
    return {"chat": extra} if extra else {}


def decode_call(call: dict[str, Any]) -> ToolCall:
    """A mended call, whole or its first fragment."""
    custom, function = call.get("custom"), call.get("function")
    call_id, _ = call_proofs.split(call["id"])
    if isinstance(custom, dict) and not isinstance(function, dict):
        return ToolCall(call_id, str(custom.get("name") or ""), str(custom.get("input") or ""), kind="custom")
    function = function if isinstance(function, dict) else {}
    proof = function.get("thought_signature")
    signature = proof if isinstance(proof, str) and proof else None
    return ToolCall(
        call_id,
        str(function.get("name") or ""),
        quirks.arguments_of(function),
        signature=signature,
        origin="chat" if signature else None,
    )


def encode_call(call: ToolCall, enveloped: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A call in the client's terms (restored), without index. A function call without arguments has an empty object.

    enveloped: the free-text tools whose calls go in the envelope of a function, see `envelopes`.
    """
    is_text = call.kind == "custom"
    if is_text and call.name not in enveloped:
        return {"id": call.call_id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    arguments = call.arguments if is_text or call.arguments.strip() else "{}"
    function: dict[str, Any] = {"name": call.name, "arguments": arguments}
    if call.signature and call.origin == "chat":
        function["thought_signature"] = call.signature
        return {"id": call_proofs.shown(call.call_id, call.signature), "type": "function", "function": function}
    return {"id": call.call_id, "type": "function", "function": function}


def proof_of(thought: Reasoning) -> dict[str, str]:
    """The field that carries a proof home: Copilot's own as it came, a foreign one sealed (``seal.unseal_all``)."""
    if not thought.signature or thought.origin is None:
        return {}
    if thought.origin == "chat":
        return {"cot_id" if thought.id == thought.signature else "reasoning_opaque": thought.signature}
    if MARK in thought.signature:
        # A proof that holds a mark cannot be packed, nor could it ever be verified: the thought goes without.
        return {}
    return {"reasoning_opaque": seal(thought, marks_text=True)}


def _parts(message: dict[str, Any], given_id: str) -> tuple[Part, ...]:
    parts: list[Part] = list(thoughts(message))
    if message["content"]:
        parts.append(Text(message["content"], decode_annotations(message.get("annotations"))))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append(Refusal(message["refusal"]))
    parts += [decode_call(call) for call in message.get("tool_calls", [])]
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        # §6.5.14: the same id as a stream of this answer would make.
        parts.append(decode_call({"id": quirks.make_call_id(given_id, 0, 0), "function": legacy}))
    return tuple(parts)


def _message(response: Response, request: Request) -> dict[str, Any]:
    texts: list[str] = []
    annotations: list[dict[str, Any]] = []
    for part in response.parts:
        if isinstance(part, Text):
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
    """The texts joined without separator, which is what ``seal.unseal_all`` counts on."""
    thought: dict[str, str] = {}
    if text := "".join(part.text for part in found):
        # The first is the name that clients read, the second is Copilot's own (clients.md §0.10).
        thought = {"reasoning_content": text, "reasoning_text": text}
    for part in found:
        for name, proof in proof_of(part).items():
            thought[name] = thought.get(name, "") + proof
    return thought
