"""What the chat endpoint refuses, and with which words (contract §6.1, §6.2, §6.6, §10.4, §13.6)."""

import re
from typing import TYPE_CHECKING, Any

from . import prompts, schemas
from .checks import Problem, bad, efforts, length, unsupported, wrong_effort
from .knobs import Settings

if TYPE_CHECKING:
    from .state import World

_NAME = re.compile(r"[a-zA-Z0-9_-]+\Z")
_ROLES = {"system", "user", "assistant", "tool", "function", "developer"}
_FORMATS = ("text", "json_object", "json_schema")
_MESSAGE_FIELDS = {
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "copilot_cache_control",
    "reasoning_text",
    "reasoning_opaque",
    "cot_id",
    "cot_summary",
    "copilot_references",
    "copilot_confirmations",
    "refusal",
}
_NO_SIGNATURE = (
    "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
    "work correctly, and missing thought_signature may lead to degraded model performance."
)


def problem(
    world: "World", fields: dict[str, Any], entry: dict[str, Any], dialect: str, settings: Settings
) -> Problem | None:
    """The first thing wrong with a chat request, or None."""
    if found := unsupported(fields, settings["reject_fields"]):
        return found
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        return bad("messages must be a non-empty array")
    return (
        _options(fields, entry, settings)
        or _tools(fields, settings)
        or _messages(messages, dialect, settings)
        or _pairing(messages, dialect)
        or _signatures(world, messages, dialect, entry, settings)
        or length(fields, entry)
    )


def _options(fields: dict[str, Any], entry: dict[str, Any], settings: Settings) -> Problem | None:
    prediction = fields.get("prediction")
    if prediction is not None and not (isinstance(prediction, dict) and prediction.get("content")):
        return bad("prediction content must not be empty")
    for name in ("max_tokens", "max_completion_tokens", "n"):
        value = fields.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            return bad(f"Invalid value for '{name}': expected a positive integer")
    if fields.get("max_tokens") is not None and entry["id"] in settings["reject_max_tokens"]:
        return bad(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
        )
    stop = fields.get("stop")
    if stop is not None and not all(isinstance(one, str) for one in (stop if isinstance(stop, list) else [stop])):
        return bad("Invalid value for 'stop': expected a string or an array of strings")
    wanted = fields.get("response_format")
    if wanted is not None and (not isinstance(wanted, dict) or wanted.get("type") not in _FORMATS):
        return bad("Invalid value for 'response_format'")
    if wanted and wanted["type"] == "json_schema":
        schema = wanted.get("json_schema")
        if not isinstance(schema, dict):
            return bad("Missing required parameter: 'response_format.json_schema'.")
        if found := _schema_fault(schema.get("schema"), f"response_format '{schema.get('name')}'"):
            return found
    return wrong_effort(fields.get("reasoning_effort"), entry, efforts(entry))


def _schema_fault(schema: Any, what: str) -> Problem | None:
    found = None if schema is None else schemas.fault(schema)
    return bad(f"Invalid schema for {what}: {found}") if found else None


