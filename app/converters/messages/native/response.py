"""Whole native answers: mended, or turned into a stream (contract §8.5)."""

from __future__ import annotations

from typing import Any

from app.converters import json_bytes
from app.converters.chat.errors import describe_page, is_page
from app.converters.ir import Request
from app.converters.messages.answers import decode_response, encode_response
from app.converters.messages.errors import decode_error
from app.converters.messages.mender import mend_message
from app.converters.messages.stream_encoder import frame
from app.errors import UpstreamProtocolError

Json = dict[str, Any]


def mend_response(
    body: bytes, *, model: str, choices: int = 1, created: int = 0, fallback_id: str = "", restore: Any = None
) -> bytes:
    """Make a clean message of upstream's.

    Raises: UpstreamProtocolError for what is no answer at all; the decoded error for an error with status 200.
    """
    return json_bytes.dumps(_mended(body, model, fallback_id, restore))


def response_to_stream(
    body: bytes,
    *,
    model: str,
    include_usage: bool = True,
    choices: int = 1,
    created: int = 0,
    fallback_id: str = "",
    restore: Any = None,
) -> bytes:
    """The frames that a stream would have had, for an upstream that answers ``stream: true`` with a whole answer.

    Raises: as `mend_response`.
    """
    message = _mended(body, model, fallback_id, restore)
    usage = message["usage"]
    opening = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    opening["usage"] = {**usage, "output_tokens": 0}
    late = {name: opening.pop(name) for name in ("context_management",) if name in opening}
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
            given = json_bytes.dumps(block.get("input") or {}).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": given}]
    return block, []


def _mended(body: bytes, model: str, fallback_id: str, restore: Any) -> Json:
    text = body[:4096].decode("utf-8", "replace")
    if is_page(text):
        raise UpstreamProtocolError(f"GitHub Copilot sent {describe_page(text)} instead of an answer. Try again.")
    try:
        answer = json_bytes.loads_exact(body)
    except ValueError:
        raise UpstreamProtocolError("GitHub Copilot's answer is torn or no JSON. Try again.") from None
    if not isinstance(answer, dict):
        raise UpstreamProtocolError("GitHub Copilot's answer is not a JSON object. Try again.")
    if answer.get("type") == "error" or answer.get("error"):
        raise decode_error(200, {}, body)
    if not isinstance(answer.get("content"), list):
        raise UpstreamProtocolError("GitHub Copilot's answer is no message: it has no content. Try again.")
    answer["content"] = [block for block in answer["content"] if isinstance(block, dict)]
    if restore is not None:
        # Structured output came as a call: through the vocabulary and back, which unwraps it.
        answer = encode_response(decode_response(answer), Request(model=model), model=model)
    return mend_message(answer, model, fallback_id)
