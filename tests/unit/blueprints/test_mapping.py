"""The mapping as a page, and as JSON for programs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.errors import Sentence, UpstreamConnectError
from app.gateway import Gateway
from app.upstream.catalog import Catalog
from tests.support.secrets import API_KEY
from tests.unit.clients.models import model

PAGE = "/admin/mapping"
HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Site": "same-origin"}
KEY = {"x-api-key": API_KEY}


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalog, "models", lambda _: (model("gpt-4.1"), model("claude-opus-4.6")))


@pytest.fixture
def browser(client: FlaskClient) -> FlaskClient:
    """One that knows the key."""
    client.post("/auth/key", data={"api_key": API_KEY}, headers=HTML)
    return client


def send(browser: FlaskClient, action: str, **fields: str) -> Any:
    token = re.findall(r'name="token" value="([0-9a-f]+)"', browser.get(PAGE, headers=HTML).text)[0]
    form = {"token": token, "action": action, "from": fields.get("source", ""), "to": fields.get("target", "")}
    return browser.post(PAGE, data=form, headers=HTML)


def rows(html: str) -> list[list[str]]:
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", html.partition("<tbody>")[2], re.DOTALL)
    return [re.findall(r"<code>(.*?)</code>", row) for row in found]


def test_programs_get_json_byte_for_byte(client: FlaskClient, gateway: Gateway) -> None:
    gateway.mapping.set("中文", "gpt-4.1")
    for accept in (
        {},
        {"Accept": "*/*"},
        {"Accept": "application/json"},
        {"Accept": "application/json, text/html;q=0.5"},
    ):
        answer = client.get(PAGE, headers={**KEY, **accept})
        assert answer.content_type == "application/json"
        assert answer.data == (
            '{"gpt-o4-mini":"claude-opus-4.6","gpt-4o-mini":"claude-opus-4.6","中文":"gpt-4.1"}'.encode()
        )


def test_the_page_shows_saves_changes_and_deletes(browser: FlaskClient, gateway: Gateway) -> None:
    initial = gateway.mapping.all()
    assert rows(browser.get(PAGE, headers=HTML).text) == [list(pair) for pair in initial.items()]
    saved = send(browser, "set", source=" my model ", target="gpt-4.1")
    assert saved.status_code == 303
    page = browser.get(saved.headers["Location"], headers=HTML).text
    assert rows(page)[-1] == ["my model", "gpt-4.1"]
    assert "Saved: my model now goes to gpt-4.1." in page
    send(browser, "set", source="my model", target="claude-opus-4.6")
    assert gateway.mapping.all()["my model"] == "claude-opus-4.6"
    edited = browser.get(f"{PAGE}?edit=my+model", headers=HTML).text
    assert 'name="from" value="my model"' in edited
    assert 'name="to" value="claude-opus-4.6"' in edited
    deleted = send(browser, "delete", source="my model")
    assert "my model is no longer mapped." in browser.get(deleted.headers["Location"], headers=HTML).text
    assert gateway.mapping.all() == initial


def test_the_mapping_is_reset_after_a_question(browser: FlaskClient, gateway: Gateway) -> None:
    initial = gateway.mapping.all()
    assert "?reset=1" not in browser.get(PAGE, headers=HTML).text
    send(browser, "set", source="a", target="b")
    assert "?reset=1" in browser.get(PAGE, headers=HTML).text
    assert 'name="action" value="reset"' in browser.get(f"{PAGE}?reset=1", headers=HTML).text
    assert gateway.mapping.all() != initial, "asking changes nothing"
    done = send(browser, "reset")
    assert "again what the settings say" in browser.get(done.headers["Location"], headers=HTML).text
    assert gateway.mapping.all() == initial


@pytest.mark.parametrize(("target", "known"), [("gpt-4.1", True), ("claude-opus-4.6", True), ("gpt-9", False)])
def test_a_target_that_the_list_lacks_is_marked(browser: FlaskClient, target: str, known: bool) -> None:
    saved = send(browser, "set", source="x", target=target)
    page = browser.get(saved.headers["Location"], headers=HTML).text
    assert ("model list has no" in page) == (not known)
    row = page.partition("<code>x</code>")[2].partition("</tr>")[0]
    assert ("not in your list" in row) == (not known)


def test_models_are_offered(browser: FlaskClient) -> None:
    page = browser.get(PAGE, headers=HTML).text
    assert re.findall(r'<option value="(.*?)">', page) == ["gpt-4.1", "claude-opus-4.6"]


def test_without_a_model_list_the_mapping_can_still_be_changed(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Catalog) -> Any:
        raise UpstreamConnectError(Sentence("%(host)s sent nothing for too long.", host="copilot.test"))

    monkeypatch.setattr(Catalog, "models", fail)
    page = browser.get(send(browser, "set", source="x", target="y").headers["Location"], headers=HTML).text
    assert "copilot.test sent nothing for too long." in page
    assert "not in your list" not in page
    assert "Saved: x now goes to y." in page


@pytest.mark.parametrize(
    ("action", "source", "target", "fields"),
    [
        ("set", "", "gpt-4.1", ["from"]),
        ("set", "x", " ", ["to"]),
        ("set", "x" * 300, "y\u0007", ["from", "to"]),
        ("delete", "", "", ["from"]),
        ("rename", "x", "y", []),
        ("", "", "", []),
    ],
)
def test_a_wrong_form_is_shown_again_with_what_is_wrong(
    browser: FlaskClient, gateway: Gateway, action: str, source: str, target: str, fields: list[str]
) -> None:
    before = gateway.mapping.all()
    answer = send(browser, action, source=source, target=target)
    assert answer.status_code == 400
    assert re.findall(r'name="(\w+)"[^>]*aria-invalid="true"', answer.text) == fields
    assert 'role="alert"' in answer.text
    assert gateway.mapping.all() == before


def test_a_form_without_its_token_changes_nothing(browser: FlaskClient, gateway: Gateway) -> None:
    before = gateway.mapping.all()
    for headers in (HTML, {**HTML, "Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {}):
        for token in ({}, {"token": ""}, {"token": "ä"}):
            form = {"action": "set", "from": "a", "to": "b", **token}
            assert browser.post(PAGE, data=form, headers=headers).status_code == 403
    assert gateway.mapping.all() == before


def test_names_are_shown_as_text(browser: FlaskClient, gateway: Gateway) -> None:
    evil = '"><script>alert(1)</script>'
    gateway.mapping.set(evil, evil)
    for query in ("", "?done=set&name=" + evil, "?edit=" + evil):
        page = browser.get(PAGE + query, headers=HTML).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_the_address_of_the_page_can_pretend_nothing(browser: FlaskClient) -> None:
    for query in ("?done=set&name=nobody", "?done=delete&name=gpt-4o-mini", "?done=delete&name="):
        assert 'class="note good"' not in browser.get(PAGE + query, headers=HTML).text
