"""The use case: web search inside an answer, for models that have none.

The model that was asked calls a function; one of the search engines (``search_engines``) is asked for it, the model
gets what was found, and goes on, all within one answer for the client. Only the first call of it can be a person's
(contract §5.5): searches and further rounds go out as ``agent``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.background_call import BackgroundCall
from app.converters.codec import ClientCodec, ClientSearch, Identity
from app.converters.exchange import Converted, Encoding
from app.converters.neutral.events import Event, Ping, ResponseStart, accumulate
from app.converters.neutral.search_citations import Citations
from app.converters.neutral.vocabulary import Response
from app.converters.neutral.web_search import Failure, Findings, SearchTool, SearchTurn
from app.converters.stop_sequences import CuttingDecoder
from app.logs import debug_excerpt, logger
from app.search_engines import Engines, Outcome
from app.upstream.client import UpstreamAnswer
from app.upstream.headers import Call

T = TypeVar("T")
Batches = Generator[list[Event], None, T]
"""Events for the client as they come, those of one read at a time; a lone Ping for a silence. Returns a T."""


class WebSearch:
    """Serves searches. One per process; holds no state of its own."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def is_there(self) -> bool:
        """Whether a search would be run, as far as is known."""
        return self._engines.is_there()

    def serve(
        self, client: ClientCodec, body: dict[str, Any], path: str
    ) -> tuple[dict[str, Any], SearchTool, ClientSearch] | None:
        """The body as the model is asked that may search, always as a stream, with the tool and the dialect's words for
        it; None if the client offers no search, Copilot itself runs it at this path, or nobody is there to run it.

        Raises: InvalidRequestError.
        """
        search = client.search
        if search is None or search.hosted_at == path:
            return None
        found = search.served(body)
        if found is None or not self.is_there():
            return None
        return {**found[0], "stream": True}, found[1], search

    def search(self, query: str, tool: SearchTool, call: Call) -> Outcome:
        """Run one search on behalf of this call."""
        return self._engines.search(query, tool, call)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that may search. words: how its dialect tells of searches. send: makes one call to the model that was
    asked, or raises GatewayError."""

    exchange: Converted
    call: Call
    tool: SearchTool
    words: ClientSearch
    identity: Identity
    send: Callable[[Converted, Call], UpstreamAnswer]


class Searching:
    """One answer with searches in it. Its headers are those of the first round.

    `batches` may be read once, by whoever opens it and then by whoever passes it on; `close` ends it at any time.
    """

    def __init__(self, search: WebSearch, asked: Asked, *, keep_alive_s: float) -> None:
        self._search = search
        self._asked = asked
        self._keep_alive_s = keep_alive_s
        self._is_cut = False
        words = asked.words
        self._turn = SearchTurn(asked.tool, words.origin, words.blocks, Citations() if words.cites else None)
        self.headers: Mapping[str, str] = {}
        self.batches = self._run()

    @property
    def identity(self) -> Identity:
        return self._asked.identity

    @property
    def searches(self) -> int:
        """How many have found something, or nothing, but have not failed."""
        return self._turn.searches

    @property
    def nano_credits(self) -> int | None:
        """What it has cost so far, in nano-credits; None if upstream did not tell."""
        return self._turn.nano_credits

    def close(self) -> None:
        """Whatever is under way ends, and its connection is cut."""
        self.batches.close()

    @property
    def is_cut(self) -> bool:
        """The last round was ended here, and what it cost is not known."""
        return self._is_cut

    def finish(
        self, _heard: Callable[[bytes], object] = lambda _piece: None, over: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing more is wanted."""
        self.close()
        over()

    def whole(self) -> Response:
        """The whole answer. Raises: GatewayError."""
        return accumulate(event for batch in self.batches for event in batch)

    def _run(self) -> Batches[None]:
        exchange, call, turn = self._asked.exchange, self._asked.call, self._turn
        while True:
            yield from self._round(exchange, call)
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
            exchange = exchange.followed_by(messages)
            call = replace(call, initiator="agent")

    def _round(self, exchange: Converted, call: Call) -> Batches[None]:
        """One answer of the model that was asked."""
        turn = self._turn
        answer = yield from self._awaited(lambda: self._asked.send(exchange, call))
        try:
            self.headers = self.headers or answer.headers
            if answer.content_type == "application/json":
                yield self._named(turn.feed(exchange.events_of(answer.read())))
                return
            decoder = exchange.decoder()
            for piece in answer.iter_bytes(silence_s=self._keep_alive_s):
                events: list[Event] = self._named(turn.feed(decoder.feed_bytes(piece))) if piece else [Ping()]
                if turn.ended or turn.is_round_over:
                    self._is_cut = isinstance(decoder, CuttingDecoder) and decoder.cutter.is_cut
                    answer.finish()
                    yield events
                    return
                yield events
            yield self._named(turn.feed(decoder.finish()))
        finally:
            answer.close()

    def _found(self, query: str) -> Batches[Findings | Failure]:
        """What a search comes to. Its failure is a result like any other, told to client and model."""
        asked = self._asked
        outcome = yield from self._awaited(lambda: self._search.search(query, asked.tool, asked.call))
        self._turn.note_cost(outcome.extra)
        if isinstance(outcome.found, Failure):
            error = outcome.error
            fields = {"request_id": asked.call.request_id, "code": error.code if error else outcome.found.code}
            logger.warning("web search failed", extra={"fields": fields | {"why": error.own_words if error else None}})
            debug_excerpt(error.message if error else outcome.found.why, asked.call.request_id)
        return outcome.found

    def _awaited(self, work: Callable[[], T]) -> Batches[T]:
        """What the work gives; the client hears that we are alive meanwhile. Raises: what the work raises."""
        background = BackgroundCall(work, discard=_discard)
        try:
            while not background.wait(self._keep_alive_s):
                yield [Ping()]
        except BaseException:  # nobody wants it any more
            background.close()
            raise
        return background.result()

    def _named(self, events: list[Event]) -> list[Event]:
        """An answer without id gets the one that was kept for it."""
        identity = self._asked.identity
        return [
            replace(event, id=event.id or identity.fallback_id, created_at=event.created_at or identity.created)
            if isinstance(event, ResponseStart)
            else event
            for event in events
        ]


def _discard(unwanted: object) -> None:
    if isinstance(unwanted, UpstreamAnswer):
        unwanted.close()


class SearchTransformer(Encoding):
    """A streamed answer with searches, in the client's bytes (a `StreamTransformer`). It is fed its own `pieces`."""

    def __init__(self, searching: Searching, exchange: Converted) -> None:
        super().__init__(exchange.encoder(), searching.identity, exchange.names)
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
