"""What a named key's limits cost a call: CPU time of admission and settlement, without anything else of a request.

``python -m tests.benchmarks.bench_admission [rounds]`` prints a line for each kind of key: with a transaction for each
beginning and end, as near the end of a budget, and as a worker does it, which holds something ahead. Calls come one by
one, or some are under way together. `bench_keys` measures the whole path of a request.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from app.database import Database
from app.keys.admission import Admission
from app.keys.key import Budget, Key, Limits
from app.keys.service import ClientKeys
from app.keys.spending import REFRESH_S
from app.reply import Ended, Record
from app.store import open_store

_BODY: Final = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
_ENTRY: Final = {"id": "gpt-4.1", "billing": {"multiplier": 1}}
_USAGE: Final = {"input_tokens": 12, "output_tokens": 10, "total_tokens": 22}
_KINDS: Final = {
    "no limits": Limits(),
    "requests per minute": Limits(requests_per_minute=10**9),
    "a budget": Limits(budgets=(Budget(10**12, "tokens", "month"),)),
    "three budgets": Limits(
        budgets=(
            Budget(10**12, "tokens", "day"),
            Budget(10**15, "credits", "month"),
            Budget(10**12, "premium_requests", "total"),
        )
    ),
    "answers at a time": Limits(concurrent=1000),
}


def microseconds(keys: ClientKeys, key: Key, rounds: int, *, together: int) -> float:
    """CPU time a call, of this process."""
    begin, refreshed_at = time.process_time(), time.monotonic()
    for _ in range(rounds // together):
        if time.monotonic() - refreshed_at > REFRESH_S:
            refreshed_at = time.monotonic()
            keys.spending.refresh()
        under_way: list[Admission] = []
        for _ in range(together):
            admission = keys.admission(key)
            admission.enter("gpt-4.1")
            admission.reserve(_BODY, size=90, entry=_ENTRY)
            admission.headers(is_anthropic=False)
            under_way.append(admission)
        for admission in under_way:
            record = Record("r", protocol="chat", usage=_USAGE, nano_credits=4_000_000)
            admission.settle(Ended(record, "POST", "/v1/chat/completions", 200, None, "curl", 0.0, 5))
    keys.spending.refresh()
    return (time.process_time() - begin) / rounds * 1e6


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(data_dir=Path(folder), redis_url=None)
        with closing(store), closing(Database.at(data_dir=Path(folder), url=None)) as database:
            exact, ahead = (ClientKeys(database, store, redis_url=None, workers=1) for _ in range(2))
            ahead.spending.begin_leasing()
            print(f"{'µs of CPU a call':<22}{'each exactly':>16}{'20 under way':>16}{'ahead':>16}{'20 under way':>16}")
            for name, limits in _KINDS.items():
                key, _ = exact.registry.make(name.replace(" ", "-"), limits=limits)
                each = []
                for keys in (exact, ahead):
                    microseconds(keys, key, 200, together=20)
                    each += [microseconds(keys, key, rounds, together=together) for together in (1, 20)]
                print(f"{name:<22}" + "".join(f"{figure:16.0f}" for figure in each), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
