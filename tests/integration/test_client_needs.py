"""What real clients need of a gateway, item by item, with their own bodies and headers against a strict upstream.

The items are those of client notes §0; the number stands in each test's name. What the official SDKs
make of the same is shown in tests/e2e, what the conversion of every field looks like in tests/unit/converters.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.grammar import Told, read
from tests.support.nginx import NGINX, Nginx
from tests.support.pictures import png_base64
from tests.support.upstream import generations, in_chat_terms, initiators, last_generation

Json = dict[str, Any]

CLAUDE = "claude-sonnet-4.6"  # Messages upstream
SPLIT = "claude-sonnet-4.5"  # Claude at Chat Completions, in several choices
CODEX = "gpt-5.3-codex"  # Responses upstream alone
GPT = "gpt-4.1"  # Chat Completions upstream
GEMINI = "gemini-3-pro-preview"
EVERY = (CLAUDE, CODEX, GPT, GEMINI)
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}

every_model = pytest.mark.parametrize("model", EVERY)
every_protocol = pytest.mark.parametrize("protocol", PATHS)

CLAUDE_CODE = {
    "User-Agent": "claude-cli/2.1.330 (external, sdk-cli)",
    "X-Claude-Code-Session-Id": "a4530139-c614-416d-ba2f-37bb6da889df",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "advanced-tool-use-2025-11-20,effort-2025-11-24,thinking-token-count-2026-05-13,redact-thinking-2026-02-12",
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "x-app": "cli",
    "x-stainless-retry-count": "0",
}
CODEX_CLI = {
    "User-Agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64) unknown (codex_exec; 0.169.0)",
    "originator": "codex_exec",
    "session-id": "01a20316-d69d-7da1-b639-98f189ae3e25",
    "thread-id": "01a20316-d69d-7da1-b639-98f189ae3e25",
    "x-codex-beta-features": "remote_compaction_v2",
    "x-codex-turn-metadata": '{"session_id":"01a20316","request_kind":"turn","thread_source":"user"}',
    "Accept": "text/event-stream",
}


@pytest.fixture(scope="module")
def shared(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "ANSWER_PROBES": "true"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        yield running


@pytest.fixture
def upstream(shared: Bridge, simulator_process: Simulator) -> Simulator:
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    return simulator_process


def ask(bridge: Bridge, protocol: str, model: str, prompt: str, **fields: Any) -> requests.Response:
    turns: Json = {"input" if protocol == "responses" else "messages": [{"role": "user", "content": prompt}]}
    limit = {"max_tokens": 1000} if protocol == "messages" else {}
    return bridge.post(PATHS[protocol], json={"model": model, **turns, **limit, **fields})


def text_of(protocol: str, answer: Json) -> str:
    if protocol == "chat":
        return str(answer["choices"][0]["message"]["content"])
    if protocol == "messages":
        return "".join(block["text"] for block in answer["content"] if block["type"] == "text")
    return "".join(part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"])


def told(protocol: str, response: requests.Response) -> Told:
    """A stream that ended well."""
    assert response.status_code == 200, response.text
    found = read(protocol, response.content, is_native=True)
    assert found.is_finished, found.error
    return found


def log_line(bridge: Bridge, response: requests.Response) -> Json:
    """What the log says of a request."""
    return bridge.request_line(response.headers["x-request-id"])


# ── client notes §0.1: any model on any of the three protocols ────────────────────────────────────────────────────────


@every_protocol
@every_model
def test_0_1_any_model_on_any_protocol(shared: Bridge, upstream: Simulator, protocol: str, model: str) -> None:
    whole = ask(shared, protocol, model, "[[say: Hello there.]]")
    assert text_of(protocol, whole.json()) == "Hello there."
    streamed = told(protocol, ask(shared, protocol, model, "[[say: Hello there.]]", stream=True))
    assert text_of(protocol, streamed.answer) == "Hello there."


# ── client notes §0.2: one id per output item ─────────────────────────────────────────────────────────────────────────


@every_model
def test_0_2_ids_of_a_responses_stream_are_steady_and_come_home(
    shared: Bridge, upstream: Simulator, model: str
) -> None:
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}
    body: Json = {"model": model, "stream": True, "store": False, "tools": [tool]}
    asked = {"role": "user", "content": "[[say: I look.]] [[tool: look {}]] [[next]] [[say: Seen.]]"}
    found = told("responses", shared.post("/v1/responses", json={**body, "input": [asked]}))
    by_index: dict[int, set[str]] = {}
    for event in found.events:
        item_id = event.get("item_id") or (event.get("item") or {}).get("id")
        if item_id is not None:
            by_index.setdefault(event["output_index"], set()).add(item_id)
    assert by_index
    assert all(len(ids) == 1 for ids in by_index.values())
    assert all(len(item_id) <= 64 for ids in by_index.values() for item_id in ids)
    assert len({event["response"]["id"] for event in found.events if "response" in event}) == 1
    numbers = [event["sequence_number"] for event in found.events]
    assert numbers == sorted(set(numbers))
    # The items go back with the ids that were given out, as Codex and the Agents SDK send them.
    items = found.answer["output"]
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "a cat"}
        for item in items
        if item["type"] == "function_call"
    ]
    again = shared.post("/v1/responses", json={**body, "input": [asked, *items, *results]})
    assert text_of("responses", told("responses", again).answer) == "Seen."
    assert initiators(upstream) == ["user", "agent"]


# ── client notes §0.3: tools of Codex that Copilot refuses ────────────────────────────────────────────────────────────

APPLY_PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edit files",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'},
}
CODEX_TOOLS = [
    {
        "type": "function",
        "name": "exec_command",
        "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]},
        "strict": False,
    },
    APPLY_PATCH,
    {
        "type": "namespace",
        "name": "multi_agent_v1",
        "description": "Agents",
        "tools": [
            {"type": "function", "name": "spawn_agent", "parameters": {"type": "object", "properties": {}}},
        ],
    },
    {"type": "tool_search", "execution": "client", "description": "Find tools", "parameters": {"type": "object"}},
    {"type": "web_search", "external_web_access": True},
    {"type": "image_generation"},
    {"type": "local_shell"},
]


def codex_body(model: str, prompt: str, **fields: Any) -> Json:
    return {
        "model": model,
        "stream": True,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": CODEX_CLI["thread-id"],
        "client_metadata": {"thread_id": CODEX_CLI["thread-id"], "turn_id": "01a2"},
        "input": [
            _item("developer", "You are Codex.", "msg_fcdc6092-8b9e-5c95-b772-fb532dd562a1"),
            _item("user", "<environment_context>\n  <cwd>/work</cwd>\n</environment_context>", "msg_01a2-1"),
            _item("user", prompt, "msg_01a2-2"),
        ],
        "tools": CODEX_TOOLS,
        **fields,
    }


def _item(role: str, text: str, item_id: str) -> Json:
    return {
        "type": "message",
        "id": item_id,
        "role": role,
        "content": [{"type": "input_text", "text": text}],
    }


@every_model
def test_0_3_codex_tools_come_back_as_themselves(shared: Bridge, upstream: Simulator, model: str) -> None:
    """Natively, and as functions where the model takes nothing else (contract §7.10)."""
    patch = "*** Begin Patch\n*** Add File: a.txt\n+hello\n*** End Patch\n"
    prompt = f"[[tool: apply_patch {json.dumps({'input': patch})}]] [[next]] [[say: Patched.]]"
    body = codex_body(model, prompt)
    found = told("responses", shared.post("/v1/responses", json=body, headers=CODEX_CLI))
    kinds = [event["type"] for event in found.events]
    assert "response.custom_tool_call_input.delta" in kinds
    assert "response.custom_tool_call_input.done" in kinds
    (call,) = [item for item in found.answer["output"] if item["type"] == "custom_tool_call"]
    assert (call["name"], call["input"]) == ("apply_patch", patch)
    result = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "Done!"}
    body["input"] += [*found.answer["output"], result]
    again = told("responses", shared.post("/v1/responses", json=body, headers=CODEX_CLI))
    assert text_of("responses", again.answer) == "Patched."
    answered = [call for call in generations(upstream) if call["status"] == 200]
    assert [call["header"]["x-initiator"] for call in answered] == ["user", "agent"]


@every_model
def test_0_3_calls_of_a_namespace_name_it(shared: Bridge, upstream: Simulator, model: str) -> None:
    """Codex "responses lite": no ``tools``, but an input item that brings them."""
    tools = [{"type": "namespace", "name": "functions", "description": "", "tools": [{**APPLY_PATCH, "name": "exec"}]}]
    body = codex_body(model, "Hello", reasoning={"effort": "low", "context": "all_turns"})
    del body["tools"]
    body["parallel_tool_calls"] = False
    body["input"].insert(0, {"type": "additional_tools", "id": "at_01a2", "role": "developer", "tools": tools})
    headers = {**CODEX_CLI, "x-openai-internal-codex-responses-lite": "true"}
    told("responses", shared.post("/v1/responses", json=body, headers=headers))
    (offered,) = in_chat_terms(last_generation(upstream))["tools"]
    name = offered["function"]["name"]
    body["input"][-1] = _item("user", f'[[tool: {name} {{"input": "text(1)"}}]]', "msg_01a2-3")
    found = told("responses", shared.post("/v1/responses", json=body, headers=headers))
    (call,) = [item for item in found.answer["output"] if item["type"] == "custom_tool_call"]
    assert (call["namespace"], call["name"], call["input"]) == ("functions", "exec", "text(1)")


# ── client notes §0.4: fields and roles of Claude Code and the AI SDK that Copilot refuses ────────────────────────────

EPHEMERAL = {"type": "ephemeral"}


def claude_code_body(model: str, prompt: str, **fields: Any) -> Json:
    return {
        "model": model,
        "max_tokens": 64000,
        "stream": True,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.a5d; cc_entrypoint=sdk-cli;"},
            {"type": "text", "text": "You are a Claude agent.", "cache_control": EPHEMERAL},
            {"type": "text", "text": "You are an agent working with the user.", "cache_control": EPHEMERAL},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>\n# Environment\n</system-reminder>"},
                    {"type": "text", "text": prompt, "cache_control": EPHEMERAL},
                ],
            }
        ],
        "tools": [
            {
                "name": "Write",
                "description": "Write a file",
                "input_schema": {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "type": "object",
                    "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}},
                    "required": ["file_path", "content"],
                    "additionalProperties": False,
                },
                "eager_input_streaming": True,
                "strict": True,
                "input_examples": [{"file_path": "a", "content": "b"}],
                "allowed_callers": ["direct"],
            },
            {"name": "DeferredToolPlaceholder", "input_schema": {"type": "object"}, "defer_loading": True},
        ],
        "metadata": {"user_id": '{"device_id":"0b3c","account_uuid":"","session_id":"a453"}'},
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {}}],
        **fields,
    }


@every_model
def test_0_4_claude_codes_whole_body_is_taken(shared: Bridge, upstream: Simulator, model: str) -> None:
    prompt = '[[tool: Write {"file_path": "a.txt", "content": "hi"}]] [[next]] [[say: Written.]]'
    body = claude_code_body(model, prompt)
    # To every name it does not know, Claude Code sends instructions as a message of the system's.
    body["messages"].append({"role": "system", "content": "<system-reminder># More instructions</system-reminder>"})
    url = "/v1/messages?beta=true"
    found = told("messages", shared.post(url, json=body, headers=CLAUDE_CODE))
    (call,) = [block for block in found.answer["content"] if block["type"] == "tool_use"]
    assert call["input"] == {"file_path": "a.txt", "content": "hi"}
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", call["id"])
    reminder = {"type": "text", "text": "<system-reminder>\nThe file was written.\n</system-reminder>"}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "ok", "cache_control": EPHEMERAL}
    body["messages"] += [
        {"role": "assistant", "content": found.answer["content"]},
        {"role": "user", "content": [result, reminder]},
    ]
    again = told("messages", shared.post(url, json=body, headers=CLAUDE_CODE))
    assert text_of("messages", again.answer) == "Written."
    # One prompt, one request that is billed.
    assert initiators(upstream) == ["user", "agent"]


REFUSED_FIELDS: Json = {
    "diagnostics": {"previous_message_id": "msg_1"},
    "fallbacks": [{"model": "claude-opus-5-5"}],
    "speed": "fast",
    "container": {"id": "c"},
    "mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}],
    "inference_geo": "us",
    "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"},
    "output_format": {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("field", REFUSED_FIELDS)
@pytest.mark.parametrize("model", [CLAUDE, GPT])
def test_0_4_field_that_upstream_refuses_does_no_harm(
    shared: Bridge, upstream: Simulator, model: str, field: str
) -> None:
    answer = ask(shared, "messages", model, "Hello", **{field: REFUSED_FIELDS[field]})
    assert answer.status_code == 200, answer.text
    assert field not in last_generation(upstream)["json"]


# ── client notes §0.5: message threads ────────────────────────────────────────────────────────────────────────────────


@every_model
@pytest.mark.parametrize(
    ("thread", "code"),
    [
        ({"type": "create"}, "thread_unsupported_request"),
        ({"type": "continue", "previous_message_id": "msg_1"}, "thread_not_found"),
    ],
)
def test_0_5_threads_are_refused_in_the_words_that_sdks_go_on_without(
    shared: Bridge, upstream: Simulator, model: str, thread: Json, code: str
) -> None:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "message-threads-2026-08-12"}
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], "thread": thread}
    answer = shared.post("/v1/messages?beta=true", json=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["details"]["error_code"] == code
    assert generations(upstream) == []


# ── client notes §0.6: model names ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("claude-sonnet-4-6", "claude-sonnet-4.6"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4.5"),
        ("anthropic/claude-sonnet-4.6", "claude-sonnet-4.6"),
        ("claude-opus-4-6[1m]", "claude-opus-4.6-1m"),
    ],
)
def test_0_6_names_of_anthropics_clients_lead_to_copilots(
    shared: Bridge, upstream: Simulator, asked: str, served: str
) -> None:
    answer = ask(shared, "messages", asked, "Hello")
    assert answer.json()["model"] == asked
    assert last_generation(upstream)["json"]["model"] == served


@every_protocol
@pytest.mark.parametrize("stream", [False, True])
def test_0_6_unknown_name_is_a_404_in_the_envelope_of_the_protocol(
    shared: Bridge, upstream: Simulator, protocol: str, stream: bool
) -> None:
    answer = ask(shared, protocol, "claude-opus-5-5", "Hello", stream=stream)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert "claude-opus-5-5" in error["message"]
    assert error["type"] == "not_found_error"
    if protocol == "messages":
        assert answer.json()["type"] == "error"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    else:
        assert (error["code"], error["param"]) == ("model_not_found", "model")


# ── client notes §0.7: errors before the stream starts, in words that clients act on ──────────────────────────────────


@every_protocol
@every_model
@pytest.mark.parametrize("stream", [False, True])
def test_0_7_rate_limit_is_a_429_with_retry_after(
    shared: Bridge, upstream: Simulator, protocol: str, model: str, stream: bool
) -> None:
    answer = ask(shared, protocol, model, "[[error: 429 retry-after=7]]", stream=stream)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert isinstance(answer.json()["error"]["message"], str)


# What Claude Code, opencode, cline, qwen-code and Codex look for in the answer to a prompt that is too long.
TOO_LONG = {
    "chat": re.compile(r"maximum context length is \d+ tokens"),
    "messages": re.compile(r"\Aprompt is too long: \d+ tokens > \d+ maximum\Z"),
    "responses": re.compile(r"maximum context length is \d+ tokens"),
}


@every_protocol
@every_model
@pytest.mark.parametrize("form", ["gateway", "backend"])
def test_0_7_overflow_of_the_context_is_told_in_the_clients_words(
    shared: Bridge, upstream: Simulator, protocol: str, model: str, form: str
) -> None:
    if form == "gateway":
        prompt = "[[error: prompt_too_long]]"
    else:
        said = "prompt is too long: 210000 tokens > 200000 maximum"
        body = {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
        for endpoint in ("/chat/completions", "/responses", "/v1/messages"):
            upstream.fault(endpoint=endpoint, status=400, body=body, times=2)
        prompt = "Hello"
    for stream in (False, True):
        answer = ask(shared, protocol, model, prompt, stream=stream)
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert error["type"] == "invalid_request_error"
        assert TOO_LONG[protocol].search(error["message"])
        if protocol != "messages":
            assert error["code"] == "context_length_exceeded"


@every_model
@pytest.mark.parametrize("preset", ["overloaded_529"])
def test_0_7_overload_is_anthropics_for_anthropics_clients(
    shared: Bridge, upstream: Simulator, model: str, preset: str
) -> None:
    answer = ask(shared, "messages", model, f"[[error: {preset}]]")
    assert answer.status_code == 529
    assert answer.json()["error"]["type"] == "overloaded_error"


# ── client notes §0.8: limits and options ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("protocol", "model", "fields", "sent"),
    [
        ("messages", CLAUDE, {"max_tokens": 128000, "stream": True}, {"max_tokens": 32000}),
        ("messages", CODEX, {"max_tokens": 2}, {"max_output_tokens": 16}),
        ("responses", CODEX, {"max_output_tokens": 15}, {"max_output_tokens": 16}),
        ("responses", CODEX, {"temperature": 0.2, "top_p": 0.5}, {"temperature": None, "top_p": None}),
        ("chat", CODEX, {"temperature": 0}, {"temperature": None}),
        ("chat", GPT, {"reasoning_effort": "high", "store": False}, {"store": None, "reasoning_effort": None}),
        ("chat", GPT, {"max_tokens": 64000}, {"max_tokens": 16384}),
        ("chat", GPT, {"max_completion_tokens": 64000}, {"max_completion_tokens": 16384}),
        ("chat", GEMINI, {"reasoning_effort": "medium"}, {"reasoning_effort": "low"}),
        ("chat", GPT, {"stream_options": {"include_usage": True}}, {"stream_options": None}),
    ],
)
def test_0_8_values_are_brought_within_what_upstream_takes(
    shared: Bridge, upstream: Simulator, protocol: str, model: str, fields: Json, sent: Json
) -> None:
    answer = ask(shared, protocol, model, "Hello", **fields)
    assert answer.status_code == 200, answer.text
    received = last_generation(upstream)["json"]
    assert {name: received.get(name) for name in sent} == sent


# ── client notes §0.9: Claude's split choices ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [False, True])
def test_0_9_split_choices_are_one(shared: Bridge, upstream: Simulator, stream: bool) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "ab"]
    answer = ask(shared, "chat", SPLIT, "[[say: Both.]] [[tool: a {}]] [[tool: b {}]]", stream=stream, tools=tools)
    found = told("chat", answer).answer if stream else answer.json()
    assert found["object"] in ("chat.completion", "chat.completion.chunk")
    (choice,) = found["choices"]
    assert choice["index"] == 0
    assert choice["message"]["content"].strip() == "Both."
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["a", "b"]


# ── client notes §0.10: reasoning ─────────────────────────────────────────────────────────────────────────────────────

ASKS_FOR_THOUGHTS: dict[str, Json] = {
    "chat": {"reasoning_effort": "high"},
    "messages": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    "responses": {"reasoning": {"effort": "high", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
}


def thought_of(protocol: str, answer: Json) -> str:
    """What the client shows as the model's thoughts, with all beside it that it needs."""
    if protocol == "chat":
        return str(answer["choices"][0]["message"].get("reasoning_content") or "")
    if protocol == "messages":
        (block,) = [block for block in answer["content"] if block["type"] == "thinking"]
        assert block["signature"]
        return str(block["thinking"])
    (item,) = [item for item in answer["output"] if item["type"] == "reasoning"]
    assert item["encrypted_content"]
    return "".join(part["text"] for part in item["summary"])


