"""Web search, neutrally: what a client allows, what was found, and an answer that goes on after each search.

The model that was asked is offered a function; when it calls it, somebody outside runs the search (``app.web_search``)
and the model goes on with the result. To the client all of it is one answer with blocks of Anthropic's server tool in
it. `SearchTurn` is what makes one answer of several. Spec: Anthropic "Web search tool", "Server tools".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from app.converters.neutral.events import (
    Event,
    PartDelta,
    PartEnd,
    PartStart,
    Ping,
    ResponseEnd,
    ResponseStart,
    explode,
)
from app.converters.neutral.tools import arguments_object
from app.converters.neutral.vocabulary import Extra, Message, Opaque, Part, Response, Text, ToolCall, ToolResult, Usage
from app.converters.wire import accounting

Json = dict[str, Any]
ErrorCode = Literal[
    "invalid_tool_input", "unavailable", "max_uses_exceeded", "too_many_requests", "query_too_long", "request_too_large"
]
"""Anthropic's words for a search that failed."""

LONGEST_QUERY: Final = 1_000
"""In characters."""

MOST_ROUNDS: Final = 10
"""Calls to the model in one answer; then it pauses (``pause_turn``), as Anthropic's own loop does."""

DESCRIPTION: Final = (
    "Search the web. Returns pages with their addresses and what they say on the query. Use it for what may have "
    "changed since your training, or when asked to search. Name the pages you rely on in your answer"
)
SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What to search for."}},
    "required": ["query"],
}
"""Of the function that a model is offered in place of the search tool."""

LOCATION: Final = ("city", "region", "country", "timezone")
"""What a client may say of where its user is."""

_WHY: Final[dict[ErrorCode, str]] = {
    "invalid_tool_input": 'The search was not run: it needs one argument, "query", a text.',
    "unavailable": "The search could not be run: web search is not available right now.",
    "max_uses_exceeded": "The search was not run: the limit of searches for this answer is reached.",
    "too_many_requests": "The search could not be run: too many searches for now.",
    "query_too_long": f"The search was not run: a query has at most {LONGEST_QUERY} characters.",
    "request_too_large": "The search could not be run: the request was too large.",
}


@dataclass(frozen=True, slots=True)
class SearchTool:
    """The search tool of a request. name: the function's. Domains: ``example.com``, with or without a path.

    location: Anthropic's ``user_location``. max_uses: None is no limit but `MOST_ROUNDS`.
    """

    name: str
    max_uses: int | None = None
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    location: dict[str, str] | None = None

    def allows(self, url: str) -> bool:
        """Whether a page of this address may be among the results."""
        if any(_is_under(url, domain) for domain in self.blocked_domains):
            return False
        return not self.allowed_domains or any(_is_under(url, domain) for domain in self.allowed_domains)


@dataclass(frozen=True, slots=True)
class Source:
    """A page that was found. text: what the search says of it, may be empty."""

    url: str
    title: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a search came to. summary: the whole of it in words, for the model, where no page can be named."""

    sources: tuple[Source, ...]
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A search that came to nothing."""

    code: ErrorCode

    @property
    def why(self) -> str:
        return _WHY[self.code]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search that the model has called for. id: of the block that the client gets. query: "" if there is none."""

    id: str
    query: str


Blocks = Callable[[Wanted, "Findings | Failure | None"], tuple[dict[str, Any] | None, str]]
"""The client's block for a search (None) or its result, and what the model is told of the result. No block: the
dialect tells of a search when it is over, or by what its texts cite."""


class Citing(Protocol):
    """Which of the found pages the texts of an answer cite (`search_citations`)."""

    def note(self, sources: Iterable[Source]) -> None: ...
    def cited(self, text: Text) -> Text: ...


def free_name(taken: Container[str], name: str = "web_search") -> str:
    """What the function is called: not as a tool of the client's own."""
    names = chain((name,), (f"{name}_{number}" for number in count(2)))
    return next(one for one in names if one not in taken)


def location_in(given: Mapping[str, Any]) -> dict[str, str] | None:
    """What is known of a place; None if nothing."""
    return {field: given[field] for field in LOCATION if isinstance(given.get(field), str) and given[field]} or None


def told_of_pages(pages: Iterable[tuple[str, str, str]]) -> str:
    """What the model reads of the pages that were found: title, address and text of each."""
    told = ["\n".join(filter(None, page)) for page in pages]
    return "\n\n".join(told) or "The search named no pages."


