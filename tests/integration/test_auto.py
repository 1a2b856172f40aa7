"""Auto mode over real HTTP: Copilot picks the model of a conversation (contract §4.7, §4.9), in all dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.upstream import generations

Json = dict[str, Any]

PICKED = "claude-haiku-4.5"
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
every_dialect = pytest.mark.parametrize("dialect", PATHS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def shared(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_unlimited", "UPSTREAM_RETRIES": "0"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        running.chat("warm up: token and model list")
        yield running


@pytest.fixture
def upstream(shared: Bridge, simulator_process: Simulator) -> Iterator[Simulator]:
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    yield simulator_process
    simulator_process.clear_faults()
    simulator_process.config(auto="offered", auto_model=None, auto_session=True, auto_lifetime_s=86400)


def conversation() -> str:
    """What nobody has begun with before."""
    return f"Explain this regex {uuid4()}."


def ask(bridge: Bridge, dialect: str, *said: str, stream: bool = False, **fields: Any) -> requests.Response:
    """What a person said so far, with short answers in between."""
    turns: list[Json] = []
    for text in said:
        turns += [{"role": "assistant", "content": "Well."}] if turns else []
        turns.append({"role": "user", "content": text})
    body: Json = {"model": "auto", "stream": stream, **({"max_tokens": 500} if dialect == "messages" else {}), **fields}
    return bridge.post(PATHS[dialect], json={**body, "input" if dialect == "responses" else "messages": turns})


def model_in(answer: requests.Response) -> set[str]:
    """The model that an answer names, whole or in any event of a stream."""
    if "event-stream" not in answer.headers["content-type"]:
        return {answer.json()["model"]}
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    holders = [event.get("message") or event.get("response") or event for event in events]
    return {holder["model"] for holder in holders if "model" in holder}


def asked(simulator: Simulator) -> list[Json]:
    return [call for call in simulator.requests() if call["path"] in ("/auto", "/models/session")]


@every_dialect
@whole_and_streamed
def test_the_model_of_a_conversation_is_asked_for_once(
    shared: Bridge, upstream: Simulator, dialect: str, stream: bool
) -> None:
    began = conversation()
    first = ask(shared, dialect, began, stream=stream)
    second = ask(shared, dialect, began, "And this one?", stream=stream)
    for answer in (first, second):
        assert answer.status_code == 200, answer.text
        # The client is told which model answers: in the answer, and in a header.
        assert (model_in(answer), answer.headers["x-bridge-model"]) == ({PICKED}, PICKED)
    [question] = asked(upstream)
    assert (question["path"], question["json"]) == ("/auto", {"prompt": began})
    assert question["header"]["x-github-api-version"] == "2026-08-01"
    calls = generations(upstream)
    assert [call["json"]["model"] for call in calls] == [PICKED, PICKED]
    [token] = {call["header"]["copilot-session-token"] for call in calls}
    assert token.startswith("eyJ")


def test_the_model_is_picked_by_what_was_said(shared: Bridge, upstream: Simulator) -> None:
    began = conversation()
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    turns: list[Json] = [{"role": "user", "content": began}, {"role": "assistant", "content": "Well."}]
    turns.append({"role": "user", "content": [{"type": "text", "text": "And this?"}, picture]})
    shared.post("/v1/chat/completions", json={"model": "copilot/auto", "messages": turns})
    [question] = asked(upstream)
    assert question["json"] == {"prompt": "And this?", "previous_user_messages": [began], "has_image": True}


def test_another_conversation_is_asked_for_anew(shared: Bridge, upstream: Simulator) -> None:
    ask(shared, "chat", conversation())
    upstream.config(auto_model="gpt-5-mini")
    assert model_in(ask(shared, "chat", conversation())) == {"gpt-5-mini"}
    assert len(asked(upstream)) == 2


def test_a_session_that_ends_soon_is_renewed_in_time(shared: Bridge, upstream: Simulator) -> None:
    upstream.config(auto_lifetime_s=60)
    began = conversation()
    ask(shared, "chat", began)
    assert ask(shared, "chat", began, "Go on.").status_code == 200
    first, second = [call["header"]["copilot-session-token"] for call in generations(upstream)]
    assert (len(asked(upstream)), first != second) == (2, True)


@every_dialect
def test_a_session_that_upstream_has_ended_is_renewed_within_the_call(
    shared: Bridge, upstream: Simulator, dialect: str
) -> None:
    began = conversation()
    ask(shared, dialect, began)
    over = {"error": {"message": "session token expired", "code": "session_expired"}}
    upstream.fault(endpoint="/v1/messages", times=1, status=401, body=json.dumps(over))
    upstream.fault(endpoint="/chat/completions", times=1, status=401, body=json.dumps(over))
    exchanges = upstream.state()["exchanges"]
    answer = ask(shared, dialect, began, "Go on.")
    assert (answer.status_code, model_in(answer)) == (200, {PICKED}), answer.text
    _, refused, repeated = generations(upstream)
    assert (refused["status"], repeated["status"]) == (401, 200)
    assert refused["header"]["copilot-session-token"] != repeated["header"]["copilot-session-token"]
    assert upstream.state()["exchanges"] == exchanges, "it was not the token"


@pytest.mark.parametrize("state", ["absent", "unavailable", "html"])
def test_the_older_way_serves_where_the_new_one_does_not(shared: Bridge, upstream: Simulator, state: str) -> None:
    upstream.config(auto=state)
    answer = ask(shared, "chat", conversation())
    assert (answer.status_code, model_in(answer)) == (200, {"gpt-5-mini"}), answer.text
    assert [call["path"] for call in asked(upstream)] == ["/auto", "/models/session"]
    assert generations(upstream)[0]["header"]["copilot-session-token"]


def test_a_passing_failure_is_told_as_one(shared: Bridge, upstream: Simulator) -> None:
    upstream.config(auto="unavailable", auto_session=False)
    answer = ask(shared, "chat", conversation())
    assert answer.status_code == 503
    assert "auto mode does not answer right now (HTTP 503)" in answer.json()["error"]["message"]


def test_the_tier_is_the_operators(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> None:
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_unlimited", "AUTO_TIER": "fast"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as bridge:
        assert model_in(ask(bridge, "chat", conversation())) == {"gpt-5-mini"}
        assert asked(simulator_process)[-1]["json"]["tier"] == "fast"


def test_it_is_listed_where_it_is_offered(shared: Bridge, upstream: Simulator) -> None:
    ask(shared, "chat", conversation())
    for headers in ({}, {"anthropic-version": "2023-06-01"}):
        listed = shared.get("/v1/models", headers=headers).json()["data"]
        [entry] = [model for model in listed if model["id"] == "auto"]
        assert set(entry["supported_endpoints"]) >= {"/chat/completions", "/responses", "/v1/messages"}
        assert shared.get("/v1/models/auto", headers=headers).json() == entry


def test_an_account_without_it_is_told_so_in_its_own_words(
    simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    simulator_process.config(auto="absent", auto_session=False)
    simulator_process.requests(clear=True)
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_unlimited"}
    try:
        with Bridge(env, tmp_path_factory.mktemp("bridge")) as bridge:
            told = {dialect: ask(bridge, dialect, conversation()) for dialect in PATHS}
            assert {answer.status_code for answer in told.values()} == {404}
            assert told["messages"].json()["error"]["type"] == "not_found_error"
            for dialect in ("chat", "responses"):
                error = told[dialect].json()["error"]
                assert (error["code"], error["param"]) == ("model_not_found", "model")
            assert all("does not offer auto mode to this account: name a model" in one.text for one in told.values())
            # It is asked once, and then known for a while.
            assert [call["path"] for call in asked(simulator_process)] == ["/auto", "/models/session"]
            assert not any(model["id"] == "auto" for model in bridge.get("/v1/models").json()["data"])
            assert generations(simulator_process) == []
    finally:
        simulator_process.config(auto="offered", auto_session=True)


@every_dialect
@whole_and_streamed
def test_a_name_that_is_mapped_to_auto_is_what_its_client_hears(
    shared: Bridge, upstream: Simulator, dialect: str, stream: bool
) -> None:
    shared.get("/admin/mapping/set", params={"from": "my-model", "to": "auto"}).raise_for_status()
    try:
        answer = ask(shared, dialect, conversation(), stream=stream, model="my-model")
        assert (model_in(answer), answer.headers["x-bridge-model"]) == ({"my-model"}, PICKED)
    finally:
        shared.get("/admin/mapping/reset").raise_for_status()
