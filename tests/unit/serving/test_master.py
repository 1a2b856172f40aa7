"""What a worker that does not come up means to the master: it depends on whose it was."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from app.serving.master import Master
from app.settings import Settings

FAILING = 7


def worker(*, is_up: bool = True, is_leaving: bool = False, generation: int = 0) -> Any:
    return SimpleNamespace(is_up=is_up, is_leaving=is_leaving, generation=generation)


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Master:
    """One whose worker number 7 does not come up, with all others that are to die at the same time."""
    master = Master.__new__(Master)
    master._before, master._generation, master._no_birth_until = None, 0, 0.0
    master.WORKERS = {}

    def reap(arbiter: Any) -> None:
        for pid in [pid for pid in arbiter.WORKERS if pid <= FAILING]:
            del arbiter.WORKERS[pid]
        raise HaltServer("Worker failed to boot.", Arbiter.WORKER_BOOT_ERROR)

    monkeypatch.setattr(Arbiter, "reap_workers", reap)
    return master


def test_the_first_one_ends_the_service(master: Master) -> None:
    master.WORKERS = {FAILING: worker(is_up=False)}
    with pytest.raises(HaltServer):
        master.reap_workers()


def test_one_beside_others_that_serve_is_one_less(master: Master, caplog: pytest.LogCaptureFixture) -> None:
    master.WORKERS = {FAILING: worker(is_up=False), 8: worker()}
    master.reap_workers()
    assert "one worker less" in caplog.text
    assert master._no_birth_until > 0


def test_one_of_a_reload_ends_the_reload(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    gone_back: list[str] = []
    monkeypatch.setattr(master, "_go_back", gone_back.append)
    master._before, master._generation = (0, Settings()), 1
    master.WORKERS = {FAILING: worker(is_up=False, generation=1), 8: worker()}
    master.reap_workers()
    assert gone_back == ["Worker failed to boot."]


@pytest.mark.parametrize("is_reloading", [False, True])
@pytest.mark.parametrize("others", [{}, {8: worker()}], ids=["nobody else", "another"])
def test_one_of_a_reload_that_was_given_up_means_nothing(
    master: Master, caplog: pytest.LogCaptureFixture, others: dict[int, Any], is_reloading: bool
) -> None:
    """Neither to those before, which may die in the same moment and be replaced, nor to the next reload."""
    caplog.set_level(logging.INFO)
    before = master._before = (0, Settings()) if is_reloading else None
    master.WORKERS = {6: worker(), FAILING: worker(is_up=False, is_leaving=True, generation=1), **others}
    master.reap_workers()
    assert master._before is before
    assert master._no_birth_until == 0.0
    assert "not wanted any more" in caplog.text
