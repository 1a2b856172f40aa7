"""Answers that the bridge gives itself, in any protocol: to "are you there" probes (``ANSWER_PROBES``)."""

from __future__ import annotations

from typing import Any, Final

from app.converters.codec import ClientCodec, Identity
from app.converters.exchange import whole_or_stream
from app.converters.neutral.request_traits import Traits
from app.converters.neutral.vocabulary import Response, Text, Usage

HEADER: Final = "x-bridge-answered"
LOCALLY: Final = "locally"

_TEXT: Final = "OK"


def answer_probe(client: ClientCodec, body: dict[str, Any], *, traits: Traits, identity: Identity) -> bytes:
    """A complete answer of one token, whole or as the frames of a stream. It tells no usage, for nothing was used.

    Raises: InvalidRequestError for a body that upstream could not be asked with either.
    """
    request = client.decode_request(body)
    answer = Response(
        id=identity.fallback_id,
        model=identity.model,
        created_at=identity.created,
        parts=(Text(_TEXT),),
        finish_reason="stop",
        usage=Usage(input_tokens=0, output_tokens=0),
    )
    return whole_or_stream(client, answer, request, identity=identity, traits=traits)
