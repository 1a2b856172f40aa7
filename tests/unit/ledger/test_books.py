"""Calls are taken down behind everybody's back: kept while the database is away, never more than a bound of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.errors import DatabaseError, StoreError
from app.ledger.booking import Booking
from app.ledger.books import BATCH, Books
from app.ledger.tally import Lost, Tally, lost_of
from app.reply import Ended, Record


class Shelf:
    """Where bookings go in a test."""

    def __init__(self) -> None:
        self.written: list[Booking] = []
        self.batches: list[int] = []
        self.tried: list[tuple[float, int]] = []
        self.trouble: Exception | None = None

    def load(self) -> None:
        pass

    def write(self, bookings: Sequence[Booking], number: float) -> None:
        self.tried.append((number, len(bookings)))
        if self.trouble is not None:
            raise self.trouble
        self.batches.append(len(bookings))
        self.written += bookings

    def tidy(self) -> bool:
        return False


def call(number: int, protocol: str = "chat") -> Ended:
    return Ended(Record(f"r-{number}", protocol=protocol), "POST", "/", 200, None, "curl", 0.0, 5)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def books_on(shelf: Shelf, **more: object) -> Books:
    return Books(shelf, account=lambda: ("octocat", b"s"), **more)  # type: ignore[arg-type]


def test_a_call_of_a_bound_key_is_its_accounts(shelf: Shelf) -> None:
    books = books_on(shelf)
    bound = call(1)
    bound.record.account = ("hubot", b"t")
    books(call(0))
    books(bound)
    assert books.flush()
    assert [one.account for one in shelf.written] == ["octocat", "hubot"]


def test_every_call_is_written_once_in_its_order(shelf: Shelf) -> None:
    books = books_on(shelf)
    for number in range(2 * BATCH + 1):
        books(call(number))
    assert books.waiting == 2 * BATCH + 1
    assert books.flush()
    assert [one.request_id for one in shelf.written] == [f"r-{number}" for number in range(2 * BATCH + 1)]
    assert shelf.batches == [BATCH, BATCH, 1]
    assert books.waiting == 0
    assert (books.tally.accepted, books.tally.written, books.tally.dropped) == (2 * BATCH + 1, 2 * BATCH + 1, 0)


def test_what_is_no_call_is_not_booked_but_told(shelf: Shelf) -> None:
    seen = []
    books = books_on(shelf, observe=lambda ended, booking: seen.append((ended.record.request_id, booking)))
    books(call(1, protocol=""))
    books(call(2))
    assert books.flush()
    assert [one.request_id for one in shelf.written] == ["r-2"]
    assert [(name, booking is None) for name, booking in seen] == [("r-1", True), ("r-2", False)]


def test_what_is_no_call_takes_no_calls_place_in_the_queue(shelf: Shelf) -> None:
    seen: list[str] = []
    books = books_on(shelf, most=2, observe=lambda ended, _booking: seen.append(ended.record.request_id))
    for number in range(4):
        books(call(number, protocol=""))
    books(call(4))
    books(call(5))
    books(call(6))
    assert (books.waiting, books.tally.dropped) == (2, 1)
    books.close()
    assert seen == ["r-0", "r-1", "r-4", "r-5"]


def test_whoever_stops_tells_of_what_is_no_call_as_well(shelf: Shelf) -> None:
    seen: list[str] = []
    books = books_on(shelf, observe=lambda ended, _booking: seen.append(ended.record.request_id))
    books(call(1, protocol=""))
    books.close()
    assert seen == ["r-1"]


def test_an_observer_that_fails_on_what_is_no_call_costs_no_booking(shelf: Shelf) -> None:
    def fails(_ended: Ended, _booking: Booking | None) -> None:
        raise RuntimeError("no")

    books = books_on(shelf, observe=fails)
    books(call(1, protocol=""))
    books(call(2))
    assert books.flush()
    assert [one.request_id for one in shelf.written] == ["r-2"]


def test_while_the_database_is_away_calls_are_kept_up_to_the_bound_and_then_dropped_and_counted(shelf: Shelf) -> None:
    books = books_on(shelf, most=10)
    shelf.trouble = DatabaseError("away")
    for number in range(6):
        books(call(number))
    assert not books.flush()
    for number in range(6, 13):
        books(call(number))
    assert not books.flush()
    assert books.waiting == 10
    assert books.tally.dropped == 3
    shelf.trouble = None
    assert books.flush()
    assert [one.request_id for one in shelf.written] == [f"r-{number}" for number in range(10)]
    assert (books.tally.accepted, books.tally.written, books.tally.dropped) == (13, 10, 3)


def test_a_batch_that_the_database_does_not_take_does_not_keep_the_next_from_being_written(shelf: Shelf) -> None:
    books = books_on(shelf)
    shelf.trouble = ValueError("bad row")
    books(call(1))
    assert books.flush()
    shelf.trouble = None
    books(call(2))
    assert books.flush()
    assert [one.request_id for one in shelf.written] == ["r-2"]
    assert books.tally.dropped == 1


def test_a_record_that_makes_no_booking_is_dropped_alone(shelf: Shelf) -> None:
    books = books_on(shelf)
    bad = call(1)
    bad.record.model = 7  # type: ignore[assignment]
    books(bad)
    books(call(2))
    assert books.flush()
    assert [one.request_id for one in shelf.written] == ["r-2"]
    assert books.tally.dropped == 1


def test_an_observer_that_fails_costs_no_booking(shelf: Shelf) -> None:
    def fail(_ended: Ended, _booking: Booking | None) -> None:
        raise ValueError

    books = books_on(shelf, observe=fail)
    books(call(1))
    assert books.flush()
    assert (len(shelf.written), books.tally.dropped) == (1, 0)


def test_whoever_stops_writes_what_is_there_and_counts_what_cannot_be_written(shelf: Shelf) -> None:
    books = books_on(shelf)
    books(call(1))
    books.close()
    assert len(shelf.written) == 1
    shelf.trouble = DatabaseError("away")
    books(call(2))
    books(call(3))
    books.close()
    assert books.tally.dropped == 2
    assert books.waiting == 0


def test_a_call_of_which_more_is_about_to_be_known_waits_for_that(shelf: Shelf) -> None:
    books = books_on(shelf)
    cut, whole = call(1), call(2)
    cut.record.sent, cut.record.is_read_on = "answered", True
    books(cut)
    books(whole)
    assert books.flush()
    assert [one.request_id for one in shelf.written] == ["r-2"]
    assert books.waiting == 1
    cut.record.nano_credits, cut.record.is_read_on = 7, False
    assert books.flush()
    assert [(one.request_id, one.nano_credits, one.is_estimated) for one in shelf.written[1:]] == [("r-1", 7, False)]


def test_whoever_stops_books_what_is_known(shelf: Shelf) -> None:
    books = books_on(shelf)
    cut = call(1)
    cut.record.is_read_on = True
    books(cut)
    books.close()
    assert [one.request_id for one in shelf.written] == ["r-1"]


def test_a_flush_ends_in_time(shelf: Shelf) -> None:
    now = [0.0]
    books = books_on(shelf, clock=lambda: now[0])
    for number in range(3 * BATCH):
        books(call(number))
    write = shelf.write

    def slow(bookings: Sequence[Booking], number: float) -> None:
        now[0] += 0.7
        write(bookings, number)

    shelf.write = slow  # type: ignore[method-assign]
    assert not books.flush(within_s=1.0)
    assert books.waiting == BATCH
    assert books.flush(within_s=1.0)


def test_the_greenlet_writes_by_itself(shelf: Shelf) -> None:
    came = threading.Event()
    write = shelf.write

    def tell(bookings: Sequence[Booking], number: float) -> None:
        write(bookings, number)
        came.set()

    shelf.write = tell  # type: ignore[method-assign]
    books = Books(shelf, account=lambda: ("", b""))
    books.begin()
    books(call(1))
    assert came.wait(60)
    books.close()


def test_a_tally_outlives_its_worker(tmp_path: Path) -> None:
    path = tmp_path / "1.tally"
    tally = Tally(path)
    tally.accepted, tally.written, tally.dropped = 10, 6, 1
    assert lost_of(path) == Lost(dropped=1, killed=3)
    assert lost_of(path.with_name("none")) == Lost()


def test_a_tally_may_move_into_a_file_later(tmp_path: Path) -> None:
    tally = Tally()
    tally.accepted = 3
    tally.move_to(tmp_path / "2.tally")
    tally.written += 1
    tally.in_flight = -1
    assert lost_of(tmp_path / "2.tally") == Lost(killed=2)


def test_an_account_that_cannot_be_told_costs_no_booking(shelf: Shelf) -> None:
    def fail() -> tuple[str, bytes]:
        raise StoreError("unreadable")

    books = Books(shelf, account=fail)
    books(call(1))
    assert books.flush()
    assert [one.account for one in shelf.written] == [""]


def test_what_is_tried_again_is_the_same_batch(shelf: Shelf) -> None:
    """Whether it was written the first time, nobody may know: the number tells whoever writes."""
    books = books_on(shelf)
    books(call(0))
    shelf.trouble = DatabaseError("away")
    assert not books.flush()
    books(call(1))
    assert not books.flush()
    shelf.trouble = None
    assert books.flush()
    [(first, _), (again, _), (third, _), (last, _)] = shelf.tried
    assert first == again == third < last
    assert [size for _, size in shelf.tried] == [1, 1, 1, 1]
