"""The governor over real HTTP, with two workers: a fair queue, keep-alives in it, limits that all heed, a brake."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import requests

from app.store import open_store
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.dialects import DOORS, PROTOCOLS, UPSTREAM_PATHS, asked_for, request, said
from tests.support.waiting import until
from tests.support.workers import until_each_worker

_PATIENCE_S = 60.0
MODELS = {"chat": "gpt-5.2", "messages": "claude-sonnet-4.6", "responses": "gpt-5.3-codex"}
FULL = {"chat": 503, "messages": 529, "responses": 503}
HOLD = "[[gate: hold]] [[say: held]]"


@pytest.fixture(scope="module")
def governed(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One call at a time, and eight that wait."""
    simulator_process.reset()
    env = {
        **simulator_process.settings_env(),
        "GH_COPILOT_TOKEN": "ghu_test_individual",
        "KEEP_ALIVE_S": "0.2",
        "MAX_UPSTREAM_CALLS": "1",
        "MAX_WAITING_CALLS": "8",
        "LONGEST_LIMIT_S": "3600",
    }
    with Bridge(env, tmp_path_factory.mktemp("governed"), workers=2) as running:
        running.chat("warm up: token and model list")
        yield running


@pytest.fixture
def upstream(governed: Bridge, simulator_process: Simulator) -> Iterator[Simulator]:
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    yield simulator_process

    def is_over() -> bool:
        if simulator_process.gates().get("hold"):  # a test has failed
            simulator_process.release(name="hold")
        line = line_of(governed)
        return not line["running"] and not line["waiting"]

    until(is_over)
    store = open_store(data_dir=governed.data_dir, redis_url=None)
    for key in store.scan("limits:"):
        store.delete(key)
    store.close()
    until_each_worker(governed, lambda session: not limits_known(governed, session))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def line_of(bridge: Bridge) -> dict[str, Any]:
    """Who calls and who waits, over all workers."""
    store = open_store(data_dir=bridge.data_dir, redis_url=None)
    try:
        told = list(store.scan("calls:").values())
    finally:
        store.close()
    return json.loads(told[0]) if told else {"running": [], "waiting": {}}


def limits_known(bridge: Bridge, session: requests.Session) -> bool:
    """Whether the worker of this session knows of a limit: it tells what it goes by."""
    return bool(session.get(f"{bridge.url}/usage", timeout=_PATIENCE_S).json()["limits"])


def limits_stored(bridge: Bridge) -> dict[str, str]:
    """What any worker could hear of."""
    store = open_store(data_dir=bridge.data_dir, redis_url=None)
    try:
        return store.scan("limits:")
    finally:
        store.close()


def waiting(bridge: Bridge, count: int) -> None:
    until(lambda: len(line_of(bridge)["waiting"]) == count)


def asked(simulator: Simulator) -> list[str]:
    """The prompts that Copilot was sent, in their order."""
    calls = [call for path in UPSTREAM_PATHS.values() for call in simulator.requests(path)]
    return [asked_for(call["json"]) for call in sorted(calls, key=lambda call: int(call["seq"]))]


def call(
    bridge: Bridge, dialect: str, text: str, *, key: str | None = None, id: str = "", **fields: Any
) -> requests.Response:
    body = {**request(dialect, MODELS[dialect], text, stream=False), **fields}
    headers = {"Authorization": f"Bearer {key or bridge.api_key}"} | ({"x-request-id": id} if id else {})
    stream = bool(fields.get("stream"))
    return requests.post(bridge.url + DOORS[dialect], json=body, headers=headers, timeout=_PATIENCE_S, stream=stream)


def held_up(bridge: Bridge, simulator: Simulator, pool: ThreadPoolExecutor) -> Future[requests.Response]:
    """A call that has the only place until the gate opens."""
    held = pool.submit(call, bridge, "chat", HOLD)
    simulator.wait_at_gate("hold")
    return held


def test_a_key_with_many_calls_does_not_starve_one_with_one(
    governed: Bridge, upstream: Simulator, pool: ThreadPoolExecutor
) -> None:
    greedy, modest = (
        governed.post("/admin/keys", json={"name": name}).json()["secret"] for name in ("greedy", "modest")
    )
    held = held_up(governed, upstream, pool)
    calls = []
    for number in range(6):
        calls.append(pool.submit(call, governed, PROTOCOLS[number % 3], f"greedy {number}", key=greedy))
        waiting(governed, number + 1)
    calls.append(pool.submit(call, governed, "chat", "modest", key=modest, id="modest"))
    waiting(governed, 7)
    assert asked(upstream) == [HOLD]
    upstream.release(name="hold")
    assert {one.result(_PATIENCE_S).status_code for one in (held, *calls)} == {200}
    assert asked(upstream) == [HOLD, "greedy 0", "modest", *(f"greedy {number}" for number in range(1, 6))]
    assert governed.request_line("modest")["waited_ms"] > 0
    assert not line_of(governed)["running"]


