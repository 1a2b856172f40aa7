"""A dialect that nobody speaks: what one more of them takes is in this folder, and one line where it is registered.

``{"to": "gpt-4.1", "say": "Hi"}`` → ``{"from": "gpt-4.1", "said": "Hello"}``; with ``"bit_by_bit": true`` as events
``{"bit": "Hel"}``, ``{"bit": "lo"}``, ``{"over": "stop"}``. An error is ``{"sorry": "…", "code": "…"}``.
"""

from __future__ import annotations

from typing import Final

from app.converters.codec import ClientCodec
from tests.support.toy.request import decode_request, image_urls, traits
from tests.support.toy.response import encode_error, encode_response
from tests.support.toy.stream import KEEP_ALIVE, StreamEncoder

CLIENT: Final = ClientCodec(
    name="toy",
    prefers="/chat/completions",
    id_prefix="toy_",
    keep_alive=KEEP_ALIVE,
    traits=traits,
    image_urls=image_urls,
    decode_request=decode_request,
    encode_response=encode_response,
    encode_stream=StreamEncoder,
    encode_error=encode_error,
)
