"""Input items on their way to a native upstream: the little that must change. Contract §7.6; clients.md 0.3, 2.

Ids: the client knows an item by the id that the mender gave it; upstream knows it by another, and only this once. The
bridge remembers nothing, and sealing some 400 characters into an id of at most 64 is impossible, so every `id` is left
out. Nothing is lost: upstream pairs calls by `call_id`, and takes encrypted reasoning without an id (§7.6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.converters import json_bytes
from app.converters.conversation import valid_call_id
from app.converters.responses import refused as table
from app.converters.responses.input_decoder import TOOL_ITEMS, kind_of
from app.converters.responses.traits import url_of
from app.converters.seal import MARK
from app.converters.tools import INPUT, ToolNames
from app.errors import UnsupportedFeatureError

# What an answer says of an item and upstream does not want to hear, or what the SDKs add to it.
_ANSWER_ONLY: Final = frozenset({"id", "created_by", "caller", "async", "parsed_arguments", "obfuscation"})
_CONTENT_ONLY: Final = frozenset({"parsed"})
_NOT_OF_RESULTS: Final = frozenset({"name", "namespace"})


@dataclass(slots=True)
class ItemMender:
    """Mends the items of one request, each by itself: the prompt prefix is the same in every turn.

    inlined:     data URLs for image addresses.
    with_proofs: false if upstream refused a proof before.
    dropped:     names of what was left out.
    """

    names: ToolNames
    inlined: Mapping[str, str]
    with_proofs: bool = True
    dropped: list[str] = field(default_factory=list)

    def mend(self, items: list[Any]) -> list[Any]:
        """The items for upstream; the same list if nothing had to change. Raises: UnsupportedFeatureError."""
        mended = [self._mend(item, f"input[{at}]") for at, item in enumerate(items)]
        if all(new is old for new, old in zip(mended, items, strict=True)):
            return items
        return [item for item in mended if item is not None]

    def _mend(self, item: Any, path: str) -> Any:
        if not isinstance(item, dict):
            return {"role": "user", "content": item} if isinstance(item, str) else item
        kind = kind_of(item, path)
        rule = table.ITEMS.get(kind)
        if rule is not None and rule.verdict == "refused":
            raise UnsupportedFeatureError(f"An item of type `{kind}` cannot be used: {rule.note}.", param=path)
        if kind == TOOL_ITEMS:
            return None
        mend = _MENDERS.get(kind)
        if mend is None:
            self.dropped.append(f"input:{kind}")
            return None
        return mend(self, item)

    def _message(self, item: dict[str, Any]) -> dict[str, Any]:
        return self._with_content(_slim(item), "content")

    def _reasoning(self, item: dict[str, Any]) -> dict[str, Any] | None:
        proof = item.get("encrypted_content")
        # Without a proof upstream looks for a stored item. A seal is the proof of another protocol.
        if not self.with_proofs or not isinstance(proof, str) or not proof or MARK in proof:
            self.dropped.append("input:reasoning")
            return None
        slim = _slim(item)
        return slim if isinstance(slim.get("summary"), list) else {**slim, "summary": []}

    def _compaction(self, item: dict[str, Any]) -> dict[str, Any] | None:
        if not self.with_proofs:
            self.dropped.append("input:compaction")
            return None
        return _slim(item)

    def _call(self, item: dict[str, Any]) -> dict[str, Any]:
        slim = _short_id(_slim(item))
        space, name = slim.get("namespace"), slim.get("name")
        if not isinstance(space, str) or not isinstance(name, str):
            return slim
        return {
            **{key: value for key, value in slim.items() if key != "namespace"},
            "name": self.names.wire(name, space),
        }

    def _custom_call(self, item: dict[str, Any]) -> dict[str, Any]:
        call = {key: value for key, value in self._call(item).items() if key != "input"}
        return {
            **call,
            "type": "function_call",
            "arguments": json_bytes.dumps({INPUT: item.get("input") or ""}).decode(),
        }

    def _result(self, item: dict[str, Any]) -> dict[str, Any]:
        slim = _short_id(_slim(item))
        if not _NOT_OF_RESULTS.isdisjoint(slim):
            slim = {key: value for key, value in slim.items() if key not in _NOT_OF_RESULTS}
        if slim.get("type") != "function_call_output":
            slim = {**slim, "type": "function_call_output"}
        return self._with_content(slim, "output")

    def _with_content(self, item: dict[str, Any], name: str) -> dict[str, Any]:
        content = item.get(name)
        if not isinstance(content, list):
            return item
        mended = [self._part(part) for part in content]
        return item if all(new is old for new, old in zip(mended, content, strict=True)) else {**item, name: mended}

    def _part(self, part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        if not _CONTENT_ONLY.isdisjoint(part):
            part = {key: value for key, value in part.items() if key not in _CONTENT_ONLY}
        data = self.inlined.get(url_of(part)) if self.inlined else None
        return part if data is None else {**part, "image_url": data}


def _slim(item: dict[str, Any]) -> dict[str, Any]:
    """Without what only answers say, and without nulls, which SDKs write for what they do not know."""
    if _ANSWER_ONLY.isdisjoint(item) and None not in item.values():
        return item
    return {key: value for key, value in item.items() if key not in _ANSWER_ONLY and value is not None}


def _short_id(item: dict[str, Any]) -> dict[str, Any]:
    call_id = item.get("call_id")
    if isinstance(call_id, str) and len(call_id) > table.LONGEST_CALL_ID:
        return {**item, "call_id": valid_call_id(call_id)}
    return item


_MENDERS: Final[dict[str, Callable[[ItemMender, dict[str, Any]], dict[str, Any] | None]]] = {
    "message": ItemMender._message,
    "reasoning": ItemMender._reasoning,
    "compaction": ItemMender._compaction,
    "function_call": ItemMender._call,
    "custom_tool_call": ItemMender._custom_call,
    "function_call_output": ItemMender._result,
    "custom_tool_call_output": ItemMender._result,
}
