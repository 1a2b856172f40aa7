"""Clients that are there while a bridge is restarted: what each of them got, and what it should have."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from tests.support.secrets import API_KEY

SAYS = "one two three"
# What a client of each dialect posts, and by what it knows that an answer is whole, or failed.
DIALECTS: dict[str, tuple[str, Callable[[str], dict[str, Any]], bytes, bytes]] = {
    "chat": (
        "/v1/chat/completions",
        lambda prompt: {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}]},
        b"data: [DONE]",
        b'data: {"error":',
    ),
    "messages": (
        "/v1/messages",
        lambda prompt: {
            "model": "claude-sonnet-4.6",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": prompt}],
        },
        b"event: message_stop",
        b"event: error",
    ),
    "responses": (
        "/v1/responses",
        lambda prompt: {"model": "gpt-5.3-codex", "input": prompt},
        b"event: response.completed",
        b"event: response.failed",
    ),
}


@dataclass
class Row:
    """What one kind of restart cost."""

    kind: str
    probes: int = 0
    lost: list[str] = field(default_factory=list)
    streams: Counter[str] = field(default_factory=Counter)
    unlogged: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        seen = ", ".join(f"{number} {what}" for what, number in sorted(self.streams.items())) or "–"
        missing = f"{len(self.unlogged)} missing" if self.unlogged else "complete"
        return f"{self.kind:<52} {len(self.lost):>3} of {self.probes:<5} {seen:<34} {missing}"


class Visitors:
    """Probes one after the other, and streams that wait at a gate of the simulator. ids: of all that were answered."""

    numbers = itertools.count(1)

    def __init__(self, url: str, key: str = API_KEY) -> None:
        self.url = url
        self.key = key
        self.ids: list[str] = []

    def post(self, dialect: str, prompt: str, request_id: str, *, stream: bool) -> requests.Response:
        path, body, *_ = DIALECTS[dialect]
        return requests.post(
            self.url + path,
            json={**body(prompt), "stream": stream},
            headers={"Authorization": f"Bearer {self.key}", "x-request-id": request_id},
            stream=stream,
            timeout=60,
        )

    @contextmanager
    def load(self, row: Row, *, gate: str, streams: int = 6) -> Iterator[list[threading.Thread]]:
        """Streams that have begun and wait at the gate, and three that probe all the time; `row` tells at the end."""
        ids: list[str] = []
        listeners = []
        begun = threading.Semaphore(0)
        for dialect in itertools.islice(itertools.cycle(DIALECTS), streams):
            ids.append(f"stream-{next(self.numbers)}")
            thread = threading.Thread(target=self._listen, args=(row, dialect, gate, ids[-1], begun))
            thread.start()
            listeners.append(thread)
        for _ in listeners:
            assert begun.acquire(timeout=30)
        is_over = threading.Event()
        probers = [threading.Thread(target=self._probe, args=(row, is_over, ids)) for _ in range(3)]
        for prober in probers:
            prober.start()
        try:
            yield listeners
        finally:
            for thread in listeners:
                thread.join(60)
            is_over.set()
            for prober in probers:
                prober.join(60)
        self.ids = ids

    def _listen(self, row: Row, dialect: str, gate: str, request_id: str, begun: threading.Semaphore) -> None:
        _, _, ends, fails = DIALECTS[dialect]
        heard = b""
        try:
            with self.post(dialect, f"[[gate: {gate}]] [[say: {SAYS}]]", request_id, stream=True) as response:
                while piece := response.raw.read1(65536):
                    if not heard:
                        begun.release()
                    heard += piece
        except (requests.RequestException, HTTPError, OSError) as problem:
            row.streams[f"torn ({type(problem).__name__})"] += 1
            return
        if ends in heard:
            row.streams["whole"] += 1
        elif fails in heard and b"the bridge restarts; try again" in heard:
            row.streams["told to try again"] += 1
        else:
            row.streams["cut without a word"] += 1

    def _probe(self, row: Row, is_over: threading.Event, ids: list[str]) -> None:
        for dialect in itertools.cycle(DIALECTS):
            request_id = f"probe-{next(self.numbers)}"
            try:
                answer = self.post(dialect, f"[[say: {SAYS}]]", request_id, stream=False)
                is_right = answer.status_code == 200 and SAYS in answer.text
                seen = "" if is_right else f"{answer.status_code} {answer.text[:80]}"
            except requests.RequestException as problem:
                seen = type(problem).__name__
            row.probes += 1
            if seen:
                row.lost.append(seen)
            else:
                ids.append(request_id)
            if is_over.wait(0.05):  # three of them ask all the time, and leave the machine to what restarts
                return

    def wait_for_probes(self, row: Row, count: int) -> None:
        """Until so many probes have been answered, or failed."""
        until = time.monotonic() + 60
        while row.probes < count and time.monotonic() < until:
            time.sleep(0.01)

    def unlogged(self, log: str) -> list[str]:
        """Which requests have no line in this log, or more than one."""
        lines = [line for line in log.splitlines() if '"event": "request"' in line]
        seen = Counter(found[1] for line in lines if (found := re.search(r'"request_id": "([^"]*)"', line)))
        return [request_id for request_id in self.ids if seen[request_id] != 1]
