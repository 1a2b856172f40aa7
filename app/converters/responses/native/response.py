"""Whole native answers: normalized, or turned into a stream."""

from __future__ import annotations

from typing import Any

from app.converters.codec import Identity
from app.converters.neutral.whole_calls import check_calls
from app.converters.responses.native.client_tools import ClientTools
from app.converters.responses.native.objects import argument_text, is_over, normalize_item, normalize_object
from app.converters.responses.native.stream import StreamNormalizer
from app.converters.responses.upstream.response import finished_output
from app.converters.responses.vocabulary import TERMINALS, response_id
from app.converters.wire import json_bytes, sse
from app.converters.wire.accounting import FIELD
from app.converters.wire.error_body import answer_in


def normalize_response(body: bytes, identity: Identity, *, restore: ClientTools | None = None) -> bytes:
    """Make a clean response object of upstream's.

    Raises: UpstreamProtocolError for what is no response at all; the decoded error of one that failed.
    """
    return json_bytes.dumps(_normalized(body, identity, restore))


def response_to_stream(body: bytes, identity: Identity, *, restore: ClientTools | None = None) -> bytes:
    """The events that a stream would have had, for an upstream that answers ``stream: true`` with a whole answer.

    Raises: as `normalize_response`.
    """
    answer = _answer_in(body)
    begun = {**answer, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    for name in ("output_text", FIELD):
        begun.pop(name, None)
    end = f"response.{answer.get('status') or 'completed'}"
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        # One that is not over, by whatever word, is told to be broken off.
        *([{"type": end, "response": answer}] if end in TERMINALS else []),
    ]
    normalizer = StreamNormalizer(identity, restore=restore)
    return b"".join(normalizer.feed(sse.frame(json_bytes.dumps(event))) for event in events) + normalizer.finish()


def _normalized(body: bytes, identity: Identity, restore: ClientTools | None) -> dict[str, Any]:
    answer = _answer_in(body)
    own_id = response_id(str(answer.get("id") or identity.fallback_id))
    items = [item for item in answer["output"] if isinstance(item, dict)]
    output = [_checked(item, normalize_item(item, own_id, at, restore)) for at, item in enumerate(items)]
    return normalize_object(answer, own_id, identity, output, restore)


def _checked(raw: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """The item, if it is no broken call. Raises: UpstreamProtocolError."""
    if raw.get("type") != "function_call" or item["type"] == "custom_tool_call" or not is_over(raw):
        return item
    arguments = argument_text(raw.get("arguments"))
    check_calls([(str(raw.get("name")), arguments)], is_cut=False)
    return {**item, "arguments": "{}"} if item["type"] == "function_call" and not arguments.strip() else item


def _answer_in(body: bytes) -> dict[str, Any]:
    answer = answer_in(body)
    finished_output(answer)
    return answer
