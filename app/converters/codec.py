"""What the relay needs of a protocol: a record of pure functions, one record per protocol.

The functions for converting between protocols join this record together with the second protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict

from app.errors import GatewayError

ProtocolName = Literal["chat", "messages", "responses"]


class Traits(Protocol):
    """What a request says about itself, whatever its protocol."""

    @property
    def model(self) -> str: ...
    @property
    def stream(self) -> bool: ...
    @property
    def include_usage(self) -> bool: ...
    @property
    def choices(self) -> int: ...
    @property
    def has_images(self) -> bool: ...
    @property
    def initiator(self) -> Literal["user", "agent"]: ...
    @property
    def interaction_key(self) -> bytes: ...


class Identity(TypedDict):
    """Who an answer says it is. model: the name the client asked for. created (epoch seconds) and fallback_id serve
    where upstream gives none."""

    model: str
    created: int
    fallback_id: str


class StreamMender(Protocol):
    """Native answers, mended: bytes of one read in, bytes for the client out. One per answer."""

    usage: dict[str, Any] | None
    finish_reason: str | None

    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
    def fail(self, error: GatewayError) -> bytes: ...
    @property
    def ended(self) -> bool: ...
    @property
    def started(self) -> bool: ...
    @property
    def error(self) -> GatewayError | None: ...


class MakeMender(Protocol):
    def __call__(
        self, *, model: str, include_usage: bool, choices: int, created: int, fallback_id: str
    ) -> StreamMender: ...


class MendResponse(Protocol):
    def __call__(self, body: bytes, *, model: str, choices: int, created: int, fallback_id: str) -> bytes: ...


class ResponseToStream(Protocol):
    def __call__(
        self, body: bytes, *, model: str, include_usage: bool, choices: int, created: int, fallback_id: str
    ) -> bytes: ...


class Prepare(Protocol):
    def __call__(
        self, raw: bytes, body: dict[str, Any], *, model: str, is_openai: bool, inlined: Mapping[str, str]
    ) -> tuple[bytes, list[str]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One protocol.

    upstream_path: where Copilot speaks it. id_prefix: what its answer ids begin with, where upstream gives none.
    keep_alive: a frame that says nothing.
    """

    name: ProtocolName
    upstream_path: str
    id_prefix: str
    keep_alive: bytes
    traits: Callable[[dict[str, Any]], Traits]
    image_urls: Callable[[dict[str, Any]], list[str]]
    prepare: Prepare
    stream_mender: MakeMender
    mend_response: MendResponse
    response_to_stream: ResponseToStream
    decode_error: Callable[[int, Mapping[str, str], bytes], GatewayError]
    encode_error: Callable[[GatewayError], dict[str, Any]]
