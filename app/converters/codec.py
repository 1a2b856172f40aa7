"""What the relay needs of a protocol, as records of pure functions: one for the client's side, one for upstream's, and
one for the way between two equal sides.

A client dialect is a `ClientCodec`; what Copilot speaks at a path is an `UpstreamCodec`. Where both are the same
protocol, bytes pass through and are put right by a `NativePath`. The registry (``registry``) lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.converters.neutral.events import Event
from app.converters.neutral.field_table import Field
from app.converters.neutral.losses import Loss, Losses, dropped
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.outcome import Outcome
from app.converters.neutral.request_traits import ProtocolName, Traits
from app.converters.neutral.sealed_signatures import is_sealed
from app.converters.neutral.vocabulary import Request, Response
from app.converters.neutral.web_search import Blocks, SearchTool
from app.errors import GatewayError

Json = dict[str, Any]

NOTHING_REFUSED: frozenset[str] = frozenset()


# ── the values that pass between the relay and a codec ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an answer says it is. model: the name the client asked for. created (epoch seconds) and fallback_id serve
    where upstream gives none. told: what its object says besides, in a dialect that has such a thing (`ClientStorage`).
    """

    model: str
    created: int
    fallback_id: str
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeRequest:
    """A client's request on its way to an upstream of the same protocol.

    raw: the bytes as they came; body: what they say. model: the name upstream knows. inlined: data URLs for image
    addresses. headers: the client's, by lower-case name. refused: what upstream is known not to take from this model.
    """

    raw: bytes
    body: Json
    model: str
    limits: ModelLimits
    inlined: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = NOTHING_REFUSED


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request, ready for upstream.

    losses: what was left out, or carried in another form. headers: extra ones for upstream, e.g. ``anthropic-beta``.
    restore: what the way back needs to give things back to the client: custom tools, namespaces. Opaque to all others.
    """

    body: bytes
    losses: tuple[Loss, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    restore: Any = None

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of what was left out."""
        return dropped(self.losses)


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """What an answer on the native path is made with. restore: as the request's `UpstreamRequest` said."""

    identity: Identity
    traits: Traits
    restore: Any = None


class StreamTransformer(Protocol):
    """A streamed answer on its way to the client: bytes of one read in, bytes for the client out. One per answer.

    feed: any cut. finish: upstream closed properly. fail: the connection broke; ends in the client's error form.
    ended: an end or an error has been given out. error: the failure, also before anything was given out.
    started: something of the answer has been given out. is_cut: it was ended here, and upstream goes on; what is fed
    then gives nothing, but what the answer came to may be in it. usage, finish_reason, account: for the log, by
    `Exchange.outcome`.
    """

    usage: dict[str, Any] | None
    finish_reason: str | None
    account: dict[str, Any] | None

    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...
    def fail(self, error: GatewayError) -> bytes: ...
    @property
    def ended(self) -> bool: ...
    @property
    def started(self) -> bool: ...
    @property
    def is_cut(self) -> bool: ...
    @property
    def error(self) -> GatewayError | None: ...


class StreamDecoder(Protocol):
    """Upstream's bytes, in any cut → our events. One per answer. finish: idempotent; no end seen → StreamError."""

    def feed_bytes(self, data: bytes) -> list[Event]: ...
    def finish(self) -> list[Event]: ...


class StreamEncoder(Protocol):
    """Our events → frames for the client."""

    def feed(self, event: Event) -> bytes: ...


