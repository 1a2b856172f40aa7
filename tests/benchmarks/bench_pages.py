"""What pages and the ledger's addresses take, with a full ledger: time on the clock and CPU time of the service.

``python -m tests.benchmarks.bench_pages [--calls 100000] [--rounds 15] [--only /usage] [--limit-ms 300]`` seeds
a scratch folder with calls over 395 days, starts the service with two workers beside the simulator, asks for every
address one after another, round by round, and prints a line for each. It ends with 1 if the median of any is above the
limit.

The ledger is about the worst there is: nearly every call has a row of its own among the sums of days. Clock times are
those of a client on this machine, until the answer's last byte; CPU time is that of both workers.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import requests

from app.blueprints._navigation import PAGES
from app.database import Database
from app.keys.key import Budget, Limits
from app.keys.registry import KeyRegistry
from app.ledger.booking import Booking
from app.ledger.entries import GROUPS, LedgerEntries
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

DAYS: Final = 395
KEYS: Final = 60
_DAY_S: Final = 86_400
_BATCH: Final = 2000
_RECENT: Final = 640
"""Calls that are made before, so that both workers have all the last calls that a worker keeps."""
_MODELS: Final = tuple(f"{family}-{number}" for family in ("gpt", "claude", "gemini", "o") for number in range(1, 9))
_CLIENTS: Final = ("claude-cli", "codex_cli_rs", "OpenAI/Python", "Cursor", "aider", "opencode", "Cline", "curl")
_ACCOUNTS: Final = ("octocat", "hubot", "monalisa")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def bookings(calls: int, now: float, seed: int = 1) -> Iterator[Booking]:
    """Calls of many keys, models, clients and accounts, the oldest first."""
    rng = random.Random(seed)
    for number in range(calls):
        text = dict.fromkeys(("request_id", "upstream_request_id", "conversation"), f"{rng.getrandbits(128):032x}")
        inputs = rng.randrange(100, 200_000)
        failed = rng.random() < 0.03
        model = rng.choice(_MODELS)
        yield Booking(
            ended_at=now - (calls - 1 - number) / calls * DAYS * _DAY_S,
            key=name_of(rng.randrange(KEYS)),
            account=rng.choice(_ACCOUNTS),
            client=rng.choice(_CLIENTS),
            dialect=rng.choice(("chat", "messages", "responses")),
            model=model,
            served_model=model,
            upstream="chat",
            initiator=rng.choice(("user", "agent")),
            purpose="turn",
            streamed=True,
            input_tokens=inputs,
            cached_input_tokens=inputs // 2,
            cache_write_tokens=0,
            output_tokens=rng.randrange(10, 4000),
            reasoning_tokens=0,
            nano_credits=rng.randrange(10**6, 10**10),
            is_estimated=rng.random() < 0.1,
            premium_milli=None,
            first_byte_ms=rng.randrange(100, 4000),
            duration_ms=rng.randrange(500, 60_000),
            outcome="cut" if failed else "finished",
            status=200,
            error="upstream_error" if failed else "",
            **text,
        )


def name_of(number: int) -> str:
    return f"laptop-{number:02}"


def seed(folder: Path, calls: int) -> str:
    """Fill the database of a service; the secret of one of its keys, a client's."""
    with closing(Database.at(data_dir=folder, url=None)) as database:
        registry, secrets = KeyRegistry(database), []
        for number in range(KEYS):
            limits = Limits(budgets=(Budget(10**15, "credits", "month"),))
            secrets.append(registry.make(name_of(number), role="client", limits=limits)[1])
        entries = LedgerEntries(database, keep_calls_days=400, keep_sums_days=400)
        batch: list[Booking] = []
        for booking in bookings(calls, time.time()):
            batch.append(booking)
            if len(batch) == _BATCH:
                entries.write(batch)
                batch = []
        entries.write(batch)
        with database.read() as connection:
            tables = ("ledger_calls", "ledger_days")
            counts = [connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() for name in tables]
        print("{:,} calls in {:,} rows of sums, {:,} keys".format(*counts, KEYS))
    return secrets[0]