@pytest.mark.parametrize("dialect", PROTOCOLS)
def test_a_stream_that_waits_hears_that_we_are_alive(
    governed: Bridge, upstream: Simulator, pool: ThreadPoolExecutor, dialect: str
) -> None:
    held = held_up(governed, upstream, pool)
    with call(governed, dialect, "[[say: at last]]", stream=True, id=f"waits-{dialect}") as response:
        assert response.status_code == 200
        heard = b""
        while heard.count(b"\n\n") < 3:
            heard += response.raw.read1(65536)
        quiet = b'event: ping\ndata: {"type":"ping"}' if dialect == "messages" else b":keep-alive"
        assert set(heard.split(b"\n\n")) == {quiet, b""}
        assert asked(upstream) == [HOLD]
        upstream.release(name="hold")
        body = response.raw.read()
    assert said(dialect, body, stream=True) == ("at last", "whole")
    assert held.result(_PATIENCE_S).status_code == 200
    assert governed.request_line(f"waits-{dialect}")["waited_ms"] >= 200


def test_beyond_the_queue_each_client_hears_of_an_overload_in_its_own_words(
    governed: Bridge, upstream: Simulator, pool: ThreadPoolExecutor
) -> None:
    held = held_up(governed, upstream, pool)
    calls = [pool.submit(call, governed, "chat", f"waits {number}") for number in range(8)]
    waiting(governed, 8)
    numbers = requests.get(f"{governed.url}/metrics", timeout=_PATIENCE_S)
    assert "bridge_calls_waiting" in numbers.text
    for dialect in PROTOCOLS:
        for stream in (False, True):
            answer = call(governed, dialect, "one too many", stream=stream)
            assert answer.status_code == FULL[dialect], answer.text
            assert answer.headers["retry-after"] == "5"
            error = answer.json()["error"]
            assert "8 others wait already" in error["message"]
            assert error["type"] == ("overloaded_error" if dialect == "messages" else "server_error")
    upstream.release(name="hold")
    assert {one.result(_PATIENCE_S).status_code for one in (held, *calls)} == {200}
    assert "one too many" not in asked(upstream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", PROTOCOLS)
def test_whoever_hangs_up_while_waiting_is_never_sent(
    governed: Bridge, upstream: Simulator, pool: ThreadPoolExecutor, dialect: str, stream: bool
) -> None:
    held = held_up(governed, upstream, pool)
    body = json.dumps(request(dialect, MODELS[dialect], "not wanted any more", stream=stream)).encode()
    id = f"left-{dialect}-{stream}"
    head = (
        f"POST {DOORS[dialect]} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {governed.api_key}\r\n"
        f"X-Request-Id: {id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    client = socket.create_connection(("127.0.0.1", governed.port))
    client.sendall(head.encode() + body)
    waiting(governed, 1)
    client.close()
    waiting(governed, 0)
    assert governed.request_line(id)["error"] == "client_gone"
    upstream.release(name="hold")
    assert held.result(_PATIENCE_S).status_code == 200
    assert asked(upstream) == [HOLD]


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def limited(upstream: Simulator, dialect: str, **headers: str) -> None:
    upstream.fault(
        endpoint=UPSTREAM_PATHS[dialect],
        status=429,
        headers={"content-type": "application/json", **{name.replace("_", "-"): it for name, it in headers.items()}},
        body={"error": {"message": "Sorry.", "code": "user_model_rate_limited"}},
    )


@pytest.mark.parametrize("dialect", PROTOCOLS)
def test_what_is_limited_is_not_sent_by_any_worker(governed: Bridge, upstream: Simulator, dialect: str) -> None:
    limited(upstream, dialect, retry_after="60")
    first = call(governed, dialect, "the first")
    assert (first.status_code, first.headers["retry-after"]) == (429, "60")
    until_each_worker(governed, lambda session: limits_known(governed, session))
    for number in range(12):
        answer = call(governed, dialect, "too early", stream=number % 2 == 1)
        assert answer.status_code == 429, answer.text
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        error = answer.json()["error"]
        assert f"limits calls of the model '{MODELS[dialect]}' (user_model_rate_limited) until 20" in error["message"]
        assert error["type"] == "rate_limit_error"
    assert asked(upstream) == ["the first"]
    other = next(one for one in PROTOCOLS if one != dialect)
    assert call(governed, other, "another model").status_code == 200
    told = governed.get("/usage").json()["limits"]
    assert [(one["scope"], one["of"], one["code"]) for one in told] == [
        ("model", MODELS[dialect], "user_model_rate_limited")
    ]


def test_a_rule_that_falls_back_goes_on_to_its_next_model(governed: Bridge, upstream: Simulator) -> None:
    rule = {"match": "wanted", "to": [MODELS["chat"], MODELS["responses"]], "fall_back": True}
    assert governed.post("/admin/mapping/rules", json=rule).status_code == 200
    limited(upstream, "chat", retry_after="60")
    for number in range(6):
        answer = call(governed, "chat", f"call {number}", model="wanted", stream=number % 2 == 1)
        assert (answer.status_code, answer.headers["x-bridge-model"]) == (200, MODELS["responses"]), answer.text
        answer.close()
        if not number:
            until_each_worker(governed, lambda session: limits_known(governed, session))
    assert len(upstream.requests("/chat/completions")) == 1
    assert len(upstream.requests("/responses")) == 6


NONSENSE = [str(10**12), "-1", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_limits_nothing(governed: Bridge, upstream: Simulator, nonsense: str) -> None:
    limited(upstream, "chat", retry_after=nonsense)
    assert call(governed, "chat", "the first").status_code == 429
    assert limits_stored(governed) == {}
    assert [call(governed, "chat", "the next").status_code for _ in range(4)] == [200] * 4


# ── the brake ───────────────────────────────────────────────────────────────────────────────────────────────────────


def a_braked_one(simulator: Simulator, tmp: pytest.TempPathFactory, token: str, **env: str) -> Bridge:
    simulator.reset()
    return Bridge({**simulator.settings_env(), "GH_COPILOT_TOKEN": token, **env}, tmp.mktemp("braked"), workers=2)


@pytest.fixture(scope="module")
def impatient(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """The same call may come twice."""
    limit = {"RUNAWAY_REPEATS": "2"}
    with a_braked_one(simulator_process, tmp_path_factory, "ghu_test_individual", **limit) as running:
        yield running


@pytest.fixture(scope="module")
def thrifty(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A conversation may cost next to nothing."""
    limit = {"RUNAWAY_CREDITS": "0.000001"}
    with a_braked_one(simulator_process, tmp_path_factory, "ghu_test_credits", **limit) as running:
        yield running


def turns(dialect: str, opening: str, step: str, *further: str) -> dict[str, Any]:
    """An agent goes on with what its tool said, without a turn of the person; further: what they say then."""
    said_since = [{"role": "user", "content": text} for text in further]
    if dialect == "chat":
        function = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        made: list[dict[str, Any]] = [
            {"role": "assistant", "content": None, "tool_calls": [function]},
            {"role": "tool", "tool_call_id": "c1", "content": step},
        ]
    elif dialect == "messages":
        made = [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": step}]},
        ]
        if further:
            made.append({"role": "assistant", "content": "Seen."})
    else:
        made = [
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": step},
        ]
    whole = [{"role": "user", "content": opening}, *made, *said_since]
    return {"input": whole, "store": False} if dialect == "responses" else {"messages": whole}


def agent(bridge: Bridge, dialect: str, body: dict[str, Any], *, stream: bool) -> requests.Response:
    limit = {"max_tokens": 50} if dialect == "messages" else {}
    body = {"model": MODELS[dialect], "stream": stream, **limit, **body}
    answer = bridge.post(DOORS[dialect], json=body)
    assert answer.content
    return answer


def is_held(answer: requests.Response, dialect: str, words: str) -> None:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]
    assert "To go on, send another message in it yourself" in error["message"]
    if dialect != "messages":
        assert error["code"] == "runaway_conversation"


runaways = pytest.mark.parametrize(
    ("dialect", "stream"), [(dialect, stream) for dialect in PROTOCOLS for stream in (False, True)]
)


@runaways
def test_the_same_call_again_and_again_is_held(
    simulator_process: Simulator, impatient: Bridge, dialect: str, stream: bool
) -> None:
    opening = f"[[say: looking]] Look around, {dialect} {stream}."
    same = turns(dialect, opening, "nothing")
    simulator_process.requests(clear=True)
    assert [agent(impatient, dialect, same, stream=stream).status_code for _ in range(2)] == [200, 200]
    for count in (3, 4):
        is_held(agent(impatient, dialect, same, stream=stream), dialect, f"has come {count} times in this conversation")
    assert len(simulator_process.requests(UPSTREAM_PATHS[dialect])) == 2
    assert agent(impatient, dialect, turns(dialect, opening, "nothing", "Go on."), stream=stream).status_code == 200
    assert agent(impatient, dialect, same, stream=stream).status_code == 200


@runaways
def test_a_conversation_that_costs_too_much_is_held(
    simulator_process: Simulator, thrifty: Bridge, dialect: str, stream: bool
) -> None:
    opening = f"[[say: looking]] Look around, {dialect} {stream}."
    simulator_process.requests(clear=True)
    with contextlib.closing(open_store(data_dir=thrifty.data_dir, redis_url=None)) as store:

        def spent() -> list[int]:
            rows = [json.loads(row) for row in store.scan("runaway:").values()]
            return [talk["nano"] for row in rows for talk in row.values()]

        before = len(spent())
        assert agent(thrifty, dialect, turns(dialect, opening, "nothing"), stream=stream).status_code == 200
        # What the test before this one has cost at its end may be noted only now.
        until(lambda: len(costs := spent()) > before and all(costs))
        for number in range(2):
            answer = agent(thrifty, dialect, turns(dialect, opening, f"step {number}"), stream=stream)
            is_held(answer, dialect, "RUNAWAY_CREDITS allows 1e-06")
        assert len(simulator_process.requests(UPSTREAM_PATHS[dialect])) == 1
        assert agent(thrifty, dialect, turns(dialect, opening, "nothing", "Go on."), stream=stream).status_code == 200
