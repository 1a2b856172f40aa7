"""What a chat request says about itself, all that the bridge needs to know of it (contract §5.5, §5.7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from app.converters.chat.anthropic_forms import carries_results
from app.converters.chat.vocabulary import CACHE_MARKS
from app.converters.neutral.request_traits import Traits, interaction_key

_IMAGE_TYPES = frozenset({"image_url", "input_image", "image"})
_INSTRUCTIONS = frozenset({"system", "developer"})
_AGENT_ROLES = frozenset({"tool", "function", "assistant"})


def traits(body: dict[str, Any]) -> Traits:
    """Read the traits of a chat request. Never fails: a field of the wrong type counts as absent."""
    model, options, choices = body.get("model"), body.get("stream_options"), body.get("n")
    messages = messages_of(body)
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
    urls = (url_of(part) for part in _image_parts(messages_of(body)))
    return list(dict.fromkeys(url for url in urls if url[:8].lower().startswith(("http://", "https://"))))


def messages_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages that are any."""
    messages = body.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def is_image(part: dict[str, Any]) -> bool:
    """Whether a part is an image in any of the forms that clients write."""
    kind = part.get("type")
    return "image_url" in part or (isinstance(kind, str) and kind in _IMAGE_TYPES)


def _image_parts(items: list[Any]) -> Iterator[dict[str, Any]]:
    """All image parts under these messages or parts, however deep: tool results hold parts of their own."""
    for item in items:
        if isinstance(item, dict):
            if is_image(item):
                yield item
            elif isinstance(item.get("content"), list):
                yield from _image_parts(item["content"])


def url_of(part: dict[str, Any]) -> str:
    """The address in an image part; "" if it has none."""
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
    """Contract §5.5: what ends in a tool's or the model's words is a follow-up. Honest, since it decides billing."""
    for message in reversed(messages):
        if _role(message) not in _INSTRUCTIONS:
            return "agent" if _role(message) in _AGENT_ROLES or carries_results(message) else "user"
    return "user"


def _interaction_key(messages: list[dict[str, Any]]) -> bytes:
    """Position and digest of the last user message: tool rounds append after it and leave both as they are."""
    at = next((at for at in range(len(messages) - 1, -1, -1) if _is_of_user(messages[at])), -1)
    message = messages[at] if messages else {}
    return interaction_key(at, _substance(message.get("content")))


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
