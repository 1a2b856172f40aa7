"""Limits of a key hold over all workers, whatever comes at once: on SQLite, and on PostgreSQL with Redis."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.postgres_server import PostgresServer
from tests.support.waiting import until
from tests.support.workers import until_each_worker

WORKERS = 4
CALLS = 200
APP = "wsgi:app"
"""As it is, for its workers hold something ahead; the app that records hides from them how."""
MOST_AHEAD = 16
"""No worker holds more ahead than this part of a budget."""
RESERVED = 60
"""More tokens than a call reserves: those of some 110 bytes, and the 20 that it asks for."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql and redis"])
def crowded(
    request: pytest.FixtureRequest, simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bridge]:
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "DATABASE_TIMEOUT_S": "60"}
    if request.param != "sqlite":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        env |= {"DATABASE_URL": server.new_database(), "REDIS_URL": request.getfixturevalue("redis_server")}
    with Bridge(env, tmp_path_factory.mktemp("crowded"), workers=WORKERS, app=APP) as running:
        yield running


def make(bridge: Bridge, name: str, **limits: Any) -> str:
    made = bridge.post("/admin/keys", json={"name": name, **limits})
    assert made.status_code == 200, made.text
    return str(made.json()["secret"])


def call(bridge: Bridge, secret: str, *, stream: bool = False, prompt: str = "hi") -> requests.Response:
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": prompt}], "max_tokens": 20, "stream": stream}
    headers = {"Authorization": f"Bearer {secret}"}
    return requests.post(f"{bridge.url}/v1/chat/completions", json=body, headers=headers, timeout=120)


def calls(bridge: Bridge, secret: str, *, stream: bool = False) -> list[requests.Response]:
    with ThreadPoolExecutor(CALLS) as pool:
        return list(pool.map(lambda _: call(bridge, secret, stream=stream), range(CALLS)))


def assert_all_was_counted(bridge: Bridge) -> None:
    """What database or store do not answer in time counts for nothing, as promised: then no limit would have held, and
    nothing that is asserted after this would tell anything."""
    not_counted = ("database cannot be", "requests are not counted")
    assert [line for line in bridge.log.splitlines() if any(words in line for words in not_counted)] == []


def settled(bridge: Bridge, name: str) -> dict[str, Any]:
    """How the budget stands when all calls are settled, each of which is after its client has the answer."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = bridge.get(f"/admin/keys/{name}").json()["budgets"][0]
        return found

    until(lambda: not look()["reserved"])
    return look()


def is_refused(bridge: Bridge, session: requests.Session, secret: str) -> bool:
    headers = {"Authorization": f"Bearer {secret}"}
    return session.get(f"{bridge.url}/v1/models", headers=headers, timeout=60).status_code == 401


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_budget_is_kept_to_the_token(crowded: Bridge, stream: bool) -> None:
    """Each answer costs some tokens, and reserves more: no more is spent than there is, but for the last answer, which
    may use what is left when it is alone."""
    name = f"budget-{stream}"
    secret = make(crowded, name, budgets=[{"amount": 2000, "unit": "tokens", "per": "total"}])
    answers = calls(crowded, secret, stream=stream)
    assert_all_was_counted(crowded)
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    told = settled(crowded, name)
    assert told["used"] < 2000 + RESERVED, told
    assert statuses[200] > 2000 // RESERVED
    if not stream:
        assert told["used"] == sum(
            answer.json()["usage"]["total_tokens"] for answer in answers if answer.status_code == 200
        )


def test_a_budget_that_workers_hold_ahead_of_is_used_to_its_end(crowded: Bridge) -> None:
    """It is far from its end at first, so that calls begin in memory, and near it at last. Nobody is refused before
    that, and what is told meanwhile is never more than there is."""
    budget, name = 20_000, "ahead"
    secret = make(crowded, name, budgets=[{"amount": budget, "unit": "tokens", "per": "total"}])
    answers: list[requests.Response] = []
    while not answers or answers[-1].status_code == 200:
        answers += sorted(calls(crowded, secret), key=lambda answer: answer.status_code)
    assert_all_was_counted(crowded)
    served = [answer for answer in answers if answer.status_code == 200]
    used = sum(answer.json()["usage"]["total_tokens"] for answer in served)
    told = settled(crowded, name)
    assert told["used"] == used
    assert used < budget + RESERVED
    # Who is refused finds no more left than those hold that are under way, and there are no more than these at once;
    # and what workers hold ahead that got no turn to give it back while the refused one waited.
    assert len(served) * RESERVED > budget - CALLS * RESERVED - WORKERS * budget // MOST_AHEAD
    # Nobody holds anything now, and each of these is alone, so that it may use the rest: none is refused before that.
    while (used := settled(crowded, name)["used"]) < budget:
        assert (answer := call(crowded, secret)).status_code == 200, answer.text
    assert used < budget + RESERVED
    assert call(crowded, secret).json()["error"]["code"] == "insufficient_quota"


def test_no_more_answers_are_in_progress_than_the_limit_allows(crowded: Bridge, simulator_process: Simulator) -> None:
    """Workers hold slots ahead when all come at once, and who is refused has called these back: the limit is reached,
    and never passed."""
    limit, name = 60, "at-a-time"
    secret = make(crowded, name, concurrent=limit)

    def call_at_the_gate(_: int) -> int:
        return call(crowded, secret, prompt=f"[[gate: {name}]] hi").status_code

    def held() -> int:
        return simulator_process.gates().get(name, 0)

    with ThreadPoolExecutor(CALLS) as pool:
        # Calls that end at once, so that workers hold something ahead; those that are refused do not matter here.
        list(pool.map(lambda _: call(crowded, secret), range(CALLS)))
        going = [pool.submit(call_at_the_gate, number) for number in range(CALLS)]
        try:
            until(lambda: held() + sum(one.done() for one in going) == CALLS)
            assert_all_was_counted(crowded)
            assert 0 < held() <= limit
            # A worker that got no turn for three seconds may have kept some slots: then there is still room.
            while held() < limit:
                going.append(pool.submit(call_at_the_gate, 0))
                until(lambda: held() + sum(one.done() for one in going) == len(going))
            assert held() == limit
        finally:
            simulator_process.open_gate(name)
        assert Counter(one.result() for one in going) == {200: limit, 429: len(going) - limit}
    assert_all_was_counted(crowded)


def test_requests_per_minute_are_counted_to_one(crowded: Bridge) -> None:
    secret = make(crowded, "rate", requests_per_minute=50)
    began = time.monotonic()
    statuses = Counter(answer.status_code for answer in calls(crowded, secret))
    assert_all_was_counted(crowded)
    # Exactly, unless a minute has passed on a machine with much else to do: then the last calls are in the next one.
    windows = 1 + int((time.monotonic() - began) // 60)
    assert statuses.total() == statuses[200] + statuses[429] == CALLS
    assert 50 <= statuses[200] <= 50 * windows


def test_a_revocation_is_heard_of_by_all_workers(crowded: Bridge) -> None:
    secret = make(crowded, "short-lived")
    assert Counter(answer.status_code for answer in calls(crowded, secret)) == {200: CALLS}
    crowded.call("DELETE", "/admin/keys/short-lived")
    until_each_worker(crowded, lambda session: is_refused(crowded, session, secret))
    assert Counter(answer.status_code for answer in calls(crowded, secret)) == {401: CALLS}
