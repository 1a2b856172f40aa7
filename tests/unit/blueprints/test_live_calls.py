"""Who follows the calls is told that there are new ones, of those that concern them, as long as it is of use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from flask import Flask
from flask.testing import FlaskClient

from app.blueprints import _live
from app.blueprints._live import BEAT_S, LIFE_S, LOOK_S, news
from app.errors import ClientGone
from app.gateway import Gateway
from app.metrics.recent import RecentCalls
from app.metrics.share import WorkerShare
from tests.unit.blueprints.test_calls import ANSWER, BODY, KEY, PAGE, URL

# ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Hours:
    """A clock that runs while somebody sleeps, and what happens meanwhile."""

    def __init__(self, states: dict[int, str] | None = None, stops_at: float = 1e9) -> None:
        self.now, self.asked = 0.0, 0
        self._states, self._stops_at = states or {}, stops_at
        self.version = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.version += round(self.now) in self._states

    def state(self) -> str:
        self.asked += 1
        return next((state for at, state in sorted(self._states.items(), reverse=True) if at <= self.now), "first")

    def stream(self, seen: str | None = None) -> Iterator[bytes]:
        return news(
            lambda: self.version,
            self.state,
            seen,
            stops=lambda: self.now >= self._stops_at,
            sleep=self.sleep,
            clock=lambda: self.now,
        )


def told(pieces: Iterator[bytes]) -> list[str]:
    """The states that events tell of; each has it as its id too."""
    events = [piece.decode() for piece in pieces if b"event: news" in piece]
    states = [json.loads(event.partition("data: ")[2])["state"] for event in events]
    assert [event.partition("\n")[0] for event in events] == [f"id: {state}" for state in states]
    assert all(event.endswith("\n\n") for event in events)
    return states


@pytest.mark.parametrize(
    ("seen", "states", "expected"),
    [
        (None, {}, []),
        ("first", {}, []),
        ("older", {}, ["first"]),  # something came before the stream was there
        (None, {5: "second"}, ["second"]),
        ("first", {5: "second", 9: "third"}, ["second", "third"]),
        ("first", {5: "first"}, []),  # a call that the filters keep out
        ("older", {5: "second"}, ["first", "second"]),
    ],
)
def test_it_is_told_whenever_the_state_is_another(
    seen: str | None, states: dict[int, str], expected: list[str]
) -> None:
    hours = Hours(states)
    assert told(hours.stream(seen)) == expected
    assert hours.asked == 1 + len(states)  # not each time that it looks


def test_it_beats_while_nothing_happens_and_ends_in_the_end() -> None:
    hours = Hours()
    first, *beats = hours.stream()
    assert first == b"retry: 2000\n\n"
    assert set(beats) == {b":\n\n"}
    assert len(beats) == LIFE_S / BEAT_S - 1
    assert hours.now == LIFE_S


@pytest.mark.parametrize("at", [0, 1, 100])
def test_a_worker_that_stops_waits_for_none_of_it(at: int) -> None:
    hours = Hours(stops_at=at)
    list(hours.stream())
    assert hours.now <= at + LOOK_S


# ── the address ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def client(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr(_live, "LOOK_S", 0)
    return client


@pytest.fixture
def ask(
    signed_in: None, catalogue: Callable[..., None], upstream: responses.RequestsMock, client: FlaskClient
) -> Callable[..., None]:
    catalogue("gpt-4.1", "gpt-5")

    def call(headers: dict[str, str] = KEY, **more: Any) -> None:
        upstream.post(URL, json=ANSWER)
        with client.post("/v1/chat/completions", json=BODY | more, headers=headers) as response:
            assert response.status_code == 200

    return call


@pytest.fixture
def laptop(client: FlaskClient) -> dict[str, str]:
    made = client.post("/admin/keys", json={"name": "laptop"}, headers=KEY).get_json()
    return {"Authorization": f"Bearer {made['secret']}"}


class Stopping:
    """A worker that stops when its streams have looked so many times for news."""

    def __init__(self, looks: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._left, self._meanwhile = looks, meanwhile

    def __call__(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self._meanwhile()
        return self._left < 0


def follow(
    client: FlaskClient, headers: dict[str, str] = KEY, query: str = "", meanwhile: Callable[[], None] = lambda: None
) -> list[str]:
    """The states that are told of, when this happens after the stream has begun."""
    environ = {"bridge.stops": Stopping(2, meanwhile)}
    with client.get(f"/requests/events{query}", headers=headers, environ_overrides=environ) as response:
        assert response.status_code == 200
        return told(iter(response.data.replace(b"\n\n", b"\n\n\0").split(b"\0")))


def state_of(client: FlaskClient, query: str = "", headers: dict[str, str] = PAGE) -> str:
    page = client.get(f"/requests?live=1{query}", headers=headers).text
    return page.partition('data-state="')[2].partition('"')[0]


def test_it_is_a_stream_that_no_proxy_holds_back(client: FlaskClient) -> None:
    with client.get("/requests/events", headers=KEY, environ_overrides={"bridge.stops": Stopping(1)}) as response:
        assert response.mimetype == "text/event-stream"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Cache-Control"] == "no-store"


def test_a_new_call_is_told_of_and_the_page_then_has_it(ask: Callable[..., None], client: FlaskClient) -> None:
    before = state_of(client)
    [state] = follow(client, meanwhile=ask)
    assert state == state_of(client) != before
    assert follow(client, query=f"?since={state}") == []
    assert follow(client, query=f"?since={before}") == [state]  # it came between the page and the stream
    assert follow(client, KEY | {"Last-Event-ID": state}, f"?since={before}") == []  # the browser connects again


@pytest.mark.parametrize(
    ("query", "is_told"), [("?model=gpt-4.1", True), ("?model=gpt-5", False), ("?error=any", False), ("?key=x", False)]
)
def test_filters_are_those_of_the_page(
    ask: Callable[..., None], client: FlaskClient, query: str, is_told: bool
) -> None:
    assert bool(follow(client, query=query, meanwhile=ask)) is is_told
    page = client.get(f"/requests{query}&live=1", headers=PAGE).text
    assert f'data-events="/requests/events{query}"' in page


def test_a_client_key_is_told_of_its_own_calls_alone(
    ask: Callable[..., None], client: FlaskClient, laptop: dict[str, str]
) -> None:
    assert follow(client, laptop, meanwhile=ask) == []
    assert follow(client, laptop, "?key=", meanwhile=ask) == []
    assert len(follow(client, laptop, meanwhile=lambda: ask(laptop))) == 1
    assert len(follow(client, KEY, meanwhile=lambda: ask(laptop))) == 1


@pytest.mark.parametrize("role", ["client", "admin"])
def test_a_key_that_is_revoked_meanwhile_hears_no_more(
    ask: Callable[..., None], client: FlaskClient, gateway: Gateway, role: str
) -> None:
    """Nor does it hold its place among those who follow until its five minutes are over."""
    made = client.post("/admin/keys", json={"name": "phone", "role": role}, headers=KEY).get_json()
    phone = {"Authorization": f"Bearer {made['secret']}"}

    def revoke() -> None:
        ask(phone)
        assert client.delete("/admin/keys/phone", headers=KEY).status_code == 200
        gateway.client_keys.known.forget()

    stops = Stopping(2, revoke)
    with client.get("/requests/events", headers=phone, environ_overrides={"bridge.stops": stops}) as response:
        assert b"event: news" not in response.data
    assert stops._left == 0  # it ended by itself, before it looked whether the worker stops once more
    assert gateway.metrics.followers == 0
    assert client.get("/requests/events", headers=phone).status_code == 401


def test_whether_a_key_still_counts_costs_the_database_no_look_each_time(
    client: FlaskClient, gateway: Gateway, laptop: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who follow share the worker's copy of the keys, which is looked after once a second."""
    known, looks = gateway.client_keys.known, []
    version = known._registry.version

    def look() -> float:
        looks.append("")
        return version()

    monkeypatch.setattr(known, "_clock", lambda: 1e9)  # no time passes
    monkeypatch.setattr(known._registry, "version", look)
    stops = Stopping(90)
    with client.get("/requests/events", headers=laptop, environ_overrides={"bridge.stops": stops}) as response:
        assert response.data
    assert stops._left == -1
    assert len(looks) <= 1


