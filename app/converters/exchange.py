"""How one request crosses to upstream and its answer comes back: natively, or converted. One face for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, Final, Protocol

from app.converters.codec import (
    NOTHING_REFUSED,
    AnswerContext,
    ClientCodec,
    Identity,
    NativePath,
    NativeRequest,
    StreamDecoder,
    StreamEncoder,
    StreamTransformer,
    UpstreamCodec,
    UpstreamRequest,
)
from app.converters.neutral.amended import EARLIER_PROOFS
from app.converters.neutral.conversation import UnpairedError
from app.converters.neutral.events import Event, ResponseEnd, ResponseStart, StreamError, explode
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.opaque_text import with_readable_parts
from app.converters.neutral.outcome import Outcome, counts, outcome_of
from app.converters.neutral.request_traits import Traits
from app.converters.neutral.tools import ToolNames, refuse_absent
from app.converters.neutral.vocabulary import (
    Image,
    Message,
    Part,
    Reasoning,
    Request,
    Response,
    ToolCall,
    ToolChoice,
    ToolResult,
    located,
)
from app.converters.neutral.whole_calls import CallGuard, check_response
from app.converters.stop_sequences import CuttingDecoder, cut_response
from app.converters.wire import json_bytes
from app.converters.wire.accounting import MARK, account_in, account_of, nano_of
from app.converters.wire.error_body import answer_in
from app.converters.wire.stream_shell import StreamShell
from app.errors import GatewayError


class Exchange(Protocol):
    """One request and its answer.

    payload: what to send; `refused` names what upstream is known not to take from this model. The others are for the
    answer to the payload that was made last: streamed, whole, or whole although the client wants a stream.
    outcome: for the log, what the answer came to that this transformer gave; without one, the answer that came whole.
    """

    def payload(self, refused: frozenset[str] = NOTHING_REFUSED) -> UpstreamRequest: ...
    def transformer(self) -> StreamTransformer: ...
    def whole(self, content: bytes) -> bytes: ...
    def whole_as_stream(self, content: bytes) -> bytes: ...
    def outcome(self, transformer: StreamTransformer | None = None) -> Outcome: ...


STOPS: Final = frozenset({"stop", "stop_sequences"})
"""What the upstreams call the field: names for ``payload(refused)``."""
_ONLY_CONVERTED: Final = STOPS | {"response_format"}
"""What the bridge sees to where upstream will not, and what only a converted request or answer can have done to it."""


class Native:
    """The model speaks the client's protocol. convert: the way to take where bytes that pass are not enough."""

    def __init__(
        self,
        path: NativePath,
        request: NativeRequest,
        *,
        traits: Traits,
        identity: Identity,
        convert: Callable[[], Converted],
    ) -> None:
        self._path, self._request, self._convert = path, request, convert
        self._answer = AnswerContext(identity, traits)
        self._outcome = Outcome()
        self._instead: Converted | None = None

    def payload(self, refused: frozenset[str] = NOTHING_REFUSED) -> UpstreamRequest:
        if any(self._request.body.get(name) for name in _ONLY_CONVERTED & refused):
            self._instead = self._convert()
            return self._instead.payload(refused)
        self._instead = None
        prepared = self._path.prepare(replace(self._request, refused=refused))
        self._answer = replace(self._answer, restore=prepared.restore)
        return prepared

    def transformer(self) -> StreamTransformer:
        if self._instead is not None:
            return self._instead.transformer()
        return self._path.normalize_stream(self._answer)

    def whole(self, content: bytes) -> bytes:
        if self._instead is not None:
            return self._instead.whole(content)
        normalized = self._path.normalize_response(content, self._answer)
        answer = json_bytes.loads(normalized)
        self._outcome = self._path.outcome_of(answer)
        if MARK in normalized:
            self._outcome = replace(self._outcome, nano_credits=nano_of(account_in(answer)))
        return normalized

    def outcome(self, transformer: StreamTransformer | None = None) -> Outcome:
        if self._instead is not None:
            return self._instead.outcome(transformer)
        if transformer is None:
            return self._outcome
        told = self._path.outcome(transformer.usage, transformer.finish_reason)
        return replace(told, nano_credits=nano_of(transformer.account))

    def whole_as_stream(self, content: bytes) -> bytes:
        if self._instead is not None:
            return self._instead.whole_as_stream(content)
        self.whole(content)
        return self._path.response_to_stream(content, self._answer)


