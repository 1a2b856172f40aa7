"""The ledger's tables: sums are those of the calls, every query finds its rows by an index, and the old ones go."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import func, select, text

from app.database import Database
from app.database.tables import CALLS, DAYS, GROUPED_DAYS, NOTES
from app.ledger import entries, spending
from app.ledger.booking import Booking
from app.ledger.entries import GROUPS, LedgerEntries
from app.ledger.report import added_up
from app.ledger.sums import NAMES, WORDS

DAY_S = 86_400
NOW = 1_796_000_000.0  # 2026-11-30


def booking(**facts: Any) -> Booking:
    usual: dict[str, Any] = {
        field.name: None
        if "None" in str(field.type)
        else {"str": "", "float": NOW, "int": 0, "bool": False}.get(str(field.type), "finished")
        for field in dataclasses.fields(Booking)
    }
    return Booking(**usual | {"served_model": "gpt-x", "key": "k1", "account": "octocat", "client": "curl"} | facts)


@pytest.fixture
def ledger(database: Database) -> LedgerEntries:
    return LedgerEntries(database, keep_calls_days=30, keep_sums_days=400, clock=lambda: NOW)


def test_nothing_is_read_from_a_database_with_nothing_in_it(ledger: LedgerEntries) -> None:
    assert ledger.report("2026-01-01", "2026-12-31", "day") == []
    assert ledger.total("2026-01-01", "2026-12-31")["calls"] == 0


def test_sums_are_those_of_the_calls_over_any_number_of_batches(ledger: LedgerEntries, database: Database) -> None:
    for number in range(7):
        ledger.write([booking(nano_credits=10**15 + number, input_tokens=number), booking(key="k2", nano_credits=1)])
    with database.read() as connection:
        exact, calls = connection.execute(select(func.sum(CALLS.c.nano_credits), func.count(CALLS.c.id))).one()
    total = ledger.total("2026-11-30", "2026-11-30")
    assert int(exact) == total["exact_nano"] == 7 * 10**15 + 21 + 7
    assert calls == total["calls"] == 14
    assert total["input_tokens"] == 21
    assert ledger.total("2026-11-30", "2026-11-30", key="k2")["exact_nano"] == 7
    assert ledger.total("2026-11-01", "2026-11-29")["calls"] == 0


def test_a_batch_that_comes_again_is_written_once(ledger: LedgerEntries, database: Database) -> None:
    other = LedgerEntries(database, keep_calls_days=30, keep_sums_days=400, clock=lambda: NOW)
    for number in (NOW, NOW, NOW + 0.5, NOW + 0.5):
        ledger.write([booking()], number)
        other.write([booking()], number)
    assert ledger.total("2026-11-30", "2026-11-30")["calls"] == 4
    with database.read() as connection:
        assert len(connection.execute(select(NOTES)).all()) == 2
    LedgerEntries(database, keep_calls_days=30, keep_sums_days=400, clock=lambda: NOW + 2 * DAY_S).tidy()
    with database.read() as connection:
        assert connection.execute(select(NOTES)).all() == []


@pytest.mark.parametrize("group", GROUPS)
def test_a_report_by_any_word_adds_up_to_the_total(ledger: LedgerEntries, group: Any) -> None:
    ledger.write(
        [
            booking(key="k1", account="a", client="curl", served_model="m1", nano_credits=1),
            booking(key="k2", account="b", client="codex", served_model="m2", nano_credits=2, ended_at=NOW - DAY_S),
            booking(key="k2", account="b", client="codex", served_model="m2", nano_credits=4, is_estimated=True),
        ]
    )
    rows = ledger.report("2026-11-29", "2026-11-30", group)
    assert len(rows) == 2
    assert [name for name, _ in rows] == sorted(name for name, _ in rows)
    sums = added_up(rows)
    assert (sums["calls"], sums["exact_nano"], sums["estimated_nano"]) == (3, 3, 4)
    assert sum(one["calls"] for _, one in ledger.report("2026-11-29", "2026-11-30", group, key="k1")) == 1


def test_sums_by_one_word_are_those_of_all_words_together(ledger: LedgerEntries, database: Database) -> None:
    """Reports that ask for one word read a table of their own; whatever was written, it holds the same."""
    rng = random.Random(1)
    for _ in range(6):
        some = [
            booking(
                ended_at=NOW - rng.randrange(3) * DAY_S,
                **{name: f"{name}{rng.randrange(3)}" for name in ("key", "account", "client", "served_model")},
                **{name: rng.randrange(2**40) for name in ("input_tokens", "nano_credits", "duration_ms")},
                is_estimated=rng.random() < 0.5,
                outcome=rng.choice(("finished", "cut")),
            )
            for _ in range(20)
        ]
        ledger.write(some)
    for word in ("", *WORDS):
        name = [DAYS.c[word]] if word else []
        sums = select(DAYS.c.day, *name, *(func.sum(DAYS.c[it]) for it in NAMES)).group_by(DAYS.c.day, *name)
        of_word = GROUPED_DAYS.c.word == word
        told = select(
            GROUPED_DAYS.c.day, *([GROUPED_DAYS.c.name] if word else []), *(GROUPED_DAYS.c[it] for it in NAMES)
        )
        with database.read() as connection:
            whole, grouped = (
                sorted(tuple(it if isinstance(it, str) else int(it) for it in row) for row in connection.execute(query))
                for query in (sums, told.where(of_word))
            )
        assert whole == grouped
        assert len(whole) == (9 if word else 3)


def test_what_is_too_old_goes(ledger: LedgerEntries, database: Database) -> None:
    ledger.write([booking(ended_at=NOW - age * DAY_S) for age in (0, 29, 31, 399, 401)])
    assert not ledger.tidy()
    with database.read() as connection:
        assert connection.execute(select(func.count(CALLS.c.id))).scalar() == 2
        assert connection.execute(select(func.count()).select_from(DAYS)).scalar() == 4
        assert connection.execute(select(func.count()).select_from(GROUPED_DAYS)).scalar() == 4 * 5


def test_single_calls_need_not_be_kept(database: Database) -> None:
    ledger = LedgerEntries(database, keep_calls_days=0, keep_sums_days=400, clock=lambda: NOW)
    ledger.write([booking()])
    with database.read() as connection:
        assert connection.execute(select(func.count(CALLS.c.id))).scalar() == 0
    assert ledger.total("2026-11-30", "2026-11-30")["calls"] == 1


def test_the_first_look_at_a_period_is_kept(ledger: LedgerEntries) -> None:
    first = ledger.baseline("octocat", "2026-11-01", used_nano=5, booked_nano=3)
    assert (first.used_nano, first.booked_nano, first.seen_at) == (5, 3, NOW)
    assert ledger.baseline("octocat", "2026-11-01", used_nano=9, booked_nano=8) == first
    assert ledger.baseline("octocat", "2026-12-01", used_nano=1, booked_nano=0).used_nano == 1


def test_the_first_day_of_an_account(ledger: LedgerEntries) -> None:
    assert ledger.first_day("octocat") is None
    ledger.write([booking(), booking(ended_at=NOW - 5 * DAY_S), booking(account="other", ended_at=NOW - 9 * DAY_S)])
    assert ledger.first_day("octocat") == "2026-11-25"


def test_what_was_spent_of_late_is_told_by_spans(ledger: LedgerEntries) -> None:
    ages = {0: 1, 6: 20, 7: 300, 29: 4000, 30: 50_000}
    for age, nano in ages.items():
        ledger.write(
            [booking(nano_credits=nano, ended_at=NOW - age * DAY_S, served_model=f"m{age}", key=f"k{age % 2}")]
        )
    found = ledger.spending(TODAY)
    assert [spans.nano for spans in found.all] == [1, 21, 4321]
    assert [(name, spans[-1].nano) for name, spans in found.by_model] == [
        ("m29", 4000), ("m7", 300), ("m6", 20), ("m0", 1),
    ]  # fmt: skip
    assert {name: [it.nano for it in spans] for name, spans in found.by_key} == {"k0": [1, 21, 21], "k1": [0, 0, 4300]}
    assert [(day.isoformat(), sums.nano) for day, sums in found.by_day] == [
        ("2026-11-01", 4000), ("2026-11-23", 300), ("2026-11-24", 20), ("2026-11-30", 1),
    ]  # fmt: skip
    own = ledger.spending(TODAY, key="k1")
    assert ([spans.nano for spans in own.all], list(own.by_key)) == ([0, 0, 4300], [])
    assert {name for name, _ in own.by_model} == {"m29", "m7"}


def test_nothing_was_spent_by_nobody(ledger: LedgerEntries) -> None:
    assert ledger.spending(TODAY) == spending.NOTHING
    ledger.write([booking(ended_at=NOW - 90 * DAY_S)])
    assert [spans.calls for spans in ledger.spending(TODAY).all] == [0, 0, 0]


def test_however_many_names_there_are_the_dearest_are_told(ledger: LedgerEntries) -> None:
    many = spending.MOST_NAMES + 10
    ledger.write([booking(served_model=f"m{number}", nano_credits=number) for number in range(many)])
    found = ledger.spending(TODAY).by_model
    assert [name for name, _ in found] == [f"m{many - 1 - number}" for number in range(spending.MOST_NAMES)]
    rows = ledger.report(*NOVEMBER, "model", most=3)
    assert [name for name, _ in rows] == [f"m{many - number}" for number in (1, 2, 3)]


def test_of_many_days_the_newest_are_told(ledger: LedgerEntries) -> None:
    ledger.write([booking(ended_at=NOW - age * DAY_S) for age in range(5)])
    assert [day for day, _ in ledger.report(*NOVEMBER, "day", most=2)] == ["2026-11-30", "2026-11-29"]


def test_costs_are_told_by_day(ledger: LedgerEntries) -> None:
    assert ledger.costs(*NOVEMBER) == []
    ledger.write([booking(nano_credits=2, premium_milli=330), booking(nano_credits=5, is_estimated=True, key="k2")])
    ledger.write([booking(nano_credits=7, ended_at=NOW - DAY_S)])
    assert ledger.costs(*NOVEMBER) == [("2026-11-29", 7, 0), ("2026-11-30", 7, 330)]
    assert ledger.costs(*NOVEMBER, key="k2") == [("2026-11-30", 5, 0)]


TODAY = date(2026, 11, 30)
NOVEMBER = ("2026-11-01", "2026-11-30")
STATEMENTS: dict[str, Callable[[], Any]] = {
    **{f"by {group}": functools.partial(entries.sums_by, *NOVEMBER, group, key=None) for group in GROUPS},
    "by model, of a key": lambda: entries.sums_by(*NOVEMBER, "model", key="k1"),
    "total": lambda: entries.all_sums(*NOVEMBER),
    "total of a key": lambda: entries.all_sums(*NOVEMBER, key="k1"),
    "total of an account": lambda: entries.all_sums(*NOVEMBER, account="octocat"),
    "spent": lambda: spending.by(None, TODAY, key=None),
    "spent by model": lambda: spending.by("model", TODAY, key=None),
    "spent by model, of a key": lambda: spending.by("model", TODAY, key="k1"),
    "spent by key": lambda: spending.by("key", TODAY, key=None),
    "spent by day": lambda: spending.by_day(TODAY, key=None),
    "spent by day, of a key": lambda: spending.by_day(TODAY, key="k1"),
    "costs by day": lambda: entries.costs_by_day(*NOVEMBER),
    "costs by day, of a key": lambda: entries.costs_by_day(*NOVEMBER, key="k1"),
    "the dearest models": lambda: entries.sums_by(*NOVEMBER, "model", key=None, most=5),
    "the newest days": lambda: entries.sums_by(*NOVEMBER, "day", key=None, most=5),
    "old calls": lambda: entries.old_calls(NOW),
    "total of an account's key": lambda: entries.all_sums(*NOVEMBER, key="k1", account="octocat"),
    "old days": lambda: entries.old_days("2026-01-01", "ledger_days"),
    "old days by one word": lambda: entries.old_days("2026-01-01", "ledger_grouped_days"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_query_finds_its_rows_by_an_index(database: Database, name: str) -> None:
    database.prepare()
    with database.read() as connection:
        compiled = STATEMENTS[name]().compile(connection.engine, compile_kwargs={"literal_binds": True})
        is_postgres = connection.dialect.name == "postgresql"
        if is_postgres:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"{'EXPLAIN' if is_postgres else 'EXPLAIN QUERY PLAN'} {compiled}")).all()
    steps = " | ".join(str(row[-1]) for row in plan)
    assert "SCAN ledger" not in steps
    assert "Seq Scan" not in steps
    assert "INDEX" in steps.upper() or "PRIMARY KEY" in steps
