"""Measuring: all targets are up at once, and short bursts of load visit them in turn, so that a busy machine is equally
busy for each. CPU time of a target's processes, divided by what they served."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tests.benchmarks.rig import scenarios
from tests.benchmarks.rig.processes import ALL_CORES, TARGET_CORE, Process, Upstream, put_load, started_load
from tests.benchmarks.rig.scenarios import ENDS, LOADS, SECONDS, Load
from tests.benchmarks.rig.targets import Road, Target, bridge
from tests.support.authority import Authority
from tests.support.ports import free_port

KEY = "bench-key"
Figures = dict[str, Any]
GROWTH_EVENTS = (10, 100, 1000, 10_000)
GROWTH_KIB = (16, 128, 1024, 5120)
BEND_MS = 50.0


class Rig:
    """Upstream, certificates and bodies, in a folder of their own. ``with Rig() as rig: …``"""

    def __enter__(self) -> Rig:
        self._folder = tempfile.TemporaryDirectory(prefix="copilot-bridge-bench-")
        self.folder = Path(self._folder.name)
        authority = Authority(self.folder)
        authority.server_context("127.0.0.1", [])
        # As long as a user's, for reading it is what costs.
        self._bundle = self.folder / "bundle.pem"
        self._bundle.write_text(Path(DEFAULT_CA_BUNDLE_PATH).read_text() + Path(authority.bundle).read_text())
        self._authority = Path(authority.bundle)
        files = self.folder / "127.0.0.1.pem", self.folder / "127.0.0.1.key"
        self.upstream = Upstream(free_port(), free_port(), *files)
        return self

    def __exit__(self, *_: object) -> None:
        self.upstream.process.stop()
        self._folder.cleanup()

    def road(self, *, tls: bool) -> Road:
        plain = f"http://127.0.0.1:{self.upstream.port}"
        copilot = f"https://127.0.0.1:{self.upstream.tls_port}" if tls else plain
        return Road(plain, copilot, self._authority, self._bundle, self.folder)

    def start(self, target: Target, *, tls: bool = False, cores: set[int] = TARGET_CORE) -> Process:
        command, env = target.command(target.port, self.road(tls=tls))
        log = self.folder / f"{target.name.replace('/', '-')}.log"
        process = Process(command, cores=cores, env=env, cwd=target.cwd, log=log)
        try:
            process.wait_for(f"http://127.0.0.1:{target.port}{target.health}")
        except RuntimeError as error:
            raise SystemExit(f"{target.name} did not start: {error}\n{log.read_text()[-2000:]}") from error
        return process

    @contextlib.contextmanager
    def up(self, targets: Sequence[Target], **how: Any) -> Iterator[list[tuple[Target, Process]]]:
        started: list[tuple[Target, Process]] = []
        try:
            started.extend((target, self.start(target, **how)) for target in targets)
            yield started
        finally:
            for _, process in started:
                process.stop()

    def options(self, target: Target, load: Load) -> dict[str, object]:
        body = self.folder / f"{load.key}.json"
        body.write_bytes(load.body)
        return {
            "port": target.port,
            "path": target.paths[load.door],
            "body": body,
            "key": KEY,
            "connections": load.connections,
            "seconds": SECONDS,
            "once": load.once,
            "events": load.events,
            "end": ENDS[load.door],
        }

    def burst(self, target: Target, process: Process, load: Load, **more: object) -> Figures:
        """One burst of a load: what it found, and `cpu_us` for each unit of it."""
        self.upstream.pace(load.events or 1, load.per_s)
        self.upstream.counts()
        cpu, began = process.cpu_s(), time.monotonic()
        found = put_load(**self.options(target, load) | more)
        cpu, took = process.cpu_s() - cpu, time.monotonic() - began
        counts = self.upstream.counts()
        units = found["events" if load.unit == "event" else "answers"]
        found["cpu_us"] = cpu * 1e6 / units if units else None
        found["cpu_share"] = cpu / max(took - 0.15, 0.1) if load.per_s else None  # it takes the load so long to start
        found["new_connections"] = counts["new_connections"] / counts["requests"] if counts["requests"] else None
        return found


def loads(rig: Rig, targets: Sequence[Target], wanted: Sequence[Load], *, rounds: int) -> dict[str, dict[str, Figures]]:
    """By load and target: the figures of all bursts, drawn together."""
    found: dict[str, dict[str, list[Figures]]] = {}
    for tls in (False, True):
        of_kind = [load for load in wanted if load.tls == tls]
        if not of_kind:
            continue
        with rig.up(targets, tls=tls) as started:
            for load in of_kind:
                able = [(target, process) for target, process in started if _serves(target, load)]
                for target, process in able:  # unmeasured: everything is loaded, and connections are there
                    rig.burst(target, process, load, seconds=0.4)
                for number in range(rounds):
                    turn = number % len(able) if able else 0
                    for target, process in able[turn:] + able[:turn]:
                        figures = rig.burst(target, process, load)
                        found.setdefault(load.key, {}).setdefault(target.name, []).append(figures)
                for target, _ in able:
                    bursts = found[load.key][target.name]
                    if problem := next((burst["problem"] for burst in bursts if burst["problem"]), ""):
                        print(f"{load.key}, {target.name}: {problem}", file=sys.stderr, flush=True)
                    said = [f"{burst['cpu_us']:.1f}" for burst in bursts if burst["cpu_us"]]
                    print(f"{load.key:<10} {target.name:<12} {' '.join(said)}", file=sys.stderr, flush=True)
    return {key: {name: _drawn(bursts) for name, bursts in by.items()} for key, by in found.items()}


def _serves(target: Target, load: Load) -> bool:
    is_able = load.door in target.paths and (target.converts or not load.converted)
    return is_able and load.key not in target.leaves_out


def _drawn(bursts: list[Figures]) -> Figures:
    def median(*path: str) -> float | None:
        values = []
        for burst in bursts:
            value: Any = burst
            for name in path:
                value = value[name] if value else None
            if value is not None:
                values.append(value)
        return statistics.median(values) if values else None

    cpu = [burst["cpu_us"] for burst in bursts if burst["cpu_us"]]
    return {
        "cpu_us_min": min(cpu, default=None),
        "cpu_us": median("cpu_us"),
        "cpu_us_all": cpu,
        "first_p50_ms": median("first_ms", "p50"),
        "first_p99_ms": median("first_ms", "p99"),
        "delay_p99_ms": median("delay_ms", "p99"),
        "cpu_share": median("cpu_share"),
        "new_connections": median("new_connections"),
        "errors": sum(burst["errors"] for burst in bursts),
        "answers": sum(burst["answers"] for burst in bursts),
        "problem": next((burst["problem"] for burst in bursts if burst["problem"]), ""),
    }


def starts(rig: Rig, targets: Sequence[Target], *, rounds: int) -> dict[str, Figures]:
    """How long a start takes until it is healthy, the memory after a second of rest, and that of an open stream."""
    found: dict[str, Figures] = {}
    open_load = Load("open", "", "stream", "chat", scenarios.chat(True), 200, 60, 10, once=2)
    for target in targets:
        seconds: list[float] = []
        idle: list[int] = []
        each: list[float] = []
        for _ in range(rounds + 1):
            began = time.monotonic()
            process = rig.start(target)
            try:
                seconds.append(time.monotonic() - began)
                time.sleep(1)
                idle.append(process.memory_bytes())
                if len(each) < 2:
                    rig.burst(target, process, LOADS[0])
                    before = process.memory_bytes()
                    rig.upstream.pace(open_load.events, open_load.per_s)
                    load = started_load(**rig.options(target, open_load))
                    time.sleep(4)
                    each.append((process.memory_bytes() - before) / open_load.connections)
                    load.communicate()
            finally:
                process.stop()
        found[target.name] = {
            "start_s": statistics.median(seconds[1:]),  # the first compiles
            "idle_mb": statistics.median(idle[1:]) / 1e6,
            "stream_kib": min(each) / 1024,
        }
        print(f"{target.name:<12} {found[target.name]}", file=sys.stderr, flush=True)
    return found


def growth(rig: Rig, *, workers: Sequence[int]) -> dict[str, Figures]:
    """What an event costs in answers of every length, and a request by its size; by number of workers."""
    doors = {"chat": scenarios.chat(True), "messages": scenarios.messages(), "responses": scenarios.responses()}
    found: dict[str, Figures] = {}
    for count in workers:
        target = bridge(workers=count)
        with rig.up([target], cores=ALL_CORES) as [(_, process)]:
            events: Figures = {}
            for door, body in doors.items():
                for length in GROWTH_EVENTS:
                    load = Load("growth", "", "event", door, body, 8, length)
                    least = min(rig.burst(target, process, load)["cpu_us"] for _ in range(3))
                    events.setdefault(door, {})[str(length)] = least
            sizes = {}
            for kib in GROWTH_KIB:
                body = scenarios.conversation(kib << 10)
                load = Load("growth", "", "request", "chat", body, 1)
                least = min(rig.burst(target, process, load)["cpu_us"] for _ in range(3))
                sizes[str(len(body) >> 10)] = least / 1e3
        found[str(count)] = {"events": events, "kib": sizes}
        print(f"{count} worker(s): {found[str(count)]}", file=sys.stderr, flush=True)
    return found


def bend(rig: Rig, *, workers: Sequence[int], per_s: float = 40) -> dict[str, Figures]:
    """With how many streams of so many events a second one event in a hundred comes later than `BEND_MS`."""
    found: dict[str, Figures] = {}
    for count in workers:
        target = bridge(workers=count)
        with rig.up([target], cores=TARGET_CORE if count == 1 else ALL_CORES) as [(_, process)]:
            warm = next(load for load in LOADS if load.key == "short")
            rig.burst(target, process, warm)  # unmeasured: everything is loaded, as in `loads`
            levels = []
            for streams in range(200, 1201, 200):
                spread = streams / 250
                events = int((spread + 4) * per_s)
                load = Load("bend", "", "event", "chat", scenarios.chat(True), streams, events, per_s, spread)
                burst = rig.burst(target, process, load)
                late = burst["delay_ms"]["p99"] if burst["delay_ms"] else float("inf")
                level = {"streams": streams, "delay_p99_ms": late, "first_p99_ms": burst["first_ms"]["p99"]}
                levels.append(level | {"cpu_share": burst["cpu_share"], "answers": burst["answers"]})
                print(f"{count} worker(s): {levels[-1]}", file=sys.stderr, flush=True)
                if late > BEND_MS:
                    break
        found[str(count)] = {"per_s": per_s, "levels": levels}
    return found


def machine() -> Figures:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": model[0].partition(":")[2].strip() if model else "unknown",
        "cores": len(ALL_CORES),
        "python": sys.version.split()[0],
        "load": os.getloadavg()[0],
    }