def _tools(fields: dict[str, Any], settings: Settings) -> Problem | None:
    tools = fields.get("tools")
    if tools is None:
        tools = []
    if not isinstance(tools, list):
        return bad("Invalid value for 'tools': expected an array")
    if len(tools) > 128:
        return bad(
            f"Invalid value for 'tools': expected an array with maximum length 128, but got an array with "
            f"length {len(tools)} instead."
        )
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type", "function") != "function":
            return bad(f"Invalid value for 'tools[{index}]': expected a function tool")
        if not isinstance(function.get("name"), str) or not _NAME.match(function["name"]):
            return bad(
                f"Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string that "
                "matches the pattern '^[a-zA-Z0-9_-]+$'."
            )
        if found := _schema_fault(function.get("parameters"), f"function '{function['name']}'"):
            return found
    choice = fields.get("tool_choice")
    if choice == "required" and settings["reject_required_tool_choice"]:
        return bad("Invalid value for 'tool_choice': 'required' is not supported")
    if isinstance(choice, dict):
        wanted = choice["function"].get("name") if isinstance(choice.get("function"), dict) else None
        if wanted not in [tool["function"]["name"] for tool in tools]:
            return bad(f"Invalid value for 'tool_choice': tool {wanted} not found in 'tools'")
    elif choice not in (None, "none", "auto", "required", "validated"):
        return bad("Invalid value for 'tool_choice'")
    elif choice == "required" and not tools:
        return bad("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
    return None


def _messages(messages: list[dict[str, Any]], dialect: str, settings: Settings) -> Problem | None:
    strict = settings.vendor("strict_messages", dialect == "claude")
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if str(role) not in _ROLES:
            return bad(f"Invalid value for 'messages[{index}].role': {role!r}")
        if role == "developer" and not dialect.startswith("openai"):
            return bad(f"messages[{index}]: role 'developer' is not supported for this model")
        if content is not None and not isinstance(content, str | list):
            return bad(f"Invalid type for 'messages[{index}].content'")
        if content is None and role in ("system", "user", "developer", "tool"):
            return bad(f"Invalid value for 'messages[{index}].content': expected a string, got null.")
        if isinstance(content, list):
            for part in content:
                kind = part.get("type") if isinstance(part, dict) else None
                if kind not in ("text", "image_url") or (kind == "text" and not isinstance(part.get("text"), str)):
                    return bad(f"Invalid content part in 'messages[{index}].content'")
        if dialect == "claude":
            texts = [part.get("text") for part in prompts.parts(content) if part.get("type") == "text"]
            if "" in texts and (isinstance(content, list) or role in ("user", "system")):
                return bad(f"messages.{index}: text content blocks must be non-empty")
        if strict:
            extra = sorted(name for name, value in message.items() if name not in _MESSAGE_FIELDS and value is not None)
            if extra:
                return bad(f"messages.{index}.{extra[0]}: Extra inputs are not permitted")
    return None


def _pairing(messages: list[dict[str, Any]], dialect: str) -> Problem | None:
    """Every tool result belongs to a call, every call is answered before the conversation goes on (contract §6.2)."""
    open_calls: dict[str, int] = {}
    seen: set[str] = set()
    for index, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            call_id = message.get("tool_call_id")
            if str(call_id) not in seen:
                if dialect == "claude":
                    return bad(
                        f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                        f"{call_id}. Each `tool_result` block must have a corresponding `tool_use` block in "
                        "the previous message."
                    )
                return bad(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message "
                    "with 'tool_calls'."
                )
            open_calls.pop(str(call_id), None)
            continue
        if open_calls:
            return _unanswered(open_calls, dialect)
        if role == "assistant":
            calls = message.get("tool_calls") or []
            for call in calls if isinstance(calls, list) else [None]:
                if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
                    return bad(f"Invalid value for 'messages[{index}].tool_calls'")
                open_calls[str(call.get("id", ""))] = index
                seen.add(str(call.get("id", "")))
    return _unanswered(open_calls, dialect) if open_calls else None


def _unanswered(open_calls: dict[str, int], dialect: str) -> Problem:
    names = ", ".join(open_calls)
    if dialect == "claude":
        return bad(
            f"messages.{min(open_calls.values())}: `tool_use` ids were found without `tool_result` blocks "
            f"immediately after: {names}. Each `tool_use` block must have a corresponding `tool_result` block "
            "in the next message. (tool_use ids were found without tool_result blocks)"
        )
    return bad(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {names}"
    )


def _signatures(
    world: "World", messages: list[dict[str, Any]], dialect: str, entry: dict[str, Any], settings: Settings
) -> Problem | None:
    """Contract §6.6: an echoed ``reasoning_opaque`` must be the issued one; Gemini 3 insists on it after tool calls."""
    if not settings["check_opaque"] or settings["reasoning"] == "off":
        return None
    for index, message in enumerate(messages):
        if message.get("role") != "assistant":
            continue
        echoed = message.get("reasoning_opaque")
        if echoed is not None and world.opaques.get(str(echoed)) != dialect:
            if dialect == "gemini":
                return bad(f"messages[{index}]: reasoning_opaque was not issued by this model. {_NO_SIGNATURE}")
            return bad(f"messages.{index}.content.0: Invalid `signature` in `thinking` block")
        needed = dialect == "gemini" and not entry["id"].startswith("gemini-2")
        if needed and index > prompts.last_user_index(messages) and message.get("tool_calls"):
            issued = {world.call_opaques.get(str(call.get("id"))) for call in message["tool_calls"]} - {None}
            if echoed is None or (issued and echoed not in issued):
                return bad(_NO_SIGNATURE)
    return None
