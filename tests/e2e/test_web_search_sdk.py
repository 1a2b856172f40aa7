"""The official Anthropic SDK reads searches that the bridge serves: types, streaming helper, conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from anthropic.types import ServerToolUseBlock, TextBlock, WebSearchResultBlock, WebSearchToolResultBlock

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.upstream import generations

SEARCH: Any = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
PROMPT = '[[think: What flies?]][[tool: web_search {"query": "kites"}]][[next]][[say: They fly.]]'
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def client(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anthropic]:
    simulator_process.reset()
    simulator_process.config(responses_tools=["function", "web_search"])
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "WEB_SEARCH_MODEL": "gpt-5.4"}
    with (
        Bridge(env, tmp_path_factory.mktemp("bridge")) as bridge,
        Anthropic(base_url=bridge.url, api_key=bridge.api_key, max_retries=0, timeout=60) as client,
    ):
        yield client
    simulator_process.reset()


def ask(client: Anthropic, messages: Any, stream: bool, model: str = "claude-sonnet-4.6") -> Any:
    if not stream:
        return client.messages.create(model=model, messages=messages, max_tokens=2000, tools=[SEARCH])
    with client.messages.stream(model=model, messages=messages, max_tokens=2000, tools=[SEARCH]) as events:
        return events.get_final_message()


@pytest.mark.parametrize("model", ["claude-sonnet-4.6", "gpt-4.1", "gpt-5.3-codex"])
@whole_and_streamed
def test_blocks_are_what_the_sdk_knows(client: Anthropic, stream: bool, model: str) -> None:
    message = ask(client, [{"role": "user", "content": PROMPT}], stream, model)
    use, result, text = [block for block in message.content if block.type != "thinking"]
    assert isinstance(use, ServerToolUseBlock)
    assert use.input == {"query": "kites"}
    assert isinstance(result, WebSearchToolResultBlock)
    assert result.tool_use_id == use.id
    assert isinstance(result.content, list)
    assert all(isinstance(one, WebSearchResultBlock) for one in result.content)
    assert [one.title for one in result.content] == ["Simulated news", "Simulated wiki"]
    assert isinstance(text, TextBlock)
    assert text.text == "They fly."
    assert message.usage.server_tool_use.web_search_requests == 1


@whole_and_streamed
def test_the_answer_comes_home(client: Anthropic, simulator_process: Simulator, stream: bool) -> None:
    """Sent back as the SDK's users send it, with and without the tool."""
    first = ask(client, [{"role": "user", "content": PROMPT}], stream)
    messages: list[Any] = [
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": first.to_dict(mode="json")["content"]},
        {"role": "user", "content": "[[say: As I said.]]"},
    ]
    assert ask(client, messages, stream).content[-1].text == "As I said."
    assert "Simulated news on kites." in generations(simulator_process)[-1]["body"]
    plain = client.messages.create(model="claude-sonnet-4.6", max_tokens=100, messages=messages)
    assert plain.content[-1].text == "As I said."
    assert "Simulated news on kites." in generations(simulator_process)[-1]["body"]
