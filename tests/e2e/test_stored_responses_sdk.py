"""Stored responses through the official SDK: ten turns with tools of which each sends what is new and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.secrets import API_KEY
from tests.support.upstream import generations, initiators, last_generation

CODEX, GPT, CLAUDE = "gpt-5.3-codex", "gpt-4.1", "claude-sonnet-4.6"
OTHER_KEY = "sk-test-another-client"
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
OPTIONS: Any = {"tools": [TOOL], "reasoning": {"effort": "low", "summary": "auto"}, "instructions": "Be brief."}

every_model = pytest.mark.parametrize("model", [CODEX, GPT, CLAUDE])
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def shared_bridge(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """Two workers, of which any may get the next turn, and two keys."""
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "WEB_CONCURRENCY": "2"}
    with Bridge(env, tmp_path_factory.mktemp("bridge"), api_key=f"{API_KEY},{OTHER_KEY}") as running:
        yield running


def sdk(bridge: Bridge, key: str) -> OpenAI:
    return OpenAI(base_url=f"{bridge.url}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture
def client(shared_bridge: Bridge) -> Iterator[OpenAI]:
    with sdk(shared_bridge, API_KEY) as client:
        yield client


@pytest.fixture
def other(shared_bridge: Bridge) -> Iterator[OpenAI]:
    with sdk(shared_bridge, OTHER_KEY) as client:
        yield client


def ask(client: OpenAI, model: str, given: Any, stream: bool, **options: Any) -> Any:
    if not stream:
        return client.responses.create(model=model, input=given, **options)
    with client.responses.stream(model=model, input=given, **options) as events:
        return events.get_final_response()


def script(turn: int) -> str:
    return (
        f'[[think: thought {turn}]] [[say: looking {turn}]] [[tool: get_weather {{"city": "Oslo {turn}"}}]] [[next]] '
        f"[[think: afterthought {turn}]] [[say: answer {turn}]] question {turn}"
    )


def plain(item: Any) -> Any:
    """An output item as clients send it back: without what the SDK itself adds."""
    found = item.to_dict(mode="json")
    found.pop("parsed_arguments", None)
    for part in found.get("content") or []:
        part.pop("parsed", None)
    return found


@every_model
@whole_and_streamed
def test_ten_turns_with_tools_reach_upstream_as_if_all_had_been_sent(
    client: OpenAI, upstream: Simulator, model: str, stream: bool
) -> None:
    previous: str | None = None
    history: list[Any] = []
    for turn in range(10):
        given: list[Any] = [{"role": "user", "content": script(turn)}]
        while given:
            response = ask(client, model, given, stream, previous_response_id=previous, **OPTIONS)
            assert (response.store, response.previous_response_id) == (True, previous)
            sent, initiator = last_generation(upstream)["json"], initiators(upstream)[-1]
            assert "previous_response_id" not in sent
            history += given
            ask(client, model, history, stream, store=False, **OPTIONS)
            assert last_generation(upstream)["json"] == sent
            assert initiators(upstream)[-1] == initiator
            history += [plain(item) for item in response.output]
            previous = response.id
            calls = [item for item in response.output if item.type == "function_call"]
            given = [
                {"type": "function_call_output", "call_id": call.call_id, "output": f"Sunny in {call.arguments}"}
                for call in calls
            ]
        assert response.output_text == f"answer {turn}"
    assert previous is not None
    listed = list(client.responses.input_items.list(previous, order="asc", limit=7))
    assert len(listed) == len(history) - len(response.output)
    assert client.responses.retrieve(previous).output_text == "answer 9"


@every_model
@whole_and_streamed
def test_items_that_are_named_are_put_in_their_places(
    client: OpenAI, other: OpenAI, upstream: Simulator, model: str, stream: bool
) -> None:
    """As the AI SDK does it with every message of the model's."""
    question: Any = {"role": "user", "content": script(1)}
    response = ask(client, model, [question], stream, **OPTIONS)
    call = next(item for item in response.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    named = [{"type": "item_reference", "id": item.id} for item in response.output]
    assert ask(client, model, [question, *named, result], stream, **OPTIONS).output_text == "answer 1"
    sent = last_generation(upstream)["json"]
    ask(client, model, [question, *map(plain, response.output), result], stream, store=False, **OPTIONS)
    assert last_generation(upstream)["json"] == sent
    asked = len(generations(upstream))
    with pytest.raises(openai.NotFoundError, match="not found") as refused:
        ask(other, model, [question, *named, result], stream, **OPTIONS)
    assert refused.value.param == "input"
    assert len(generations(upstream)) == asked


@every_model
@whole_and_streamed
def test_a_response_is_its_keys_alone_and_can_be_deleted(
    client: OpenAI, other: OpenAI, model: str, stream: bool
) -> None:
    response = ask(client, model, "[[say: fine]]", stream)
    kept = client.responses.retrieve(response.id)
    assert kept.output_text == "fine"
    assert kept.output == client.responses.retrieve(response.id).output
    for calls in (other.responses.retrieve, other.responses.delete, other.responses.input_items.list):
        with pytest.raises(openai.NotFoundError) as hidden:
            calls(response.id)
        with pytest.raises(openai.NotFoundError) as unknown:
            calls("resp_unknown")
        assert str(hidden.value).replace(response.id, "resp_unknown") == str(unknown.value)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(other, model, "more", stream, previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as gone:
        ask(client, model, "more", stream, previous_response_id=response.id)
    assert gone.value.code == "previous_response_not_found"


@every_model
def test_a_stream_that_is_cut_is_not_stored(client: OpenAI, model: str) -> None:
    events = client.responses.create(model=model, input="[[cut: 3 reset]] [[say: one two three four]]", stream=True)
    seen: list[Any] = []
    with pytest.raises(openai.APIError):
        seen.extend(iter(events))
    begun = [event.response.id for event in seen if event.type == "response.created"]
    assert len(begun) <= 1
    for id in begun:
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(id)


def test_instructions_are_of_one_turn_alone(client: OpenAI, upstream: Simulator) -> None:
    first = client.responses.create(model=CODEX, input="[[say: fine]]", instructions="Speak like a pirate.")
    client.responses.create(model=CODEX, input="[[say: fine]] more", previous_response_id=first.id)
    assert "pirate" not in str(last_generation(upstream)["json"])


def test_pages_and_their_mistakes(client: OpenAI) -> None:
    response = client.responses.create(model=CODEX, input=[{"role": "user", "content": f"{n}"} for n in range(25)])
    page = client.responses.input_items.list(response.id)
    assert (len(page.data), page.has_more) == (20, True)
    assert len(list(page)) == 25
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": "msg_unknown"}, {"order": "up"}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.input_items.list(response.id, **wrong)
        assert refused.value.param == next(iter(wrong))
    with pytest.raises(openai.BadRequestError) as streamed:
        client.responses.retrieve(response.id, stream=True)
    assert streamed.value.param == "stream"
