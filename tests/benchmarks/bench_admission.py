"""What a named key's limits cost a call: CPU time of admission and settlement, without anything else of a request.

``python -m tests.benchmarks.bench_admission [rounds]`` prints a line for each kind of key. Calls come in waves of some
dozens that are under way together, as a worker has them.
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
    begin = time.process_time()
    for _ in range(rounds // together):
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
    keys.spending.flush()
    return (time.process_time() - begin) / rounds * 1e6


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(data_dir=Path(folder), redis_url=None)
        with closing(store), closing(Database.at(data_dir=Path(folder), url=None)) as database:
            keys = ClientKeys(database, store, redis_url=None, workers=1)
            for name, limits in _KINDS.items():
                key, _ = keys.registry.make(name.replace(" ", "-"), limits=limits)
                microseconds(keys, key, 200, together=20)
                each = [microseconds(keys, key, rounds, together=together) for together in (1, 20)]
                print(f"{name:<22}{each[0]:8.0f} µs a call alone {each[1]:8.0f} µs with 20 under way")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
