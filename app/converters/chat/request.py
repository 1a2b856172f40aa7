"""Chat requests on their way to a chat upstream: what the bridge must know of them, and the little it must change.

Contract §5.5, §6.1, §6.2, §12.3; conversion §1.7 (native means untouched).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from app.converters import json_bytes
from app.converters.chat import call_proofs
from app.converters.chat.content_encoder import CACHE_MARK
from app.converters.chat.foreign import carries_results
from app.converters.chat.shapes import CACHE_MARKS
from app.converters.splice import exact, splice_model
from app.converters.traits import Traits

# Top-level fields that upstream is known to refuse (§6.1, §12.3.13), and why leaving them out is right.
REFUSED_FIELDS: dict[str, str] = {
    "store": "Copilot keeps nothing",
    "service_tier": "Copilot has no tiers",
    "metadata": "Copilot keeps nothing that it could label",
}

# What an assistant message may carry that upstream said but will not hear again (§6.2, §12.3.8).
_ANSWER_ONLY = (
    "padding",
    "obfuscation",
    "copilot_annotations",
    "copilot_usage",
    "copilot_errors",
    "content_filter_results",
    "content_filter_offsets",
    "prompt_filter_results",
    "provider_specific_fields",  # LiteLLM's own, which it keeps on the turns it sends back
)
_UNSENDABLE = frozenset({*_ANSWER_ONLY, "reasoning_content"})

_IMAGE_TYPES = frozenset({"image_url", "input_image", "image"})
_INSTRUCTIONS = frozenset({"system", "developer"})
_AGENT_ROLES = frozenset({"tool", "function", "assistant"})
_PROOF_IN_ID = call_proofs.MARK.encode()
_NOTHING: Mapping[str, str] = MappingProxyType({})


def traits(body: dict[str, Any]) -> Traits:
    """Read the traits of a chat request. Never fails: a field of the wrong type counts as absent."""
    model, options, choices = body.get("model"), body.get("stream_options"), body.get("n")
    messages = _messages(body)
    return Traits(
        model=model if isinstance(model, str) else "",
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=choices if type(choices) is int and choices > 1 else 1,
        has_images=next(_image_parts(messages), None) is not None,
        initiator=_initiator(messages),
        interaction_key=_interaction_key(messages),
    )


def image_urls(body: dict[str, Any]) -> list[str]:
    """The http and https addresses of all images, in order, each once."""
    urls = (_url_of(part) for part in _image_parts(_messages(body)))
    return list(dict.fromkeys(url for url in urls if url[:8].lower().startswith(("http://", "https://"))))


def prepare(
    raw: bytes, body: dict[str, Any], *, model: str, is_openai: bool, inlined: Mapping[str, str] = _NOTHING
) -> tuple[bytes, list[str]]:
    """The bytes for upstream, and the names of the fields that had to be left out.

    model:     the name upstream knows; spliced into the raw bytes where it is the only change.
    is_openai: whether the model is OpenAI's, which alone knows the role ``developer`` (§6.2).
    inlined:   data URLs for image addresses.
    `body` is what `raw` parses to and stays as it is.
    """
    dropped = [name for name in REFUSED_FIELDS if name in body]
    is_marked = b'"cache_control"' in raw and any(_has_foreign_mark(message) for message in _messages(body))
    has_proofs = _PROOF_IN_ID in raw
    if not (
        dropped
        or inlined
        or is_marked
        or has_proofs
        or any(_needs_mending(message, is_openai) for message in _messages(body))
    ):
        if body.get("model") == model:
            return raw, dropped
        spliced = splice_model(raw, body, model)
        if spliced is not None:
            return spliced, dropped
    source = exact(raw, body)
    changed = {key: value for key, value in source.items() if key not in REFUSED_FIELDS}
    changed["model"] = model
    if isinstance(changed.get("messages"), list):
        messages = changed["messages"]
        if has_proofs:
            wanted = call_proofs.needs_proofs(model)
            messages = [call_proofs.restored(item, with_proofs=wanted) for item in messages]
        changed["messages"] = [_mend_message(item, is_openai, inlined) for item in messages]
        if is_marked:
            changed["messages"] = [_with_own_cache_marks(item) for item in changed["messages"]]
    return json_bytes.dumps(changed), dropped


def _needs_mending(message: dict[str, Any], is_openai: bool) -> bool:
    role = message.get("role")
    if role == "assistant":
        # Cursor writes an empty list of calls, which OpenAI refuses (forum.cursor.com 146622).
        return not _UNSENDABLE.isdisjoint(message) or message.get("tool_calls") == []
    return role == "developer" and not is_openai


def _mend_message(message: Any, is_openai: bool, inlined: Mapping[str, str]) -> Any:
    if not isinstance(message, dict):
        return message
    role = message.get("role")
    if role == "assistant":
        message = _mend_assistant(message)
    elif role == "developer" and not is_openai:
        message = {**message, "role": "system"}
    if inlined and isinstance(message.get("content"), list):
        message = {**message, "content": [_inline(part, inlined) for part in message["content"]]}
    return message


def _mend_assistant(message: dict[str, Any]) -> dict[str, Any]:
    """Take reasoning back under the name it came with, and leave out what upstream only ever says (§6.6, §12.3.8)."""
    mended: dict[str, Any] = {}
    has_own = any(message.get(name) for name in ("reasoning_text", "cot_summary", "thinking"))
    for key, value in message.items():
        if key == "reasoning_content":
            if value and not has_own:
                mended["reasoning_text"] = value
        elif key == "reasoning_text":
            if value or not message.get("reasoning_content") or has_own:
                mended[key] = value
        elif key not in _ANSWER_ONLY and not (key == "tool_calls" and value == []):
            mended[key] = value
    return mended


def _has_foreign_mark(holder: Any) -> bool:
    if not isinstance(holder, dict):
        return False
    return "cache_control" in holder or any(
        map(_has_foreign_mark, [*_list(holder, "content"), *_list(holder, "tool_calls")])
    )


def _with_own_cache_marks(holder: Any) -> Any:
    """A message or part whose ``cache_control``, which is Anthropic's word and refused, has Copilot's name (§6.2)."""
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
    data = inlined.get(_url_of(part)) if _is_image(part) else None
    if data is None:
        return part
    image = part.get("image_url")
    if isinstance(image, dict):
        return {**part, "image_url": {**image, "url": data}}
    if isinstance(image, str):
        return {**part, "image_url": data}
    return {**part, "source": {**part["source"], "url": data}}


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _is_image(part: dict[str, Any]) -> bool:
    kind = part.get("type")
    return "image_url" in part or (isinstance(kind, str) and kind in _IMAGE_TYPES)


def _image_parts(items: list[Any]) -> Iterator[dict[str, Any]]:
    """All image parts under these messages or parts, however deep: tool results hold parts of their own."""
    for item in items:
        if isinstance(item, dict):
            if _is_image(item):
                yield item
            elif isinstance(item.get("content"), list):
                yield from _image_parts(item["content"])


def _url_of(part: dict[str, Any]) -> str:
    image = part.get("image_url")
    source = part.get("source")
    for url in (image, image.get("url") if isinstance(image, dict) else None):
        if isinstance(url, str):
            return url
    url = source.get("url") if isinstance(source, dict) else None
    return url if isinstance(url, str) else ""


def _role(message: dict[str, Any]) -> str:
    role = message.get("role")
    return role if isinstance(role, str) else ""


def _initiator(messages: list[dict[str, Any]]) -> Literal["user", "agent"]:
    """§5.5: what ends in a tool's or the model's own words is a follow-up. Honest, because it decides billing."""
    for message in reversed(messages):
        if _role(message) not in _INSTRUCTIONS:
            return "agent" if _role(message) in _AGENT_ROLES or carries_results(message) else "user"
    return "user"


def _interaction_key(messages: list[dict[str, Any]]) -> bytes:
    """Position and digest of the last user message: tool rounds append after it and leave both as they are."""
    at = next((at for at in range(len(messages) - 1, -1, -1) if _is_of_user(messages[at])), -1)
    message = messages[at] if messages else {}
    digest = hashlib.sha256(json_bytes.dumps(_substance(message.get("content")))).hexdigest()
    return f"{at}:{digest}".encode()


def _is_of_user(message: dict[str, Any]) -> bool:
    return _role(message) == "user" and not carries_results(message)


def _substance(content: Any) -> Any:
    """Content without what clients alter from round to round: cache marks, and the parts made to carry one."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return content
    return [_substance_of_part(part) for part in content]


def _substance_of_part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    if part.get("type") == "text":
        return part.get("text")
    return {key: value for key, value in part.items() if key not in CACHE_MARKS}
