"""The chat protocol: ``POST /v1/chat/completions`` of clients, ``/chat/completions`` of Copilot."""

from __future__ import annotations

from typing import Final

from app.converters.chat.client import web_search
from app.converters.chat.client.request import decode_request
from app.converters.chat.client.response import encode_response
from app.converters.chat.client.stream import KEEP_ALIVE, StreamEncoder
from app.converters.chat.fields import FIELDS
from app.converters.chat.native.request import passes, prepare
from app.converters.chat.native.response import normalize_response, response_to_stream
from app.converters.chat.native.stream import StreamNormalizer
from app.converters.chat.traits import image_urls, traits
from app.converters.chat.upstream.request import encode_request
from app.converters.chat.upstream.response import decode_response
from app.converters.chat.upstream.stream import StreamDecoder
from app.converters.chat.vocabulary import outcome, outcome_of
from app.converters.codec import ClientCodec, ClientSearch, NativePath, UpstreamCodec
from app.converters.wire.openai_errors import decode_error, encode_error

PATH: Final = "/chat/completions"

NATIVE: Final = NativePath(
    path=PATH,
    passes=passes,
    prepare=prepare,
    normalize_stream=lambda answer: StreamNormalizer(
        answer.identity, include_usage=answer.traits.include_usage, choices=answer.traits.choices
    ),
    normalize_response=lambda body, answer: normalize_response(body, answer.identity, choices=answer.traits.choices),
    response_to_stream=lambda body, answer: response_to_stream(
        body, answer.identity, include_usage=answer.traits.include_usage, choices=answer.traits.choices
    ),
    outcome=outcome,
    outcome_of=outcome_of,
)
CLIENT: Final = ClientCodec(
    name="chat",
    prefers=PATH,
    id_prefix="chatcmpl-",
    keep_alive=KEEP_ALIVE,
    fields=FIELDS,
    traits=traits,
    image_urls=image_urls,
    decode_request=decode_request,
    encode_response=lambda response, request, identity: encode_response(response, request, model=identity.model),
    encode_stream=lambda request, identity, traits: StreamEncoder(
        request, model=identity.model, include_usage=traits.include_usage
    ),
    encode_error=lambda error, _request_id: encode_error(error),
    native=NATIVE,
    search=ClientSearch(origin=None, served=web_search.served, blocks=web_search.blocks, cites=True),
)
UPSTREAM: Final = UpstreamCodec(
    name="chat",
    path=PATH,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_stream=StreamDecoder,
    decode_error=decode_error,
)