class Converted:
    """The model speaks another protocol than the client: both meet in the neutral vocabulary."""

    def __init__(
        self,
        client: ClientCodec,
        upstream: UpstreamCodec,
        body: dict[str, Any],
        *,
        traits: Traits,
        identity: Identity,
        model: str,
        limits: ModelLimits,
        inlined: Mapping[str, str],
    ) -> None:
        self._client, self._upstream = client, upstream
        self._traits, self._identity, self._limits = traits, identity, limits
        self._asked = client.decode_request(body)
        refuse_absent(self._asked)
        self._cuts = False
        self._sent = replace(inline_images(self._asked, inlined), model=model)
        self._outcome = Outcome()

    def payload(self, refused: frozenset[str] = NOTHING_REFUSED) -> UpstreamRequest:
        losses = Losses()
        # Where upstream knows no stop sequences, or this model refuses them, the answer is cut here.
        self._cuts = bool(self._asked.stop) and not (self._upstream.takes_stop and STOPS.isdisjoint(refused))
        sent = replace(self._sent, stop=()) if self._cuts else self._sent
        if EARLIER_PROOFS in refused:
            lighter = without_earlier_proofs(sent)
            if lighter is not sent:
                losses.drop("messages[].reasoning", "upstream has refused a proof of this conversation")
                sent = lighter
        sent = with_readable_parts(sent, self._upstream.name, losses)
        try:
            body = self._upstream.encode_request(sent, self._limits, losses, refused - {EARLIER_PROOFS})
        except UnpairedError as error:
            error.param = self._client.conversation
            raise
        return UpstreamRequest(json_bytes.dumps_unicode(body), tuple(losses), self._upstream.request_headers(body))

    def transformer(self) -> StreamTransformer:
        decoder = self.decoder()
        kind = CutTranslation if isinstance(decoder, CuttingDecoder) else Translation
        return kind(decoder, self.encoder(), self._identity, self.names)

    def outcome(self, transformer: StreamTransformer | None = None) -> Outcome:
        if transformer is None:
            return self._outcome
        return Outcome(transformer.usage, transformer.finish_reason, nano_of(transformer.account))

    def whole(self, content: bytes) -> bytes:
        return self.encoded(self._response(content))

    def whole_as_stream(self, content: bytes) -> bytes:
        encoder, response = self.encoder(), self._response(content)
        check_response(response, self.names)
        return b"".join(encoder.feed(event) for event in explode(response))

    @property
    def names(self) -> ToolNames:
        """The client's tools, by the names that upstream calls them."""
        return ToolNames(self._asked.tools)

    # ── the pieces, for an answer that is made of several of upstream's ─────────────────────────────────────────────

    def followed_by(self, messages: tuple[Message, ...]) -> Converted:
        """The same request with these messages more. A tool that had to be called has been by now."""
        longer = copy(self)
        sent = self._sent
        choice = ToolChoice("auto") if sent.tool_choice is not None and sent.tool_choice.forces else sent.tool_choice
        longer._sent = replace(sent, messages=(*sent.messages, *messages), tool_choice=choice)
        return longer

    def decoder(self) -> StreamDecoder:
        """For upstream's stream."""
        decoder = self._upstream.decode_stream()
        return CuttingDecoder(decoder, self._asked) if self._cuts else decoder

    def encoder(self) -> StreamEncoder:
        """For the client's stream."""
        return self._client.encode_stream(self._asked, self._identity, self._traits)

    def events_of(self, content: bytes) -> list[Event]:
        """Upstream's whole answer, as the stream that it might have been. Raises: GatewayError."""
        return explode(self._response(content))

    def encoded(self, response: Response) -> bytes:
        """The whole answer for the client. Raises: UpstreamProtocolError for one with a broken call."""
        check_response(response, self.names)
        return json_bytes.dumps(self._client.encode_response(response, self._asked, self._identity))

    def _response(self, content: bytes) -> Response:
        response = self._upstream.decode_response(answer_in(content))
        response = cut_response(response, self._asked.stop) if self._cuts else response
        self._outcome = outcome_of(response)
        return replace(
            response,
            id=response.id or self._identity.fallback_id,
            created_at=response.created_at or self._identity.created,
        )


def exchange_for(
    client: ClientCodec, upstream: UpstreamCodec, request: NativeRequest, *, traits: Traits, identity: Identity
) -> Exchange:
    """The way for this request: natively where both sides speak the same and the body may pass, else converted.

    Raises: GatewayError for a request that cannot be converted.
    """

    def convert() -> Converted:
        return converted_exchange(client, upstream, request, traits=traits, identity=identity)

    native = client.native
    if native is not None and native.path == upstream.path and native.passes(request.raw, request.body):
        return Native(native, request, traits=traits, identity=identity, convert=convert)
    return convert()


