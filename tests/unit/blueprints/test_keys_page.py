"""The page of keys: made, edited, revoked and invited by forms, without JavaScript, and by nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.errors import DatabaseError
from app.gateway import Gateway
from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import ENGLISH, text_of

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
FORM = "/admin/keys/form"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def browser(client: FlaskClient) -> FlaskClient:
    """One that has shown API_KEY."""
    assert client.post("/auth/key", data={"api_key": API_KEY}, headers=PAGE).status_code == 303
    return client


@pytest.fixture
def send(browser: FlaskClient) -> Callable[..., Any]:
    """Fills in the page's form and sends it."""

    def form(action: str, **fields: Any) -> Any:
        page = browser.get("/admin/keys", headers=PAGE).text
        token = page.partition('name="token" value="')[2].partition('"')[0]
        return browser.post(FORM, data={"token": token, "action": action, **fields}, headers=PAGE)

    return form


def told(client: FlaskClient, name: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/admin/keys/{name}", headers=KEY).get_json()
    return found


FULL = {
    "name": "alice",
    "owner": "Alice",
    "note": "laptop",
    "role": "client",
    "expires_on": "2099-01-31",
    "models": "gpt-5*\n\n claude-haiku* \n",
    "requests_per_minute": "20",
    "concurrent": "",
    "budget_amount": ["5.5", "", "1000"],
    "budget_unit": ["credits", "credits", "tokens"],
    "budget_per": ["month", "day", "day"],
}


def test_a_key_is_made_by_a_form_and_shown_once(send: Callable[..., Any], browser: FlaskClient) -> None:
    page = send("make", **FULL)
    assert page.status_code == 200
    [secret] = set(re.findall(r"cb-[A-Za-z0-9_-]{43}", page.text))
    assert "Copy it now" in page.text
    assert browser.get("/v1/key", headers={"x-api-key": secret}).get_json()["name"] == "alice"
    assert secret not in browser.get("/admin/keys", headers=PAGE).text
    found = told(browser, "alice")
    assert (found["owner"], found["note"], found["expires_at"]) == ("Alice", "laptop", "2099-01-31T00:00:00Z")
    assert (found["models"], found["requests_per_minute"], found["concurrent"]) == (
        ["gpt-5*", "claude-haiku*"],
        20,
        None,
    )
    assert [(it["amount"], it["unit"], it["per"]) for it in found["budgets"]] == [
        (5.5, "credits", "month"), (1000, "tokens", "day"),
    ]  # fmt: skip


def test_the_form_of_a_key_holds_what_it_is_and_saving_it_changes_nothing(
    send: Callable[..., Any], browser: FlaskClient
) -> None:
    browser.post("/admin/keys", json={"name": "exact", "expires_at": "2099-01-31T12:34:56Z"}, headers=KEY)
    send("make", **FULL)
    for name in ("alice", "exact"):
        before = told(browser, name)
        page = browser.get(f"/admin/keys/{name}", headers=PAGE).text
        form = page.partition('value="change"')[2].partition("</form>")[0]
        data: dict[str, Any] = {"action": "change", "name": name}
        data |= dict(re.findall(r'<input [^>]*name="([a-z_]+)"[^>]*value="([^"]*)"', form))
        data |= {"models": form.partition("<textarea")[2].partition(">")[2].partition("</textarea>")[0]}
        data |= {"role": "client"}
        for word in ("unit", "per"):
            data[f"budget_{word}"] = re.findall(r'<option value="([a-z_]+)" selected>', form)[
                1 if word == "unit" else 2 :: 2
            ]
        data["budget_amount"] = re.findall(r'name="budget_amount"[^>]*value="([^"]*)"', form)
        assert send(data.pop("action"), **data).status_code == 303
        assert told(browser, name) == before


def test_a_change_is_saved_and_a_limit_taken_away(send: Callable[..., Any], browser: FlaskClient) -> None:
    send("make", **FULL)
    answer = send("change", name="alice", owner="Bob", role="admin")
    assert answer.headers["Location"] == "/admin/keys?done=change&name=alice"
    found = told(browser, "alice")
    assert (found["owner"], found["role"], found["models"], found["budgets"]) == ("Bob", "admin", None, [])
    assert (found["requests_per_minute"], found["expires_at"]) == (None, None)
    assert "Saved: alice is changed" in browser.get(answer.headers["Location"], headers=PAGE).text


def test_a_key_is_revoked_and_stays_in_the_list(send: Callable[..., Any], browser: FlaskClient) -> None:
    send("make", name="alice", role="client")
    answer = send("revoke", name="alice")
    page = browser.get(answer.headers["Location"], headers=PAGE).text
    assert "alice is revoked" in page
    assert told(browser, "alice")["state"] == "revoked"
    edit = browser.get("/admin/keys/alice", headers=PAGE).text
    assert 'value="change"' not in edit
    assert 'value="revoke"' not in edit


def test_an_invitation_is_made_and_shown_once(send: Callable[..., Any], browser: FlaskClient) -> None:
    send("make", name="alice", role="client")
    page = send("invite", name="alice").text
    [link] = re.findall(r"http://localhost/auth/invitation\?link=[A-Za-z0-9_.-]+", page)
    assert link not in browser.get("/admin/keys/alice", headers=PAGE).text
    assert send("unbind", name="alice").status_code == 303


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "a b"}, "A name has 1 to 64 letters"),
        ({"name": ""}, "A name has 1 to 64 letters"),
        ({"name": "taken"}, "There is a key &#39;taken&#39; already."),
        ({"owner": "x" * 501}, "The owner is one line"),
        ({"note": "a\nb"}, "The note is one line"),
        ({"role": "king"}, "The role is client or admin."),
        ({"expires_on": "tomorrow"}, "The key expires on a day like"),
        ({"models": "x" * 300}, "Models are at most 100 patterns"),
        ({"requests_per_minute": "-1"}, "Requests per minute are a whole number"),
        ({"requests_per_minute": "9" * 30}, "Requests per minute are a whole number"),
        ({"concurrent": "0"}, "Answers at a time are a whole number"),
        ({"budget_amount": ["-1"]}, "Each budget has an amount above 0"),
        ({"budget_amount": ["nan"]}, "Each budget has an amount above 0"),
        ({"budget_amount": ["x"]}, "Each budget has an amount above 0"),
        ({"budget_amount": ["1", "2"], "budget_unit": ["credits"] * 2, "budget_per": ["day"] * 2}, "Each budget has"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(
    send: Callable[..., Any], browser: FlaskClient, fields: dict[str, Any], says: str
) -> None:
    send("make", name="taken", role="client")
    one = {"budget_unit": ["credits"], "budget_per": ["day"], "note": "keep me"}
    answer = send("make", **{"name": "alice", "role": "client", "owner": "Alice", **one, **fields})
    assert answer.status_code == 400
    assert says in answer.text
    assert fields.keys() & {"note"} or "keep me" in answer.text
    names = [key["name"] for key in browser.get("/admin/keys", headers=KEY).get_json()["keys"]]
    assert names == ["taken"]


def test_only_the_page_of_this_browser_changes_keys(browser: FlaskClient, send: Callable[..., Any]) -> None:
    send("make", name="alice", role="client")
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        for action in ("make", "change", "revoke", "invite", "unbind"):
            sent = {"action": action, "name": "alice" if action != "make" else "mallory"}
            for token in ({}, {"token": "0" * 64}):
                answer = browser.post(FORM, data=sent | token, headers={"Accept": "text/html", **headers})
                assert answer.status_code == 403
    assert [key["state"] for key in browser.get("/admin/keys", headers=KEY).get_json()["keys"]] == ["active"]


@pytest.mark.parametrize(("action", "status"), [("", 400), ("destroy", 400), ("revoke", 404), ("change", 404)])
def test_a_form_that_means_nothing_changes_nothing(send: Callable[..., Any], action: str, status: int) -> None:
    assert send(action, name="nobody").status_code == status


def test_names_of_others_do_not_run(browser: FlaskClient) -> None:
    browser.post(
        "/admin/keys", json={"name": "alice", "owner": HOSTILE, "note": HOSTILE, "models": [HOSTILE]}, headers=KEY
    )
    for path in (
        "/admin/keys",
        "/admin/keys/alice",
        f"/admin/keys?q={HOSTILE}",
        f"/admin/keys?done=change&name={HOSTILE}",
    ):
        assert HOSTILE not in browser.get(path, headers=PAGE).text


@pytest.mark.parametrize("amount", [10, 1_000_000_000])  # of so much a worker reserves some ahead
def test_budgets_stand_as_they_are_used(browser: FlaskClient, gateway: Gateway, amount: int) -> None:
    budgets = [{"amount": amount, "unit": "tokens", "per": "day"}]
    browser.post("/admin/keys", json={"name": "alice", "budgets": budgets}, headers=KEY)
    browser.post("/admin/keys", json={"name": "free"}, headers=KEY)
    spending, key = gateway.client_keys.spending, gateway.client_keys.registry.find("alice")
    spending.settle(spending.reserve(key, {"tokens": 3}).reservation, {"tokens": 4})
    spending.reserve(key, {"tokens": 2})
    assert spending.accounts_of(gateway.client_keys.registry.all()) == {key.id: spending.accounts(key)}
    assert f"4 of {amount:,} used" in browser.get("/admin/keys", headers=PAGE).text


def test_the_page_holds_while_budgets_cannot_be_read(
    browser: FlaskClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = [{"amount": 10, "unit": "tokens", "per": "day"}]
    browser.post("/admin/keys", json={"name": "alice", "budgets": budgets}, headers=KEY)

    def fail(*_: Any) -> Any:
        raise DatabaseError("away")

    monkeypatch.setattr(gateway.client_keys.spending, "accounts_of", fail)
    assert "The budgets cannot be read" in browser.get("/admin/keys", headers=PAGE).text


def test_of_many_keys_a_page_is_shown_and_the_others_are_found(browser: FlaskClient, gateway: Gateway) -> None:
    for number in range(203):
        gateway.client_keys.registry.make(f"k{number:03}")
    page = browser.get("/admin/keys", headers=PAGE).text
    assert page.count('scope="row"') == 200
    assert "200 of 203 are shown." in page
    assert browser.get("/admin/keys?q=k202", headers=PAGE).text.count('scope="row"') == 1


@pytest.mark.parametrize("path", ["/admin/keys", "/admin/keys/alice", "/admin/keys?q=nobody"])
def test_the_page_is_chinese_for_who_reads_chinese(browser: FlaskClient, send: Callable[..., Any], path: str) -> None:
    send("make", **FULL)
    page = browser.get(path, headers={**PAGE, "Accept-Language": "zh-CN"}).text
    assert not ENGLISH.search(text_of(page)), ENGLISH.findall(text_of(page))
