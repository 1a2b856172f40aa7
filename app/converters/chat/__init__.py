"""The chat protocol (``POST /chat/completions``)."""

from __future__ import annotations

from app.converters.chat.answers import decode_response, encode_response
from app.converters.chat.errors import decode_error, encode_error
from app.converters.chat.fields import FIELDS
from app.converters.chat.native import make_mender, mend_response, passes_natively, prepare, response_to_stream
from app.converters.chat.refusals import named_refusal
from app.converters.chat.request import image_urls, traits
from app.converters.chat.request_decoder import decode_request
from app.converters.chat.request_encoder import encode_request
from app.converters.chat.stream_decoder import StreamDecoder
from app.converters.chat.stream_encoder import KEEP_ALIVE, StreamEncoder
from app.converters.codec import Codec, no_headers

CODEC = Codec(
    name="chat",
    upstream_path="/chat/completions",
    id_prefix="chatcmpl-",
    keep_alive=KEEP_ALIVE,
    fields=FIELDS,
    passes_natively=passes_natively,
    traits=traits,
    image_urls=image_urls,
    prepare=prepare,
    stream_mender=make_mender,
    mend_response=mend_response,
    response_to_stream=response_to_stream,
    decode_request=decode_request,
    encode_request=encode_request,
    request_headers=no_headers,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=StreamDecoder,
    stream_encoder=StreamEncoder,
    decode_error=decode_error,
    encode_error=encode_error,
    named_refusal=named_refusal,
)