def told_of(outcome: Findings | Failure) -> str:
    """What the model reads of an outcome."""
    if isinstance(outcome, Failure):
        return outcome.why
    told = told_of_pages((source.title, source.url, source.text) for source in outcome.sources)
    return told if outcome.sources or not outcome.summary else f"{told}\n\n{outcome.summary}"


class SearchTurn:
    """One answer for the client, made of several of upstream's. One per request.

    In each round: ``feed`` upstream's events; then, unless `ended`, for each of `wanted` ``begin``, search (unless
    ``judge`` knows better) and ``finish``; then ``go_on``. Every method gives the events for the client, whose grammar
    is that of one answer.

    origin: whose the blocks are; None: there are none, and no count of searches either. citing: marks the pages that
    the texts cite.
    """

    def __init__(self, tool: SearchTool, origin: str | None, blocks: Blocks, citing: Citing | None = None) -> None:
        self._tool = tool
        self._origin = origin
        self._blocks = blocks
        self._citing = citing
        self._rounds = 0
        self._uses = 0
        self._next = 0
        self._usage = Usage()
        self._account: dict[str, Any] | None = None
        self._open: Part | None = None
        self._gap = ""  # before the text that is open
        self._said: tuple[int, str | None] | None = None  # the last words: in which round, and of which phase
        self.searches = 0
        self.ended = False
        self._begin_round()

    def _begin_round(self) -> None:
        self._rounds += 1
        self.wanted: list[Wanted] = []
        self._parts: list[Part] = []  # all of this round, as upstream gave them
        self._held: list[Part] = []  # what came after the first search, and waits for its result
        self._results: list[ToolResult] = []
        self._is_passing = False
        self._is_holding = False
        self._round_usage: Usage | None = None
        self.is_round_over = False

    # ── while upstream answers ──────────────────────────────────────────────────────────────────────────────────────

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Upstream's events → the client's. A call of the search shows nothing yet, and holds back what follows it."""
        out: list[Event] = []
        for event in events:
            if self.ended or self.is_round_over:
                break
            match event:
                case PartDelta():
                    if self._is_passing:
                        out.append(replace(event, index=self._next, value=self._apart(event)))
                case PartStart():
                    out += self._start(event)
                case PartEnd():
                    out += self._end(event)
                case Ping():
                    out.append(event)
                case ResponseStart():
                    self._round_usage = event.usage
                    if self._rounds == 1:
                        out.append(event)
                case ResponseEnd():
                    out += self._end_round(event)
                case _:
                    self.ended = True
                    out.append(event)
        return out

    def _start(self, event: PartStart) -> list[Event]:
        self._is_holding = self._is_holding or self._is_search(event.part)
        self._is_passing = not self._is_holding
        self._open = event.part
        return [PartStart(self._next, event.part)] if self._is_passing else []

    def _end(self, event: PartEnd) -> list[Event]:
        part = event.part
        if self._is_search(part) and isinstance(part, ToolCall):
            # Some upstreams count their calls anew in every answer.
            digest = hashlib.sha256(
                f"{self._rounds}:{len(self._parts)}:{part.call_id}".encode("utf-8", "surrogatepass")
            ).hexdigest()
            given = arguments_object(part.arguments) or {}
            query = given.get("query")
            wanted = Wanted(f"srvtoolu_{digest[:24]}", query.strip() if isinstance(query, str) else "")
            self.wanted.append(wanted)
            # Under the id that the client will send it back with: what upstream has cached stays the same.
            self._parts.append(replace(part, call_id=wanted.id))
            return []
        self._parts.append(part)
        if self._citing is not None and isinstance(part, Text):
            part = self._citing.cited(replace(part, text=self._gap + part.text))
            self._gap = ""
        if not self._is_passing:
            self._held.append(part)
            return []
        self._is_passing = False
        self._next += 1
        return [PartEnd(self._next - 1, part)]

    def _apart(self, event: PartDelta) -> str:
        """The value. Where no block stands between, a blank line parts the words before a search from those after."""
        if self._citing is None or event.field != "text" or not isinstance(self._open, Text):
            return event.value
        before, self._said = self._said, (self._rounds, self._open.phase)
        if before is None or before[0] == self._rounds:
            return event.value
        # Where the phase changes, the dialect parts them itself.
        self._gap = "\n\n" if before[1] == self._open.phase else ""
        return self._gap + event.value

    def _end_round(self, event: ResponseEnd) -> list[Event]:
        self.is_round_over = True
        told = self._round_usage.updated(event.usage) if self._round_usage else event.usage
        self._usage = _sum(self._usage, told) if told is not None else self._usage
        self.note_cost(event.extra)
        if self.wanted and event.finish_reason in ("tool_calls", "stop"):
            return []
        # Cut off, filtered, refused: a call that may be torn is not run.
        self.wanted = []
        return [*self._release(), *self._end_all(event)]

    @property
    def nano_credits(self) -> int | None:
        """What rounds and searches have cost so far; None if upstream did not tell."""
        return accounting.nano_of(self._account)

    def note_cost(self, extra: Extra) -> None:
        """What a round, or a search, cost by the ``extra`` of its answer."""
        self._account = accounting.both(self._account, accounting.account_of(extra))

    def _is_search(self, part: Part) -> bool:
        return isinstance(part, ToolCall) and part.name == self._tool.name

    # ── between two answers of upstream's ───────────────────────────────────────────────────────────────────────────

    def begin(self, wanted: Wanted) -> list[Event]:
        """The search is told."""
        return self._tell_block(self._blocks(wanted, None)[0])

    def judge(self, wanted: Wanted) -> Failure | None:
        """Why it is not even tried; None: run it, which counts as one use."""
        if not wanted.query:
            return Failure("invalid_tool_input")
        if len(wanted.query) > LONGEST_QUERY:
            return Failure("query_too_long")
        if self._tool.max_uses is not None and self._uses >= self._tool.max_uses:
            return Failure("max_uses_exceeded")
        self._uses += 1
        return None

    def finish(self, wanted: Wanted, outcome: Findings | Failure) -> list[Event]:
        """Its result is told, to the client now and to the model in the next round."""
        block, told = self._blocks(wanted, outcome)
        if isinstance(outcome, Findings):
            self.searches += 1
            if self._citing is not None:
                self._citing.note(outcome.sources)
        self._results.append(ToolResult(wanted.id, (Text(told),), is_error=isinstance(outcome, Failure)))
        return self._tell_block(block)

    def go_on(self) -> tuple[list[Event], tuple[Message, ...]]:
        """The round is over. What the client is told still, and what the model gets to go on with; (): that was all.

        Calls of the client's own tools end the answer: the client has to run them.
        """
        calls_client = any(isinstance(part, ToolCall) and not self._is_search(part) for part in self._parts)
        events = self._release()
        if calls_client or self._rounds >= MOST_ROUNDS:
            return [*events, *self._end_all(ResponseEnd("tool_calls" if calls_client else "pause"))], ()
        messages = Message("assistant", tuple(self._parts)), Message("user", tuple(self._results))
        self._begin_round()
        return events, messages

    def _release(self) -> list[Event]:
        held, self._held = self._held, []
        return [event for part in held for event in self._tell(part)]

    def _tell_block(self, block: dict[str, Any] | None) -> list[Event]:
        return self._tell(Opaque(self._origin, block)) if block is not None and self._origin is not None else []

    def _tell(self, part: Part) -> list[Event]:
        """A part that is whole, at its place in the client's answer."""
        events = explode(Response("", "", None, (part,), "stop"))[1:-1]
        told = [
            replace(event, index=self._next) for event in events if isinstance(event, PartStart | PartDelta | PartEnd)
        ]
        self._next += 1
        return list(told)

    def _end_all(self, event: ResponseEnd) -> list[Event]:
        self.ended = True
        extra = {**event.extra, **accounting.extra_with(self._account)}
        if self._origin is not None and (self._uses or self.searches):
            own = {"server_tool_use": {"web_search_requests": self.searches}}
            extra[self._origin] = {**extra.get(self._origin, {}), **own}
        return [replace(event, usage=self._usage, extra=extra)]


def _sum(one: Usage, other: Usage) -> Usage:
    """Both together; what neither reports stays unreported."""

    def both(name: str) -> int | None:
        left, right = getattr(one, name), getattr(other, name)
        return None if left is None and right is None else (left or 0) + (right or 0)

    return Usage(*(both(name) for name in Usage.__dataclass_fields__))


def _is_under(url: str, domain: str) -> bool:
    """Whether an address belongs to a domain or a subdomain of it; ``example.com/blog``: and lies under that path."""
    host, slash, path = domain.partition("//")[2].partition("/") if "//" in domain else domain.partition("/")
    try:
        parts = urlsplit(url)
        own = (parts.hostname or "").lower()
    except ValueError:
        return False
    host = host.lower().removeprefix("*.").strip(".")
    if own != host and not own.endswith(f".{host}"):
        return False
    return not slash or parts.path.lstrip("/").startswith(path.rstrip("*"))