def test_without_a_key_nothing_is_told(client: FlaskClient) -> None:
    assert client.get("/requests/events").status_code == 401
    assert client.get("/requests/events", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_browser_follows_by_its_cookie(client: FlaskClient, app: Flask) -> None:
    browser = app.test_client()
    sent = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
    key = KEY["Authorization"].removeprefix("Bearer ")
    assert browser.post("/auth/key", data={"api_key": key, "next": "/requests"}, headers=sent).status_code == 303
    assert follow(browser, {"Accept": "text/event-stream", "Sec-Fetch-Site": "same-origin"}) == []


@pytest.mark.parametrize("since", ["", "x", "0123456789ABCDEF", "0123456789abcdef0", "é" * 16])
def test_a_state_is_one_that_was_told(client: FlaskClient, since: str) -> None:
    answer = client.get("/requests/events", headers=KEY, query_string={"since": since})
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, "since")


def test_it_is_no_call_and_nothing_that_is_waited_for(client: FlaskClient, gateway: Gateway) -> None:
    seen = []

    def look() -> None:
        seen.append((gateway.books.tally.in_flight, gateway.metrics.followers, gateway.metrics.streams))

    accepted = gateway.books.tally.accepted
    assert follow(client, meanwhile=look) == []
    assert seen == [(0, 1, 0)]
    assert (gateway.books.tally.in_flight, gateway.metrics.followers) == (0, 0)
    assert gateway.books.tally.accepted == accepted
    assert client.get("/requests", headers=KEY).get_json()["calls"] == []


