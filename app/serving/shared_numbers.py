"""gunicorn's hooks around the numbers of the workers: a place for them, and what becomes of a worker's when it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from app.logs import logger


def name_of(worker: Any) -> str:
    """Another one for each worker of a master, also where the system gives out process ids anew."""
    return f"{worker.pid}-{worker.age}"


def _on_starting(server: Any) -> None:
    from app.metrics.share import make_folder

    server.numbers = make_folder()


def _post_fork(server: Any, worker: Any) -> None:
    worker.numbers = getattr(server, "numbers", None)


def _worker_exit(_server: Any, worker: Any) -> None:
    """The last thing a worker does, in its own process."""
    if (gateway := getattr(worker, "gateway", None)) is not None:
        gateway.close_books()


def _child_exit(server: Any, worker: Any) -> None:
    """In the master: whatever way a worker went, what it counted goes on to count."""
    from app.metrics.share import worker_ended

    if (folder := getattr(server, "numbers", None)) is None:
        return
    lost = worker_ended(folder, name_of(worker))
    if lost.killed or lost.in_flight:
        fields = {"pid": worker.pid, "ended": lost.killed, "in_flight": lost.in_flight}
        logger.error("a worker was killed: these calls are not in the ledger", extra={"fields": fields})


def _on_exit(server: Any) -> None:
    from app.metrics.share import remove_folder

    if (folder := getattr(server, "numbers", None)) is not None:
        remove_folder(folder)


HOOKS: Final[Mapping[str, Callable[..., None]]] = MappingProxyType(
    {
        "on_starting": _on_starting,
        "post_fork": _post_fork,
        "worker_exit": _worker_exit,
        "child_exit": _child_exit,
        "on_exit": _on_exit,
    }
)
