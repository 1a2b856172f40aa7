"""Stored answers as rows, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, select

from app.database import Database
from app.database.stored_responses import Row, StoredResponseRows
from app.database.tables import STORED_RESPONSES

NOW = 1_800_000_000.0


@pytest.fixture
def rows(database: Database) -> StoredResponseRows:
    return StoredResponseRows(database)


def row(handle: str, previous: str | None = None, *, owner: str = "k", at: float = NOW, size: int = 10) -> Row:
    return Row(owner, handle, previous, at, at + 100, bytes(size))


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(STORED_RESPONSES)).scalar_one())


def handles(found: list[Row]) -> list[str]:
    return [one.handle for one in found]


def test_before_anything_is_stored_there_is_nothing_and_no_database_is_made(
    rows: StoredResponseRows, database: Database
) -> None:
    there_was = database.exists()
    assert rows.chain("k", "a", now=NOW, most_bytes=100) == rows.find("k", ["a"], now=NOW) == []
    assert rows.delete("k", "a", now=NOW) is False
    assert rows.tidy(now=NOW, most_bytes=100) == 0
    assert database.exists() == there_was


def test_a_conversation_is_found_from_its_end_to_its_beginning(rows: StoredResponseRows) -> None:
    rows.save(row("a"), before=[])
    rows.save(row("b", "a"), before=["a"])
    rows.save(row("c", "b"), before=["b", "a"])
    rows.save(row("fork", "b"), before=["b", "a"])
    assert rows.chain("k", "c", now=NOW, most_bytes=1000) == [row("c", "b"), row("b", "a"), row("a")]
    assert handles(rows.chain("k", "fork", now=NOW, most_bytes=1000)) == ["fork", "b", "a"]
    assert rows.chain("k", "nobody", now=NOW, most_bytes=1000) == []


def test_it_is_read_no_further_than_is_of_use(rows: StoredResponseRows) -> None:
    for number in range(30):
        rows.save(row(str(number), str(number - 1) if number else None), before=[])
    found = rows.chain("k", "29", now=NOW, most_bytes=45)
    assert handles(found) == ["29", "28", "27", "26", "25"], "one more than there is room for tells that it is too much"
    assert len(rows.chain("k", "29", now=NOW, most_bytes=300)) == 30


def test_a_circle_ends(rows: StoredResponseRows) -> None:
    rows.save(row("a", "b"), before=[])
    rows.save(row("b", "a"), before=[])
    assert len(rows.chain("k", "a", now=NOW, most_bytes=100)) < 20


def test_another_key_finds_and_changes_nothing(rows: StoredResponseRows) -> None:
    rows.save(row("a"), before=[])
    rows.save(row("b", "a"), before=["a"])
    assert rows.chain("other", "b", now=NOW, most_bytes=1000) == rows.find("other", ["a", "b"], now=NOW) == []
    assert rows.delete("other", "a", now=NOW) is False
    rows.save(row("a", owner="other", size=5), before=["b"])
    assert rows.find("k", ["a"], now=NOW) == [row("a")]
    assert rows.find("other", ["a"], now=NOW) == [row("a", owner="other", size=5)]
    assert rows.chain("k", "b", now=NOW, most_bytes=1000) == [row("b", "a"), row("a")]


def test_who_goes_on_from_an_answer_lets_it_live_as_long(rows: StoredResponseRows) -> None:
    rows.save(row("a"), before=[])
    rows.save(row("b", "a", at=NOW + 90), before=["a"])
    later = NOW + 150
    assert handles(rows.chain("k", "b", now=later, most_bytes=1000)) == ["b", "a"]
    assert rows.tidy(now=later, most_bytes=1000) == 0
    rows.save(row("c", "b", at=NOW + 10), before=["b", "a"])
    assert {*handles(rows.find("k", ["a", "b"], now=later))} == {"a", "b"}, "a shorter life takes nothing away"


def test_what_has_expired_is_not_found_and_goes(rows: StoredResponseRows, database: Database) -> None:
    rows.save(row("old"), before=[])
    rows.save(row("new", "old", at=NOW + 50), before=[])
    late = NOW + 100
    assert handles(rows.chain("k", "new", now=late, most_bytes=1000)) == ["new"]
    assert rows.find("k", ["old"], now=late) == []
    assert rows.delete("k", "old", now=late) is False
    assert count(database) == 2
    assert rows.tidy(now=late, most_bytes=1000) == 1
    assert count(database) == 1


def test_beyond_the_room_for_all_the_oldest_go(rows: StoredResponseRows) -> None:
    for number in range(10):
        rows.save(row(str(number), at=NOW + number, owner=f"k{number % 2}"), before=[])
    assert rows.tidy(now=NOW, most_bytes=35) == 7
    assert handles(rows.find("k0", [str(n) for n in range(10)], now=NOW)) == ["8"]
    assert {*handles(rows.find("k1", [str(n) for n in range(10)], now=NOW))} == {"7", "9"}


def test_an_answer_is_replaced_and_deleted(rows: StoredResponseRows) -> None:
    rows.save(row("a"), before=[])
    rows.save(row("a", size=7), before=[])
    assert rows.find("k", ["a"], now=NOW) == [row("a", size=7)]
    assert rows.delete("k", "a", now=NOW) is True
    assert rows.delete("k", "a", now=NOW) is False
    assert rows.find("k", ["a"], now=NOW) == []


def test_more_than_one_statement_holds(rows: StoredResponseRows, database: Database) -> None:
    with database.write() as connection:
        values = [
            {"owner": "k", "handle": str(n), "created_at": NOW, "expires_at": NOW, "size": 1, "sealed": b"x"}
            for n in range(1200)
        ]
        connection.execute(insert(STORED_RESPONSES), values)
    assert len(rows.find("k", [str(n) for n in range(1200)], now=NOW - 1)) == 1200
    rows.save(row("last", "1", at=NOW + 5), before=[str(n) for n in range(1200)])
    assert rows.tidy(now=NOW + 50, most_bytes=10_000) == 0
    assert rows.tidy(now=NOW + 500, most_bytes=10_000) == 1201
