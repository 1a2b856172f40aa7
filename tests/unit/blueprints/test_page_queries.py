"""What pages and the ledger's addresses ask of the database: each query finds its rows by an index, whoever asks.

On SQLite, and on a real PostgreSQL where there is one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, event

from app.blueprints._navigation import PAGES
from app.gateway import Gateway
from app.ledger.entries import GROUPS
from tests.support.secrets import API_KEY
from tests.unit.ledger.test_entries import booking

ADMIN = {"Authorization": f"Bearer {API_KEY}"}
READ_WHOLE = {"client_keys", "key_bindings"}
"""Tables of which a page shows every row; they are as long as the page. A key has one binding at most."""
LEDGER = [f"/usage/ledger?group={group}&format={form}" for group in GROUPS for form in ("json", "csv")]
REPORTS = [f"/usage?from=2025-11-01&to=2026-11-30&group={group}" for group in GROUPS]


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request: pytest.FixtureRequest, environment: dict[str, str]) -> dict[str, str]:
    if request.param == "postgresql":
        environment["DATABASE_URL"] = request.getfixturevalue("postgres_url")
    return environment


@pytest.fixture
def client(
    signed_in: None, catalogue: Callable[..., None], app: Flask, upstream: responses.RequestsMock
) -> FlaskClient:
    catalogue("gpt-4.1")
    upstream.get("https://api.github.test/copilot_internal/user", json={"login": "octocat", "copilot_plan": "business"})
    return app.test_client()


@pytest.fixture
def asked(gateway: Gateway) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of the database, with its values."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        found.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("role", ["admin", "client"])
def test_every_query_of_a_page_finds_its_rows_by_an_index(
    client: FlaskClient, gateway: Gateway, asked: list[tuple[str, Any]], role: str
) -> None:
    made = client.post(
        "/admin/keys",
        json={"name": "alice", "budgets": [{"amount": 5, "unit": "credits", "per": "month"}]},
        headers=ADMIN,
    )
    # So many that a page adds them up in another way than the first hundred.
    gateway.ledger.write([booking(ended_at=time.time(), key="alice", served_model=f"m{it}") for it in range(120)])
    gateway.client_keys.known.forget()
    headers = {"Authorization": f"Bearer {made.json['secret']}"} if role == "client" else ADMIN
    pages = [page.path for page in PAGES if page.for_clients or role == "admin"]
    del asked[:]
    for path in (*pages, *REPORTS, *LEDGER):
        for accept in ("text/html", "application/json"):
            assert client.get(path, headers={"Accept": accept, **headers}).status_code in (200, 303), (path, accept)
    queries = {statement: values for statement, values in asked if statement.lstrip().startswith("SELECT")}
    assert any("ledger_" in statement for statement in queries)
    assert any("key_spending" in statement for statement in queries)
    with gateway.database.read() as connection:
        found = {
            statement: scanned(connection, statement, values) - READ_WHOLE for statement, values in queries.items()
        }
    assert {statement: tables for statement, tables in found.items() if tables} == {}


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT sum(nano_credits) FROM ledger_calls", {"ledger_calls"}),
        ("SELECT count(*) FROM ledger_calls", {"ledger_calls"}),  # an index has all that it needs, and is read whole
        ("SELECT * FROM ledger_calls ORDER BY id", {"ledger_calls"}),
        ("SELECT * FROM ledger_calls WHERE id = 1", set()),
        ("SELECT 1", set()),
    ],
)
def test_the_test_would_see_a_scan(gateway: Gateway, statement: str, tables: set[str]) -> None:
    gateway.ledger.write([booking()])
    with gateway.database.read() as connection:
        assert scanned(connection, statement, ()) == tables


def scanned(connection: Connection, statement: str, values: Any) -> set[str]:
    """The tables of which this reads all rows."""
    if connection.dialect.name == "sqlite":
        steps = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        return {step.split()[1] for step in steps if step.startswith("SCAN") and step != "SCAN CONSTANT ROW"}
    # A small table is quickest read whole, so that is what is planned, unless it is said to be dear.
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    [[plan]] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).all()
    return set(_read_whole((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))


def _read_whole(node: dict[str, Any], table: str = "") -> Iterator[str]:
    """An index that is read from its beginning to its end is no better than the table."""
    kind, table = node["Node Type"], node.get("Relation Name", table)
    if kind == "Seq Scan" or ("Index" in kind and "Index Cond" not in node):
        yield table
    for inner in node.get("Plans", ()):
        yield from _read_whole(inner, table)