@every_protocol
@pytest.mark.parametrize("model", [CLAUDE, CODEX, GEMINI])
@pytest.mark.parametrize("stream", [False, True])
def test_0_10_thoughts_are_shown_in_the_clients_own_field(
    shared: Bridge, upstream: Simulator, protocol: str, model: str, stream: bool
) -> None:
    fields = {**ASKS_FOR_THOUGHTS[protocol], "stream": stream}
    answer = ask(shared, protocol, model, "[[think: Let me see.]] [[say: Seen.]]", **fields)
    found = told(protocol, answer).answer if stream else answer.json()
    assert thought_of(protocol, found) == "Let me see."
    assert text_of(protocol, found) == "Seen."


# ── client notes §0.11: state that Copilot does not keep ──────────────────────────────────────────────────────────────


@every_model
def test_0_11_what_nobody_has_stored_is_refused_with_the_field(shared: Bridge, upstream: Simulator, model: str) -> None:
    reference = [{"type": "item_reference", "id": "rs_1"}, {"role": "user", "content": "Hi"}]
    refused = (("previous_response_id", "resp_1", 400), ("conversation", "conv_1", 400), ("input", reference, 404))
    for name, value, status in refused:
        answer = ask(shared, "responses", model, "Hello", **{name: value})
        assert answer.status_code == status
        assert answer.json()["error"]["param"].startswith(name)
    assert generations(upstream) == []


