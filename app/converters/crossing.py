"""How one request crosses to upstream and its answer comes back: natively, or converted. One face for both."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, replace
from typing import Any, Protocol

import orjson

from app.converters import json_bytes
from app.converters.codec import (
    NOTHING_REFUSED,
    WITHOUT_EARLIER_PROOFS,
    Codec,
    Identity,
    Pump,
    StreamDecoder,
    StreamEncoder,
)
from app.converters.events import Event, ResponseEnd, ResponseStart, StreamError, explode
from app.converters.ir import Image, Message, Part, Reasoning, Request, Response, ToolCall, ToolChoice, ToolResult
from app.converters.limits import Limits
from app.converters.losses import Losses
from app.converters.prepared import Prepared
from app.converters.stops import CuttingDecoder, cut_response
from app.converters.traits import Traits
from app.errors import GatewayError, UpstreamProtocolError


class Crossing(Protocol):
    """One request and its answer.

    payload: what to send; `refused` names what upstream is known not to take from this model. The others are for the
    answer to the payload that was made last: streamed, whole, or whole although the client wants a stream.
    """

    def payload(self, refused: frozenset[str] = NOTHING_REFUSED) -> Prepared: ...
    def pump(self) -> Pump: ...
    def whole(self, content: bytes) -> bytes: ...
    def whole_as_stream(self, content: bytes) -> bytes: ...


class Native:
    """The model speaks the client's protocol."""

    def __init__(
        self,
        codec: Codec,
        raw: bytes,
        body: dict[str, Any],
        *,
        traits: Traits,
        identity: Identity,
        model: str,
        limits: Limits,
        inlined: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> None:
        self._codec, self._raw, self._body = codec, raw, body
        self._traits, self._identity = traits, identity
        self._model, self._limits, self._inlined, self._headers = model, limits, inlined, headers
        self._restore: Any = None

    def payload(self, refused: frozenset[str] = NOTHING_REFUSED) -> Prepared:
        prepared = self._codec.prepare(
            self._raw,
            self._body,
            model=self._model,
            limits=self._limits,
            inlined=self._inlined,
            headers=self._headers,
            refused=refused,
        )
        self._restore = prepared.restore
        return prepared

    def pump(self) -> Pump:
        return self._codec.stream_mender(
            include_usage=self._traits.include_usage,
            choices=self._traits.choices,
            restore=self._restore,
            **self._identity,
        )

    def whole(self, content: bytes) -> bytes:
        return self._codec.mend_response(content, choices=self._traits.choices, restore=self._restore, **self._identity)

    def whole_as_stream(self, content: bytes) -> bytes:
        return self._codec.response_to_stream(
            content,
            include_usage=self._traits.include_usage,
            choices=self._traits.choices,
            restore=self._restore,
            **self._identity,
        )


class Converted:
    """The model speaks another protocol than the client: both meet in the neutral vocabulary."""

    def __init__(
        self,
        client: Codec,
        upstream: Codec,
        body: dict[str, Any],
        *,
        traits: Traits,
        identity: Identity,
        model: str,
        limits: Limits,
        inlined: Mapping[str, str],
    ) -> None:
        self._client, self._upstream = client, upstream
        self._traits, self._identity, self._limits = traits, identity, limits
        self._asked = client.decode_request(body)
        # Where upstream knows no stop sequences, the answer is cut here.
        self._cuts = bool(self._asked.stop) and not upstream.takes_stop
        sent = replace(inline_images(self._asked, inlined), model=model)
        self._sent = replace(sent, stop=()) if self._cuts else sent

    def payload(self, refused: frozenset[str] = NOTHING_REFUSED) -> Prepared:
        losses = Losses()
        sent = self._sent
        if WITHOUT_EARLIER_PROOFS in refused:
            sent = without_earlier_proofs(sent)
            if sent is not self._sent:
                losses.drop("reasoning", "upstream has refused a proof of this conversation")
        body = self._upstream.encode_request(sent, self._limits, losses, refused - {WITHOUT_EARLIER_PROOFS})
        return Prepared(json_bytes.dumps(body), tuple(losses.names()), self._upstream.request_headers(body))

    def pump(self) -> Pump:
        return Translation(self.decoder(), self.encoder(), self._identity)

    def whole(self, content: bytes) -> bytes:
        return self.encoded(self._response(content))

    def whole_as_stream(self, content: bytes) -> bytes:
        encoder = self.encoder()
        return b"".join(encoder.feed(event) for event in self.events_of(content))

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
        decoder = self._upstream.stream_decoder()
        return CuttingDecoder(decoder, self._asked) if self._cuts else decoder

    def encoder(self) -> StreamEncoder:
        """For the client's stream."""
        return self._client.stream_encoder(
            self._asked, model=self._identity["model"], include_usage=self._traits.include_usage
        )

    def events_of(self, content: bytes) -> list[Event]:
        """Upstream's whole answer, as the stream that it might have been. Raises: GatewayError."""
        return explode(self._response(content))

    def encoded(self, response: Response) -> bytes:
        """The whole answer for the client."""
        return json_bytes.dumps(self._client.encode_response(response, self._asked, model=self._identity["model"]))

    def _response(self, content: bytes) -> Response:
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise UpstreamProtocolError("GitHub Copilot's answer is not JSON. Try again.") from None
        if not isinstance(body, dict):
            raise UpstreamProtocolError("GitHub Copilot's answer is not a JSON object. Try again.")
        response = self._upstream.decode_response(body)
        response = cut_response(response, self._asked.stop) if self._cuts else response
        return replace(
            response,
            id=response.id or self._identity["fallback_id"],
            created_at=response.created_at or self._identity["created"],
        )


class Encoding:
    """Our events → the client's bytes, and what a `Pump` tells of them; nothing comes after the end."""

    def __init__(self, encoder: StreamEncoder, identity: Identity) -> None:
        self._encoder = encoder
        self._identity = identity
        self._ended = False
        self._started = False
        self._error: GatewayError | None = None
        self.usage: dict[str, Any] | None = None
        self.finish_reason: str | None = None

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def started(self) -> bool:
        return self._started

    @property
    def error(self) -> GatewayError | None:
        return self._error

    def fail(self, error: GatewayError) -> bytes:
        return self.encode([StreamError(error)])

    def encode(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self._ended:
                break
            out.append(self._encoder.feed(self._note(event)))
        return b"".join(out)

    def _note(self, event: Event) -> Event:
        if isinstance(event, ResponseStart):
            self._started = True
            return replace(
                event,
                id=event.id or self._identity["fallback_id"],
                created_at=event.created_at or self._identity["created"],
            )
        if isinstance(event, ResponseEnd):
            self._ended = True
            self.finish_reason = event.finish_reason
            self.usage = usage_for_log(event) or self.usage
        elif isinstance(event, StreamError):
            self._ended = True
            self._error = event.error
        return event


class Translation(Encoding):
    """A converted stream: upstream's bytes → its decoder → the client's encoder (a `Pump`)."""

    def __init__(self, decoder: StreamDecoder, encoder: StreamEncoder, identity: Identity) -> None:
        super().__init__(encoder, identity)
        self._decoder = decoder

    def feed(self, data: bytes) -> bytes:
        return self.encode(self._decoder.feed_bytes(data))

    def finish(self) -> bytes:
        return self.encode(self._decoder.finish())


def usage_for_log(end: ResponseEnd | Response) -> dict[str, Any] | None:
    """The tokens that an answer took, without what nobody reported; None if nothing was."""
    if end.usage is None:
        return None
    return {name: count for name, count in asdict(end.usage).items() if count is not None}


def inline_images(request: Request, inlined: Mapping[str, str]) -> Request:
    """The request with the images of these addresses in it, as data."""
    if not inlined:
        return request

    def part(given: Part) -> Part:
        if isinstance(given, Image) and given.url is not None and given.url in inlined:
            return Image.of(inlined[given.url], detail=given.detail, cache=given.cache)
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