def test_who_is_too_many_is_told_so_and_may_come_when_another_has_gone(
    client: FlaskClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_live, "MOST", 1)
    with client.get("/requests/events", headers=KEY, environ_overrides={"bridge.stops": Stopping(1)}) as first:
        assert first.status_code == 200
        refused = client.get("/requests/events", headers=KEY)
        assert (refused.status_code, refused.get_json()["error"]["code"]) == (503, "overloaded")
        assert gateway.metrics.followers == 1
    assert follow(client) == []


def test_a_browser_that_leaves_ends_it(client: FlaskClient, gateway: Gateway) -> None:
    def leave() -> None:
        raise ClientGone

    with pytest.raises(ClientGone):
        follow(client, meanwhile=leave)
    gateway.metrics.calls()
    assert client.get("/requests/events", method="HEAD", headers=KEY).status_code == 200


def test_calls_of_another_worker_are_new_ones_too(gateway: Gateway, tmp_path: Any) -> None:
    metrics = gateway.metrics
    before = metrics.calls_version()
    assert metrics.calls_version() == before
    metrics.join(tmp_path, "1")
    alone = metrics.calls_version()
    other = WorkerShare(tmp_path, "2")
    seen = [alone]
    for lines in (b"1", b"2"):
        other.tell_calls(lines)
        seen.append(metrics.calls_version())
    WorkerShare(tmp_path, "1").tell_calls(RecentCalls().lines())  # its own file, which it need not read
    assert metrics.calls_version() == seen[-1]
    assert len(set(seen)) == 3


def test_what_comes_after_the_first_line_is_news() -> None:
    state = ["a"]
    lines = _live.news(lambda: state[0], lambda: state[0], None, stops=lambda: False, sleep=lambda _: None)
    assert next(lines).startswith(b"retry: ")
    state[0] = "b"
    assert next(lines).startswith(b"id: b\nevent: news\n")
