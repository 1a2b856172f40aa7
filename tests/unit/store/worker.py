"""Another worker process, told what to do with the store line by line: JSON in, JSON out.

Shape:  argv: data_dir, redis_url or "". In: {"do": method of the store or name below, …arguments}. Out: the result.
"""

import json
import sys
from pathlib import Path
from typing import Any

from app.store import Store, open_store


def perform(store: Store, do: str, **arguments: Any) -> Any:
    if do == "count":
        for _ in range(arguments["times"]):
            store.update(arguments["key"], lambda old: str(int(old or 0) + 1))
        return None
    if do == "acquire_each":
        return [store.acquire(name, owner=arguments["owner"], ttl_s=60) for name in arguments["names"]]
    return getattr(store, do)(**arguments)


def main() -> None:
    data_dir, redis_url = sys.argv[1:]
    store = open_store(data_dir=Path(data_dir), redis_url=redis_url or None)
    for line in sys.stdin:
        print(json.dumps(perform(store, **json.loads(line))), flush=True)
    store.close()


if __name__ == "__main__":
    main()
