"""What doctor says of the database, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from app.database import Database
from app.database.revisions import TABLE, head
from app.doctor.database import check_database, check_running
from app.doctor.finding import Finding


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with closing(Database.at(data_dir=tmp_path, url=url)) as database:
        yield database


def found_in(database: Database) -> Finding:
    [finding] = check_database(database)
    assert "hunter3" not in str(finding)
    return finding


def set_revision(database: Database, revision: str) -> None:
    database.prepare()
    with database.write() as connection:
        connection.execute(text(f"UPDATE {TABLE} SET version_num = '{revision}'"))


def test_one_that_nobody_needed_yet_is_not_made(database: Database) -> None:
    finding = found_in(database)
    assert finding.status == "ok"
    assert "made when something is to be kept" in finding.what
    assert not database.exists() or database.look().revision is None


def test_one_that_is_as_it_should_be(database: Database) -> None:
    database.prepare()
    finding = found_in(database)
    assert finding.status == "ok"
    assert f"can be written and read; tables {head()}, the newest; " in finding.what
    assert float(finding.what.split("; ")[-1].removesuffix(" MiB")) > 0


def test_tables_of_an_older_version_are_told_and_left(database: Database) -> None:
    set_revision(database, "0001")
    finding = found_in(database)
    assert (finding.status, "0001, now " in finding.what) == ("note", True)
    assert "database migrate" in finding.advice
    assert database.look().revision == "0001"


def test_tables_of_a_newer_version(database: Database) -> None:
    set_revision(database, "9999")
    finding = found_in(database)
    assert finding.status == "problem"
    assert "newer version" in finding.what


def test_a_big_one_says_what_makes_it_smaller(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.prepare()
    monkeypatch.setattr(type(database._place), "size", lambda _: 3 * 1024**3)
    finding = found_in(database)
    assert (finding.status, "3072.0 MiB" in finding.what) == ("note", True)
    assert "LEDGER_CALLS_DAYS" in finding.advice


def test_one_that_is_away() -> None:
    database = Database.at(data_dir=Path("/nonexistent"), url="postgresql://b:hunter3-hunter3@127.0.0.1:9/b")
    finding = found_in(database)
    assert finding.status == "problem"
    assert "cannot be reached" in finding.what
    assert "docs/keys.md" in finding.advice


def test_one_that_cannot_be_written(tmp_path: Path) -> None:
    with closing(Database.at(data_dir=tmp_path, url=None)) as database:
        database.prepare()
        with closing(sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            finding = found_in(database)
    assert finding.status == "problem"
    assert "was locked by another process" in finding.what


def test_a_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "bridge.db").write_bytes(b"no database" * 1000)
    with closing(Database.at(data_dir=tmp_path, url=None)) as database:
        finding = found_in(database)
    assert (finding.status, "is damaged" in finding.what) == ("problem", True)


@pytest.mark.parametrize(
    ("told", "statuses"),
    [
        ({"database": "ok", "ledger": {"waiting": 3, "dropped": 0}}, []),
        ({"database": "unavailable", "ledger": {"waiting": 3, "dropped": 0}}, ["problem"]),
        ({"database": "ok", "ledger": {"waiting": 3, "dropped": 7}}, ["note"]),
        ({}, []),
        ({"ledger": None}, []),
    ],
)
def test_what_the_running_service_tells(told: dict[str, object], statuses: list[str]) -> None:
    findings = list(check_running(told))
    assert [finding.status for finding in findings] == statuses
    assert all("7 calls are not in the ledger" in it.what for it in findings if it.title == "ledger")
