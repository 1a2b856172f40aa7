"""A soak: load, what is seen of the bridge meanwhile and afterwards, and whether every promise was kept."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.soak import outside
from tests.soak.clients import Client, Heard, asked
from tests.soak.plan import GONE, Wanted, one_of_each, plan
from tests.soak.upstream import Upstream
from tests.support.bridge import Bridge
from tests.support.counted import GREENLETS

APP: Final = "tests.support.counted_wsgi:app"
_SAMPLE_S: Final = 5.0
_SETTLED_S: Final = 60.0
_POOLED: Final = "/bridge.db"
"""The database's connections come from a pool, which opens one when it is wanted and keeps it."""


@dataclass(frozen=True, slots=True)
class Load:
    """streams, wholes: clients that ask for the one or the other, each for one answer after the other, for so long
    (seconds), or so many answers of each. pace_s: between two events of a stream. pieces: of an answer."""

    streams: int
    wholes: int
    pace_s: float
    pieces: tuple[int, int]
    seconds: float | None = None
    answers: int | None = None


@dataclass(slots=True)
class Sight:
    """What was seen of the workers at one time, by their process ids. descriptors: but for the database's pool.
    greenlets: by what they run."""

    rss_mib: dict[int, float]
    descriptors: dict[int, int]
    upstream: dict[int, int]
    threads: dict[int, int]
    greenlets: dict[int, Counter[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Seen:
    """What one soak came to."""

    load: Load
    heard: Heard
    lines: dict[str, list[dict[str, Any]]]
    sights: dict[str, Sight]
    samples: list[tuple[float, dict[int, float]]]
    left_open_s: list[float]
    cpu_s: dict[str, float]
    errors: list[str]
    busy_upstream: int

    def rss_around(self, share: float) -> dict[int, float]:
        """The resident memory of each worker around this share of the time: the median of some looks at it."""
        until = self.samples[-1][0] * share
        looks = [rss for at, rss in self.samples if at <= until][-5:] or [self.samples[0][1]]
        return {pid: statistics.median(look[pid] for look in looks) for pid in looks[0]}


async def soak(bridge: Bridge, upstream: Upstream, load: Load) -> Seen:
    """Put the load on a running bridge. It must have been started with `APP`."""
    heard = Heard()
    samples: list[tuple[float, dict[int, float]]] = []
    pids = sorted(bridge.workers)
    async with upstream:
        # First everything once, so that what is made once is there, and stays.
        first = iter(one_of_each())
        await asyncio.gather(*(Client(bridge.port, bridge.api_key, Heard()).ask_all(first) for _ in range(10)))
        sights = {"idle": await _settled(bridge, upstream, pids, None)}
        began, cpu = time.monotonic(), _cpu(pids)
        watching = asyncio.create_task(_watch(pids, samples, began))
        crowd = [
            asyncio.create_task(_client(bridge, heard, wanted, load, number))
            for stream, count in ((True, load.streams), (False, load.wholes))
            for wanted in [_until_over(plan(stream=stream, pieces=load.pieces), load, began)]
            for number in range(count)
        ]
        if load.seconds is not None:
            await asyncio.sleep(load.seconds * 0.9)
            sights["under load"] = _look(pids, upstream)
        await asyncio.gather(*crowd)
        watching.cancel()
        used = {name: after - before for (name, after), before in zip(_cpu(pids).items(), cpu.values(), strict=True)}
        sights["afterwards"] = await _settled(bridge, upstream, pids, sights["idle"])
        await asyncio.to_thread(bridge.wait_for, lambda _: len(_lines(bridge)) >= len(heard.answers), or_else=None)
        closed = upstream.closed_at
        return Seen(
            load,
            heard,
            _lines(bridge),
            sights,
            samples,
            sorted(closed[name] - left for name, left in heard.left_at.items() if name in closed),
            used,
            [line for line in bridge.log.splitlines() if '"level": "ERROR"' in line or "Traceback" in line],
            len(upstream.answering),
        )


def _until_over(wanted: Iterator[Wanted], load: Load, began: float) -> Iterator[Wanted]:
    if load.answers is not None:
        return itertools.islice(wanted, load.answers)
    seconds = load.seconds or 0.0
    return itertools.takewhile(lambda _: time.monotonic() - began < seconds, wanted)


async def _client(bridge: Bridge, heard: Heard, wanted: Iterator[Wanted], load: Load, number: int) -> None:
    # One after the other, so that their events do not come all at the same moment.
    await asyncio.sleep(number * load.pace_s * load.pieces[0] / max(load.streams, load.wholes))
    await Client(bridge.port, bridge.api_key, heard).ask_all(wanted)


async def _watch(pids: list[int], samples: list[tuple[float, dict[int, float]]], began: float) -> None:
    while True:
        samples.append((time.monotonic() - began, {pid: outside.resident_mib(pid) for pid in pids}))
        await asyncio.sleep(_SAMPLE_S)


def _look(pids: list[int], upstream: Upstream) -> Sight:
    return Sight(
        {pid: outside.resident_mib(pid) for pid in pids},
        {pid: sum(_POOLED not in it for it in outside.descriptors(pid)) for pid in pids},
        outside.connections(pids, upstream.port),
        {pid: outside.threads(pid) for pid in pids},
    )


async def _settled(bridge: Bridge, upstream: Upstream, pids: list[int], wanted: Sight | None) -> Sight:
    """How it is when everybody has left; looked at until it is as wanted, or will not become so."""
    until = time.monotonic() + _SETTLED_S
    while True:
        if not upstream.answering:
            upstream.close_idle()
        open_ones = [outside.accepted(pids, bridge.port), outside.connections(pids, upstream.port)]
        is_still = not any(count for by_pid in open_ones for count in by_pid.values())
        sight = _look(pids, upstream)  # after that: what is closed in between must not count here
        if is_still or time.monotonic() > until:
            sight.greenlets = await _greenlets(bridge, pids)
            if wanted is None or _nothing_is_left(sight, wanted) or time.monotonic() > until:
                return sight
        await asyncio.sleep(0.5)


def _nothing_is_left(now: Sight, before: Sight) -> bool:
    """Helpers of gevent's pool that were there before, and have gone since, are not waited for."""
    return now.descriptors == before.descriptors and not any(
        now.greenlets[pid] - names for pid, names in before.greenlets.items()
    )


async def _greenlets(bridge: Bridge, pids: list[int]) -> dict[int, Counter[str]]:
    """Which greenlets each worker has: asked on new connections until one has come to each of them."""
    found: dict[int, Counter[str]] = {}
    while len(found) < len(pids):
        told = json.loads(await asked(bridge.port, GREENLETS))
        found[told["pid"]] = Counter(told["names"])
    return found


def _cpu(pids: list[int]) -> dict[str, float]:
    return {"bridge": sum(map(outside.cpu_s, pids)), "clients and upstream": outside.cpu_s(os.getpid())}


def _lines(bridge: Bridge) -> dict[str, list[dict[str, Any]]]:
    """The request lines of the log, by the request's id."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in bridge.log.splitlines():
        if '"event": "request"' in line and not ('"request_id": "each-' in line or GREENLETS in line):
            told = json.loads(line)
            found.setdefault(told["request_id"], []).append(told)
    return found


def broken(seen: Seen) -> list[str]:
    """The promises that were not kept, each with an example."""
    found = []

    def hold(what: str, examples: list[str]) -> None:
        if examples:
            found.append(f"{what}: {len(examples)}, e.g. {examples[0]}")

    answers = seen.heard.answers.items()
    hold("answers that were wrong", [f"{name} ({one.kind.name}): {wrong}" for name, (one, wrong) in answers if wrong])
    counts = {name: len(seen.lines.get(name, [])) for name, _ in answers}
    hold("requests without exactly one line in the log", [f"{name}: {n}" for name, n in counts.items() if n != 1])
    untrue = [
        f"{name} ({one.kind.name}): {line['status']} {line.get('error')}"
        for name, (one, _) in answers
        for line in seen.lines.get(name, [])
        if not one.kind.may_end(line["status"], line.get("error"))
    ]
    hold("lines that tell another outcome", untrue)
    hold("lines that nobody asked for", [name for name in seen.lines if name not in seen.heard.answers])
    hold("errors and tracebacks in the log", [line[:300] for line in seen.errors])
    idle, after = seen.sights["idle"], seen.sights["afterwards"]
    left = [f"{pid}: {after.descriptors[pid]} and not {count}" for pid, count in idle.descriptors.items()]
    hold("workers with other descriptors than before", [it for it in left if after.descriptors != idle.descriptors])
    gone = [f"{pid}: {after.greenlets[pid] - names}" for pid, names in idle.greenlets.items()]
    hold("workers with greenlets left", [it for it in gone if not it.endswith("Counter()")])
    hold("connections to upstream left", [f"{pid}: {count}" for pid, count in after.upstream.items() if count])
    hold("answers of upstream that go on", ["see there"] * seen.busy_upstream)
    if seen.load.seconds is not None:
        early, late = seen.rss_around(0.2), seen.rss_around(1)
        grown = {pid: f"{pid}: {rss:.1f} → {late[pid]:.1f} MiB" for pid, rss in early.items()}
        hold("workers that grew by more than a tenth", [grown[pid] for pid in early if late[pid] > early[pid] * 1.1])
    return found


def table(seen: Seen) -> str:
    """What was seen, for people."""
    kinds = Counter(one.kind for one, _ in seen.heard.answers.values())
    right = Counter(one.kind for one, wrong in seen.heard.answers.values() if not wrong)
    rows = [f"{'what became of the requests':<48}{'asked':>8}{'right':>8}{'in the log, truly':>20}"]
    logged: Counter[Any] = Counter()
    for name, (one, _) in seen.heard.answers.items():
        logged[one.kind] += [one.kind.may_end(it["status"], it.get("error")) for it in seen.lines.get(name, [])] == [
            True
        ]
    for kind, count in sorted(kinds.items(), key=lambda it: (not it[0].stream, -it[1])):
        rows.append(f"{kind.name:<48}{count:>8}{right[kind]:>8}{logged[kind]:>20}")
    rows.append(f"{'all':<48}{kinds.total():>8}{right.total():>8}{logged.total():>20}")
    rows += ["", f"{'each worker':<30}" + "".join(f"{name:>18}" for name in seen.sights)]

    def row(name: str, cells: list[str]) -> None:
        rows.append(f"{name:<30}" + "".join(f"{cell:>18}" for cell in cells))

    def each(values: Any) -> str:
        return " / ".join(f"{value:.0f}" for value in values)

    row("resident memory, MiB", [each(it.rss_mib.values()) for it in seen.sights.values()])
    row("descriptors", [each(it.descriptors.values()) for it in seen.sights.values()])
    row("connections to upstream", [each(it.upstream.values()) for it in seen.sights.values()])
    row("threads", [each(it.threads.values()) for it in seen.sights.values()])
    totals = [each(names.total() for names in it.greenlets.values()) or "–" for it in seen.sights.values()]
    row("greenlets", totals)
    if seen.load.seconds is not None:
        shares = [0.05, 0.2, 0.4, 0.6, 0.8, 1]
        rows += ["", f"{'after minutes':<30}" + "".join(f"{seen.load.seconds * it / 60:>12.1f}" for it in shares)]
        looks = [each(seen.rss_around(it).values()) for it in shares]
        rows.append(f"{'resident memory, MiB':<30}" + "".join(f"{look:>12}" for look in looks))
    if seen.left_open_s:
        most, usual = seen.left_open_s[-1], statistics.median(seen.left_open_s)
        many = f"{GONE}, {len(seen.left_open_s)} times"
        rows += ["", f"upstream's connection is closed after {usual:.2f} s, {most:.2f} s at most ({many})"]
    cpu = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in seen.cpu_s.items())
    rows.append(f"CPU time: {cpu}")
    return "\n".join(rows)