@every_model
def test_0_11_store_and_empty_lists_are_accepted(shared: Bridge, upstream: Simulator, model: str) -> None:
    """The AI SDK and the Agents SDK leave `store` on, and send lists with nothing in them."""
    kept = ask(shared, "responses", model, "[[say: Hello.]]", store=True, include=[], tools=[])
    assert text_of("responses", kept.json()) == "Hello."
    assert kept.json()["store"] is True


# ── client notes §0.12: usage ─────────────────────────────────────────────────────────────────────────────────────────


@every_model
def test_0_12_usage_in_every_shape(shared: Bridge, upstream: Simulator, model: str) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chat = told("chat", ask(shared, "chat", model, "Hello", **options))
    assert chat.events[-1]["choices"] == []
    assert chat.events[-1]["usage"]["total_tokens"] > 0
    messages = told("messages", ask(shared, "messages", model, "Hello", stream=True)).events
    (opening,) = [event for event in messages if event["type"] == "message_start"]  # a ping may stand before it
    assert opening["message"]["usage"]["input_tokens"] > 0
    (ending,) = [event for event in messages if event["type"] == "message_delta"]
    assert ending["usage"]["output_tokens"] > 0
    responses = told("responses", ask(shared, "responses", model, "Hello", stream=True)).answer["usage"]
    assert responses["input_tokens"] > 0
    assert "cached_tokens" in responses["input_tokens_details"]
    assert "reasoning_tokens" in responses["output_tokens_details"]


