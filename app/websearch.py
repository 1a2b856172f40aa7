"""The use case: web search inside an answer, run by a model that has it (``WEB_SEARCH_MODEL``).

The model that was asked calls a function; its call is searched for at ``/responses``, it gets what was found, and goes
on, all within one answer for the client. Only the first call of it can be a person's (contract §5.5): searches and
further rounds go out as ``agent``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.converters import json_bytes
from app.converters.codec import Codec, Identity, StreamEncoder
from app.converters.crossing import Converted, Encoding
from app.converters.events import Event, Ping, ResponseStart, accumulate, explode
from app.converters.ir import Response
from app.converters.messages import web_search
from app.converters.responses.web_search import findings_of, search_body
from app.converters.websearch import ErrorCode, Failure, Findings, SearchTool, SearchTurn
from app.errors import GatewayError, NotFoundError, UpstreamProtocolError
from app.logs import logger
from app.opening import Opening
from app.routing import MESSAGES, RESPONSES, find_model, require_endpoint
from app.store.mapping import ModelMapping
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient, UpstreamAnswer
from app.upstream.headers import Call

T = TypeVar("T")
Batches = Generator[list[Event], None, T]
"""Events for the client as they come, those of one read at a time; a lone Ping for a silence. Returns a T."""

_CODES: dict[int, ErrorCode] = {413: "request_too_large", 429: "too_many_requests"}


class WebSearch:
    """Runs searches. One per process; holds no state of its own. codec: of the Responses protocol."""

    def __init__(
        self, *, model: str, codec: Codec, mapping: ModelMapping, catalog: Catalog, client: CopilotClient
    ) -> None:
        self._model = model
        self._codec = codec
        self._mapping = mapping
        self._catalog = catalog
        self._client = client

    def serve(self, codec: Codec, body: dict[str, Any]) -> tuple[dict[str, Any], SearchTool] | None:
        """The body as the model is asked that may search, always as a stream; None if its client offers no search.

        Raises: InvalidRequestError.
        """
        found = web_search.served(body) if codec.upstream_path == MESSAGES else None
        return ({**found[0], "stream": True}, found[1]) if found is not None else None

    def open(self, query: str, tool: SearchTool, call: Call) -> UpstreamAnswer:
        """Begin a search on behalf of this call. Raises: GatewayError."""
        mapped = self._mapping.resolve(self._model)
        models = self._catalog.models()
        model = find_model(mapped, models)
        if model is None:
            raise NotFoundError(f"WEB_SEARCH_MODEL names {mapped!r}, which this account does not have.")
        require_endpoint(model, RESPONSES, models)
        body = search_body(query, tool, model=model.id)
        own = Call(
            path=RESPONSES,
            request_id=call.request_id,
            stream=True,
            initiator="agent",
            interaction_id=call.interaction_id,
            extra_headers=model.request_headers,
        )
        try:
            return self._sent(own, body)
        except GatewayError as error:
            if error.param != "tool_choice":
                raise
        # It is not known whether every model takes a choice beside this tool. The task itself says to search.
        del body["tool_choice"]
        return self._sent(own, body)

    def _sent(self, call: Call, body: dict[str, Any]) -> UpstreamAnswer:
        answer = self._client.send(call.carrying(json_bytes.dumps(body), {}))
        if answer.status >= 400:
            raise self._codec.decode_error(answer.status, answer.headers, answer.read())
        return answer

    def decode(self, answer: UpstreamAnswer, *, silence_s: float) -> Iterator[list[Event]]:
        """The events of a search's answer; [] for a silence. Raises: GatewayError."""
        if answer.content_type == "application/json":  # some models cannot stream
            yield explode(self._whole(answer.read()))
            return
        decoder = self._codec.stream_decoder()
        for piece in answer.iter_bytes(silence_s=silence_s):
            yield decoder.feed_bytes(piece) if piece else []
        yield decoder.finish()

    def _whole(self, content: bytes) -> Response:
        try:
            body = json_bytes.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise UpstreamProtocolError("GitHub Copilot's answer to the search is no JSON object.")
        return self._codec.decode_response(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that may search. send: makes one call to the model that was asked, or raises GatewayError."""

    crossing: Converted
    call: Call
    tool: SearchTool
    identity: Identity
    send: Callable[[Converted, Call], UpstreamAnswer]


class Searching:
    """One answer with searches in it. Its headers are those of the first round.

    `batches` may be read once, by whoever opens it and then by whoever passes it on; `close` ends it at any time.
    """

    def __init__(
        self, search: WebSearch, asked: Asked, *, keep_alive_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._search = search
        self._asked = asked
        self._keep_alive_s = keep_alive_s
        self._clock = clock
        self._turn = SearchTurn(asked.tool, "messages", web_search.blocks)
        self.headers: Mapping[str, str] = {}
        self.batches = self._run()

    @property
    def identity(self) -> Identity:
        return self._asked.identity

    @property
    def searches(self) -> int:
        """How many have found something, or nothing, but have not failed."""
        return self._turn.searches

    def close(self) -> None:
        """Whatever is under way ends, and its connection is cut."""
        self.batches.close()

    def whole(self) -> Response:
        """The whole answer. Raises: GatewayError."""
        return accumulate(event for batch in self.batches for event in batch)

    def _run(self) -> Batches[None]:
        crossing, call, turn = self._asked.crossing, self._asked.call, self._turn
        while True:
            yield from self._round(crossing, call)
            if turn.ended:
                return
            for wanted in turn.wanted:
                yield turn.begin(wanted)
                outcome: Findings | Failure | None = turn.judge(wanted)
                if outcome is None:
                    outcome = yield from self._found(wanted.query)
                yield turn.finish(wanted, outcome)
            events, messages = turn.go_on()
            if events:
                yield events
            if not messages:
                return
            crossing = crossing.followed_by(messages)
            call = replace(call, initiator="agent")

    def _round(self, crossing: Converted, call: Call) -> Batches[None]:
        """One answer of the model that was asked."""
        turn = self._turn
        answer = yield from self._awaited(lambda: self._asked.send(crossing, call))
        try:
            self.headers = self.headers or answer.headers
            if answer.content_type == "application/json":
                yield self._named(turn.feed(crossing.events_of(answer.read())))
                return
            decoder = crossing.decoder()
            for piece in answer.iter_bytes(silence_s=self._keep_alive_s):
                yield self._named(turn.feed(decoder.feed_bytes(piece))) if piece else [Ping()]
                if turn.ended or turn.is_round_over:
                    return
            yield self._named(turn.feed(decoder.finish()))
        finally:
            answer.close()

    def _found(self, query: str) -> Batches[Findings | Failure]:
        """What a search comes to. Its failure is a result like any other, told to client and model."""
        try:
            answer = yield from self._awaited(lambda: self._search.open(query, self._asked.tool, self._asked.call))
            try:
                events: list[Event] = []
                told_at = self._clock()
                for batch in self._search.decode(answer, silence_s=self._keep_alive_s):
                    events += batch
                    # However busy the search is: to the client it is a silence.
                    if not batch or self._clock() - told_at >= self._keep_alive_s:
                        told_at = self._clock()
                        yield [Ping()]
                return findings_of(accumulate(events), self._asked.tool)
            finally:
                answer.close()
        except GatewayError as error:
            fields = {"request_id": self._asked.call.request_id, "code": error.code, "why": error.message}
            logger.warning("web search failed", extra={"fields": fields})
            return Failure(_CODES.get(error.status, "unavailable"))

    def _awaited(self, work: Callable[[], UpstreamAnswer]) -> Batches[UpstreamAnswer]:
        """What the work opens; the client hears that we are alive meanwhile. Raises: what the work raises."""
        opening = Opening(work, discard=UpstreamAnswer.close)
        try:
            while not opening.wait(self._keep_alive_s):
                yield [Ping()]
        except GeneratorExit:
            opening.close()
            raise
        return opening.result()

    def _named(self, events: list[Event]) -> list[Event]:
        """An answer without id gets the one that was kept for it."""
        identity = self._asked.identity
        return [
            replace(event, id=event.id or identity["fallback_id"], created_at=event.created_at or identity["created"])
            if isinstance(event, ResponseStart)
            else event
            for event in events
        ]


class SearchPump(Encoding):
    """A streamed answer with searches, in the client's bytes (a `Pump`); what it is fed is what its `pieces` gave."""

    def __init__(self, searching: Searching, encoder: StreamEncoder, identity: Identity) -> None:
        super().__init__(encoder, identity)
        self._searching = searching

    def pieces(self) -> Iterator[bytes]:
        """The answer, one piece for each batch that says something."""
        for batch in self._searching.batches:
            if out := self.encode(batch):
                yield out

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""
