"""Input items → neutral messages. Spec: OpenAI "Responses: input"; conversion rules §1.1, §2; client notes §0.3.

What the model said in one turn (thoughts, messages, calls) is one assistant message; results that stand side by side
are one user message. What an item is called (`id`) is forgotten: upstream ids mean nothing abroad (contract §7.6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.converters.neutral import tools
from app.converters.neutral.vocabulary import Message, Opaque, Part, Text, ToolCall, ToolResult
from app.converters.responses import client_run
from app.converters.responses.client.configuration import UPDATE
from app.converters.responses.parts import ORIGIN, decode_content, decode_reasoning
from app.converters.responses.refusals import ITEMS
from app.converters.responses.vocabulary import ROLES
from app.converters.wire import reading
from app.errors import InvalidRequestError, UnsupportedFeatureError

TOOL_ITEMS: Final = "additional_tools"

OF_TOOLS: Final = frozenset(
    {
        "computer_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
        "mcp_approval_response",
        "tool_search_output",
    }
)
"""Items of other kinds that the client writes; all other unknown ones are the model's."""


def decode_input(raw: Any, start: int = 0) -> list[Message]:
    """`input`: a string, or items. What changes its tools or its configuration is passed over: see ``request``.

    start: the place of the first item, if these are a part of the input.
    """
    if isinstance(raw, str):
        return [Message("user", (Text(raw),) if raw else ())]
    if not isinstance(raw, list):
        raise InvalidRequestError("`input` must be a string or a list of items.", param="input")
    messages: list[Message] = []
    turn = _Turns(messages)
    for at, given in enumerate(raw, start):
        path = f"input[{at}]"
        item = {"role": "user", "content": given} if isinstance(given, str) else reading.obj(given, path)
        kind = kind_of(item, path)
        if kind not in (TOOL_ITEMS, UPDATE):
            _DECODERS.get(kind, _other)(turn, item, path)
    return messages


def kind_of(item: dict[str, Any], path: str) -> str:
    """The type of an item; a message need not say it."""
    kind = item.get("type")
    if kind is None and "role" in item:
        return "message"
    if kind is None and set(item) == {"id"}:
        return "item_reference"
    if not isinstance(kind, str) or not kind:
        raise InvalidRequestError(f"`{path}.type` is missing.", param=f"{path}.type")
    return kind


class _Turns:
    """Collects items into messages."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self._had_plain_message = False

    def said(self, parts: tuple[Part, ...], *, is_message: bool = False, is_named: bool = False) -> None:
        """The model's own. Two bare messages side by side, as a client writes them by hand, are two turns."""
        last = self.messages[-1] if self.messages else None
        is_plain = is_message and not is_named
        if last is None or last.role != "assistant" or (is_plain and self._had_plain_message):
            self.messages.append(Message("assistant", parts))
        else:
            self.messages[-1] = Message("assistant", last.parts + parts)
        self._had_plain_message = is_plain

    def result(self, part: Part) -> None:
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "user" and last.parts and _is_result(last.parts[-1]):
            self.messages[-1] = Message("user", (*last.parts, part))
        else:
            self.messages.append(Message("user", (part,)))

    def message(self, message: Message) -> None:
        self.messages.append(message)


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResult | Opaque)


def _message(turns: _Turns, item: dict[str, Any], path: str) -> None:
    role = ROLES.get(str(item.get("role")))
    if role is None:
        raise InvalidRequestError(
            f"`{path}.role` must be one of system, developer, user and assistant.", param=f"{path}.role"
        )
    parts = decode_content(item.get("content"), f"{path}.content")
    if role != "assistant":
        turns.message(Message(role, parts))
        return
    phase = reading.opt_string(item.get("phase"), f"{path}.phase")
    named = tuple(Text(part.text, part.annotations, phase=phase) if isinstance(part, Text) else part for part in parts)
    turns.said(named, is_message=True, is_named=bool(phase))


def _reasoning(turns: _Turns, item: dict[str, Any], _path: str) -> None:
    turns.said((decode_reasoning(item),))


def _call(turns: _Turns, item: dict[str, Any], path: str) -> None:
    is_custom = item.get("type") == "custom_tool_call"
    key = "input" if is_custom else "arguments"
    call = ToolCall(
        call_id=_call_id(item, path),
        name=reading.opt_string(item.get("name"), f"{path}.name") or "",
        arguments=reading.opt_string(item.get(key), f"{path}.{key}") or "",
        kind="custom" if is_custom else "function",
        namespace=reading.opt_string(item.get("namespace"), f"{path}.namespace") or None,
    )
    turns.said((call,))


def _result(turns: _Turns, item: dict[str, Any], path: str) -> None:
    parts = decode_content(tools.result_text(item.get("output")), f"{path}.output")
    is_custom = item.get("type") == "custom_tool_call_output"
    turns.result(ToolResult(_call_id(item, path), parts, kind="custom" if is_custom else "function"))


def _client_call(turns: _Turns, item: dict[str, Any], path: str) -> None:
    call = client_run.call_of(item)
    if call is None:
        _other(turns, item, path)
    else:
        turns.said((call,))


def _client_result(turns: _Turns, item: dict[str, Any], path: str) -> None:
    found = client_run.result_of(item)
    if found is None:
        _other(turns, item, path)
    else:
        turns.result(ToolResult(found[0], decode_content(found[1], f"{path}.output")))


def _call_id(item: dict[str, Any], path: str) -> str:
    return reading.string(item.get("call_id"), f"{path}.call_id")


def _other(turns: _Turns, item: dict[str, Any], path: str) -> None:
    kind = kind_of(item, path)
    rule = ITEMS.get(kind)
    if rule is not None and rule.verdict == "refused":
        raise UnsupportedFeatureError(f"An item of type `{kind}` cannot be used: {rule.note}.", param=path)
    part = Opaque(ORIGIN, item, path)
    if kind in OF_TOOLS:
        turns.result(part)
    else:
        turns.said((part,))


_DECODERS: Final[dict[str, Callable[[_Turns, dict[str, Any], str], None]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call,
    "custom_tool_call": _call,
    "function_call_output": _result,
    "custom_tool_call_output": _result,
    **dict.fromkeys(client_run.CALLS, _client_call),
    **dict.fromkeys(client_run.OUTPUTS, _client_result),
}
