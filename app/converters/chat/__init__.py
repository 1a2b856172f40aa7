"""The chat protocol (``POST /chat/completions``)."""

from __future__ import annotations

from app.converters.chat.errors import decode_error, encode_error
from app.converters.chat.mender import StreamMender
from app.converters.chat.request import image_urls, prepare, traits
from app.converters.chat.response import mend_response, response_to_stream
from app.converters.codec import Codec
from app.converters.sse import comment

CODEC = Codec(
    name="chat",
    upstream_path="/chat/completions",
    id_prefix="chatcmpl-",
    keep_alive=comment(b"keep-alive"),
    traits=traits,
    image_urls=image_urls,
    prepare=prepare,
    stream_mender=StreamMender,
    mend_response=mend_response,
    response_to_stream=response_to_stream,
    decode_error=decode_error,
    encode_error=encode_error,
)
