"""The responses protocol: ``POST /v1/responses`` of clients, ``/responses`` of Copilot."""

from __future__ import annotations

from typing import Final

from app.converters.codec import ClientCodec, ClientSearch, ClientStorage, NativePath, UpstreamCodec
from app.converters.responses import stored
from app.converters.responses.client import web_search
from app.converters.responses.client.request import decode_request, not_found
from app.converters.responses.client.response import encode_response
from app.converters.responses.client.stream import KEEP_ALIVE, StreamEncoder
from app.converters.responses.errors import decode_error, encode_answer
from app.converters.responses.fields import FIELDS
from app.converters.responses.native.request import passes, prepare
from app.converters.responses.native.response import normalize_response, response_to_stream
from app.converters.responses.native.stream import StreamNormalizer
from app.converters.responses.parts import ORIGIN
from app.converters.responses.traits import image_urls, traits
from app.converters.responses.upstream.request import encode_request
from app.converters.responses.upstream.response import decode_response
from app.converters.responses.upstream.stream import StreamDecoder
from app.converters.responses.vocabulary import handle_of, holder_of, outcome, outcome_of

PATH: Final = "/responses"

NATIVE: Final = NativePath(
    path=PATH,
    passes=passes,
    prepare=prepare,
    normalize_stream=lambda answer: StreamNormalizer(answer.identity, restore=answer.restore),
    normalize_response=lambda body, answer: normalize_response(body, answer.identity, restore=answer.restore),
    response_to_stream=lambda body, answer: response_to_stream(body, answer.identity, restore=answer.restore),
    outcome=outcome,
    outcome_of=outcome_of,
)
CLIENT: Final = ClientCodec(
    name="responses",
    prefers=PATH,
    id_prefix="resp_",
    keep_alive=KEEP_ALIVE,
    fields=FIELDS,
    conversation="input",
    traits=traits,
    image_urls=image_urls,
    decode_request=decode_request,
    encode_response=lambda response, request, identity: encode_response(
        response, request, model=identity.model, told=identity.told
    ),
    encode_stream=lambda request, identity, _traits: StreamEncoder(request, model=identity.model, told=identity.told),
    encode_error=lambda error, _request_id: encode_answer(error),
    native=NATIVE,
    storage=ClientStorage(
        wanted=stored.wanted,
        handle=handle_of,
        holder=holder_of,
        expand=stored.expand,
        told=stored.told,
        ended=stored.ended,
        unkept=stored.unkept,
        not_found=lambda id: not_found("previous_response_id", id),
    ),
    search=ClientSearch(origin=ORIGIN, served=web_search.served, blocks=web_search.blocks, hosted_at=PATH),
)
UPSTREAM: Final = UpstreamCodec(
    name="responses",
    path=PATH,
    takes_stop=False,
    encode_request=encode_request,
    decode_response=decode_response,
    decode_stream=StreamDecoder,
    decode_error=decode_error,
)
