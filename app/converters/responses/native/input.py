"""Input items on their way to a native upstream: the little that must change. Contract §7.6, §7.10; client notes §2.

Ids: the client knows an item by the id that the normalizer gave it; upstream knows it by another, and only this once.
The bridge remembers nothing, and some 400 characters do not fit into an id of at most 64, so every `id` is left
out. Nothing is lost: upstream pairs calls by `call_id`, and takes encrypted reasoning without an id (contract §7.6).
A compaction alone keeps the id that upstream gave it (contract §7.5.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.converters.neutral.conversation import valid_call_id
from app.converters.neutral.losses import Losses
from app.converters.neutral.opaque_text import text_of
from app.converters.neutral.sealed_signatures import MARK
from app.converters.neutral.tools import INPUT, RESERVED, ToolNames
from app.converters.responses import client_run
from app.converters.responses import refusals as table
from app.converters.responses.client.configuration import UPDATE
from app.converters.responses.client.input import OF_TOOLS, TOOL_ITEMS, kind_of
from app.converters.responses.foreign_parts import own_form
from app.converters.responses.native.tools import LOADERS, ToolNormalizer
from app.converters.responses.refusals import Taken
from app.converters.responses.traits import url_of
from app.converters.responses.vocabulary import is_own_id
from app.converters.wire import json_bytes
from app.errors import UnsupportedFeatureError

# What an answer says of an item and upstream does not want to hear, or what the SDKs add to it.
_ANSWER_ONLY: Final = frozenset({"id", "created_by", "caller", "async", "parsed_arguments", "obfuscation"})
_CONTENT_ONLY: Final = frozenset({"parsed"})
_NOT_OF_RESULTS: Final = frozenset({"name", "namespace"})


@dataclass(slots=True)
class ItemNormalizer:
    """Normalizes the items of one request, each by itself: the prompt prefix is the same in every turn.

    tools:       which forms upstream takes, of tools and of their calls.
    inlined:     data URLs for image addresses.
    with_proofs: false if upstream refused a proof before.
    """

    tools: ToolNormalizer
    inlined: Mapping[str, str]
    losses: Losses
    with_proofs: bool = True

    def normalize(self, items: list[Any]) -> list[Any]:
        """The items for upstream; the same list if nothing had to change. Raises: UnsupportedFeatureError."""
        normalized = [self._normalize(item, f"input[{at}]") for at, item in enumerate(items)]
        if all(new is old for new, old in zip(normalized, items, strict=True)):
            return items
        return [item for item in normalized if item is not None]

    def _normalize(self, item: Any, path: str) -> Any:
        if not isinstance(item, dict):
            return {"role": "user", "content": item} if isinstance(item, str) else item
        kind = kind_of(item, path)
        rule = table.ITEMS.get(kind)
        if rule is not None and rule.verdict == "refused":
            raise UnsupportedFeatureError(f"An item of type `{kind}` cannot be used: {rule.note}.", param=path)
        if kind == TOOL_ITEMS and not self._taken.takes(kind):
            tell = self.losses.drop if self._taken.has_refused(kind) else self.losses.note
            tell("input[].additional_tools", "this model does not take it: its tools stand in `tools`")
            return None
        if kind == UPDATE and not self._taken.takes(kind):
            self.losses.note(f"input[].{kind}", "this model does not take it: what holds at the end is the request's")
            return None
        if kind in LOADERS and self._taken.takes(kind):
            return self._loader(item, path)
        normalize = _NORMALIZERS.get(kind)
        if normalize is not None:
            return normalize(self, item)
        return _short_id(_slim(item)) if self._taken.takes(kind) else self._instead(item, kind, path)

    @property
    def _taken(self) -> Taken:
        return self.tools.taken

    def _loader(self, item: dict[str, Any], path: str) -> dict[str, Any]:
        slim, tools = _short_id(_slim(item)), item.get("tools")
        kept = self.tools.normalize(tools, f"{path}.tools") if isinstance(tools, list) else tools
        return slim if kept is tools else {**slim, "tools": kept}

    def _instead(self, item: dict[str, Any], kind: str, path: str) -> dict[str, Any] | None:
        """An item that upstream does not take, as what comes nearest."""
        if self._taken.has_refused(kind):
            self.losses.drop(f"input[].{kind}", "this model refuses it: in another form")
        if kind in client_run.CALLS:
            return self._client_call(item, path)
        if kind in client_run.OUTPUTS:
            return self._client_result(item, path)
        return self._told(item, path)

    def _message(self, item: dict[str, Any]) -> dict[str, Any]:
        return self._with_content(_slim(item), "content")

    def _reasoning(self, item: dict[str, Any]) -> dict[str, Any] | None:
        proof = item.get("encrypted_content")
        # Without a proof upstream looks for a stored item. A seal is the proof of another protocol.
        if not self.with_proofs or not isinstance(proof, str) or not proof or MARK in proof:
            self.losses.drop("input[].reasoning", "thoughts are only heard by the model that can prove them")
            return None
        slim = _slim(item)
        return slim if isinstance(slim.get("summary"), list) else {**slim, "summary": []}

    def _compaction(self, item: dict[str, Any]) -> dict[str, Any] | None:
        if not self.with_proofs:
            self.losses.drop("input[].compaction", "upstream has refused a proof of this conversation")
            return None
        own = item.get("id")
        if not isinstance(own, str) or not own or is_own_id(own, "compaction"):
            return _slim(item)
        slim = {**_slim(item), "id": own}
        return item if slim == item else slim

    def _call(self, item: dict[str, Any]) -> dict[str, Any]:
        slim = _short_id(_slim(item))
        space, name = slim.get("namespace"), slim.get("name")
        if space is None and isinstance(name, str) and name in RESERVED:
            return {**slim, "name": ToolNames(()).wire(name)}
        if not isinstance(space, str) or not isinstance(name, str):
            return slim
        # A tool that a search has loaded stands in a namespace of its own name (contract §7.10).
        is_loaded = space == name
        if self._taken.takes("namespace") or (is_loaded and self._taken.takes("tool_search")):
            return slim
        return {
            **{key: value for key, value in slim.items() if key != "namespace"},
            "name": name if is_loaded else ToolNames(()).wire(name, space),
        }

    def _custom_call(self, item: dict[str, Any]) -> dict[str, Any]:
        if self._taken.takes("custom"):
            return self._call(item)
        call = {key: value for key, value in self._call(item).items() if key != "input"}
        return {
            **call,
            "type": "function_call",
            "arguments": json_bytes.dumps({INPUT: item.get("input") or ""}).decode(),
        }

    def _result(self, item: dict[str, Any]) -> dict[str, Any] | None:
        slim = _short_id(_slim(item))
        if slim.get("type") == "function_call_output" and slim.get("call_id") is None:
            # A report of what happened outside (contract §7.10).
            is_taken = self._taken.takes("function_call_output")
            return self._with_content(slim, "output") if is_taken else self._told(item)
        if not _NOT_OF_RESULTS.isdisjoint(slim):
            slim = {key: value for key, value in slim.items() if key not in _NOT_OF_RESULTS}
        if slim.get("type") != "function_call_output" and not self._taken.takes("custom"):
            slim = {**slim, "type": "function_call_output"}
        return self._with_content(slim, "output")

    def _client_call(self, item: dict[str, Any], path: str) -> dict[str, Any] | None:
        call = client_run.call_of(item)
        if call is None:
            return self._told(item, path)
        wire = {"type": "function_call", "call_id": call.call_id, "name": ToolNames(()).wire_of(call)}
        return _short_id({**wire, "arguments": call.arguments})

    def _client_result(self, item: dict[str, Any], path: str) -> dict[str, Any] | None:
        found = client_run.result_of(item)
        if found is None:
            return self._told(item, path)
        result = {"type": "function_call_output", "call_id": found[0], "output": found[1]}
        return self._with_content(_short_id(result), "output")

    def _told(self, item: dict[str, Any], where: str = "") -> dict[str, Any] | None:
        """An item that upstream does not take, as text: what was said or found is not lost."""
        path = f"input[].{item.get('type')}"
        text = text_of(item)
        is_told_by_client = item.get("type") in (*OF_TOOLS, "function_call_output")
        if not text and is_told_by_client:
            raise UnsupportedFeatureError(
                f"An item of type `{item.get('type')}` cannot be carried to this model: send what it says as text.",
                param=where or path,
            )
        if not text:
            self.losses.drop(path, "not an item that upstream takes, and there is nothing to read in it")
            return None
        self.losses.note(path, "as text")
        if is_told_by_client:
            return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}

    def _with_content(self, item: dict[str, Any], name: str) -> dict[str, Any]:
        content = item.get(name)
        if not isinstance(content, list):
            return item
        normalized = [self._part(part) for part in content]
        return (
            item
            if all(new is old for new, old in zip(normalized, content, strict=True))
            else {**item, name: normalized}
        )

    def _part(self, part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        part = own_form(part)
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


_NORMALIZERS: Final[dict[str, Callable[[ItemNormalizer, dict[str, Any]], dict[str, Any] | None]]] = {
    "message": ItemNormalizer._message,
    "reasoning": ItemNormalizer._reasoning,
    "compaction": ItemNormalizer._compaction,
    "function_call": ItemNormalizer._call,
    "custom_tool_call": ItemNormalizer._custom_call,
    "function_call_output": ItemNormalizer._result,
    "custom_tool_call_output": ItemNormalizer._result,
}
