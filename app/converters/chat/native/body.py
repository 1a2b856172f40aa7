"""Chat requests on their way to a chat upstream: what the bridge must know of them, and the little it must change.

Contract §5.5, §6.1, §6.2, §12.3; conversion rules §1.7 (native means untouched).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from app.converters.chat import thought_signatures
from app.converters.chat.fields import ANSWER_ONLY
from app.converters.chat.traits import is_image, messages_of, url_of
from app.converters.chat.vocabulary import CACHE_MARK, OPENAI_ID_CHARS
from app.converters.neutral import wire_call_ids
from app.converters.neutral.conversation import valid_call_id
from app.converters.neutral.losses import Losses
from app.converters.neutral.tool_schema import fits, fitting
from app.converters.wire import json_bytes
from app.converters.wire.replace_model import exact, replace_model

# Top-level fields that upstream is known to refuse (contract §6.1, §12.3.13), and why leaving them out is right.
REFUSED_FIELDS: dict[str, str] = {
    "store": "Copilot keeps nothing",
    "service_tier": "Copilot has no tiers",
    "metadata": "Copilot keeps nothing that it could label",
    "web_search_options": "a hosted search, which Copilot does not run",
}

# Annotations pass natively, as they came.
_ANSWER_ONLY = ANSWER_ONLY - {"annotations"}
_UNSENDABLE = _ANSWER_ONLY | {"reasoning_content"}

_ANY = re.compile(r".+", re.DOTALL)
_NOTHING: Mapping[str, str] = MappingProxyType({})


def prepare(
    raw: bytes,
    body: dict[str, Any],
    *,
    model: str,
    is_openai: bool,
    losses: Losses,
    inlined: Mapping[str, str] = _NOTHING,
) -> bytes:
    """The bytes for upstream.

    model:     the name upstream knows; spliced into the raw bytes where it is the only change.
    is_openai: whether the model is OpenAI's, which alone knows the role ``developer`` (contract §6.2).
    losses:    gets the fields that had to be left out. inlined: data URLs for image addresses.
    `body` is what `raw` parses to and stays as it is.
    """
    refused = [name for name in REFUSED_FIELDS if name in body]
    for name in refused:
        losses.drop(name, REFUSED_FIELDS[name])
    offers = _fitting_tools(body, losses)
    # Looked for where they stand, and not in the bytes: those are mostly text and images, of many megabytes at times.
    is_marked = any(_has_foreign_mark(message) for message in messages_of(body))
    has_proofs = any(thought_signatures.restored(message) is not message for message in messages_of(body))
    if not (
        refused
        or inlined
        or is_marked
        or has_proofs
        or offers
        or _renamed_calls(messages_of(body), is_openai)
        or any(_needs_normalizing(message, is_openai) for message in messages_of(body))
    ):
        if body.get("model") == model:
            return raw
        spliced = replace_model(raw, body, model)
        if spliced is not None:
            return spliced
    source = exact(raw, body)
    changed = {key: value for key, value in source.items() if key not in REFUSED_FIELDS} | offers
    changed["model"] = model
    if isinstance(changed.get("messages"), list):
        messages = changed["messages"]
        if has_proofs:
            wanted = thought_signatures.needs_proofs(model)
            messages = [thought_signatures.restored(item, with_proofs=wanted) for item in messages]
        if new_ids := _renamed_calls(messages, is_openai):
            messages = [_with_ids(item, new_ids) for item in messages]
        changed["messages"] = [_normalize_message(item, is_openai, inlined) for item in messages]
        if is_marked:
            changed["messages"] = [_with_own_cache_marks(item) for item in changed["messages"]]
    return json_bytes.dumps(changed)


def _fitting_tools(body: dict[str, Any], losses: Losses) -> dict[str, Any]:
    """``tools``, ``functions`` and ``tool_choice`` where upstream would refuse them: schemas, and Anthropic's "any"."""
    changed: dict[str, Any] = {}
    for name in ("tools", "functions"):
        given = body.get(name)
        if isinstance(given, list) and not all(map(_has_fitting_schema, given)):
            changed[name] = [
                tool if _has_fitting_schema(tool) else _with_fitting_schema(tool, losses) for tool in given
            ]
    if body.get("tool_choice") == "any":
        changed["tool_choice"] = "required"
    return changed


def _has_fitting_schema(tool: Any) -> bool:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    return not isinstance(function, dict) or fits(function.get("parameters"))


