"""The upstream, mocked at the edge of requests. The only place that imports the `responses` library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from requests.adapters import HTTPAdapter

from app.outbound import Adapter, Outbound
from app.store.sqlite import SqliteStore

TOKEN_URL = "https://api.github.test/copilot_internal/v2/token"
ENVELOPE = {"token": "tid=test;exp=1:mac", "expires_at": 4_000_000_000, "refresh_in": 1500}


@pytest.fixture(autouse=True)
def _stores_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service keeps its state file open until it ends, and so do the apps that tests make."""
    made: list[SqliteStore] = []
    make = SqliteStore.__init__

    def make_and_note(store: SqliteStore, *args: Any, **kwargs: Any) -> None:
        make(store, *args, **kwargs)
        made.append(store)

    monkeypatch.setattr(SqliteStore, "__init__", make_and_note)
    yield
    for store in made:
        store.close()  # not its connection alone: somebody in the background may be at work with it


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[responses.RequestsMock]:
    """No request leaves; each must be declared."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        # Ours goes past requests' own, where the mock stands.
        monkeypatch.setattr(Adapter, "send", HTTPAdapter.send)
        yield mock


@pytest.fixture
def outbound(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbound]:
    """The way out of a machine that names neither a proxy nor certificates of its own."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    found = Outbound()
    yield found
    found.close()


@pytest.fixture
def signed_in(environment: dict[str, str], upstream: responses.RequestsMock) -> None:
    """A GitHub token in the environment, and a GitHub that exchanges it. Ask for it before `app`."""
    environment["GH_COPILOT_TOKEN"] = "ghu_test_unit"
    upstream.get(TOKEN_URL, json=ENVELOPE)


@pytest.fixture
def catalogue(upstream: responses.RequestsMock) -> Callable[..., None]:
    """Declare the model list: ``catalogue("gpt-4.1", {"id": …, …})``."""

    def declare(*models: str | dict[str, Any]) -> None:
        entries = [model if isinstance(model, dict) else {"id": model, "vendor": "OpenAI"} for model in models]
        upstream.get("https://copilot.test/models", json={"data": entries, "object": "list"})

    return declare
