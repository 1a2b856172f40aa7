"""Which type of tool or item a refusal names: by its place, by its name, in the words of many."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters import refusal
from app.converters.codec import UpstreamRequest
from app.converters.removable import can_be_remembered
from tests.support.rows import rows

FUNCTION = {"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}}
BODY: dict[str, Any] = {
    "model": "m",
    "input": [
        {"role": "user", "content": "hi"},
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]},
        {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "x"},
        {"type": "web_search_call", "action": {}},
        {"type": "function_call_output", "name": "watch", "output": "changed"},
    ],
    "tools": [
        FUNCTION,
        {"type": "custom", "name": "apply_patch", "format": {"type": "text"}},
        {"type": "namespace", "name": "mcp__x", "tools": [FUNCTION, {"type": "custom", "name": "inner"}]},
        {"type": "web_search_preview_2025_03_11"},
        {"type": "tool_search", "execution": "client"},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "tomorrow_tool"},
    ],
    "tool_choice": "auto",
}
SENT = UpstreamRequest(json.dumps(BODY).encode())


def named(message: str, status: int = 400, **error: Any) -> list[str]:
    content = json.dumps({"error": {"message": message, **error}}).encode()
    return [repair.name for repair in refusal.repairs(status, content, SENT) if repair.name.startswith("type:")]


@rows()
@pytest.mark.parametrize(
    ("message", "param", "kind"),
    [
        ("Invalid value: 'custom'. Supported values are: 'function', 'web_search'.", "tools[1].type", "custom"),
        ("Invalid value: 'custom'. Supported values are: 'function'.", None, "custom"),
        ("Invalid value: 'namespace'. Supported values are: 'function' and 'custom'.", "tools[2].type", "namespace"),
        ("Invalid value.", "tools[2].tools[1].type", "custom"),
        ("This tool is not supported.", "tools.5", "shell"),
        ("The requested tool web_search_preview is not supported.", "tools", "web_search_preview_2025_03_11"),
        ("The use of the web search tool is not supported.", None, "web_search_preview_2025_03_11"),
        ("Hosted tool 'tool_search' is not supported with gpt-5.2.", None, "tool_search"),
        ("Tool of type 'shell' is not available for this model", None, "shell"),
        ("Unsupported tool type: tomorrow_tool", "tools", "tomorrow_tool"),
        ("Tool type `custom` is unknown", None, "custom"),
        ("Tool 'apply_patch' is not supported.", None, "custom"),
        ("tools of type custom are not supported by this deployment", None, "custom"),
        ("Custom tools are not supported with this model.", None, "custom"),
        ("Free-form tool calling (custom tools) is not supported", None, "custom"),
        ("Unknown parameter: 'input[2].namespace'.", "input[2].namespace", "namespace"),
        ("Invalid value: 'additional_tools'. Supported values are: 'message'.", "input[1].type", "additional_tools"),
        ("Invalid value: 'custom_tool_call'.", "input[2].type", "custom_tool_call"),
        ("Invalid value: 'web_search_call'. Supported values are: 'message'.", "input[3]", "web_search_call"),
        ("Function call output requires call_id", "input[4]", "function_call_output"),
        ("tools.2: Input tag 'namespace' found using 'type' does not match the expected tags: 'x'", None, "namespace"),
        ("Invalid tool type 'namespace', must be one of 'function', 'custom'", None, "namespace"),
    ],
)
def test_the_type_that_a_refusal_names(message: str, param: str | None, kind: str) -> None:
    assert named(message, param=param, code="unknown_parameter")[:1] == [f"type:{kind}"]


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'loud'. Supported values are: 'custom', 'namespace'.",
        "Missing namespace for function_call 'read'.",
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "The prompt is too long.",
        "Invalid schema for function 'read': custom is not of type object",
        "The requested tool image_generation is not supported.",
        "Your input exceeds the context window of this model.",
        "",
    ],
)
def test_what_names_none(message: str) -> None:
    assert named(message) == []


def test_a_model_that_fails_at_free_text_tools_gets_a_function() -> None:
    """Contract §7.4: one answered 500. A page of a proxy is no such answer."""
    assert named("Internal server error", 500) == ["type:custom"]
    assert list(refusal.repairs(500, b"<html><title>502</title></html>", SENT)) == []
    assert named("Bad gateway", 502) == []
    plain = UpstreamRequest(json.dumps({"model": "m", "input": "hi", "tools": [FUNCTION]}).encode())
    assert list(refusal.repairs(500, b'{"error":{"message":"Internal server error"}}', plain)) == []


def test_what_is_remembered_of_types() -> None:
    said = b'{"error":{"message":"Invalid value: \'custom\'."}}'
    assert can_be_remembered("type:custom", SENT, said)
    assert not can_be_remembered("type:tomorrow_tool", SENT, said)  # a client may invent any number of them
    quoting = UpstreamRequest(json.dumps({**BODY, "user": "Invalid value: 'custom'."}).encode())
    assert not can_be_remembered("type:custom", quoting, said)