def _with_fitting_schema(tool: dict[str, Any], losses: Losses) -> dict[str, Any]:
    function = tool.get("function", tool)
    schema, says_less = fitting(function["parameters"])
    function = {**function, "parameters": schema}
    if says_less:
        losses.note("tools[].parameters", "a union at the top of the schema was flattened")
        if function.pop("strict", None):
            losses.drop("tools[].strict", "the schema was flattened")
    return {**tool, "function": function} if "function" in tool else function


def _renamed_calls(messages: list[Any], is_openai: bool) -> dict[int, str]:
    fit = _short if is_openai else valid_call_id
    return wire_call_ids.renamed(messages, _call_ids, fit, distinct=False)


def _short(call_id: str) -> str:
    """OpenAI minds the length alone."""
    return valid_call_id(call_id, _ANY, OPENAI_ID_CHARS)


def _call_ids(message: Any) -> Iterator[wire_call_ids.Place]:
    if not isinstance(message, dict):
        return
    for call in _list(message, "tool_calls"):
        if isinstance(call, dict):
            yield call, "id", True
    if message.get("role") == "tool":
        yield message, "tool_call_id", False


def _with_ids(message: Any, new: Mapping[int, str]) -> Any:
    if id(message) in new:
        return {**message, "tool_call_id": new[id(message)]}
    if not isinstance(message, dict) or not any(id(call) in new for call in _list(message, "tool_calls")):
        return message
    calls = [{**call, "id": new[id(call)]} if id(call) in new else call for call in message["tool_calls"]]
    return {**message, "tool_calls": calls}


def _needs_normalizing(message: dict[str, Any], is_openai: bool) -> bool:
    role = message.get("role")
    if role == "assistant":
        # Cursor writes an empty list of calls, which OpenAI refuses (forum.cursor.com 146622).
        return not _UNSENDABLE.isdisjoint(message) or message.get("tool_calls") == []
    return role == "developer" and not is_openai


def _normalize_message(message: Any, is_openai: bool, inlined: Mapping[str, str]) -> Any:
    if not isinstance(message, dict):
        return message
    role = message.get("role")
    if role == "assistant":
        message = _normalize_assistant(message)
    elif role == "developer" and not is_openai:
        message = {**message, "role": "system"}
    if inlined and isinstance(message.get("content"), list):
        message = {**message, "content": [_inline(part, inlined) for part in message["content"]]}
    return message


def _normalize_assistant(message: dict[str, Any]) -> dict[str, Any]:
    """Take reasoning back under its own name, and leave out what upstream only ever says (contract §6.6, §12.3.8)."""
    normalized: dict[str, Any] = {}
    has_own = any(message.get(name) for name in ("reasoning_text", "cot_summary", "thinking"))
    for key, value in message.items():
        if key == "reasoning_content":
            if value and not has_own:
                normalized["reasoning_text"] = value
        elif key == "reasoning_text":
            if value or not message.get("reasoning_content") or has_own:
                normalized[key] = value
        elif key not in _ANSWER_ONLY and not (key == "tool_calls" and value == []):
            normalized[key] = value
    return normalized


def _has_foreign_mark(holder: Any) -> bool:
    if not isinstance(holder, dict):
        return False
    return "cache_control" in holder or any(
        map(_has_foreign_mark, [*_list(holder, "content"), *_list(holder, "tool_calls")])
    )


def _with_own_cache_marks(holder: Any) -> Any:
    """A message or part whose ``cache_control``, Anthropic's word and refused, has Copilot's name (contract §6.2)."""
    if not isinstance(holder, dict):
        return holder
    marked = {name: value for name, value in holder.items() if name != "cache_control"}
    if holder.get("cache_control"):
        marked.setdefault("copilot_cache_control", dict(CACHE_MARK))
    if isinstance(marked.get("content"), list):
        marked["content"] = [_with_own_cache_marks(part) for part in marked["content"]]
    if isinstance(marked.get("tool_calls"), list):
        # There is no mark of Copilot's for a call.
        marked["tool_calls"] = [_without_mark(call) for call in marked["tool_calls"]]
    return marked


def _without_mark(call: Any) -> Any:
    return {name: value for name, value in call.items() if name != "cache_control"} if isinstance(call, dict) else call


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []


def _inline(part: Any, inlined: Mapping[str, str]) -> Any:
    if not isinstance(part, dict):
        return part
    if isinstance(part.get("content"), list):
        return {**part, "content": [_inline(inner, inlined) for inner in part["content"]]}
    data = inlined.get(url_of(part)) if is_image(part) else None
    if data is None:
        return part
    image = part.get("image_url")
    if isinstance(image, dict):
        return {**part, "image_url": {**image, "url": data}}
    if isinstance(image, str):
        return {**part, "image_url": data}
    return {**part, "source": {**part["source"], "url": data}}