# ── client notes §0.13: probes and discovery ──────────────────────────────────────────────────────────────────────────


def test_0_13_heads_without_a_key(shared: Bridge) -> None:
    for path in ("/api/hello", "/"):
        answer = shared.call("HEAD", path, key=False, headers={"User-Agent": "Bun/1.4.4"})
        assert (answer.status_code, answer.content) == (200, b"")


def test_0_13_model_list_is_in_the_form_of_who_asks(shared: Bridge) -> None:
    claude = {"anthropic-version": "2023-06-01", "User-Agent": "claude-code/2.1.330"}
    anthropic = shared.get("/v1/models?limit=1000", headers=claude).json()
    assert anthropic.keys() == {"data", "has_more", "first_id", "last_id"}
    assert all(one["type"] == "model" and one["display_name"] for one in anthropic["data"])
    # Claude Code shows what it takes for its own by this expression.
    assert [one["id"] for one in anthropic["data"] if re.search("(claude|anthropic)", one["id"], re.IGNORECASE)]
    openai = shared.get("/v1/models").json()
    assert openai["object"] == "list"
    assert all(one["object"] == "model" and one["owned_by"] for one in openai["data"])
    one = shared.get(f"/v1/models/{CLAUDE}").json()
    assert (one["id"], one["object"]) == (CLAUDE, "model")
    assert shared.get(f"/v1/models/{CLAUDE}", headers=claude).json()["type"] == "model"


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_0_13_codex_gets_its_catalogue_and_an_etag(shared: Bridge, path: str) -> None:
    answer = shared.get(f"{path}?client_version=0.169.0", headers={"originator": "codex_exec"})
    listed = answer.json()
    assert listed.keys() == {"models"}
    assert {CODEX, GPT, CLAUDE} <= {one["slug"] for one in listed["models"]}
    known = {"If-None-Match": answer.headers["ETag"]}
    same = shared.get(f"{path}?client_version=0.169.0", headers=known)
    assert (same.status_code, same.content) == (304, b"")
    assert shared.get(f"{path}?client_version=0.1.0", headers={"If-None-Match": '"other"'}).status_code == 200
    assert "data" in shared.get(path).json()


