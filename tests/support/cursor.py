"""Bodies as Cursor posts them to ``/chat/completions`` when its OpenAI base URL is overridden.

Field by field from what people recorded: forum.cursor.com 147087, 153019, 158939, 159298 (agent mode); LiteLLM #34029
and sub2api #5861 (ask mode); forum.cursor.com 145588 and vibeproxy #411 (models called Claude).
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PATCH = '*** Begin Patch\n*** Add File: hello.txt\n+grüß dich 你好 "quoted"\n*** End Patch\n'
SECOND_PATCH = "*** Begin Patch\n*** Update File: hello.txt\n@@\n-a\n+b\n*** End Patch\n"
GRAMMAR = 'start: begin_patch hunk+ end_patch\nbegin_patch: "*** Begin Patch" LF\nend_patch: "*** End Patch" LF?'
_READ: Json = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
FLAT_READ: Json = {
    "type": "function",
    "name": "ReadFile",
    "description": "Reads a file.",
    "parameters": _READ,
    "strict": False,
}
NESTED_READ: Json = {
    "type": "function",
    "function": {"name": "ReadFile", "description": "Reads a file.", "parameters": _READ},
}
ANTHROPIC_READ: Json = {"name": "ReadFile", "description": "Reads a file.", "input_schema": _READ}
APPLY_PATCH: Json = {
    "type": "custom",
    "name": "ApplyPatch",
    "description": "Use this tool to edit files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
}
SYSTEM = "You are an AI coding assistant, powered by GPT."


def agent(model: str, *items: Any, **fields: Any) -> Json:
    """Agent mode with a model of OpenAI's names: the body is that of Responses. items: after the system prompt."""
    return {
        "user": "auth0|user_test",
        "model": model,
        "input": [{"role": "system", "content": SYSTEM}, *map(_said, items)],
        "tools": [FLAT_READ, APPLY_PATCH],
        "tool_choice": "auto",
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_retention": "24h",
        "previous_response_id": None,
        "truncation": "disabled",
        "metadata": {"cursorConversationId": "b2f9", "cursorRequestId": "7d1e"},
        "reasoning": {"effort": "medium", "summary": "auto"},
        "text": {"verbosity": "low"},
        "stream_options": {"include_usage": True},
        **fields,
    }


def ask(model: str, *messages: Any, **fields: Any) -> Json:
    """Ask mode: a chat body, but for the flat custom tool among its tools."""
    return {
        "user": "auth0|user_test",
        "model": model,
        "messages": [{"role": "system", "content": SYSTEM}, *map(_said, messages)],
        "tools": [NESTED_READ, APPLY_PATCH],
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
        **fields,
    }


def claude(model: str, *messages: Any, **fields: Any) -> Json:
    """Agent mode with a model that has Claude in its name: a chat body with tools, choice and blocks of Anthropic's."""
    body = ask(model, *messages, tools=[ANTHROPIC_READ], tool_choice={"type": "auto"})
    return {**body, "max_tokens": 4096, **fields}


def item_call(call_id: str, name: str, arguments: str) -> Json:
    """A call in the history of agent mode. Of a free-text tool too: its text stands where the arguments would."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def item_result(call_id: str, output: str) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def chat_call(call_id: str, name: str, arguments: str) -> Json:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def chat_result(call_id: str, output: str) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": output}


def block_call(call_id: str, name: str, arguments: Json) -> Json:
    blocks = [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": call_id, "name": name, "input": arguments},
    ]
    return {"role": "assistant", "content": blocks}


def block_result(call_id: str, output: str, **fields: Any) -> Json:
    block = {"type": "tool_result", "tool_use_id": call_id, "content": [{"type": "text", "text": output}], **fields}
    return {"role": "user", "content": [block]}


def _said(turn: Any) -> Any:
    return {"role": "user", "content": turn} if isinstance(turn, str) else turn
