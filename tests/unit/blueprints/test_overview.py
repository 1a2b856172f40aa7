"""The overview and the usage page: what they say, to whom, and that nobody's names run in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from app.errors import DatabaseError, Sentence
from app.gateway import Gateway
from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import ENGLISH, text_of
from tests.unit.ledger.test_entries import booking

ACCOUNT_URL = "https://api.github.test/copilot_internal/user"
KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = {"Accept": "text/html"}
ADMIN = {**KEY, **PAGE}
HOSTILE = "<script>alert(1)</script>"
NANO = 10**9
PRICED = {
    "id": "gpt-4.1",
    "vendor": "OpenAI",
    "billing": {"token_prices": {"default": {"input_price": 200, "cache_price": 50, "output_price": 800}}},
}
ACCOUNT: dict[str, Any] = {
    "login": "octocat",
    "copilot_plan": "individual",
    "quota_reset_date": "2099-01-01",
    "quota_snapshots": {
        "premium_interactions": {"entitlement": 1500, "remaining": 300, "token_based_billing": True},
        "chat": {"unlimited": True},
    },
}


@pytest.fixture
def client(
    signed_in: None, catalogue: Callable[..., None], app: Flask, upstream: responses.RequestsMock
) -> FlaskClient:
    catalogue(PRICED)
    upstream.get(ACCOUNT_URL, json=ACCOUNT)
    return app.test_client()


@pytest.fixture
def book(gateway: Gateway) -> Callable[..., None]:
    """Books a call that has ended now."""

    def one(**facts: Any) -> None:
        gateway.ledger.write([booking(ended_at=datetime.now(UTC).timestamp(), **facts)])

    return one


@pytest.fixture
def alice(client: FlaskClient, gateway: Gateway) -> dict[str, str]:
    budgets = [{"amount": 5, "unit": "credits", "per": "month"}]
    made = client.post("/admin/keys", json={"name": "alice", "budgets": budgets}, headers=KEY).json
    gateway.client_keys.known.forget()
    return {"x-api-key": made["secret"], **PAGE}


def tile(page: str, title: str) -> str:
    """What a tile says, in plain words."""
    found = re.search(rf"<dt>{title}</dt>(.*?)</div>", page, re.DOTALL)
    assert found, title
    return " ".join(re.sub(r"<[^>]+>|&nbsp;", " ", found[1]).split())


def test_the_overview_says_what_is_left_and_until_when(client: FlaskClient) -> None:
    page = client.get("/", headers=ADMIN).text
    assert "Overview of octocat" in page
    quota = text_of("<body>" + page.partition('id="quota-premium_interactions">')[2].partition("</section>")[0])
    assert "300 | left" in quota
    assert "1,200 of 1,500 used (80%)" in quota
    assert "Until January 1, 2099; then it starts anew." in quota
    assert 'aria-label="AI credits: 1,200 of 1,500 used"' in page


def test_the_overview_tells_spending_cache_and_failures(client: FlaskClient, book: Callable[..., None]) -> None:
    client.get("/v1/models", headers=KEY)
    facts = {"served_model": "gpt-4.1", "input_tokens": 1_000_000, "cached_input_tokens": 500_000}
    book(**facts, nano_credits=3 * NANO, key="alice")
    book(**facts, nano_credits=NANO // 2, is_estimated=True, outcome="refused", key="bob")
    page = client.get("/", headers=ADMIN).text
    assert tile(page, "Spent today") == "≈ 3.5 AI credits"
    assert tile(page, "Calls today") == "2 1 failed; 2 calls in 30 days"
    assert tile(page, "Input from the cache") == "50% of 30 days; saved about 150 AI credits"
    for name in ("gpt-4.1", "alice", "bob"):
        assert f"<code>{name}</code>" in page


def test_calls_that_fail_too_often_are_a_problem_with_advice(client: FlaskClient, book: Callable[..., None]) -> None:
    for number in range(10):
        book(outcome="refused" if number < 2 else "finished")
    page = client.get("/", headers=ADMIN).text
    assert "Something is wrong." in page
    assert "2 of 10 calls failed today." in page
    assert "The page Requests tells what went wrong with each." in page


SPENT = {"entitlement": 10, "remaining": 0}
USED_UP = "It is used up: calls that cost something"
NO_CHAT = "The chat requests of this plan are used up"


@pytest.mark.parametrize(
    ("quotas", "says", "status"),
    [
        (
            {"premium_interactions": {"unlimited": True, "has_quota": False}},
            "The pool that this seat draws on is used up",
            "problem",
        ),
        ({"premium_interactions": SPENT | {"has_quota": False}}, USED_UP, "problem"),
        ({"premium_interactions": SPENT}, USED_UP, "problem"),
        ({"premium_interactions": SPENT | {"remaining": -2, "overage_permitted": False}}, USED_UP, "problem"),
        ({"premium_interactions": SPENT | {"overage_permitted": True}}, "100 % of it are used.", "note"),
        ({"premium_interactions": SPENT | {"remaining": 1}}, "90 % of it are used.", "note"),
        ({"chat": SPENT}, NO_CHAT, "problem"),
        ({"chat": {"unlimited": True}, "premium_interactions": SPENT}, USED_UP, "problem"),
        ({"chat": {"unlimited": True}, "premium_interactions": {"entitlement": 0, "remaining": 0}}, None, "problem"),
    ],
)
def test_an_allowance_that_runs_out_is_told(
    client: FlaskClient, upstream: responses.RequestsMock, quotas: dict[str, Any], says: str | None, status: str
) -> None:
    upstream.replace("GET", ACCOUNT_URL, json={**ACCOUNT, "quota_snapshots": quotas})
    page = client.get("/", headers=ADMIN).text
    found = re.findall(r'badge (bad)?">[^<]*</span>\s*<div><p><strong>Allowance</strong>(.*?)</div>', page, re.DOTALL)
    assert [bool(bad) for bad, _ in found] == ([] if says is None else [status == "problem"])
    if says is not None:
        assert says in found[0][1]
        # What to do next stands there as well, and a problem is told at the top of the page.
        assert (("Wait until" in found[0][1]) or ("Ask the administrator" in found[0][1])) == (status == "problem")
        assert ("Something is wrong." in page) == (status == "problem")


@pytest.mark.parametrize(("date", "says"), [("Fri, 01 Jan 2027 00:00:00 GMT", "behind GitHub’s"), ("x", None)])
def test_a_wrong_clock_is_told(
    client: FlaskClient, upstream: responses.RequestsMock, date: str, says: str | None
) -> None:
    upstream.replace("GET", ACCOUNT_URL, json=ACCOUNT, headers={"Date": date})
    page = client.get("/", headers=ADMIN).text
    assert (says in page) if says else ("Clock" not in page)


@pytest.mark.parametrize("path", ["/", "/usage"])
def test_the_page_holds_while_github_or_the_database_is_away(
    client: FlaskClient, upstream: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, gateway: Gateway, path: str
) -> None:
    upstream.replace("GET", ACCOUNT_URL, status=503, json={})
    answer = client.get(path, headers=ADMIN)
    assert (answer.status_code, "HTTP 503" in answer.text) == (200, True)

    def fail(*_: Any, **__: Any) -> Any:
        raise DatabaseError(Sentence("The database cannot be reached."))

    for name in ("spending", "report", "total"):
        monkeypatch.setattr(type(gateway.ledger), name, fail)
    answer = client.get(path, headers=ADMIN)
    assert answer.status_code == 200
    assert "The figures cannot be read at the moment:" in answer.text
    # What is not known is neither nothing nor fine.
    assert not [words for words in ("Nothing was called", "Spent today", "database answer") if words in answer.text]


@pytest.mark.parametrize("path", ["/", "/usage", "/usage?group=model", "/usage?group=client"])
def test_a_client_sees_its_own_figures_only(
    client: FlaskClient, book: Callable[..., None], alice: dict[str, str], path: str
) -> None:
    book(key="alice", served_model="of-alice", client="client-of-alice", nano_credits=NANO)
    book(key="bob", served_model="of-bob", client="client-of-bob", nano_credits=7 * NANO, account="octocat")
    page = client.get(path, headers=alice).text
    assert "0 of 5 used" in page
    assert "of the key alice" in page
    assert "1 AI credits" in page or "<span>1</span>" in page
    for secret in ("bob", "octocat", "1,200 of 1,500", "quota-premium", "Plan"):
        assert secret not in page, secret


@pytest.mark.parametrize("group", ["key", "account", "day", "model", "client"])
def test_a_client_cannot_group_its_way_to_others(
    client: FlaskClient, book: Callable[..., None], alice: dict[str, str], group: str
) -> None:
    book(key="alice", nano_credits=NANO)
    book(key="bob", served_model="of-bob", client="client-of-bob", nano_credits=7 * NANO)
    for path in (f"/usage?group={group}", f"/usage/ledger?group={group}", "/usage"):
        for accept in ("text/html", "application/json"):
            assert "bob" not in client.get(path, headers={**alice, "Accept": accept}).text
    told: dict[str, Any] = client.get("/usage", headers={**alice, "Accept": "application/json"}).get_json()
    assert told["bridge"]["today"]["calls"] == 1
    assert set(told) == {"bridge", "reconciliation"}


@pytest.mark.parametrize("group", ["day", "model", "key", "client", "account"])
def test_the_usage_page_shows_any_period_by_any_word(
    client: FlaskClient, book: Callable[..., None], group: str
) -> None:
    book(key="alice", served_model="gpt-x", client="codex", account="octocat", nano_credits=2 * NANO)
    day = datetime.now(UTC).date().isoformat()
    page = client.get(f"/usage?from={day}&to={day}&group={group}", headers=ADMIN).text
    table = page.partition('id="ledger"')[2]
    word = {"day": day, "model": "gpt-x", "key": "alice", "client": "codex", "account": "octocat"}[group]
    assert f">{word}<" in table
    assert f"/usage/ledger?from={day}&amp;to={day}&amp;group={group}&amp;format=csv" in table
    assert f'<option value="{group}" selected>' in table
    assert 'aria-current="true">Today<' in table
    other = client.get("/usage?from=2020-01-01&to=2020-01-31", headers=ADMIN).text
    assert "No calls in this period." in other


def test_the_usage_page_tells_this_bridge_elsewhere_and_unknown(client: FlaskClient, book: Callable[..., None]) -> None:
    book(account="ghu_test", nano_credits=NANO)
    page = text_of(client.get("/usage", headers=ADMIN).text)
    part = page.partition("Where it went")[2]
    assert re.search(r"This bridge \| .*Elsewhere \| .*Unknown \| .*In all \| \| 1,200", part)


@pytest.mark.parametrize("query", ["from=yesterday", "from=2026-11-30&to=2026-11-01", "group=x", "from=0001-01-01"])
def test_a_period_that_cannot_be_meant_is_told_and_the_usual_shown(client: FlaskClient, query: str) -> None:
    for language, says in (("en", "This period cannot be shown."), ("zh", "无法显示此时间段")):
        answer = client.get(f"/usage?{query}&lang={language}", headers=ADMIN)
        assert answer.status_code == 400
        assert says in answer.text


def test_fields_that_were_left_empty_mean_the_usual(client: FlaskClient) -> None:
    assert client.get("/usage?from=&to=&group=", headers=ADMIN).status_code == 200


def test_more_rows_than_a_page_holds_are_in_the_file(
    client: FlaskClient, gateway: Gateway, book: Callable[..., None]
) -> None:
    now = datetime.now(UTC).timestamp()
    gateway.ledger.write([booking(ended_at=now, client=f"c{number}", nano_credits=number) for number in range(103)])
    page = client.get("/usage?group=client", headers=ADMIN).text
    assert page.count('scope="row"><code>c') == 100
    assert "These are the first 100; the CSV file has all of them." in page
    csv = client.get("/usage/ledger?group=client&format=csv", headers=KEY).text
    assert csv.count("\nc") == 103


@pytest.mark.parametrize("path", ["/", *(f"/usage?group={word}" for word in ("model", "key", "client", "account"))])
def test_names_of_others_do_not_run(client: FlaskClient, book: Callable[..., None], path: str) -> None:
    book(key=HOSTILE, served_model=HOSTILE, client=HOSTILE, account=HOSTILE, nano_credits=NANO)
    page = client.get(path, headers=ADMIN).text
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize("plan", [HOSTILE, "individual"])
def test_what_github_says_does_not_run(client: FlaskClient, upstream: responses.RequestsMock, plan: str) -> None:
    upstream.replace("GET", ACCOUNT_URL, json={**ACCOUNT, "login": HOSTILE, "copilot_plan": plan})
    for path in ("/", "/usage"):
        assert HOSTILE not in client.get(path, headers=ADMIN).text


@pytest.mark.parametrize("path", ["/", "/usage", "/usage?group=model"])
@pytest.mark.parametrize("whose", ["admin", "alice"])
def test_pages_are_chinese_for_who_reads_chinese(
    client: FlaskClient, book: Callable[..., None], alice: dict[str, str], path: str, whose: str
) -> None:
    book(key="alice", served_model="gpt-4.1", nano_credits=NANO, is_estimated=True)
    page = client.get(path, headers={**(alice if whose == "alice" else ADMIN), "Accept-Language": "zh-CN"}).text
    assert '<html lang="zh-Hans">' in page
    assert not ENGLISH.search(text_of(page)), ENGLISH.findall(text_of(page))


def test_a_program_is_led_on_and_who_is_not_signed_in_to_the_sign_in(
    client: FlaskClient, environment: dict[str, str]
) -> None:
    assert client.get("/", headers=KEY).headers["Location"] == "/usage"
