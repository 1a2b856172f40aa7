"""Clients with windows, which cannot run here: Cursor and Cherry Studio. What they are told by ``configure`` is entered
as a person would, and what they send is sent as they do.

Cursor: see ``tests.support.cursor``. Cherry Studio: its own sources (``providersImport.ts``, ``providerConfig.ts``,
``ApiService.ts``): host and ``/v1``, an AI SDK stream with ``include_usage``, a title asked for without a stream.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from tests.clients import troubles as trouble
from tests.clients.desk import configure
from tests.clients.steps import SAID, booked, rounds, say, statuses, tool
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator
from tests.support import cursor
from tests.support.bridge import Bridge
from tests.support.cursor import PATCH
from tests.support.grammar import read
from tests.support.pictures import png_url
from tests.support.upstream import in_chat_terms

Json = dict[str, Any]

CLAUDE, GPT, CODEX, GEMINI = "claude-sonnet-4.6", "gpt-4.1", "gpt-5.3-codex", "gemini-3.1-pro-preview"
KINDS = (CLAUDE, GPT, CODEX, GEMINI)
# Cursor's bodies are those of Responses, so they go there if the model is there, else to what says most.
PATHS = {CLAUDE: "/v1/messages", GPT: "/chat/completions", CODEX: "/responses", GEMINI: "/chat/completions"}


@dataclass(frozen=True, slots=True)
class Entered:
    """What stands in the client's settings: the address that it puts its paths behind, key, names of models.

    asks: the body with which it asks a model something.
    """

    name: str
    address: str
    key: str
    models: tuple[str, ...]
    asks: Callable[..., Json]

    def post(self, body: Json) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.post(f"{self.address}/chat/completions", json=body, headers=headers, timeout=60)

    def ask(self, prompt: str, model: str = GPT) -> requests.Response:
        return self.post(self.asks(model, prompt))


def shown(response: requests.Response) -> Json:
    """The message that a streamed answer adds up to. It ended well, and told what it used as its last word."""
    assert response.status_code == 200, response.text
    stream = read("chat", response.content)
    assert stream.is_finished, stream.error
    assert stream.events[-1]["usage"]["total_tokens"] > 0
    message: Json = stream.answer["choices"][0]["message"]
    return message


def failure(response: requests.Response) -> Json:
    """What the client shows of a refusal, in the one form that it reads."""
    assert response.headers["content-type"] == "application/json"
    error: Json = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


# ── what configure told ─────────────────────────────────────────────────────────────────────────────────────────────


def chat_of_cherry_studio(model: str, *turns: Any, **fields: Any) -> Json:
    said = [turn if isinstance(turn, dict) else {"role": "user", "content": turn} for turn in turns]
    system = {"role": "system", "content": "You are a helpful assistant."}
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": model, "temperature": 1, "messages": [system, *said], **stream, **fields}


@pytest.fixture(scope="session")
def in_cursor(bridge: Bridge) -> Entered:
    told = configure(bridge, "cursor", "--show-key")
    key, address, names = (
        re.search(rf"^\d\. {what}: (.+)$", told, re.MULTILINE)
        for what in ("OpenAI API Key", "Override OpenAI Base URL", "Add the models you want by these names")
    )
    assert key is not None
    assert address is not None
    assert names is not None
    return Entered("cursor", address[1], key[1], tuple(names[1].split(", ")), cursor.agent)


@pytest.fixture(scope="session")
def in_cherry_studio(bridge: Bridge) -> Entered:
    """Imported by the link, which it decodes in a way of its own."""
    told = configure(bridge, "cherry-studio", "--show-key")
    link = re.search(r"^cherrystudio://providers/api-keys\?v=1&data=(\S+)$", told, re.MULTILINE)
    assert link is not None
    data = link[1].replace("_", "+").replace("-", "/")
    decoded = base64.b64decode(data + "=" * (-len(data) % 4)).decode("utf-8")
    provider = json.loads(decoded.replace("'", '"').replace("(", "").replace(")", ""))
    assert provider["type"] == "openai"
    # Its model list, by which it lets a person choose.
    address = provider["baseUrl"].removesuffix("/") + "/v1"
    listed = requests.get(f"{address}/models", headers={"Authorization": f"Bearer {provider['apiKey']}"}, timeout=60)
    names = tuple(one["id"] for one in listed.json()["data"])
    return Entered("cherry-studio", address, provider["apiKey"], names, chat_of_cherry_studio)


@pytest.fixture(params=["cursor", "cherry-studio"])
def client(request: pytest.FixtureRequest) -> Entered:
    found: Entered = request.getfixturevalue(f"in_{request.param.replace('-', '_')}")
    return found


def test_every_kind_of_model_is_offered(client: Entered, upstream: Simulator) -> None:
    assert set(KINDS) <= set(client.models)


@pytest.mark.parametrize("model", KINDS)
def test_text(client: Entered, upstream: Simulator, model: str) -> None:
    before = booked(upstream)
    assert shown(client.ask(say(SAID), model))["content"] == SAID
    (call,) = generations(upstream)
    assert (call["status"], call["json"]["model"], booked(upstream) - before) == (200, model, 1)


# ── Cursor ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", KINDS)
def test_cursor_patches_in_agent_mode(in_cursor: Entered, upstream: Simulator, model: str) -> None:
    prompt = rounds(tool("ApplyPatch", input=PATCH), tool("ReadFile", path="hello.txt"), say("Done."))
    turns: list[Any] = [prompt]
    for name, arguments, result in (("ApplyPatch", PATCH, "Done."), ("ReadFile", None, "grüß dich")):
        (call,) = shown(in_cursor.post(cursor.agent(model, *turns)))["tool_calls"]
        function = call["function"]
        assert (call["type"], function["name"]) == ("function", name)
        assert arguments is None or function["arguments"] == arguments
        turns += [cursor.item_call(call["id"], name, function["arguments"]), cursor.item_result(call["id"], result)]
    assert shown(in_cursor.post(cursor.agent(model, *turns)))["content"] == "Done."
    calls = generations(upstream)
    assert [(call["path"], call["status"]) for call in calls] == [(PATHS[model], 200)] * 3
    assert [call["header"]["x-initiator"] for call in calls] == ["user", "agent", "agent"]
    assert len({call["header"]["x-interaction-id"] for call in calls}) == 1


@pytest.mark.parametrize("model", KINDS)
def test_cursor_patches_in_ask_mode(in_cursor: Entered, upstream: Simulator, model: str) -> None:
    prompt = rounds(tool("ApplyPatch", input=PATCH), say("Done."))
    (call,) = shown(in_cursor.post(cursor.ask(model, prompt)))["tool_calls"]
    function = call["function"]
    assert (call["type"], function["name"], function["arguments"]) == ("function", "ApplyPatch", PATCH)
    back = [cursor.chat_call(call["id"], "ApplyPatch", PATCH), cursor.chat_result(call["id"], "Done.")]
    assert shown(in_cursor.post(cursor.ask(model, prompt, *back)))["content"] == "Done."


def test_cursor_words_claudes_tools_as_anthropic_does(in_cursor: Entered, upstream: Simulator) -> None:
    prompt = rounds(tool("ReadFile", path="a"), say("Done."))
    (call,) = shown(in_cursor.post(cursor.claude(CLAUDE, prompt)))["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"path": "a"}
    back = [cursor.block_call(call["id"], "ReadFile", {"path": "a"}), cursor.block_result(call["id"], "x")]
    assert shown(in_cursor.post(cursor.claude(CLAUDE, prompt, *back)))["content"] == "Done."
    assert [one["header"]["x-initiator"] for one in generations(upstream)] == ["user", "agent"]


# ── Cherry Studio ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", [CLAUDE, CODEX])
def test_cherry_studio_shows_thoughts(in_cherry_studio: Entered, upstream: Simulator, model: str) -> None:
    prompt = f"[[think: Let me see.]] {say('Seen.')}"
    message = shown(in_cherry_studio.post(chat_of_cherry_studio(model, prompt, reasoning_effort="medium")))
    # What the AI SDK reads.
    assert (message["reasoning_content"], message["content"]) == ("Let me see.", "Seen.")


@pytest.mark.parametrize("model", KINDS)
def test_cherry_studio_sends_pictures_and_the_turns_before(
    in_cherry_studio: Entered, upstream: Simulator, model: str
) -> None:
    look = {
        "role": "user",
        "content": [
            {"type": "text", "text": "What do you see?"},
            {"type": "image_url", "image_url": {"url": png_url(12, 7)}},
        ],
    }
    first = shown(in_cherry_studio.post(chat_of_cherry_studio(model, look)))["content"]
    assert "12x7" in first
    turns = [look, {"role": "assistant", "content": first}, say(SAID)]
    assert shown(in_cherry_studio.post(chat_of_cherry_studio(model, *turns)))["content"] == SAID


@pytest.mark.parametrize("model", KINDS)
def test_cherry_studio_calls_the_tools_of_its_servers(
    in_cherry_studio: Entered, upstream: Simulator, model: str
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    function = {"name": "mcp__weather__get", "description": "The weather.", "parameters": schema}
    tools = {"tools": [{"type": "function", "function": function}], "tool_choice": "auto"}
    prompt = rounds(tool("mcp__weather__get", city="Oslo"), say("Rain."))
    (call,) = shown(in_cherry_studio.post(chat_of_cherry_studio(model, prompt, **tools)))["tool_calls"]
    turns = [prompt, {"role": "assistant", "content": "", "tool_calls": [call]}, cursor.chat_result(call["id"], "rain")]
    assert shown(in_cherry_studio.post(chat_of_cherry_studio(model, *turns, **tools)))["content"] == "Rain."


@pytest.mark.parametrize("model", KINDS)
def test_cherry_studio_names_a_topic(in_cherry_studio: Entered, upstream: Simulator, model: str) -> None:
    """A whole answer, without thoughts, to a prompt that holds the conversation as JSON."""
    told = json.dumps([{"role": "user", "mainText": say("A day in Oslo")}])
    system = "Summarize the given session as a 10-word title, without punctuation."
    messages = [{"role": "system", "content": system}, {"role": "user", "content": told}]
    response = in_cherry_studio.post({"model": model, "messages": messages, "reasoning_effort": "none"})
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == "A day in Oslo"
    (call,) = generations(upstream)
    assert in_chat_terms(call)["messages"][0]["content"]


# ── troubles ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key(client: Entered, upstream: Simulator) -> None:
    refused = replace(client, key=trouble.WRONG_KEY).ask(say("Never."))
    assert (refused.status_code, failure(refused)["code"]) == (401, "invalid_api_key")
    assert failure(refused)["message"].startswith("Wrong API key.")
    assert refused.headers["x-should-retry"] == "false"
    assert generations(upstream) == []


@pytest.mark.parametrize("model", KINDS)
def test_rate_limit_with_retry_after(client: Entered, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.rate_limit()
    refused = client.ask(say("At last."), model)
    assert (refused.status_code, failure(refused)["type"]) == (429, "rate_limit_error")
    assert refused.headers["retry-after"] == "1"
    assert shown(client.ask(say("At last."), model))["content"] == "At last."
    assert statuses(generations(upstream)) == [429, 200]


@pytest.mark.parametrize("model", KINDS)
def test_server_error(client: Entered, troubles: Troubles, upstream: Simulator, model: str) -> None:
    # Free text may be what a model fails at (contract §10.3): once more without it, before the client hears of it.
    calls = 2 if (client.name, model) == ("cursor", "gpt-5.3-codex") else 1
    troubles.server_error(calls)
    refused = client.ask(say("At last."), model)
    assert (refused.status_code, failure(refused)["type"]) == (502, "api_error")
    assert shown(client.ask(say("At last."), model))["content"] == "At last."
    assert statuses(generations(upstream)) == [500] * trouble.ATTEMPTS * calls + [200]


@pytest.mark.parametrize("model", KINDS)
def test_context_overflow(client: Entered, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.context_overflow()
    refused = client.ask(say("Never."), model)
    assert (refused.status_code, failure(refused)["code"]) == (400, "context_length_exceeded")
    assert "context" in failure(refused)["message"]
    assert len(generations(upstream)) == 1


def test_unknown_model(client: Entered, upstream: Simulator) -> None:
    refused = client.ask(say("Never."), trouble.NO_MODEL)
    assert (refused.status_code, failure(refused)["code"]) == (404, "model_not_found")
    assert trouble.NO_MODEL in failure(refused)["message"]


@pytest.mark.parametrize("model", KINDS)
def test_cut_stream(client: Entered, troubles: Troubles, upstream: Simulator, model: str) -> None:
    troubles.cut()
    stream = read("chat", client.ask(say(SAID), model).content)
    assert not stream.is_finished
    assert stream.error is not None
    assert "GitHub Copilot broke off before the answer was complete." in stream.error["message"]
    assert len(generations(upstream)) == 1


def test_thirty_seconds_of_silence(in_cursor: Entered, in_cherry_studio: Entered, upstream: Simulator) -> None:
    """Both on every kind of model, all at the same time."""
    asked = [(client, model) for client in (in_cursor, in_cherry_studio) for model in KINDS]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda one: one[0].ask(trouble.SILENT, one[1]), asked))
    assert {shown(answer)["content"] for answer in answers} == {trouble.PATIENCE}
    assert len(generations(upstream)) == len(asked)
