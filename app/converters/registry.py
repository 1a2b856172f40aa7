"""Which dialects clients may speak, and which protocols Copilot speaks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.converters import chat, messages, responses
from app.converters.codec import ClientCodec, UpstreamCodec
from app.converters.neutral.request_traits import ProtocolName

CLIENTS: Mapping[str, ClientCodec] = MappingProxyType(
    {codec.name: codec for codec in (chat.CLIENT, messages.CLIENT, responses.CLIENT)}
)
UPSTREAMS: Mapping[ProtocolName, UpstreamCodec] = MappingProxyType(
    {codec.name: codec for codec in (chat.UPSTREAM, messages.UPSTREAM, responses.UPSTREAM)}
)
