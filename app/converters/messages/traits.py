"""What a messages request says about itself, all that the bridge needs to know of it (contract §5.5, §5.7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

from app.converters.neutral.request_traits import Traits, interaction_key

Json = dict[str, Any]

_REMINDER: Final = "<system-reminder>"
# Claude Code tells the model of a background task that has ended; nobody has said anything.
_NOTIFICATION: Final = "<system-reminder>\n[SYSTEM NOTIFICATION - NOT USER INPUT]"
_REMINDER_END: Final = "</system-reminder>"
_SPACE: Final = re.compile(r"\s*")


def traits(body: Json) -> Traits:
    """Read the traits of a messages request. Never fails: a field of the wrong type counts as absent."""
    model, messages = body.get("model"), messages_of(body)
    return Traits(
        model=model if isinstance(model, str) else "",
        stream=body.get("stream") is True,
        has_images=next(images_in(messages), None) is not None,
        initiator=_initiator(messages),
        interaction_key=_interaction_key(messages),
    )


def image_urls(body: Json) -> list[str]:
    """The http and https addresses of all images, in order, each once."""
    urls = (url_of(block) for block in images_in(messages_of(body)))
    return list(dict.fromkeys(url for url in urls if url[:8].lower().startswith(("http://", "https://"))))


def messages_of(body: Json) -> list[Json]:
    """The messages that are any."""
    messages = body.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def images_in(holders: list[Any]) -> Iterator[Json]:
    """All image blocks under these messages or blocks, however deep: tool results hold blocks of their own."""
    for holder in holders:
        if not isinstance(holder, dict):
            continue
        if holder.get("type") == "image":
            yield holder
            continue
        source = holder.get("source")
        for inner in (holder.get("content"), source.get("content") if isinstance(source, dict) else None):
            if isinstance(inner, list):
                yield from images_in(inner)


def _initiator(messages: list[Json]) -> Literal["user", "agent"]:
    """Contract §5.5: what ends in results or the model's own words is a follow-up. Honest, as it decides billing."""
    for message in reversed(messages):
        if message.get("role") == "system":
            continue
        return "user" if message.get("role") == "user" and _is_human(message) else "agent"
    return "user"


def _is_human(message: Json) -> bool:
    """Whether a user message holds more than results and notifications, and the reminders that clients put beside."""
    content = message.get("content")
    if isinstance(content, str):
        return not _is_notification(content)
    if not isinstance(content, list):
        return True
    if not any(isinstance(block, dict) and _is_event(block) for block in content):
        return True
    return any(_is_said(block) for block in content if isinstance(block, dict))


def _is_event(block: Json) -> bool:
    """A result, or a notification."""
    text = block.get("text")
    return block.get("type") == "tool_result" or (isinstance(text, str) and _is_notification(text))


def _is_notification(text: str) -> bool:
    """Whether it is one, with nothing but reminders behind it: words there are a person's, who quotes one."""
    at = 0
    while text.startswith(_REMINDER if at else _NOTIFICATION, at):
        end = text.find(_REMINDER_END, at)
        if end < 0:
            return False
        space = _SPACE.match(text, end + len(_REMINDER_END))
        at = space.end() if space else len(text)
    return 0 < at == len(text)


def _is_said(block: Json) -> bool:
    if block.get("type") == "tool_result":
        return False
    text = block.get("text")
    if block.get("type") != "text" or not isinstance(text, str):
        return True
    return bool(text.strip()) and not text.lstrip().startswith(_REMINDER)


def _interaction_key(messages: list[Json]) -> bytes:
    """Position and digest of the last message of the human: tool rounds append after it and leave both as they are."""
    turns = [at for at, one in enumerate(messages) if one.get("role") == "user" and _is_human(one)]
    at = turns[-1] if turns else -1
    content = messages[at].get("content") if messages else None
    return interaction_key(at, _substance(content))


def _substance(content: Any) -> Any:
    """Content without what clients alter from round to round: cache marks, and reminders."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return content
    said = [block for block in content if not isinstance(block, dict) or _is_said(block)]
    return [_substance_of(block) for block in said]


def _substance_of(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    if block.get("type") == "text":
        return block.get("text")
    return {key: value for key, value in block.items() if key != "cache_control"}


def url_of(block: Json) -> str:
    """The address of an image block; "" if it has none."""
    source = block.get("source")
    url = source.get("url") if isinstance(source, dict) else None
    return url if isinstance(url, str) else ""