def converted_exchange(
    client: ClientCodec, upstream: UpstreamCodec, request: NativeRequest, *, traits: Traits, identity: Identity
) -> Converted:
    """The same, converted whatever the two sides are. Raises: GatewayError."""
    return Converted(
        client,
        upstream,
        request.body,
        traits=traits,
        identity=identity,
        model=request.model,
        limits=request.limits,
        inlined=request.inlined,
    )


def whole_or_stream(
    client: ClientCodec, response: Response, request: Request, *, identity: Identity, traits: Traits
) -> bytes:
    """An answer of the bridge's own, complete: whole, or as the frames of a stream."""
    if not traits.stream:
        return json_bytes.dumps(client.encode_response(response, request, identity))
    encoder = client.encode_stream(request, identity, traits)
    return b"".join(encoder.feed(event) for event in explode(response))


class Encoding(StreamShell):
    """Our events → the client's bytes, and what a `StreamTransformer` tells of them; nothing comes after the end."""

    def __init__(self, encoder: StreamEncoder, identity: Identity, names: ToolNames) -> None:
        super().__init__()
        self._encoder = encoder
        self._identity = identity
        self._calls = CallGuard(names)

    def fail(self, error: GatewayError) -> bytes:
        return self.encode([StreamError(error)])

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for given in events:
            for event in self._calls.feed(given):
                if self._ended:
                    break
                out.append(self._encoder.feed(self._note(event)))
        return b"".join(out)

    def _note(self, event: Event) -> Event:
        if isinstance(event, ResponseStart):
            self._started = True
            return replace(
                event,
                id=event.id or self._identity.fallback_id,
                created_at=event.created_at or self._identity.created,
            )
        if isinstance(event, ResponseEnd):
            self._ended = True
            self.finish_reason = event.finish_reason
            self.usage = counts(event.usage) or self.usage
            self.account = account_of(event.extra)
        elif isinstance(event, StreamError):
            self._ended = True
            self._error = event.error
        return event


class Translation(Encoding):
    """A converted stream: upstream's bytes → its decoder → the client's encoder (a `StreamTransformer`)."""

    def __init__(self, decoder: StreamDecoder, encoder: StreamEncoder, identity: Identity, names: ToolNames) -> None:
        super().__init__(encoder, identity, names)
        self._decoder = decoder

    def feed(self, data: bytes) -> bytes:
        return self.encode(self._decoder.feed_bytes(data))

    def finish(self) -> bytes:
        return self.encode(self._decoder.finish())


class CutTranslation(Translation):
    """The same, where the answer is cut at a stop sequence. Fed on after that it learns what upstream's came to."""

    _decoder: CuttingDecoder

    @property
    def is_cut(self) -> bool:
        return self._ended and self._decoder.cutter.is_cut

    def feed(self, data: bytes) -> bytes:
        out = super().feed(data)
        if self._ended and (rest := self._decoder.cutter.rest) is not None:
            self.usage, self.account = counts(rest.usage) or self.usage, account_of(rest.extra)
        return out


def inline_images(request: Request, inlined: Mapping[str, str]) -> Request:
    """The request with the images of these addresses in it, as data."""
    if not inlined:
        return request

    def part(given: Part) -> Part:
        if isinstance(given, Image) and given.url is not None and given.url in inlined:
            return located(Image.of(inlined[given.url], detail=given.detail, cache=given.cache), given.path)
        if isinstance(given, ToolResult):
            return replace(given, parts=tuple(map(part, given.parts)))
        return given

    def message(given: Message) -> Message:
        return replace(given, parts=tuple(map(part, given.parts)))

    return replace(request, messages=tuple(map(message, request.messages)))


def without_earlier_proofs(request: Request) -> Request:
    """The request without the thoughts and proofs of the turns before the last message of the user; the same object if
    there are none."""
    start = max((at for at, one in enumerate(request.messages) if one.role == "user" and _is_said(one)), default=0)
    earlier = [without for one in request.messages[:start] if (without := _without_proofs(one)) is not None]
    messages = (*earlier, *request.messages[start:])
    return request if messages == request.messages else replace(request, messages=messages)


def _is_said(message: Message) -> bool:
    """Whether a message of the user holds more than tool results."""
    return not message.parts or any(not isinstance(part, ToolResult) for part in message.parts)


def _without_proofs(message: Message) -> Message | None:
    """None if nothing is left."""
    parts = tuple(
        replace(part, signature=None) if isinstance(part, ToolCall) and part.signature else part
        for part in message.parts
        if not isinstance(part, Reasoning)
    )
    if parts == message.parts:
        return message
    return replace(message, parts=parts) if parts else None
