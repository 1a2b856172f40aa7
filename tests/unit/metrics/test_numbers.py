"""Numbers of several workers are told as one, in a form that Prometheus reads, with labels that nobody can multiply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.ledger.booking import booking_of
from app.ledger.books import Books
from app.ledger.tally import Lost, Tally
from app.metrics.exposition import exposition
from app.metrics.numbers import Numbers
from app.metrics.share import Told, WorkerShare, make_folder, remove_folder, worker_ended
from app.metrics.worker import WorkerMetrics
from app.reply import Ended, Record


def ended(number: int = 1, status: int = 200, **facts: Any) -> Ended:
    record = Record(f"r-{number}", protocol="chat", served_model="gpt-x", entry={}, sent="answered")
    for name, value in facts.items():
        setattr(record, name, value)
    return Ended(record, "POST", "/v1/chat/completions", status, None, "curl", 0.0, 1500)


def note(numbers: Numbers, one: Ended) -> None:
    numbers.note(one, booking_of(one, account="octocat", secret=b"s") if one.record.protocol else None)


def values(content: bytes) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def test_a_call_counts_in_every_family() -> None:
    numbers = Numbers()
    usage = {"input_tokens": 100, "output_tokens": 7}
    note(numbers, ended(usage=usage, nano_credits=1_500_000_000, first_byte_ms=300, stream=True))
    note(numbers, ended(status=429, sent="refused", error="rate_limit_exceeded"))
    note(numbers, ended(protocol="", status=404, error="unknown_route"))
    found = values(exposition([Told(numbers.dump())]))
    assert found["bridge_requests_total", "chat", "finished", "200"] == 1
    assert found["bridge_requests_total", "chat", "refused", "429"] == 1
    assert found["bridge_requests_total", "other", "refused", "404"] == 1
    assert found["bridge_errors_total", "rate_limit_exceeded"] == 1
    assert found["bridge_tokens_total", "input", "gpt-x"] == 100
    assert found["bridge_credits_total", "exact", "gpt-x"] == 1.5
    assert found["bridge_first_byte_seconds_bucket", "chat", "streamed", "0.25"] == 0
    assert found["bridge_first_byte_seconds_bucket", "chat", "streamed", "0.5"] == 1
    assert found["bridge_first_byte_seconds_bucket", "chat", "streamed", "+Inf"] == 1
    assert found["bridge_first_byte_seconds_sum", "chat", "streamed"] == 0.3
    assert found["bridge_duration_seconds_count", "chat", "streamed"] == 1


def test_several_workers_are_told_as_one() -> None:
    workers = []
    for calls in (2, 3):
        numbers = Numbers()
        for number in range(calls):
            note(numbers, ended(number, nano_credits=1, first_byte_ms=50))
        workers.append(Told(json.loads(json.dumps(numbers.dump())), {"streams_in_flight": {"": calls}}))
    found = values(exposition(workers))
    assert found["bridge_requests_total", "chat", "finished", "200"] == 5
    assert found["bridge_first_byte_seconds_count", "chat", "whole"] == 5
    assert found["bridge_streams_in_flight",] == 5
    assert found[next(key for key in found if key[0] == "bridge_info")] == 2


@pytest.mark.parametrize("bad", ["e" * 41, "Not Found", "", "é", "42", "a-b"])
def test_a_code_of_others_making_is_no_label(bad: str) -> None:
    numbers = Numbers()
    note(numbers, ended(status=400, error=bad))
    assert numbers.counters["errors"] == {("other",): 1}


def test_names_beyond_the_first_hundred_are_one() -> None:
    numbers = Numbers()
    for number in range(300):
        note(numbers, ended(number, served_model=f"m{number}", nano_credits=1, error=f"code_{number}"))
    assert len(numbers.counters["nano_credits"]) == 101
    assert len(numbers.counters["errors"]) == 101
    assert numbers.counters["nano_credits"][("other", "exact")] == 200


def test_an_empty_bridge_is_told_too() -> None:
    found = values(exposition([Told(Numbers().dump())]))
    assert found["bridge_calls_booked_total",] == 0


@pytest.fixture
def folder() -> Any:
    made = make_folder()
    assert made is not None
    yield made
    remove_folder(made)
    assert not made.exists()


def told(count: int) -> Told:
    numbers = Numbers()
    numbers.add("errors", ("x",), count)
    return Told(numbers.dump(), {"ledger_queue": {"": count}})


def errors(found: list[Told]) -> int:
    return Numbers.together(one.numbers for one in found).counters.get("errors", {}).get(("x",), 0)


def test_workers_see_each_other_and_what_the_ended_have_counted(folder: Path) -> None:
    one, two, three = (WorkerShare(folder, name) for name in ("11-1", "12-2", "13-3"))
    one.tell(told(1))
    two.tell(told(10))
    assert errors(one.others()) == 10
    assert errors(three.others()) == 11
    tally = Tally(two.tally)
    tally.accepted, tally.written, tally.dropped, tally.in_flight = 9, 4, 2, 1
    assert worker_ended(folder, "12-2") == Lost(2, 3, 1)
    assert errors(one.others()) == 10
    assert all("ledger_queue" not in it.gauges for it in one.others())
    sum_ = Numbers.together(it.numbers for it in one.others())
    assert sum_.counters["calls_not_booked"] == {("dropped",): 2, ("killed",): 3, ("in_flight",): 1}
    assert worker_ended(folder, "11-1") == Lost()
    assert errors(three.others()) == 11
    assert sorted(path.name for path in folder.iterdir()) == ["ended.json"]


def test_a_worker_that_is_added_is_never_counted_twice(folder: Path) -> None:
    one, two = WorkerShare(folder, "11-1"), WorkerShare(folder, "12-2")
    two.tell(told(5))
    before = (folder / "12-2.json").read_bytes()
    worker_ended(folder, "12-2")
    (folder / "12-2.json").write_bytes(before)  # as if the master had not come to removing it
    assert errors(one.others()) == 5


def test_a_file_that_is_damaged_counts_for_nothing(folder: Path) -> None:
    (folder / "9-9.json").write_bytes(b"{")
    (folder / "8-8.json").write_bytes(b"[1]")
    assert errors(WorkerShare(folder, "11-1").others()) == 0


class Shelf:
    def load(self) -> None: ...
    def write(self, bookings: Any, number: float) -> None: ...
    def tidy(self) -> bool:
        return False


def worker(folder: Path, name: str) -> tuple[WorkerMetrics, Books]:
    metrics = WorkerMetrics()
    books = Books(Shelf(), account=lambda: ("octocat", b"s"), observe=metrics.observe)
    metrics.watch(books, {"token_exchanges": lambda: 4}, {})
    metrics.join(folder, name)
    return metrics, books


def test_no_worker_tells_less_than_another_told_before(folder: Path) -> None:
    """For Prometheus a counter that falls has begun anew."""
    workers = [worker(folder, "11-1"), worker(folder, "12-2"), worker(folder, "13-3")]
    before: dict[tuple[str, ...], float] = {}
    for number in range(12):
        _, called = workers[number % 2]
        called(ended(number, usage={"input_tokens": 1}, nano_credits=10))
        if number % 3:
            called.flush()
        for turn in range(3):
            asked, _ = workers[(number + turn) % 3]
            found = values(exposition(asked.all()))
            assert [key for key in before if found.get(key, 0.0) < before[key]] == []
            before = {key: value for key, value in found.items() if key[0].endswith(("_total", "_bucket", "_count"))}
    assert before["bridge_requests_total", "chat", "finished", "200"] == 12


def test_a_worker_tells_of_calls_that_nobody_has_sorted_yet(folder: Path) -> None:
    metrics, books = worker(folder, "11-1")
    books(ended(quotas={"x-quota-snapshot-premium_interactions": "ent=300&rem=99.6&totRem=298.8"}))
    found = values(exposition(metrics.all()))
    assert found["bridge_requests_total", "chat", "finished", "200"] == 1
    assert found["bridge_token_exchanges_total",] == 4
    assert found["bridge_ledger_queue",] == 1
    assert found["bridge_quota_remaining_percent", "premium_interactions"] == 99.6
    assert found["bridge_quota_remaining", "premium_interactions"] == 298.8
    metrics.tell()
    assert values(exposition(WorkerShare(folder, "12-2").others()))["bridge_token_exchanges_total",] == 4


def test_what_is_left_of_an_account_of_a_key_is_not_what_the_bridge_has_left() -> None:
    metrics = WorkerMetrics()
    metrics.watch(Books(Shelf(), account=lambda: ("", b"")), {}, {})
    for account, left in ((None, 50), (("hubot", b"t"), 1)):
        metrics.observe(ended(quotas={"x-quota-snapshot-chat": f"rem={left}"}, account=account), None)
    assert metrics.all()[0].gauges["quota_percent"] == {"chat": 50.0}


@pytest.mark.parametrize("value", ["", "rem=x", "rem=-1&totRem=-1", "rem=", "%%%"])
def test_a_quota_that_says_nothing_is_not_told(value: str) -> None:
    metrics = WorkerMetrics()
    metrics.watch(Books(Shelf(), account=lambda: ("", b"")), {}, {})
    one = ended(quotas={"X-Quota-Snapshot-Chat": value})
    metrics.observe(one, None)
    assert "quota_percent" not in metrics.all()[0].gauges
