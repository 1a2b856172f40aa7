"""Pure conversion: values in, values out. No I/O, no clock, no randomness, no Flask."""

from __future__ import annotations

from app.converters import chat
from app.converters.codec import Codec, ProtocolName

CODECS: dict[ProtocolName, Codec] = {chat.CODEC.name: chat.CODEC}
