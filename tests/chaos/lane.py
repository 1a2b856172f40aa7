"""A lane: an upstream, a bridge and the SDKs, through which one cell goes after the other."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anthropic
import httpx2
import openai

from tests.chaos.answers import MODELS, Answers, Shape, tool_of, with_word
from tests.chaos.faults import IN_STREAM, Fault
from tests.chaos.said import READERS, Said
from tests.chaos.script import Play
from tests.support.bridge import Bridge
from tests.support.dialects import UPSTREAM_PATHS
from tests.support.raw_upstream import Asked, RawUpstream, http

_PROTOCOL_OF: Final = {path: protocol for protocol, path in UPSTREAM_PATHS.items()}
# Of a hasty bridge, which soon gives up, and of a patient one, which never has to, however busy the machine is. What
# can be told by a status is, in both: keep-alives come later than any fault.
_HASTY: Final = {
    "UPSTREAM_IDLE_TIMEOUT_S": "1",
    "UPSTREAM_ANSWER_TIMEOUT_S": "3",
    "GITHUB_TIMEOUT_S": "1",
    "KEEP_ALIVE_S": "20",
}
_PATIENT: Final = {
    "UPSTREAM_IDLE_TIMEOUT_S": "90",
    "GITHUB_TIMEOUT_S": "90",
    "KEEP_ALIVE_S": "90",
    "MEMORY_BUDGET_BYTES": str(60_000_000),
}
_HASTY_LIMIT_S: Final = 15.0
_PATIENT_LIMIT_S: Final = 180.0
"""The longest that a cell may take: of the hasty all timeouts one after the other, on a machine that is busy."""


class Outcome(StrEnum):
    RIGHT = "right"
    PROPER = "proper error"
    WRONG_ERROR = "wrong error"
    LIE = "lie"
    HANG = "hang"
    BUG = "500"
    BROKEN_AFTER = "broken after"


GOOD: Final = frozenset({Outcome.RIGHT, Outcome.PROPER})


@dataclass(frozen=True, slots=True)
class Way:
    """Through the bridge: the client's dialect, the model's protocol, whole or streamed."""

    client: str
    upstream: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.client}→{self.upstream} {'stream' if self.stream else 'whole'}"


@dataclass(frozen=True, slots=True)
class Cell:
    fault: Fault
    way: Way
    shape: Shape

    def __str__(self) -> str:
        return f"{self.fault.name} | {self.way} | {self.shape}"


@dataclass(frozen=True, slots=True)
class Result:
    cell: Cell
    outcome: Outcome
    told: str
    """What came, for whoever reads of a failure."""

    def __str__(self) -> str:
        return f"{self.outcome}: {self.cell}: {self.told}"


class Lane:
    """``with Lane(answers, folder) as lane: lane.run(cell)``."""

    def __init__(self, answers: Answers, folder: Path, *, is_hasty: bool) -> None:
        self._answers = answers
        self.upstream = _Upstream(MODELS)
        environment = self.upstream.environment() | (_HASTY if is_hasty else _PATIENT)
        self.bridge = Bridge(environment, folder, app="tests.chaos.service:app")
        self._limit_s = _HASTY_LIMIT_S if is_hasty else _PATIENT_LIMIT_S
        self._words = 0
        self._searched = 0  # bytes of the log
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.upstream)
        self._open.enter_context(self.bridge)
        options: Any = {"api_key": self.bridge.api_key, "max_retries": 0, "timeout": self._limit_s}
        options["http_client"] = self._open.enter_context(httpx2.Client(transport=_Limited(self._limit_s)))
        self._openai = self._open.enter_context(openai.OpenAI(base_url=f"{self.bridge.url}/v1", **options))
        self._anthropic = self._open.enter_context(anthropic.Anthropic(base_url=self.bridge.url, **options))
        assert not (why := self._what_comes_after(Way("chat", "chat", False))), why
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def run(self, cell: Cell) -> Result:
        fault, way = cell.fault, cell.way
        if fault.is_fresh:
            self.bridge.post("/fresh")
        with fault.around(self.upstream):
            self.upstream.github = fault.github
            word = self._next_word()
            self._answer_with(word, cell.shape, fault)
            outcome, told = self._judged(cell, word)
        self.upstream.github = None
        if outcome in GOOD and (why := self._what_comes_after(way, within_s=fault.lasts_s)):
            outcome, told = Outcome.BROKEN_AFTER, f"{told}; then: {why}"
        if fault.lasts_s:
            self.bridge.post("/fresh")  # the next cell shall not meet it
        if bug := self._new_bug():
            outcome, told = Outcome.BUG, bug
        return Result(cell, outcome, told)

    def _judged(self, cell: Cell, word: str) -> tuple[Outcome, str]:
        allowed = cell.fault.allowed(cell.way.stream)
        try:
            said = self._ask(cell.way, cell.shape)
        except (openai.APITimeoutError, anthropic.APITimeoutError, httpx2.TimeoutException) as error:
            return Outcome.HANG, repr(error)
        except (openai.APIError, anthropic.APIError) as error:
            status = _status(error)
            self._wait_as_told(error)
            told = f"{type(error).__name__} {status}: {str(error)[:300]}"
            if status == 500:
                return Outcome.BUG, told
            return (Outcome.PROPER if status in allowed else Outcome.WRONG_ERROR), told
        except Exception as error:  # whatever an SDK makes of bytes that it does not understand
            return Outcome.WRONG_ERROR, f"{type(error).__name__}: {str(error)[:300]}"
        if said.error is not None:
            return (Outcome.PROPER if IN_STREAM in allowed else Outcome.WRONG_ERROR), said.error[:300]
        why = said.differs_from(word, cell.shape, tuple(text(word) for text in cell.fault.texts))
        if why and not cell.fault.as_told(said, word):
            return Outcome.LIE, why
        return Outcome.RIGHT, "right"

    def _wait_as_told(self, error: Any) -> None:
        """As every client should; faults name a second or less, or nothing that counts."""
        told = getattr(getattr(error, "response", None), "headers", {}).get("Retry-After", "")
        if told == "1":
            time.sleep(1)

    def _what_comes_after(self, way: Way, *, within_s: float = 0.0) -> str:
        until = time.monotonic() + within_s
        while (why := self._next_answer(way)) and time.monotonic() < until:
            time.sleep(0.25)
        return why

    def _next_answer(self, way: Way) -> str:
        word = self._next_word()
        self._answer_with(word, "text", None)
        try:
            said = self._ask(Way(way.client, way.upstream, False), "text")
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
        return said.differs_from(word, "text")

    def _new_bug(self) -> str:
        """What the bridge has called a bug since it was asked last."""
        with self.bridge.log_file.open("rb") as log:
            log.seek(self._searched)
            new = log.read()
        self._searched += len(new)
        at = max(new.find(b"Traceback"), new.find(b'"internal_error"'))
        return new[max(0, at - 300) : at + 1500].decode("utf-8", "replace") if at >= 0 else ""

    # ── upstream ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _next_word(self) -> str:
        self._words += 1
        return f"w{self._words:07d}"

    def _answer_with(self, word: str, shape: Shape, fault: Fault | None) -> None:
        calls = Counter[str]()

        def answer(asked: Asked) -> Iterator[bytes]:
            protocol, stream = _PROTOCOL_OF[asked.path], asked.json.get("stream", False)
            whole, streamed = (with_word(self._answers[protocol, is_it, shape], word) for is_it in (False, True))
            calls["all"] += 1
            is_reused = asked.connection in self.upstream.served
            self.upstream.served.add(asked.connection)
            play = Play(
                protocol,
                stream,
                shape,
                calls["all"],
                is_reused,
                payload=streamed if stream else whole,
                whole_payload=whole,
                stream_payload=streamed,
            )
            return iter(fault.play(play) if fault is not None else play.good())

        self.upstream.answer = answer

    # ── clients ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, way: Way, shape: Shape) -> Said:
        model = f"{way.upstream}-model"
        tools: Any = {"tools": [tool_of(way.client)]} if shape == "tools" else {}
        said = Said()
        if way.client == "chat":
            messages: Any = [{"role": "user", "content": "hi"}]
            made: Any = self._openai.chat.completions.create(model=model, messages=messages, stream=way.stream, **tools)
        elif way.client == "messages":
            made = self._anthropic.messages.create(
                model=model,
                max_tokens=500,
                messages=[{"role": "user", "content": "hi"}],
                stream=way.stream,
                **tools,
            )
        else:
            made = self._openai.responses.create(model=model, input="hi", stream=way.stream, **tools)
        read = READERS[way.client, way.stream]
        if not way.stream:
            read(made, said)
            return said
        with made:
            for event in made:
                read(event, said)
        return said


class _Limited(httpx2.HTTPTransport):
    """Takes an answer that goes on after the limit for one that did not come in time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self._limit_s = limit_s

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        ends_at = time.monotonic() + self._limit_s
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Until(response.stream, ends_at)
        return response