@every_model
def test_0_13_tokens_are_counted_for_every_model(shared: Bridge, upstream: Simulator, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello there"}]}
    answer = shared.post("/v1/messages/count_tokens", json=body)
    assert answer.json()["input_tokens"] > 0
    assert log_line(shared, answer)["purpose"] == "count"
    assert generations(upstream) == []


PROBES: dict[str, Json] = {
    # Claude Code's quota check; its check of a key says "test".
    "messages": {"max_tokens": 1, "messages": [{"role": "user", "content": "quota"}]},
    "chat": {"max_tokens": 1, "messages": [{"role": "user", "content": "ping"}]},
    "responses": {"max_output_tokens": 1, "input": "ping"},
}


@every_protocol
@every_model
@pytest.mark.parametrize("stream", [False, True])
def test_0_13_probe_is_answered_here_when_the_setting_says_so(
    shared: Bridge, upstream: Simulator, protocol: str, model: str, stream: bool
) -> None:
    answer = shared.post(PATHS[protocol], json={"model": model, "stream": stream, **PROBES[protocol]})
    found = told(protocol, answer).answer if stream else answer.json()
    assert text_of(protocol, found) == "OK"
    assert answer.headers["x-bridge-answered"] == "locally"
    line = log_line(shared, answer)
    assert (line["purpose"], line["answered"]) == ("probe", "locally")
    assert generations(upstream) == []


@every_protocol
def test_0_13_probe_for_a_model_that_is_not_there_is_told_so(
    shared: Bridge, upstream: Simulator, protocol: str
) -> None:
    answer = shared.post(PATHS[protocol], json={"model": "no-such-model", **PROBES[protocol]})
    assert answer.status_code == 404
    assert "no-such-model" in answer.json()["error"]["message"]
    embedder = shared.post(PATHS[protocol], json={"model": "text-embedding-3-small", **PROBES[protocol]})
    assert embedder.status_code == 400
    assert generations(upstream) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 2},
        {"max_tokens": 1, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"max_tokens": 1, "n": 2},
        {"max_tokens": 1, "logprobs": True},
        {},
    ],
)
def test_0_13_all_else_is_asked_upstream(shared: Bridge, upstream: Simulator, fields: Json) -> None:
    answer = ask(shared, "chat", GPT, "ping", **fields)
    assert answer.status_code == 200, answer.text
    assert "x-bridge-answered" not in answer.headers
    assert len(generations(upstream)) == 1


