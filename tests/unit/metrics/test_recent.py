"""The last calls: a bounded ring in each worker, told to the others, without what was said in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import Sentence
from app.ledger.booking import booking_of
from app.ledger.books import Books
from app.metrics.recent import MOST, RecentCalls, read_rows, row_of
from app.metrics.share import WorkerShare, worker_ended
from app.metrics.worker import WorkerMetrics
from app.reply import Attempt, Ended, Record


def ended(number: int = 1, at: float = 0.0, **facts: Any) -> Ended:
    record = Record(f"r-{number}", began=100.0, protocol="chat", served_model="gpt-x", entry={}, sent="answered")
    for name, value in facts.items():
        setattr(record, name, value)
    return Ended(record, "POST", "/v1/chat/completions", 200, None, "curl", at, 1500)


def row(one: Ended) -> dict[str, Any]:
    return row_of(one, booking_of(one, account="octocat", secret=b"s"))


def noted(ring: RecentCalls, *calls: Ended) -> RecentCalls:
    for one in calls:
        ring.note(one, booking_of(one, account="octocat", secret=b"s"))
    return ring


def test_a_row_tells_each_call_to_copilot_in_milliseconds_of_the_request() -> None:
    attempts = [
        Attempt("gpt-x", began=100.010, answered=100.250, status=400, request_id="A:1"),
        Attempt("gpt-y", began=100.260, repeats=["503"]),
    ]
    found = row(ended(attempts=attempts, dropped=("seed",), losses=(("seed", "not known there"),)))
    assert found["attempts"] == [
        {"model": "gpt-x", "began_ms": 10, "answered_ms": 250, "status": 400, "request_id": "A:1", "repeats": []},
        {"model": "gpt-y", "began_ms": 260, "answered_ms": None, "status": None, "request_id": None,
         "repeats": ["503"]},
    ]  # fmt: skip
    assert found["dropped"] == ["seed"]
    assert found["losses"] == [["seed", "not known there"]]


def test_a_reason_with_values_can_be_translated_still_and_is_its_english_text_to_programs() -> None:
    losses = (("top_k", "chat has no such parameter"), ("speed", Sentence("only the %(who)s has it", who="other")))
    [found] = read_rows([noted(RecentCalls(), ended(losses=losses)).lines()])
    assert json.loads(json.dumps(found["losses"])) == [[path, str(reason)] for path, reason in losses]
    [_, [_, reason]] = found["losses"]
    assert (reason.template, reason.values) == ("only the %(who)s has it", {"who": "other"})


def test_what_may_be_a_text_of_the_client_is_not_in_a_row() -> None:
    found = row(ended(dropped=("my secret illness",), losses=(("tools[].my illness", "gone"),)))
    assert "illness" not in json.dumps(found)


def test_the_ring_is_bounded_and_a_row_as_well() -> None:
    ring = RecentCalls(3)
    noted(ring, *(ended(number, at=number) for number in range(10)))
    assert [it["request_id"] for it in read_rows([ring.lines()])] == ["r-9", "r-8", "r-7"]
    many = ended(
        attempts=[Attempt("m" * 500, repeats=["x"] * 500)] * 500,
        dropped=("a",) * 500,
        losses=(("a", "b"),) * 500,
        model="m" * 5000,
    )
    assert len(json.dumps(row(many))) < 30_000


def test_lines_are_the_same_however_often_they_are_read() -> None:
    ring = noted(RecentCalls(), ended(1), ended(2))
    assert ring.lines() == ring.lines()
    noted(ring, ended(3))
    assert len(ring.lines().splitlines()) == 3


@pytest.mark.parametrize("torn", [b"", b"{", b"[]\n1", b'{"ended_at": "never"}', b"\xff\xfe"])
def test_what_cannot_be_read_is_not_there(torn: bytes) -> None:
    good = noted(RecentCalls(), ended(1)).lines()
    assert [it["request_id"] for it in read_rows([torn + b"\n" + good])] == ["r-1"]


class Nowhere:
    def load(self) -> None: ...
    def write(self, bookings: Any, number: float) -> None: ...
    def tidy(self) -> bool:
        return False


def worker(folder: Path, name: str) -> tuple[Books, WorkerMetrics]:
    metrics = WorkerMetrics()
    books = Books(Nowhere(), account=lambda: ("", b""), observe=metrics.observe)
    metrics.watch(books, {}, {})
    metrics.join(folder, name)
    return books, metrics


def test_each_worker_tells_the_calls_of_all_and_of_those_that_have_ended(tmp_path: Path) -> None:
    (one, first), (other, second) = worker(tmp_path, "1"), worker(tmp_path, "2")
    one(ended(1, at=1))
    other(ended(2, at=2))
    second.all()  # makes bookings of what was noted
    second.tell()
    assert [it["request_id"] for it in first.calls()] == ["r-2", "r-1"]
    worker_ended(tmp_path, "2")
    assert [it["request_id"] for it in first.calls()] == ["r-2", "r-1"]
    assert not (tmp_path / "2.calls").exists()


def test_those_that_have_ended_keep_no_more_than_one_worker_does(tmp_path: Path) -> None:
    for number in range(3):
        share = WorkerShare(tmp_path, str(number))
        lines = [json.dumps({"ended_at": number, "n": n}).encode() for n in range(MOST)]
        share.tell_calls(b"\n".join(lines))
        worker_ended(tmp_path, str(number))
    kept = read_rows(WorkerShare(tmp_path, "4").calls_of_others())
    assert len(kept) == MOST
    assert {it["ended_at"] for it in kept} == {2}
