"""gunicorn's hooks: a worker that never served has nothing to write, and breaks nothing when it goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.ledger.tally import Tally
from app.metrics.share import make_folder
from app.serving.shared_numbers import HOOKS, name_of
from app.serving.worker import Worker


class Wrapper:
    """As WSGI middleware holds what is within it."""

    def __init__(self, app: Any) -> None:
        self.app = app


def worker_with(app: Any) -> Worker:
    worker = Worker.__new__(Worker)
    worker._app = app
    return worker


def test_the_services_are_found_within_what_others_wrap_around_the_app() -> None:
    gateway = object()
    ours = SimpleNamespace(extensions={"gateway": gateway})
    assert worker_with(ours).gateway is gateway
    assert worker_with(Wrapper(Wrapper(ours))).gateway is gateway
    assert worker_with(Wrapper(lambda: None)).gateway is None
    loop = Wrapper(None)
    loop.app = loop
    assert worker_with(loop).gateway is None


def test_a_worker_that_has_loaded_nothing_ends_without_a_word() -> None:
    HOOKS["worker_exit"](None, Worker.__new__(Worker))
    HOOKS["worker_exit"](None, SimpleNamespace())
    HOOKS["child_exit"](SimpleNamespace(), SimpleNamespace(pid=7, age=1))


def test_a_killed_worker_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    server, worker = SimpleNamespace(numbers=make_folder()), SimpleNamespace(pid=7, age=1)
    tally = Tally(server.numbers / f"{name_of(worker)}.tally")
    tally.accepted, tally.written, tally.in_flight = 5, 3, 1
    HOOKS["child_exit"](server, worker)
    [record] = [record for record in caplog.records if record.name.startswith("copilot_bridge")]
    assert record.fields == {"pid": 7, "ended": 2, "in_flight": 1}  # type: ignore[attr-defined]
    HOOKS["on_exit"](server)
    assert not server.numbers.exists()
