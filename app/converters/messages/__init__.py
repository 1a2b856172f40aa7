"""The messages protocol (``POST /v1/messages``)."""

from __future__ import annotations

from app.converters.codec import Codec, is_unsealed
from app.converters.framed import Framed
from app.converters.messages.answers import decode_response, encode_response
from app.converters.messages.betas import headers_for
from app.converters.messages.errors import decode_error, encode_error
from app.converters.messages.fields import FIELDS
from app.converters.messages.mender import Mender
from app.converters.messages.native import prepare
from app.converters.messages.refused import named_refusal
from app.converters.messages.request_decoder import decode_request
from app.converters.messages.request_encoder import encode_request
from app.converters.messages.response import mend_response, response_to_stream
from app.converters.messages.stream_decoder import StreamDecoder
from app.converters.messages.stream_encoder import PING, StreamEncoder
from app.converters.messages.traits import image_urls, traits

CODEC = Codec(
    name="messages",
    upstream_path="/v1/messages",
    id_prefix="msg_",
    keep_alive=PING,
    fields=FIELDS,
    passes_natively=is_unsealed,
    traits=traits,
    image_urls=image_urls,
    prepare=prepare,
    stream_mender=Mender,
    mend_response=mend_response,
    response_to_stream=response_to_stream,
    decode_request=decode_request,
    encode_request=encode_request,
    request_headers=headers_for,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=lambda: Framed(StreamDecoder()),
    stream_encoder=StreamEncoder,
    decode_error=decode_error,
    encode_error=encode_error,
    named_refusal=named_refusal,
)
