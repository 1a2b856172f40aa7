"""All protocols, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.converters import chat, messages, responses
from app.converters.codec import Codec
from app.converters.traits import ProtocolName

CODECS: Mapping[ProtocolName, Codec] = MappingProxyType(
    {codec.name: codec for codec in (chat.CODEC, messages.CODEC, responses.CODEC)}
)
