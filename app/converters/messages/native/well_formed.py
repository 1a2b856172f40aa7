"""Whether a messages body may pass natively: see `app.converters.neutral.well_formed`. Contract §8.2, §8.4.

Natively mended, and so no fault here: empty messages, ids of another form, system messages wherever they stand.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.messages.client.typed_tools import is_hosted
from app.converters.messages.openai_forms import own_forms
from app.converters.neutral.well_formed import NAME_CHARS, has_numbers, is_content, is_id, is_name

Json = dict[str, Any]

_TEXTS: Final = frozenset({"text"})
_CHOICES: Final = ("auto", "any", "tool", "none")
_CALL_NAME_CHARS: Final = 128


def is_well_formed(body: Json) -> bool:
    """Never fails."""
    choice = own_forms({"tool_choice": body.get("tool_choice")})["tool_choice"]
    return (
        has_numbers(body, "temperature", "top_p")
        and (choice is None or (isinstance(choice, dict) and choice.get("type") in _CHOICES))
        and _are_tools(body.get("tools"))
        and _is_instruction(body.get("system"))
        and _is_conversation(body.get("messages"))
    )


def _is_instruction(content: Any) -> bool:
    """Whether nothing among these instructions has to be looked at: upstream reads them, and a picture is shown to it
    by the user."""
    blocks = content if isinstance(content, list) else []
    return not any(isinstance(block, dict) and block.get("type") in ("image", "document") for block in blocks)


def _are_tools(tools: Any) -> bool:
    """Whether those that the client runs have a name, each its own."""
    own = [tool for tool in tools if _is_own(tool)] if isinstance(tools, list) else []
    return all(is_name(tool.get("name"), NAME_CHARS) for tool in own) and len({tool["name"] for tool in own}) == len(
        own
    )


def _is_own(tool: Any) -> bool:
    return isinstance(tool, dict) and (tool.get("type") is None or not is_hosted(tool))


def _is_conversation(messages: Any) -> bool:
    """The user begins; each turn with calls is followed by one that begins with their results, one for each."""
    turns = _Turns()
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or not _has_content(message):
            return False
        content = message["content"]
        if message["role"] in ("system", "developer") and not _is_instruction(content):
            return False
        if message["role"] in ("system", "developer") or _is_empty(content):
            continue
        if not turns.goes_on(message["role"]):
            return False
        if not all(map(turns.takes, content if isinstance(content, list) else [{"type": "text"}])):
            return False
    return not turns.waiting


class _Turns:
    """What upstream makes of the messages: those of one role in a row are one turn."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self._role = ""
        self._is_leading = False

    def goes_on(self, role: str) -> bool:
        """Whether a message of this role may follow."""
        if role != self._role:
            if self.waiting if self._role == "user" else not self._role and role == "assistant":
                return False
            self._role, self._is_leading = role, role == "user"
        return True

    def takes(self, block: Json) -> bool:
        """Whether this block may follow."""
        if block["type"] == "tool_result":
            if not self._is_leading or not _is_result(block) or block["tool_use_id"] not in self.waiting:
                return False
            self.waiting.remove(block["tool_use_id"])
            return True
        self._is_leading = False
        if self._role == "user":
            return not self.waiting and block["type"] != "tool_use"
        if block["type"] == "tool_use":
            if not _is_call(block) or block["id"] in self.waiting:
                return False
            self.waiting.add(block["id"])
        return True


def _has_content(message: Json) -> bool:
    content = message.get("content")
    if message.get("role") not in ("user", "assistant", "system", "developer"):
        return False
    return "content" in message and (content is None or is_content(content, _TEXTS))


def _is_empty(content: Any) -> bool:
    return not content or (isinstance(content, str) and not content.strip())


def _is_call(block: Json) -> bool:
    return (
        is_id(block.get("id")) and is_name(block.get("name"), _CALL_NAME_CHARS) and isinstance(block.get("input"), dict)
    )


def _is_result(block: Json) -> bool:
    content = block.get("content")
    return (
        is_id(block.get("tool_use_id"))
        and isinstance(block.get("is_error"), bool | type(None))
        and (content is None or is_content(content, _TEXTS))
    )
