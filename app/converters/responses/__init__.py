"""The responses protocol (``POST /responses``): conversion, and the native road."""

from __future__ import annotations

from app.converters.chat.errors import encode_error
from app.converters.codec import Codec, is_unsealed, no_headers
from app.converters.framed import Framed
from app.converters.responses.answers import decode_response, encode_response
from app.converters.responses.errors import decode_error, named_refusal
from app.converters.responses.fields import FIELDS
from app.converters.responses.mender import Mender
from app.converters.responses.native import prepare
from app.converters.responses.request_decoder import decode_request
from app.converters.responses.request_encoder import encode_request
from app.converters.responses.response import mend_response, response_to_stream
from app.converters.responses.stream_decoder import StreamDecoder
from app.converters.responses.stream_encoder import KEEP_ALIVE, StreamEncoder
from app.converters.responses.traits import image_urls, traits

CODEC = Codec(
    name="responses",
    upstream_path="/responses",
    id_prefix="resp_",
    keep_alive=KEEP_ALIVE,
    fields=FIELDS,
    takes_stop=False,
    passes_natively=is_unsealed,
    traits=traits,
    image_urls=image_urls,
    prepare=prepare,
    stream_mender=Mender,
    mend_response=mend_response,
    response_to_stream=response_to_stream,
    decode_request=decode_request,
    encode_request=encode_request,
    request_headers=no_headers,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=lambda: Framed(StreamDecoder()),
    stream_encoder=StreamEncoder,
    decode_error=decode_error,
    encode_error=encode_error,
    named_refusal=named_refusal,
)
