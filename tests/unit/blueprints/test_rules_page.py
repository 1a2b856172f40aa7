"""The page of rules: added, changed, moved, deleted, tried and undone by forms, and by nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.secrets import API_KEY
from tests.unit.blueprints.test_pages import ENGLISH, text_of

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
RULES, FORM = "/admin/mapping/rules", "/admin/mapping/rules/form"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def browser(signed_in: None, catalogue: Callable[..., None], app: Flask) -> FlaskClient:
    """One that has shown API_KEY."""
    catalogue({"id": "gpt-4.1", "vendor": "OpenAI", "billing": {"multiplier": 0.5}})
    client = app.test_client()
    assert client.post("/auth/key", data={"api_key": API_KEY}, headers=PAGE).status_code == 303
    return client


@pytest.fixture
def send(browser: FlaskClient) -> Callable[..., Any]:
    def form(action: str, **fields: Any) -> Any:
        page = browser.get(RULES, headers=PAGE).text
        token = page.partition('name="token" value="')[2].partition('"')[0]
        return browser.post(FORM, data={"token": token, "action": action, **fields}, headers=PAGE)

    return form


def rules(client: FlaskClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(RULES, headers=KEY).get_json()["rules"]
    return found


def was(client: FlaskClient, number: int) -> str:
    """What the page says of the rule that it shows at this number."""
    page = client.get(f"{RULES}?rule={number}", headers=PAGE).text.partition('value="change"')[2]
    return unescape(page.partition('name="was" value="')[2].partition('"')[0])


FULL = {
    "match": "claude-*",
    "to": "claude-sonnet-4.6\r\n gpt-4.1 \r\n\r\n",
    "keys": "alice\nbob*",
    "purposes": ["title", "summary"],
    "fall_back": "on",
    "note": "cheap titles",
}


def test_a_rule_is_added_changed_moved_and_deleted_by_forms(send: Callable[..., Any], browser: FlaskClient) -> None:
    assert send("add", match="first", to="a").headers["Location"] == f"{RULES}?done=add"
    send("add", **FULL)
    send("add", match="top", to="t", number="1")
    assert [rule["match"] for rule in rules(browser)] == ["top", "first", "claude-*"]
    assert rules(browser)[2] == {
        "number": 3, "match": "claude-*", "to": ["claude-sonnet-4.6", "gpt-4.1"], "keys": ["alice", "bob*"],
        "purposes": ["title", "summary"], "fall_back": True, "note": "cheap titles",
    }  # fmt: skip
    send("change", **{**FULL, "note": "", "keys": ""}, number="3", was=was(browser, 3))
    assert "keys" not in rules(browser)[2]
    send("up", number="3", was=was(browser, 3))
    assert [rule["match"] for rule in rules(browser)] == ["top", "claude-*", "first"]
    send("up", number="1", was=was(browser, 1))  # there is nothing above it
    send("delete", number="1", was=was(browser, 1))
    page = browser.get(f"{RULES}?done=delete", headers=PAGE).text
    assert "Saved. It holds from the next call on" in page
    assert [rule["match"] for rule in rules(browser)] == ["claude-*", "first"]


def test_the_form_of_a_rule_holds_what_it_is(send: Callable[..., Any], browser: FlaskClient) -> None:
    send("add", **FULL)
    page = browser.get(f"{RULES}?rule=1", headers=PAGE).text
    form = unescape(page.partition('id="edit"')[2])
    assert 'value="claude-*"' in form
    assert ">claude-sonnet-4.6\ngpt-4.1</textarea>" in form
    assert re.findall(r'value="([a-z_]+)" checked', form) == ["title", "summary"]
    assert 'name="fall_back" checked' in form


@pytest.mark.parametrize("action", ["change", "delete", "up"])
def test_a_rule_that_somebody_else_has_moved_is_left_alone(
    send: Callable[..., Any], browser: FlaskClient, action: str
) -> None:
    for name in ("a", "b"):
        send("add", match=name, to="x")
    seen = was(browser, 2)
    send("add", match="c", to="x", number="1")
    answer = send(action, number="2", was=seen, match="mine", to="y")
    assert answer.status_code == 400
    assert "Somebody has changed the rules meanwhile." in answer.text
    assert [rule["match"] for rule in rules(browser)] == ["c", "a", "b"]


def test_changes_stand_in_the_history_and_can_be_undone(send: Callable[..., Any], browser: FlaskClient) -> None:
    send("add", match="first", to="a")
    send("delete", number="1", was=was(browser, 1))
    page = browser.get(RULES, headers=PAGE).text
    assert "rule 1 deleted" in page
    number = browser.get("/admin/mapping/history", headers=KEY).get_json()["changes"][0]["number"]
    assert send("undo", number=str(number)).headers["Location"] == f"{RULES}?done=undo"
    assert [rule["match"] for rule in rules(browser)] == ["first"]
    assert send("undo", number="99").status_code == send("undo", number="x").status_code == 404


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"match": ""}, "Enter the name that clients ask for"),
        ({"match": "a\x07"}, "Enter the name that clients ask for"),
        ({"to": ""}, "Enter 1 to 10 models"),
        ({"to": "\n".join("abcdefghijk")}, "Enter 1 to 10 models"),
        ({"keys": "\n".join(map(str, range(51)))}, "Keys are at most 50 names"),
        ({"purposes": ["fun"]}, "Choose purposes of the list."),
        ({"note": "x" * 201}, "The note is one line of at most 200 characters."),
        ({"number": "0"}, "The place is a whole number above 0"),
        ({"number": "-1"}, "The place is a whole number above 0"),
        ({"number": "x"}, "The place is a whole number above 0"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(
    send: Callable[..., Any], browser: FlaskClient, fields: dict[str, Any], says: str
) -> None:
    answer = send("add", **{"match": "keep-me", "to": "keep-me-too", **fields})
    assert answer.status_code == 400
    assert says in answer.text
    assert "keep-me" in answer.text
    assert rules(browser) == []


def test_more_rules_than_there_may_be_are_refused_in_words(send: Callable[..., Any], browser: FlaskClient) -> None:
    many = [{"match": f"m{number}", "to": "x"} for number in range(100)]
    browser.put(RULES, json={"rules": many}, headers=KEY)
    answer = send("add", match="one", to="more")
    assert (answer.status_code, "There are 100 rules already" in answer.text) == (400, True)


def test_a_call_is_tried_out(send: Callable[..., Any], browser: FlaskClient) -> None:
    send("add", match="claude-*", to="missing-1\ngpt-4.1", purposes=["title"], fall_back="on")
    page = browser.get(f"{RULES}?model=claude-x&key=&purpose=title", headers=PAGE).text
    told = " ".join(text_of("<body>" + page.partition('id="outcome"')[2].partition("</div>")[0]).split())
    assert "by rule 1" in told
    assert "The account does not have:" in told
    assert "0.5 premium requests for each request" in told
    assert "nothing maps it" in browser.get(f"{RULES}?model=claude-x&purpose=turn", headers=PAGE).text
    assert "would be refused" in browser.get(f"{RULES}?model=claude-x", headers=PAGE).text
    for query in ("model=", "model=a%07", "model=a&key=%07", "model=a&purpose=fun"):
        assert "Enter a model, and a key" in browser.get(f"{RULES}?{query}", headers=PAGE).text


def test_only_the_page_of_this_browser_changes_rules(browser: FlaskClient, send: Callable[..., Any]) -> None:
    send("add", match="first", to="a")
    before, seen = rules(browser), was(browser, 1)
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        for action in ("add", "change", "delete", "up", "undo"):
            for token in ({}, {"token": "0" * 64}):
                sent = {"action": action, "number": "1", "was": seen, "match": "x", "to": "y", **token}
                assert browser.post(FORM, data=sent, headers={"Accept": "text/html", **headers}).status_code == 403
    assert rules(browser) == before


@pytest.mark.parametrize(("query", "status"), [("rule=1", 404), ("rule=x", 404), ("rule=", 200)])
def test_a_rule_that_is_none_is_told(browser: FlaskClient, query: str, status: int) -> None:
    assert browser.get(f"{RULES}?{query}", headers=PAGE).status_code == status


def test_names_of_others_do_not_run(browser: FlaskClient, send: Callable[..., Any]) -> None:
    send("add", match=HOSTILE, to=HOSTILE, keys=HOSTILE, note=HOSTILE)
    for query in ("", "?rule=1", f"?model={HOSTILE}", f"?model=a&key={HOSTILE}&purpose={HOSTILE}"):
        page = browser.get(RULES + query, headers=PAGE)
        assert (page.status_code, HOSTILE in page.text) == (200, False)
    assert HOSTILE not in browser.get("/admin/mapping", headers=PAGE).text


@pytest.mark.parametrize("query", ["", "?rule=1", "?model=claude-x&purpose=title", "?model=", "?done=undo"])
def test_the_page_is_chinese_for_who_reads_chinese(browser: FlaskClient, send: Callable[..., Any], query: str) -> None:
    send("add", **FULL)
    page = browser.get(RULES + query, headers={**PAGE, "Accept-Language": "zh-CN"}).text
    assert '<html lang="zh-Hans">' in page
    assert "已添加 claude-* 的规则" in page
    assert not ENGLISH.search(text_of(page)), ENGLISH.findall(text_of(page))