def test_0_13_probes_go_upstream_without_the_setting_and_nobody_signed_in_is_told(
    simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    body = {"model": GPT, **PROBES["chat"]}
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path / "in") as bridge:
        answer = bridge.post(PATHS["chat"], json=body)
        assert answer.status_code == 200
        assert log_line(bridge, answer)["purpose"] == "probe"
    assert len(generations(simulator)) == 1
    with Bridge({**simulator.settings_env(), "ANSWER_PROBES": "true"}, tmp_path / "out") as bridge:
        answer = bridge.post(PATHS["chat"], json=body)
        assert answer.status_code == 403
        assert "/auth/device" in answer.json()["error"]["message"]
    assert len(generations(simulator)) == 1


# ── client notes §0.14: who may enter ─────────────────────────────────────────────────────────────────────────────────


@every_protocol
def test_0_14_wrong_key_is_a_401_in_both_headers(shared: Bridge, upstream: Simulator, protocol: str) -> None:
    for headers in ({"Authorization": "Bearer wrong"}, {"x-api-key": "wrong"}, {}):
        answer = shared.call("POST", PATHS[protocol], key=False, headers=headers, json={})
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"
    right = {"x-api-key": shared.api_key}
    answer = shared.call("POST", PATHS[protocol], key=False, headers=right, json={})
    assert answer.status_code == 400


