"""Other worker processes, each told what to do with a store of its own line by line: JSON in, JSON out.

Shape:  argv: data_dir, redis_url or "", the descriptor of a socket for each process. In: {"do": method of the store or
name below, …arguments}. Out: the result.
"""

import json
import os
import socket
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


def serve(descriptor: int, data_dir: Path, redis_url: str | None) -> None:
    store = open_store(data_dir=data_dir, redis_url=redis_url)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rw") as lines:
        for line in lines:
            print(json.dumps(perform(store, **json.loads(line))), file=lines, flush=True)
    store.close()


def main() -> None:
    data_dir, redis_url, *rest = sys.argv[1:]
    descriptors = [int(word) for word in rest]
    # All of them are forked from one that has imported everything and opened nothing.
    for mine in descriptors[1:]:
        if os.fork() == 0:
            for other in descriptors:
                if other != mine:
                    os.close(other)
            serve(mine, Path(data_dir), redis_url or None)
            return
    for other in descriptors[1:]:
        os.close(other)
    serve(descriptors[0], Path(data_dir), redis_url or None)
    for _ in descriptors[1:]:
        os.wait()


if __name__ == "__main__":
    main()