@dataclasses.dataclass(frozen=True)
class Asked:
    """An address, as a browser (page) or a program asks for it, with the key of the bridge or of a client."""

    path: str
    accept: str = "text/html"
    is_client: bool = False

    @property
    def told(self) -> str:
        kind = {"text/html": "page", "text/csv": "CSV"}.get(self.accept, "JSON")
        return f"{kind:<5}{'client ' if self.is_client else '       '}{self.path}"


def addresses() -> list[Asked]:
    """Every page, and what the ledger tells, for short and for the longest periods."""
    today = datetime.now(UTC).date()
    periods = [f"from={today - timedelta(days=days - 1)}&to={today}" for days in (30, DAYS)]
    found = [Asked(page.path) for page in PAGES]
    found += [Asked(page.path, is_client=True) for page in PAGES if page.for_clients]
    found += [Asked(f"/usage?{period}&group={group}") for period in periods for group in GROUPS]
    found += [Asked(f"/usage?{periods[1]}&group={group}", is_client=True) for group in ("day", "model", "client")]
    for accept in ("application/json", "text/csv"):
        found += [Asked(f"/usage/ledger?{period}&group={group}", accept) for period in periods for group in GROUPS]
        found.append(Asked(f"/usage/ledger?{periods[1]}&group=model", accept, is_client=True))
    found += [Asked(path, "application/json") for path in ("/usage", "/requests", "/admin/keys", "/admin/learned")]
    return found


def measure(
    bridge: Bridge, asked: list[Asked], keys: Mapping[bool, str], rounds: int
) -> dict[Asked, tuple[list[float], float]]:
    """Of each the times on the clock, in milliseconds, and the CPU time of one, in milliseconds."""
    times: dict[Asked, list[float]] = {one: [] for one in asked}
    cpu = dict.fromkeys(asked, 0.0)
    session = requests.Session()
    for number in range(rounds + 1):
        for one in asked:
            headers = {"Accept": one.accept, "Authorization": f"Bearer {keys[one.is_client]}"}
            before, begin = cpu_s(bridge), time.perf_counter()
            answer = session.get(bridge.url + one.path, headers=headers, timeout=60, allow_redirects=False)
            took = time.perf_counter() - begin
            assert answer.status_code in (200, 303), (one, answer.status_code, answer.text[:200])
            if number:  # the first of all warms up
                times[one].append(took * 1000)
                cpu[one] += (cpu_s(bridge) - before) * 1000 / rounds
    return {one: (times[one], cpu[one]) for one in asked}


def cpu_s(bridge: Bridge) -> float:
    """CPU time that the workers have had, in seconds."""
    ticks = 0
    for pid in bridge.workers:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK_S


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_pages", description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="addresses with this in them")
    parser.add_argument("--limit-ms", type=float, default=300.0)
    given: Any = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bridge-pages-") as name, Simulator.start() as simulator:
        folder = Path(name)
        secret = seed(folder, given.calls)
        env = {
            **simulator.settings_env(),
            "GH_COPILOT_TOKEN": "ghu_test_individual",
            "LEDGER_CALLS_DAYS": "400",
            "LOG_LEVEL": "INFO",
        }
        with Bridge(env, folder, workers=2, app="wsgi:app") as bridge:
            with ThreadPoolExecutor(4) as pool:
                assert all(answer.ok for answer in pool.map(bridge.chat, ["hello"] * _RECENT))
            asked = [one for one in addresses() if given.only in one.told]
            found = measure(bridge, asked, {False: bridge.api_key, True: secret}, given.rounds)
    print(f"{given.rounds} times each, in ms; load of the machine {os.getloadavg()[0]:.1f}\n")
    print(f"{'median':>7}{'p95':>7}{'CPU':>7}  address")
    slow = 0
    for one, (times, cpu) in found.items():
        median, p95 = statistics.median(times), sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)]
        slow += median > given.limit_ms
        print(f"{median:7.0f}{p95:7.0f}{cpu:7.0f}  {one.told}{' !' if median > given.limit_ms else ''}")
    print(f"\n{len(found)} addresses, {slow} of them above {given.limit_ms:.0f} ms")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
