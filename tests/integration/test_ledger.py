"""The books are what was billed, whatever became of the calls, the workers and the database."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.ledger_run.calls import calls_of
from tests.ledger_run.keys import Bills, compare_keys, entries_of, make_keys
from tests.ledger_run.run import ACCOUNT, GOVERNED, compare, kill_one, run, waits
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.numbers import numbers
from tests.support.waiting import until


def bridge_on(simulator: Simulator, folder: Path, *, workers: int, **env: str) -> Bridge:
    simulator.reset()
    settings = {**simulator.settings_env(), "GH_COPILOT_TOKEN": ACCOUNT, **env}
    return Bridge(settings, folder, workers=workers, app="wsgi:app")


def calls_told(seen: dict[tuple[str, ...], float]) -> float:
    return sum(value for key, value in seen.items() if key[0] == "bridge_requests_total" and key[1] != "other")


def ledger_of(bridge: Bridge) -> dict[str, int]:
    return bridge.get("/readyz").json()["ledger"]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Somebody else keeps the database."""
    with contextlib.closing(sqlite3.connect(folder / "bridge.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def test_the_books_are_the_bills_over_a_random_run_with_a_reload_in_the_middle(
    simulator_process: Simulator, tmp_path: Path
) -> None:
    calls = calls_of(110, seed=5)
    with bridge_on(simulator_process, tmp_path, workers=2, **GOVERNED) as bridge:
        secrets, entries = make_keys(bridge, calls), entries_of(bridge)
        broken = run(bridge, simulator_process, calls, secrets, events=[bridge.reload])
        # Those of the workers before the reload count as well, and those that clients left a moment ago.
        until(lambda: calls_told(numbers(bridge)) == len(calls))
        bridge.terminate()
        bridge.wait()
    bills = Bills(simulator_process.bills(), simulator_process.billed_tokens())
    found = compare(tmp_path, bills.nano, calls)
    assert (found.faults, broken) == ([], set())
    assert found.billed == found.exact + found.billed_unknown > 0
    of_keys = compare_keys(tmp_path, bills, calls, entries, was_killed=False)
    assert of_keys.faults == []
    assert of_keys.refused > 0
    assert waits(bridge.log).waited > 0
    assert {"finished", "cut", "refused", "client_gone"} <= found.outcomes.keys()


def test_what_a_killed_worker_takes_along_is_within_what_was_promised(
    simulator_process: Simulator, tmp_path: Path
) -> None:
    """In the ledger as many calls as the log says; of the keys' budgets nothing that was billed, once all is booked."""
    calls = calls_of(48, seed=8)
    with bridge_on(simulator_process, tmp_path, workers=2, **GOVERNED) as bridge:
        secrets, entries = make_keys(bridge, calls), entries_of(bridge)
        broken = run(bridge, simulator_process, calls, secrets, events=[lambda: kill_one(bridge, simulator_process)])
        bridge.terminate()
        bridge.wait()
    bills = Bills(simulator_process.bills(), simulator_process.billed_tokens())
    assert compare(tmp_path, bills.nano, calls, broken=broken, log=bridge.log).faults == []
    assert compare_keys(tmp_path, bills, calls, entries, was_killed=True).faults == []


def test_metrics_of_one_worker_tell_those_of_all(simulator_process: Simulator, tmp_path: Path) -> None:
    with bridge_on(simulator_process, tmp_path, workers=2) as bridge:
        for number in range(6):
            assert bridge.chat(f"{number}", model="gpt-5.2").status_code == 200
        until(lambda: numbers(bridge).get(("bridge_requests_total", "chat", "finished", "200")) == 6)
        until(lambda: numbers(bridge).get(("bridge_calls_booked_total",)) == 6)
        until(lambda: next(value for key, value in numbers(bridge).items() if key[0] == "bridge_info") == 2)
        total = bridge.get("/usage/ledger?group=model").json()["total"]
        seen = numbers(bridge)
        assert seen["bridge_credits_total", "exact", "gpt-5.2"] == pytest.approx(total["credits"])
        assert sum(simulator_process.bills().values()) == total["nano_credits"]


def test_calls_are_answered_while_the_database_is_locked_and_a_killed_worker_says_what_it_took_along(
    simulator_process: Simulator, tmp_path: Path
) -> None:
    with bridge_on(simulator_process, tmp_path, workers=1) as bridge:
        assert bridge.chat("first", model="gpt-5.2").status_code == 200
        until(lambda: numbers(bridge).get(("bridge_calls_booked_total",)) == 1)
        with locked(tmp_path):
            for number in range(3):
                assert bridge.chat(f"{number}", model="gpt-5.2").status_code == 200
            until(lambda: ledger_of(bridge) == {"waiting": 3, "dropped": 0})
            until(lambda: bridge.get("/readyz").json()["database"] == "unavailable")
        until(lambda: ledger_of(bridge) == {"waiting": 0, "dropped": 0})
        assert bridge.get("/usage/ledger").json()["total"]["calls"] == 4
        [worker] = bridge.workers
        with locked(tmp_path):
            for number in range(5):
                assert bridge.chat(f"{number}", model="gpt-5.2").status_code == 200
            until(lambda: ledger_of(bridge)["waiting"] == 5)
            os.kill(worker, signal.SIGKILL)
            line = bridge.log_line("a worker was killed")
        assert (line["ended"], line["pid"]) == (5, worker)
        until(lambda: bridge.workers not in (set(), {worker}))
        seen = numbers(bridge)
        assert seen["bridge_calls_not_booked_total", "killed"] == 5
        total = bridge.get("/usage/ledger").json()["total"]
        billed = simulator_process.bills().values()
        assert total["calls"] == 4
        assert total["calls"] + seen["bridge_calls_not_booked_total", "killed"] == len(billed)


def test_the_queue_is_bounded_and_what_does_not_fit_is_counted(simulator_process: Simulator, tmp_path: Path) -> None:
    (tmp_path / "bridge.db").mkdir()  # there is no database to be had
    with bridge_on(simulator_process, tmp_path, workers=1, LEDGER_QUEUE="100") as bridge:
        with requests.Session() as session:
            headers = {"Authorization": f"Bearer {bridge.api_key}"}
            for _ in range(104):
                assert session.post(f"{bridge.url}/v1/embeddings", json={}, headers=headers).status_code == 400
        until(lambda: ledger_of(bridge) == {"waiting": 100, "dropped": 4})
        assert numbers(bridge)["bridge_calls_not_booked_total", "dropped"] == 4
        assert bridge.log_line("calls are not booked")["why"] == "the queue is full"
        os.rmdir(tmp_path / "bridge.db")
        until(lambda: ledger_of(bridge) == {"waiting": 0, "dropped": 4})
        assert bridge.get("/usage/ledger").json()["total"]["calls"] == 100


def test_numbers_leave_nothing_behind(simulator_process: Simulator, tmp_path: Path) -> None:
    with bridge_on(simulator_process, tmp_path, workers=1, TMPDIR=str(tmp_path)) as bridge:
        assert len(list(tmp_path.glob("copilot-bridge-*"))) == 1
        bridge.terminate()
        bridge.wait()
    assert not list(tmp_path.glob("copilot-bridge-*"))


def test_a_stream_that_is_cut_at_a_stop_sequence_is_booked_as_it_was_billed(
    simulator_process: Simulator, tmp_path: Path
) -> None:
    """Upstream knows no stop sequences there; what it says after the cut nobody waits for, but the books."""
    said = {"model": "gpt-5.3-codex", "stream": True, "stop": ["Observation:"]}
    said["messages"] = [{"role": "user", "content": "[[say: Action: look Observation: a cat Thought: I see]]"}]
    with bridge_on(simulator_process, tmp_path, workers=1) as bridge:
        answer = bridge.post("/v1/chat/completions", json=said)
        assert answer.text.endswith("data: [DONE]\n\n")
        assert "Observation" not in answer.text
        until(lambda: bridge.get("/usage/ledger").json()["total"]["calls"] == 1)
        total = bridge.get("/usage/ledger").json()["total"]
    (billed,) = simulator_process.bills().values()
    assert billed > 0
    assert (total["nano_credits"], total["nano_credits_estimated"]) == (billed, 0)