class _Until(httpx2.SyncByteStream):
    def __init__(self, inner: httpx2.SyncByteStream, ends_at: float) -> None:
        self._inner, self._ends_at = inner, ends_at

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._inner:
            if time.monotonic() > self._ends_at:
                raise httpx2.ReadTimeout("the answer goes on and on")
            yield piece

    def close(self) -> None:
        self._inner.close()


class _Upstream(RawUpstream):
    """Its own answers, for the token and the model list, are what a fault makes of them."""

    def __init__(self, models: list[dict[str, Any]]) -> None:
        super().__init__(models)
        self.github: Any = None
        self.served: set[int] = set()
        self._tokens = 0

    def _own(self, asked: Asked) -> Any:
        if asked.method == "POST":
            return None
        spoilt = self.github(asked.path) if self.github is not None else None
        if spoilt is None and asked.path == "/copilot_internal/v2/token":
            self._tokens += 1
            token = {"token": f"tid=test{self._tokens};exp=1:mac", "expires_at": 4_000_000_000, "refresh_in": 1500}
            return http(json.dumps(token).encode())
        return super()._own(asked) if spoilt is None else spoilt


def _status(error: openai.APIError | anthropic.APIError) -> int | str:
    """The status of an error, or where else it was told."""
    if isinstance(error, openai.APIConnectionError | anthropic.APIConnectionError):
        return "the connection is torn"
    status = getattr(error, "status_code", None)
    return IN_STREAM if status in (None, 200) else int(status)
