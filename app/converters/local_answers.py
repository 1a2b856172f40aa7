"""Answers that the bridge gives itself, in any protocol: to "are you there" probes (``ANSWER_PROBES``)."""

from __future__ import annotations

from typing import Any, Final

from app.converters import json_bytes
from app.converters.codec import Codec, Identity
from app.converters.events import explode
from app.converters.ir import Response, Text, Usage
from app.converters.traits import Traits

HEADER: Final = "x-bridge-answered"
LOCALLY: Final = "locally"

_TEXT: Final = "OK"


def answer_probe(codec: Codec, body: dict[str, Any], *, traits: Traits, identity: Identity) -> bytes:
    """A complete answer of one token, whole or as the frames of a stream. It tells no usage, for nothing was used.

    Raises: InvalidRequestError for a body that upstream could not be asked with either.
    """
    request = codec.decode_request(body)
    answer = Response(
        id=identity["fallback_id"],
        model=identity["model"],
        created_at=identity["created"],
        parts=(Text(_TEXT),),
        finish_reason="stop",
        usage=Usage(input_tokens=0, output_tokens=0),
    )
    if not traits.stream:
        return json_bytes.dumps(codec.encode_response(answer, request, model=identity["model"]))
    encoder = codec.stream_encoder(request, model=identity["model"], include_usage=traits.include_usage)
    return b"".join(encoder.feed(event) for event in explode(answer))
