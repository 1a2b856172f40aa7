"""The messages protocol: ``POST /v1/messages``, of clients and of Copilot."""

from __future__ import annotations

from typing import Final

from app.converters.codec import ClientCodec, ClientSearch, NativePath, TokenCounting, UpstreamCodec
from app.converters.messages.client import web_search
from app.converters.messages.client.request import decode_request
from app.converters.messages.client.response import encode_response
from app.converters.messages.client.stream import PING, StreamEncoder
from app.converters.messages.errors import STATUSES, decode_error, encode_error
from app.converters.messages.fields import FIELDS
from app.converters.messages.native.request import passes, prepare, prepare_count, read_count
from app.converters.messages.native.response import normalize_response, response_to_stream
from app.converters.messages.native.stream import StreamNormalizer
from app.converters.messages.traits import image_urls, traits
from app.converters.messages.upstream.betas import headers_for
from app.converters.messages.upstream.request import encode_request
from app.converters.messages.upstream.response import decode_response
from app.converters.messages.upstream.stream import StreamDecoder
from app.converters.messages.vocabulary import PROTOCOL, outcome, outcome_of

PATH: Final = "/v1/messages"

NATIVE: Final = NativePath(
    path=PATH,
    passes=passes,
    prepare=prepare,
    normalize_stream=lambda answer: StreamNormalizer(answer.identity, restore=answer.restore),
    normalize_response=lambda body, answer: normalize_response(body, answer.identity, restore=answer.restore),
    response_to_stream=lambda body, answer: response_to_stream(body, answer.identity, restore=answer.restore),
    outcome=outcome,
    outcome_of=outcome_of,
    count_tokens=TokenCounting(path=f"{PATH}/count_tokens", prepare=prepare_count, read=read_count),
)
CLIENT: Final = ClientCodec(
    name="messages",
    prefers=PATH,
    id_prefix="msg_",
    keep_alive=PING,
    fields=FIELDS,
    traits=traits,
    image_urls=image_urls,
    decode_request=decode_request,
    encode_response=lambda response, request, identity: encode_response(response, request, model=identity.model),
    encode_stream=lambda request, identity, _traits: StreamEncoder(request, model=identity.model),
    encode_error=lambda error, request_id: {**encode_error(error), "request_id": request_id},
    statuses=STATUSES,
    id_header="request-id",
    native=NATIVE,
    search=ClientSearch(
        origin=PROTOCOL, served=web_search.served, blocks=web_search.blocks, unavailable=web_search.unavailable
    ),
)
UPSTREAM: Final = UpstreamCodec(
    name="messages",
    path=PATH,
    encode_request=encode_request,
    request_headers=headers_for,
    decode_response=decode_response,
    decode_stream=StreamDecoder,
    decode_error=decode_error,
)
