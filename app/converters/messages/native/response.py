"""Whole native answers: normalized, or turned into a stream (contract §8.5)."""

from __future__ import annotations

from typing import Any

from app.converters.codec import Identity
from app.converters.messages.client.response import encode_response
from app.converters.messages.client.stream import frame
from app.converters.messages.errors import decode_error
from app.converters.messages.native.stream import is_call, normalize_message
from app.converters.messages.upstream.response import decode_response
from app.converters.messages.vocabulary import finish_reason
from app.converters.neutral import tools
from app.converters.neutral.vocabulary import Request
from app.converters.neutral.whole_calls import CUTS, check_calls
from app.converters.wire import json_bytes
from app.converters.wire.accounting import FIELD
from app.converters.wire.error_body import answer_in, is_error
from app.errors import UpstreamProtocolError

Json = dict[str, Any]


def normalize_response(body: bytes, identity: Identity, *, restore: Any = None) -> bytes:
    """Make a clean message of upstream's.

    Raises: UpstreamProtocolError for what is no answer at all; the decoded error for an error with status 200.
    """
    return json_bytes.dumps(_normalized(body, identity, restore))


def response_to_stream(body: bytes, identity: Identity, *, restore: Any = None) -> bytes:
    """The frames that a stream would have had, for an upstream that answers ``stream: true`` with a whole answer.

    Raises: as `normalize_response`.
    """
    message = _normalized(body, identity, restore)
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    opening["usage"] = {**usage, "output_tokens": 0}
    late = {name: opening.pop(name) for name in ("context_management", FIELD) if name in opening}
    ending = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    ending |= {name: opening.pop(name) for name in ("stop_details", "container") if name in opening}
    frames = [frame("message_start", message=opening)]
    for index, block in enumerate(message["content"]):
        frames += _block_frames(index, block)
    frames += [frame("message_delta", delta=ending, **late, usage=usage), frame("message_stop")]
    return b"".join(frames)


def _block_frames(index: int, block: Json) -> list[bytes]:
    opened, deltas = _taken_apart(block)
    return [
        frame("content_block_start", index=index, content_block=opened),
        *(frame("content_block_delta", index=index, delta=delta) for delta in deltas),
        frame("content_block_stop", index=index),
    ]


def _taken_apart(block: Json) -> tuple[Json, list[Json]]:
    """A block as it opens, and the deltas that make it what it is."""
    match block.get("type"):
        case "text":
            deltas = [{"type": "text_delta", "text": block["text"]}] if block.get("text") else []
            sources = block.get("citations")
            deltas += [
                {"type": "citations_delta", "citation": one} for one in (sources if isinstance(sources, list) else [])
            ]
            return {key: value for key, value in block.items() if key != "citations"} | {"text": ""}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}] if block.get("thinking") else []
            deltas += [{"type": "signature_delta", "signature": block.get("signature") or ""}]
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            given = tools.arguments_of(block.get("input") or {})
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": given}]
    return block, []


def _normalized(body: bytes, identity: Identity, restore: Any) -> Json:
    answer = answer_in(body)
    if is_error(answer):
        raise decode_error(200, {}, body)
    if not isinstance(answer.get("content"), list):
        raise UpstreamProtocolError("GitHub Copilot's answer is no message: it has no content. Try again.")
    answer["content"] = [block for block in answer["content"] if isinstance(block, dict)]
    if restore is not None:
        # Structured output came as a call: through the vocabulary and back, which unwraps it.
        answer = encode_response(decode_response(answer), Request(model=identity.model), model=identity.model)
    else:
        answer["content"] = list(map(_with_input, answer["content"]))
        calls = [(str(one.get("name")), tools.arguments_of(one["input"])) for one in answer["content"] if is_call(one)]
        is_last = bool(answer["content"]) and is_call(answer["content"][-1])
        check_calls(calls, is_cut=is_last and finish_reason(answer.get("stop_reason"), has_calls=True) in CUTS)
    return normalize_message(answer, identity)


def _with_input(block: Json) -> Json:
    """A call whose input is the object that it has to be; what a limit cut off is kept under one key."""
    given = block.get("input")
    if not is_call(block) or isinstance(given, dict):
        return block
    return {**block, "input": tools.input_of(given if isinstance(given, str) else tools.arguments_of(given))[0]}
