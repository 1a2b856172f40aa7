"""What the relay needs of a protocol: a record of pure functions, one record per protocol (see ``CODECS``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict

from app.converters.events import Event
from app.converters.fields import Field
from app.converters.ir import Request, Response
from app.converters.limits import Limits
from app.converters.losses import Losses
from app.converters.prepared import Prepared
from app.converters.seal import is_sealed
from app.converters.traits import ProtocolName, Traits
from app.errors import GatewayError

NOTHING_REFUSED: frozenset[str] = frozenset()
WITHOUT_PROOFS = "proof"
"""In a set of refused names: leave every reasoning proof out."""
WITHOUT_EARLIER_PROOFS = "proof:earlier"
"""… those of the turns before: a tool round may be refused without the proofs of its own (Gemini, contract §6.6)."""


class Identity(TypedDict):
    """Who an answer says it is. model: the name the client asked for. created (epoch seconds) and fallback_id serve
    where upstream gives none."""

    model: str
    created: int
    fallback_id: str


class Pump(Protocol):
    """A streamed answer on its way to the client: bytes of one read in, bytes for the client out. One per answer.

    feed: any cut. finish: upstream closed properly. fail: the connection broke; ends in the client's error form.
    ended: an end or an error has been given out. error: the failure, also before anything was given out.
    started: something of the answer has been given out. usage, finish_reason: for the log.
    """

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


class StreamDecoder(Protocol):
    """Upstream's bytes, in any cut → our events. One per answer. finish: idempotent; no end seen → StreamError."""

    def feed_bytes(self, data: bytes) -> list[Event]: ...
    def finish(self) -> list[Event]: ...


class StreamEncoder(Protocol):
    """Our events → frames for the client."""

    def feed(self, event: Event) -> bytes: ...


class MakePump(Protocol):
    def __call__(
        self, *, model: str, include_usage: bool, choices: int, created: int, fallback_id: str, restore: Any
    ) -> Pump: ...


class MendResponse(Protocol):
    def __call__(
        self, body: bytes, *, model: str, choices: int, created: int, fallback_id: str, restore: Any
    ) -> bytes: ...


class ResponseToStream(Protocol):
    def __call__(
        self,
        body: bytes,
        *,
        model: str,
        include_usage: bool,
        choices: int,
        created: int,
        fallback_id: str,
        restore: Any,
    ) -> bytes: ...


class Prepare(Protocol):
    def __call__(
        self,
        raw: bytes,
        body: dict[str, Any],
        *,
        model: str,
        limits: Limits,
        inlined: Mapping[str, str],
        headers: Mapping[str, str],
        refused: frozenset[str],
    ) -> Prepared: ...


class EncodeRequest(Protocol):
    def __call__(
        self, request: Request, limits: Limits, losses: Losses, refused: frozenset[str] = NOTHING_REFUSED
    ) -> dict[str, Any]: ...


class EncodeResponse(Protocol):
    def __call__(self, response: Response, request: Request, *, model: str) -> dict[str, Any]: ...


class MakeEncoder(Protocol):
    def __call__(self, request: Request, *, model: str, include_usage: bool) -> StreamEncoder: ...


def is_unsealed(raw: bytes, body: dict[str, Any]) -> bool:
    """Whether a body holds no proof that another protocol minted; only the codec can leave one out."""
    return not is_sealed(raw)


def no_headers(body: dict[str, Any]) -> dict[str, str]:
    """For protocols whose bodies need no headers of their own."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One protocol.

    upstream_path: where Copilot speaks it. id_prefix: what its answer ids begin with, where upstream gives none.
    keep_alive: a frame that says nothing. takes_stop: whether its upstream knows stop sequences.
    request_headers: what an encoded body needs beside it, e.g. betas.
    fields: every request field of the spec, and what becomes of it.
    """

    name: ProtocolName
    upstream_path: str
    id_prefix: str
    keep_alive: bytes
    fields: Mapping[str, Field]
    takes_stop: bool = True

    # The same protocol on both sides: bytes pass, mended only where upstream or client would choke; unless the body
    # holds what its own protocol's upstream would refuse and only conversion can put right.
    passes_natively: Callable[[bytes, dict[str, Any]], bool]
    traits: Callable[[dict[str, Any]], Traits]
    image_urls: Callable[[dict[str, Any]], list[str]]
    prepare: Prepare
    stream_mender: MakePump
    mend_response: MendResponse
    response_to_stream: ResponseToStream

    # Different protocols: through the neutral vocabulary.
    decode_request: Callable[[dict[str, Any]], Request]
    encode_request: EncodeRequest
    request_headers: Callable[[dict[str, Any]], dict[str, str]]
    decode_response: Callable[[dict[str, Any]], Response]
    encode_response: EncodeResponse
    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: MakeEncoder

    # Failures. named_refusal: which field, beta or proof a 400 names, so that it can be left out.
    decode_error: Callable[[int, Mapping[str, str], bytes], GatewayError]
    encode_error: Callable[[GatewayError], dict[str, Any]]
    named_refusal: Callable[[int, bytes], str | None]
