"""What a model call is for (contract §5.5). Headers and bodies as real clients send them (client notes §1–§3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.neutral.request_traits import ProtocolName
from app.converters.registry import CLIENTS
from app.converters.request_purpose import CallKind, Initiator, Purpose, is_mere_probe, is_probe, purpose_of
from tests.support.rows import rows

CLAUDE = {"user-agent": "claude-cli/2.1.330 (external, sdk-cli)", "x-app": "cli"}
CODEX = {"user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64)", "originator": "codex_exec"}
OPENCODE = {"user-agent": "opencode/1.18.33 ai-sdk/provider-utils/5.0.1", "x-session-id": "ses_1"}
QWEN = {"user-agent": "QwenCode/0.24.4 (linux; x64)"}
OTHER = {"user-agent": "OpenAI/Python 3.54.0"}
BILLING = "x-anthropic-billing-header: cc_version=2.1.330.a5d; cc_entrypoint=sdk-cli;"


def messages(*turns: Any, system: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "model": "claude-sonnet-4.6",
        "max_tokens": 32000,
        **({"system": system} if system else {}),
        "messages": list(turns),
        **fields,
    }


def said(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def system(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


HI = said("Write a file.")
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Write", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "done"}]}
REMINDED = {
    "role": "user",
    "content": [*RESULT["content"], {"type": "text", "text": "<system-reminder>x</system-reminder>"}],
}
NOTIFIED = said("<system-reminder>\n[SYSTEM NOTIFICATION - NOT USER INPUT]\nAgent finished.\n</system-reminder>")
TITLE = {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {"type": "string"}}}}}
SEARCH = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]


def kind_of(protocol: ProtocolName, headers: dict[str, str], body: dict[str, Any]) -> CallKind:
    return purpose_of(protocol, headers, body, CLIENTS[protocol].traits(body).initiator)


def turn_metadata(**told: Any) -> dict[str, str]:
    return {"x-codex-turn-metadata": json.dumps({"session_id": "s", "request_kind": "turn", **told})}


@rows()
@pytest.mark.parametrize(
    ("headers", "body", "purpose", "initiator"),
    [
        (CLAUDE, messages(HI, system=system(BILLING, "You are a Claude agent.")), "turn", "user"),
        (CLAUDE, messages(HI, CALL, RESULT), "tool_round", "agent"),
        (CLAUDE, messages(HI, CALL, REMINDED), "tool_round", "agent"),
        (CLAUDE, messages(HI, CALL, RESULT, said("And now?")), "turn", "user"),
        (CLAUDE, messages(HI, CALL, RESULT, said("done", "assistant"), NOTIFIED), "notification", "agent"),
        # A sub-agent, by its header and by the billing text alone.
        ({**CLAUDE, "x-claude-code-agent-id": "ab01c366"}, messages(HI), "subagent", "agent"),
        (CLAUDE, messages(HI, system=system(BILLING + " cc_is_subagent=true;")), "subagent", "agent"),
        # The hint headers say it all.
        ({**CLAUDE, "x-claude-code-request-class": "subagent"}, messages(HI), "subagent", "agent"),
        ({**CLAUDE, "x-claude-code-request-class": "workflow"}, messages(HI), "subagent", "agent"),
        ({**CLAUDE, "x-claude-code-request-class": "compaction"}, messages(HI), "summary", "agent"),
        ({**CLAUDE, "x-claude-code-request-class": "main"}, messages(HI), "turn", "user"),
        ({**CLAUDE, "x-claude-code-request-class": "main"}, messages(HI, CALL, RESULT), "tool_round", "agent"),
        (
            {**CLAUDE, "x-claude-code-request-class": "auxiliary", "x-claude-1p-request-class": "summary-extraction"},
            messages(HI, output_config=TITLE),
            "title",
            "agent",
        ),
        (
            {**CLAUDE, "x-claude-code-request-class": "auxiliary", "x-claude-1p-request-class": "followup-generation"},
            messages(HI),
            "auxiliary",
            "agent",
        ),
        # A question on the side is a person's too.
        (
            {**CLAUDE, "x-claude-code-request-class": "auxiliary", "x-claude-1p-request-class": "main"},
            messages(HI),
            "turn",
            "user",
        ),
        # Without the hints: what only this client's own requests look like.
        (CLAUDE, messages(HI, system=system(BILLING), output_config=TITLE), "title", "agent"),
        (
            CLAUDE,
            messages(HI, system=system("You are a helpful AI assistant tasked with summarizing conversations.")),
            "summary",
            "agent",
        ),
        (CLAUDE, messages(HI, system=system(BILLING), tools=SEARCH), "auxiliary", "agent"),
        (CLAUDE, messages({"role": "user", "content": "quota"}, **{"max_tokens": 1}), "probe", "agent"),
        # The same bodies from anybody else are a person's turns.
        (OTHER, messages(HI, output_config=TITLE), "turn", "user"),
        (OTHER, messages(HI, tools=SEARCH), "turn", "user"),
        (OTHER, messages(HI, system=system(BILLING + " cc_is_subagent=true;")), "turn", "user"),
        (OTHER, messages({"role": "user", "content": "quota"}, **{"max_tokens": 1}), "probe", "user"),
        # What a person writes decides nothing, whatever the client.
        (CLAUDE, messages(said("cc_is_subagent=true; You are a title generator.")), "turn", "user"),
        (CLAUDE, messages(said("CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.\n…")), "summary", "user"),
        (CLAUDE, messages(HI, system=system("Project rules mention cc_is_subagent=true;")), "turn", "user"),
    ],
)
def test_messages_clients(
    headers: dict[str, str], body: dict[str, Any], purpose: Purpose, initiator: Initiator
) -> None:
    assert kind_of("messages", headers, body) == CallKind(purpose, initiator)


def responses(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.4", "input": list(items), **fields}


DEVELOPER = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]}
ENVIRONMENT = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "<environment_context>\n  <cwd>/tmp</cwd>\n</environment_context>"}],
}
ASKED = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Patch it."}]}
HANDOFF = {
    "type": "message",
    "role": "user",
    "content": [
        {
            "type": "input_text",
            "text": "Another language model started to solve this problem and produced a summary of its …",
        }
    ],
}
CALLED = {"type": "function_call", "call_id": "c1", "name": "exec_command", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}


@rows()
@pytest.mark.parametrize(
    ("headers", "body", "purpose", "initiator"),
    [
        ({**CODEX, **turn_metadata()}, responses(DEVELOPER, ENVIRONMENT, ASKED), "turn", "user"),
        ({**CODEX, **turn_metadata()}, responses(DEVELOPER, ASKED, CALLED, OUTPUT), "tool_round", "agent"),
        # Codex adds developer messages behind a result; they are nobody's turn.
        ({**CODEX, **turn_metadata()}, responses(ASKED, CALLED, OUTPUT, DEVELOPER), "tool_round", "agent"),
        ({**CODEX, **turn_metadata(request_kind="compaction")}, responses(ASKED), "summary", "agent"),
        ({**CODEX, **turn_metadata(thread_source="subagent")}, responses(ASKED), "subagent", "agent"),
        ({**CODEX, "x-openai-subagent": "collab_spawn"}, responses(ASKED), "subagent", "agent"),
        ({**CODEX, "x-openai-subagent": "guardian"}, responses(ASKED), "subagent", "agent"),
        ({**CODEX, "x-openai-subagent": "compact"}, responses(ASKED), "summary", "agent"),
        ({**CODEX, "x-openai-subagent": "memory_consolidation"}, responses(ASKED), "auxiliary", "agent"),
        ({**CODEX, "x-openai-memgen-request": "true"}, responses(ASKED), "auxiliary", "agent"),
        # A person has started the review, and nothing else counts as their turn.
        ({**CODEX, "x-openai-subagent": "review"}, responses(ASKED), "subagent", "user"),
        ({**CODEX, "x-openai-subagent": "review"}, responses(ASKED, CALLED, OUTPUT), "subagent", "agent"),
        (
            {**CODEX, **turn_metadata(thread_source="subagent", subagent_kind="review")},
            responses(ASKED),
            "subagent",
            "user",
        ),
        # Compacted in the middle of a turn: the summary is the last word, and nobody's but Codex's.
        ({**CODEX, **turn_metadata(window_number=1)}, responses(DEVELOPER, ASKED, HANDOFF), "tool_round", "agent"),
        ({**CODEX, **turn_metadata(window_number=1)}, responses(DEVELOPER, HANDOFF, ASKED), "turn", "user"),
        ({**CODEX, **turn_metadata(window_number=0)}, responses(DEVELOPER, HANDOFF), "turn", "user"),
        (OTHER, responses(HANDOFF), "turn", "user"),
        ({**CODEX, "x-codex-turn-metadata": "{torn"}, responses(ASKED), "turn", "user"),
        ({**CODEX, "x-codex-turn-metadata": '["a list"]'}, responses(ASKED), "turn", "user"),
        (
            OPENCODE,
            responses({"role": "developer", "content": "You are a title generator. You …"}, ASKED),
            "title",
            "agent",
        ),
        (OTHER, {"model": "gpt-5.4", "input": "hello", "instructions": "You are a title generator."}, "turn", "user"),
        (OTHER, {"model": "gpt-5.4", "input": "ping", "max_output_tokens": 1}, "probe", "user"),
    ],
)
def test_responses_clients(
    headers: dict[str, str], body: dict[str, Any], purpose: Purpose, initiator: Initiator
) -> None:
    assert kind_of("responses", headers, body) == CallKind(purpose, initiator)


def chat(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1", "messages": list(turns), **fields}


USER = {"role": "user", "content": "Hello"}
QWEN_CALL = {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "function": {"name": "agent"}}]}
QWEN_STARTED = {
    "role": "tool",
    "tool_call_id": "call_1",
    "content": [{"type": "text", "text": "Background agent launched successfully.\ntask_id: general-call_1\n"}],
}
QWEN_ENDED = said("<task-notification>\n<task-id>general-call_1</task-id>\n<status>completed</status>")


def instructed(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


@rows()
@pytest.mark.parametrize(
    ("headers", "body", "purpose", "initiator"),
    [
        (OTHER, chat(USER), "turn", "user"),
        # Clients that do not name themselves: for the log alone.
        (OTHER, chat(said("Given the following... please reply with a title for the chat that is …")), "title", "user"),
        (OTHER, chat(said("Please provide a concise summary of our conversation so far, …")), "summary", "user"),
        (OTHER, chat(said("<conversation>\n[User]: Hello\n</conversation>\n\nThe messages …")), "summary", "user"),
        # Qwen Code, as seen on the wire.
        (QWEN, chat(instructed("You are Qwen Code, a non-interactive CLI agent …"), USER), "turn", "user"),
        (
            QWEN,
            chat(instructed("You are now acting as the managed memory extraction subagent for an AI …"), USER),
            "auxiliary",
            "agent",
        ),
        (
            QWEN,
            chat(instructed("You are a general-purpose subagent working for a parent agent. …"), USER),
            "subagent",
            "agent",
        ),
        (QWEN, chat(instructed("Generate a concise, sentence-case title (3-7 words) …"), USER), "title", "agent"),
        (
            OTHER,
            chat(instructed("You are a general-purpose subagent working for a parent agent. …"), USER),
            "turn",
            "user",
        ),
        (QWEN, chat(USER, QWEN_CALL, QWEN_STARTED, QWEN_ENDED), "notification", "agent"),
        # The words alone are a person's: no tool of this conversation has started such a task.
        (QWEN, chat(USER, QWEN_ENDED), "turn", "user"),
        (QWEN, chat(USER, QWEN_CALL, {**QWEN_STARTED, "content": "task_id: other"}, QWEN_ENDED), "turn", "user"),
        (OTHER, chat(USER, QWEN_CALL, QWEN_STARTED, QWEN_ENDED), "turn", "user"),
        (
            OPENCODE,
            chat({"role": "system", "content": "You are a title generator. You output …"}, USER),
            "title",
            "agent",
        ),
        (
            OPENCODE,
            chat({"role": "system", "content": "You are a context summarization agent. …"}, USER),
            "summary",
            "agent",
        ),
        (OPENCODE, chat({"role": "system", "content": "You are opencode."}, USER), "turn", "user"),
        ({**OPENCODE, "x-parent-session-id": "ses_0"}, chat(USER), "subagent", "agent"),
        ({**OTHER, "x-parent-session-id": "ses_0"}, chat(USER), "turn", "user"),
        # A person may give any client this system prompt: only opencode's own counts.
        (OTHER, chat({"role": "system", "content": "You are a title generator."}, USER), "turn", "user"),
        # Open WebUI's templates stand in the user's message: seen in the log, billed as ever.
        (
            OTHER,
            chat({"role": "user", "content": "### Task:\nGenerate a concise, 3-5 word title with …"}),
            "title",
            "user",
        ),
        (OTHER, chat({"role": "user", "content": "### Task:\nSuggest 3-5 relevant follow-up …"}), "auxiliary", "user"),
        (OTHER, chat(USER, max_tokens=1), "probe", "user"),
        (OTHER, chat(USER, max_completion_tokens=1), "probe", "user"),
        (OTHER, chat(USER, {"role": "assistant", "content": "", "tool_calls": []}), "tool_round", "agent"),
    ],
)
def test_chat_clients(headers: dict[str, str], body: dict[str, Any], purpose: Purpose, initiator: Initiator) -> None:
    assert kind_of("chat", headers, body) == CallKind(purpose, initiator)


@rows()
@pytest.mark.parametrize("protocol", CLIENTS)
@pytest.mark.parametrize(
    "body", [{}, {"messages": 3, "input": 3, "system": 3}, {"messages": [3], "input": [3], "tools": 3}]
)
@pytest.mark.parametrize("headers", [{}, CLAUDE, OPENCODE, CODEX])
def test_odd_bodies_are_turns(protocol: ProtocolName, headers: dict[str, str], body: dict[str, Any]) -> None:
    assert purpose_of(protocol, headers, body, "user") == CallKind("turn", "user")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"max_tokens": 1}, True),
        ({"max_completion_tokens": 1}, True),
        ({"max_output_tokens": 1, "tools": []}, True),
        ({"max_tokens": 1, "max_completion_tokens": None}, True),
        ({"max_tokens": 1, "max_completion_tokens": 100}, False),
        ({"max_tokens": 1, "tools": [{"name": "f"}]}, False),
        ({"max_tokens": 2}, False),
        ({"max_tokens": True}, False),
        ({"max_tokens": 1.0}, False),
        ({}, False),
    ],
)
def test_probe_is_a_request_for_one_token_without_tools(body: dict[str, Any], expected: bool) -> None:
    assert is_probe(body) is expected


PING = [{"role": "user", "content": "ping"}]


@rows()
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": PING}, True),
        ({"messages": PING, "stream": True, "stream_options": {"include_usage": True}, "tools": [], "n": None}, True),
        ({"messages": [said("quota")], "metadata": {"user_id": "x"}}, True),
        ({"input": "ping"}, True),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, True),
        # One token is an answer to these.
        ({"messages": [said("Is this review friendly? Answer y or n.")]}, False),
        ({"messages": PING, "system": "Classify as 0 or 1."}, False),
        ({"messages": [{"role": "system", "content": "Classify."}, *PING]}, False),
        ({"messages": [*PING, {"role": "assistant", "content": "The answer is"}]}, False),
        ({"input": "ping", "instructions": "Classify."}, False),
        ({"messages": PING, "logprobs": True}, False),
        ({"messages": PING, "logit_bias": {"1": 5}}, False),
        ({"input": "ping", "include": ["message.output_text.logprobs"]}, False),
        ({"input": "ping", "include": []}, True),
        ({"messages": PING, "response_format": {"type": "json_object"}}, False),
        ({"messages": PING, "functions": [{"name": "f"}]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]}, False),
        # No requests at all: upstream, or a check, says what is wrong.
        ({"messages": []}, False),
        ({"messages": [{"role": "user", "content": 5}]}, False),
        ({"messages": [None]}, False),
        ({"messages": {"a": 1}}, False),
        ({}, False),
    ],
)
def test_only_a_probe_that_no_answer_could_serve_is_answered_here(body: dict[str, Any], expected: bool) -> None:
    assert is_mere_probe({"model": "m", "max_tokens": 1, **body}) is expected
    assert is_mere_probe({"model": "m", "max_tokens": 2, **body}) is False
