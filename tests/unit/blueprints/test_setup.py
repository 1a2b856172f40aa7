"""The setup page: the command's text for programs, a page for browsers, and no key in either."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.clients.registry import CLIENTS
from app.errors import SignInRequiredError, UpstreamConnectError
from app.gateway import Gateway
from app.settings import DEFAULT_API_KEY, Settings
from app.upstream.catalog import Catalog
from tests.support.secrets import API_KEY
from tests.unit.clients.models import model, observed

KEY = {"Authorization": f"Bearer {API_KEY}"}
HTML = {**KEY, "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalog, "models", lambda _: tuple(observed()))


def test_programs_get_the_text_of_the_command(client: FlaskClient, gateway: Gateway) -> None:
    for name in CLIENTS:
        answer = client.get(f"/setup/{name}", headers=KEY)
        assert answer.status_code == 200
        assert answer.content_type == "text/plain; charset=utf-8"
        command = client.application.test_cli_runner().invoke(args=["configure", name, "--url", "http://localhost"])
        assert answer.text == command.output


def test_programs_get_a_list(client: FlaskClient) -> None:
    listed = client.get("/setup", headers=KEY)
    assert listed.json == {name: f"http://localhost/setup/{name}" for name in CLIENTS}


def test_the_page_has_every_client_and_opens_one(client: FlaskClient) -> None:
    page = client.get("/setup/codex", headers=HTML).text
    sections = re.findall(r'<details class="card" id="([a-z-]+)"( open)?>', page)
    assert [name for name, _ in sections] == list(CLIENTS)
    assert [name for name, opened in sections if opened] == ["codex"]
    assert "[model_providers.copilot-bridge]" in page


def test_a_key_of_ones_own_is_never_sent(client: FlaskClient) -> None:
    for path in ("/setup", "/setup/claude-code"):
        for headers in (KEY, HTML):
            answer = client.get(path, headers=headers)
            assert API_KEY not in answer.text
            assert answer.headers["Cache-Control"] == "no-store"


def test_the_well_known_key_is_filled_in(environment: dict[str, str]) -> None:
    client = create_app(Settings.from_env({**environment, "API_KEY": DEFAULT_API_KEY})).test_client()
    page = client.get("/setup", headers={"Authorization": f"Bearer {DEFAULT_API_KEY}", "Accept": "text/html"}).text
    assert f"export ANTHROPIC_AUTH_TOKEN={DEFAULT_API_KEY}" in page
    assert 'id="key"' not in page, "there is nothing to fill in"
    assert 'href="cherrystudio://' in page


def test_it_needs_a_key(client: FlaskClient) -> None:
    assert client.get("/setup").status_code == 401
    assert client.get("/setup/codex", headers={"Accept": "text/html"}).status_code == 401


@pytest.mark.parametrize("path", ["/setup", "/setup/codex"])
def test_a_browser_comes_back_after_entering_the_key(client: FlaskClient, path: str) -> None:
    asked = client.get(path, headers={"Accept": "text/html"}).text
    assert f'name="next" value="{path}"' in asked
    entered = client.post(
        "/auth/key", data={"api_key": API_KEY, "next": path}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert entered.headers["Location"] == path
    assert client.get(path, headers={"Accept": "text/html"}).status_code == 200
    swapped = client.get(f"{path}?api_key={API_KEY}&lang=zh", headers={"Accept": "text/html"})
    assert swapped.headers["Location"] == f"{path}?lang=zh"


def test_the_address_is_the_one_that_the_browser_used(environment: dict[str, str]) -> None:
    app = create_app(Settings.from_env({**environment, "TRUSTED_PROXIES": "1"}))
    headers = {
        **HTML,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "ai.example.com",
        "X-Forwarded-Prefix": "/bridge",
        "X-Forwarded-For": "203.0.113.9",
    }
    page = app.test_client().get("/setup", headers=headers).text
    found = set(re.findall(r"export ANTHROPIC_BASE_URL=(\S+)", page))
    assert len(found) == 1
    assert found.pop().startswith("https://ai.example.com")


def test_a_host_that_is_no_host_does_no_harm(client: FlaskClient) -> None:
    answer = client.get("/setup", headers={**HTML, "Host": 'x"><script>alert(1)</script>'})
    assert "<script>alert(1)" not in answer.text


def test_names_of_models_are_escaped(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = '</pre><script>alert(1)</script>"'
    monkeypatch.setattr(Catalog, "models", lambda _: (model("gpt-5.4", name=evil), model(f"gpt-4-{evil}")))
    assert "<script>alert(1)" not in client.get("/setup", headers=HTML).text


def test_a_chosen_model_is_used_and_stays_chosen(client: FlaskClient) -> None:
    page = client.get("/setup?model=claude-opus-4.6", headers=HTML).text
    assert "export ANTHROPIC_MODEL=claude-opus-4.6" in page
    assert '<option value="claude-opus-4.6" selected>' in page
    assert "ANTHROPIC_MODEL=claude-sonnet-4.6" in client.get("/setup?model=", headers=HTML).text


def test_a_model_that_is_none_is_refused(client: FlaskClient) -> None:
    assert client.get("/setup/codex?model=gpt-9", headers=KEY).status_code == 400
    refused = client.get("/setup?model=gpt-9", headers=HTML)
    assert refused.status_code == 400
    assert "gpt-9" in refused.text


def test_an_unknown_client_is_a_404_with_the_list(client: FlaskClient) -> None:
    for headers in (KEY, HTML):
        missing = client.get("/setup/emacs", headers=headers)
        assert missing.status_code == 404
        assert "claude-code" in missing.text


@pytest.mark.parametrize(
    ("query", "accept", "language"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("", "zh-TW", "zh-Hans"),
        ("", "de,en;q=0.5,zh;q=0.4", "en"),
        ("", "fr", "en"),
        ("?lang=zh", "en", "zh-Hans"),
        ("?lang=en", "zh", "en"),
        ("?lang=nonsense", "zh", "en"),
    ],
)
def test_the_language(client: FlaskClient, query: str, accept: str, language: str) -> None:
    page = client.get(f"/setup{query}", headers={**HTML, "Accept-Language": accept}).text
    assert f'<html lang="{language}">' in page
    assert ("客户端" in page) == (language == "zh-Hans")


@pytest.mark.parametrize(
    ("error", "link"),
    [
        (
            SignInRequiredError("Not signed in to GitHub yet. Open /auth/device in a browser to sign in."),
            "/auth/device",
        ),
        (UpstreamConnectError("Could not reach Copilot."), "/setup/codex"),
    ],
)
def test_without_a_model_list_the_page_still_shows(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: Any, link: str
) -> None:
    def fail(_: Catalog) -> Any:
        raise error

    monkeypatch.setattr(Catalog, "models", fail)
    page = client.get("/setup/codex", headers=HTML)
    assert page.status_code == 200
    assert error.message in page.text
    assert f'href="{link}"' in page.text
    assert "<details" not in page.text
    assert client.get("/setup/codex", headers=KEY).status_code == error.status


def test_other_systems_keep_files_elsewhere(client: FlaskClient) -> None:
    agent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
    assert "Library/Application Support" in client.get("/setup/llm", headers={**KEY, "User-Agent": agent}).text


def test_the_page_is_linked(client: FlaskClient) -> None:
    assert 'href="/setup" aria-current="page"' in client.get("/setup", headers=HTML).text
    assert "/setup" in (Path(__file__).parents[3] / "README.md").read_text("utf-8")