# ── the records ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounting:
    """How upstream counts the tokens of a request. prepare: its body, as of a `NativePath`. read: the number in the
    answer. Raises: UpstreamProtocolError if there is none."""

    path: str
    prepare: Callable[[NativeRequest], UpstreamRequest]
    read: Callable[[bytes], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativePath:
    """The same protocol on both sides: bytes pass, put right only where upstream or client would choke.

    path: where upstream speaks it. passes: not so with a body that holds what upstream would refuse and only conversion
    can put right. normalize_response, response_to_stream: of a whole answer, the latter for a client that wants a
    stream from a model that cannot. outcome: for the log, from the usage and the finish reason that a normalized stream
    noted; outcome_of: from a whole answer, as the client gets it. count_tokens: where upstream can count.
    """

    path: str
    passes: Callable[[bytes, Json], bool]
    prepare: Callable[[NativeRequest], UpstreamRequest]
    normalize_stream: Callable[[AnswerContext], StreamTransformer]
    normalize_response: Callable[[bytes, AnswerContext], bytes]
    response_to_stream: Callable[[bytes, AnswerContext], bytes]
    outcome: Callable[[Any, Any], Outcome]
    outcome_of: Callable[[Json], Outcome]
    count_tokens: TokenCounting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSearch:
    """How a dialect words a web search that the bridge runs for the model.

    origin: whose the blocks are, in ``Opaque``; None if the dialect has none. cites: whether it tells of a search by
    what the texts after it cite. hosted_at: the upstream path where Copilot runs the dialect's search
    itself, so that the bridge need not. served: the body with a function in place of the search tool, and the
    tool; None if it offers none. blocks: see `Blocks`. unavailable: the whole answer to a request that is nothing but a
    search, where none can be served; None for any other request.
    """

    origin: str | None
    served: Callable[[Json], tuple[Json, SearchTool] | None]
    blocks: Blocks
    unavailable: Callable[[Json, Identity], Response | None] = lambda _body, _identity: None
    hosted_at: str | None = None
    cites: bool = False


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer that is kept for later requests.

    answer: as the client got it. own_input: the items that came with its request, without what it went on from.
    previous: the id of the answer that it went on from.
    """

    id: str
    answer: Json
    own_input: list[Any]
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request wants of the answers that are kept. previous: the id of the one that it goes on from. items: the
    ids of single items that it names. stores: whether its own answer is to be kept."""

    previous: str | None = None
    items: tuple[str, ...] = ()
    stores: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStorage:
    """How a dialect speaks of answers that are kept between requests.

    wanted: what a request wants; raises InvalidRequestError. handle, holder: the key under which an answer is kept, by
    its own id and by the id of one of its items (None for an id of somebody else's).
    expand: the body with everything in its place, and the items that are its own; from the answers that it goes on
    from, oldest first, and those that hold the items it names. Raises: GatewayError for an item that nobody holds.
    told: what the answer's object says of it. ended: the finished answer in the bytes that end it, whole or the last
    frames of a stream; None for one that failed. unkept: these bytes, told as of an answer that is not kept after all.
    not_found: the error about the answer to go on from.
    """

    wanted: Callable[[Json], Wanted]
    handle: Callable[[str], str]
    holder: Callable[[str], str | None]
    expand: Callable[[Json, list[StoredAnswer], list[StoredAnswer]], tuple[Json, list[Any]]]
    told: Callable[[Json, Wanted], Json]
    ended: Callable[[bytes], Json | None]
    unkept: Callable[[bytes], bytes]
    not_found: Callable[[str], GatewayError]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCodec:
    """What a client speaks.

    name: for the log. prefers: the upstream path where the least is lost, tried first for a model that has several.
    id_prefix: what answer ids begin with, where upstream gives none. keep_alive: a frame that says nothing.
    fields: every request field of the spec, and what becomes of it. conversation: the one that holds the conversation.
    encode_error: an error and the request's id → the body of an error answer. statuses: what its clients know by
    another status than the error has, by the error's code. id_header: where they look for the request's id, beside
    ``x-request-id``.
    native: the way to an upstream that speaks the same. search: where the dialect has a web search of its own. storage:
    where its requests may go on from answers that are kept.
    """

    name: str
    prefers: str
    id_prefix: str
    keep_alive: bytes
    fields: Mapping[str, Field] = field(default_factory=dict)
    conversation: str = "messages"

    traits: Callable[[Json], Traits]
    image_urls: Callable[[Json], list[str]]
    decode_request: Callable[[Json], Request]
    encode_response: Callable[[Response, Request, Identity], Json]
    encode_stream: Callable[[Request, Identity, Traits], StreamEncoder]
    encode_error: Callable[[GatewayError, str], Json]
    statuses: Mapping[str, int] = field(default_factory=dict)
    id_header: str | None = None

    native: NativePath | None = None
    search: ClientSearch | None = None
    storage: ClientStorage | None = None


class EncodeRequest(Protocol):
    def __call__(
        self, request: Request, limits: ModelLimits, losses: Losses, refused: frozenset[str] = NOTHING_REFUSED
    ) -> Json: ...


def no_headers(_body: Json) -> dict[str, str]:
    """For upstreams whose bodies need no headers of their own."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamCodec:
    """What Copilot speaks at a path.

    takes_stop: whether it knows stop sequences. request_headers: what an encoded body needs beside it, e.g. betas.
    """

    name: ProtocolName
    path: str
    takes_stop: bool = True

    encode_request: EncodeRequest
    request_headers: Callable[[Json], dict[str, str]] = no_headers
    decode_response: Callable[[Json], Response]
    decode_stream: Callable[[], StreamDecoder]
    decode_error: Callable[[int, Mapping[str, str], bytes], GatewayError]


def is_unsealed(raw: bytes, _body: Json) -> bool:
    """Whether a body holds no proof that another protocol minted; only conversion can leave one out."""
    return not is_sealed(raw)