# ── client notes §0.15: streams ───────────────────────────────────────────────────────────────────────────────────────


@every_protocol
@every_model
def test_0_15_cut_stream_never_ends_as_if_it_were_whole(
    shared: Bridge, upstream: Simulator, protocol: str, model: str
) -> None:
    prompt = "[[say: one two three four five six seven eight nine ten]] [[cut: 9]]"
    answer = ask(shared, protocol, model, prompt, stream=True)
    found = read(protocol, answer.content, is_native=True)
    assert not found.is_finished
    assert found.error is not None
    for ending in (b"[DONE]", b"message_stop", b"response.completed"):
        assert ending not in answer.content


# ── WebSockets ──────────────────────────────────────────────────────────────────────────────────────────────────────

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: z4KDMr99jiilu7Aiz8OjZA==\r\nopenai-beta: responses_websockets=2026-02-06\r\n\r\n"
)


def _reply(connection: socket.socket) -> tuple[int, Json]:
    """Status and body of one answer, read to its last byte and not beyond."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(4096)
    return int(head.split()[1]), json.loads(body)


def _refused_upgrade(port: int, path: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for _ in range(2):  # the connection stays in order for what comes next
            connection.sendall(HANDSHAKE.format(path=path, host=f"127.0.0.1:{port}").encode())
            status, body = _reply(connection)
            assert status == 426
            assert body["error"]["code"] == "websocket_not_supported"
            assert "POST" in body["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/responses", "/responses", "/v1/realtime?model=x"])
def test_websocket_is_refused_at_once_with_the_status_that_codex_falls_back_on(shared: Bridge, path: str) -> None:
    _refused_upgrade(shared.port, path)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_websocket_is_refused_behind_nginx_which_takes_the_upgrade_away(shared: Bridge, tmp_path: Path) -> None:
    with Nginx(shared, tmp_path) as nginx:
        _refused_upgrade(nginx.port, "/v1/responses")


def test_other_upgrades_are_none_of_ours(shared: Bridge, upstream: Simulator) -> None:
    """Java's and curl's clients offer HTTP/2 on every plain connection; HTTP/1.1 goes on."""
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
    body = {"model": GPT, "messages": [{"role": "user", "content": "[[say: Hello.]]"}]}
    answer = shared.post(PATHS["chat"], json=body, headers=headers)
    assert text_of("chat", answer.json()) == "Hello."
    assert shared.get("/v1/responses").status_code == 405


# ── what a call is for, in the log and in the bill ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "fields", "purpose", "initiator"),
    [
        ({}, {}, "turn", "user"),
        ({"x-claude-code-agent-id": "ab01c366c670fe025"}, {}, "subagent", "agent"),
        ({"x-claude-code-request-class": "compaction"}, {}, "summary", "agent"),
        (
            {},
            {
                "tools": [],
                "thinking": {"type": "disabled"},
                "output_config": {
                    "format": {
                        "type": "json_schema",
                        "schema": {
                            "type": "object",
                            "properties": {"title": {"type": "string"}},
                            "required": ["title"],
                            "additionalProperties": False,
                        },
                    }
                },
            },
            "title",
            "agent",
        ),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, CODEX, GPT])
def test_purpose_is_logged_and_only_a_persons_turn_is_billed(
    shared: Bridge, upstream: Simulator, model: str, headers: Json, fields: Json, purpose: str, initiator: str
) -> None:
    body = claude_code_body(model, "Hello", **fields)
    answer = shared.post("/v1/messages?beta=true", json=body, headers={**CLAUDE_CODE, **headers})
    assert answer.status_code == 200, answer.text
    line = log_line(shared, answer)
    assert (line["purpose"], line["initiator"]) == (purpose, initiator)
    assert initiators(upstream) == [initiator]


# ── single clients ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_opencode_and_pi_send_unknown_keys_to_chat(shared: Bridge, upstream: Simulator) -> None:
    """Client notes §3, §7: cache_control on messages of a chat request, role developer, reasoning_content on return."""
    body = {
        "model": SPLIT,
        "max_tokens": 32000,
        "store": False,
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "developer", "content": "Be kind.", "cache_control": EPHEMERAL},
            {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": EPHEMERAL}]},
            {
                "role": "assistant",
                "content": "Hello.",
                "reasoning_content": "They greet me.",
                "cache_control": EPHEMERAL,
            },
            {"role": "user", "content": "[[say: Fine.]]", "cache_control": EPHEMERAL},
        ],
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    }
    found = told("chat", shared.post(PATHS["chat"], json=body))
    assert text_of("chat", found.answer) == "Fine."


@pytest.mark.parametrize("model", [CLAUDE, CODEX, GPT])
def test_qwen_sends_content_of_tool_results_as_lists(shared: Bridge, upstream: Simulator, model: str) -> None:
    """client notes §4."""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    text = {"type": "text", "text": "a cat"}
    body = {
        "model": model,
        "max_tokens": 64000,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "You are Qwen Code."}]},
            {"role": "user", "content": [{"type": "text", "text": "[[next]] [[say: Seen.]]"}]},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": [text]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
        ],
    }
    found = told("chat", shared.post(PATHS["chat"], json=body, headers={"sec-fetch-mode": "cors"}))
    assert found.answer["choices"][0]["finish_reason"]
    assert initiators(upstream) == ["agent"]


@pytest.mark.parametrize("stream", [False, True])
def test_agents_that_stop_at_a_word_can_use_responses_models(shared: Bridge, upstream: Simulator, stream: bool) -> None:
    """LangChain's agents: whatever would follow "Observation:" is theirs to say."""
    prompt = "[[say: Action: look Observation: a cat Thought: I see]]"
    answer = ask(shared, "chat", CODEX, prompt, stop=["Observation:", "\nHuman:"], stream=stream)
    found = told("chat", answer).answer if stream else answer.json()
    assert text_of("chat", found) == "Action: look "
    assert found["choices"][0]["finish_reason"] == "stop"


def test_anthropics_client_may_send_pictures_of_failed_tools_and_search_results(
    shared: Bridge, upstream: Simulator
) -> None:
    """What the Messages upstream refuses, and the conversion to other protocols always could say."""
    picture = {"type": "base64", "media_type": "image/png", "data": png_base64(3, 3)}
    found = {
        "type": "search_result",
        "source": "https://example.com",
        "title": "Sky",
        "content": [{"type": "text", "text": "Blue."}],
    }
    body = {
        "model": CLAUDE,
        "max_tokens": 100,
        "stop_sequences": ["\n\n", "END"],
        "messages": [
            {"role": "user", "content": [found, {"type": "text", "text": "Look."}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "is_error": True,
                        "content": [{"type": "image", "source": picture}],
                    }
                ],
            },
        ],
        "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}}],
    }
    answer = shared.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    assert last_generation(upstream)["json"]["stop_sequences"] == ["END"]
    assert initiators(upstream) == ["agent"]
