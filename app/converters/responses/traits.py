"""What the bridge must know of a Responses request that it otherwise passes through. Contract §5.5, §5.7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from app.converters.neutral.request_traits import Traits, interaction_key
from app.converters.responses.foreign_parts import own_form

_IMAGES = ("input_image", "computer_screenshot")
_LISTS = ("content", "output")


def traits(body: dict[str, Any]) -> Traits:
    """Read the traits of a Responses request. Never fails: a field of the wrong type counts as absent."""
    model = body.get("model")
    items = input_items(body)
    return Traits(
        model=model if isinstance(model, str) else "",
        stream=body.get("stream") is True,
        has_images=next(image_parts(items), None) is not None,
        initiator=_initiator(items),
        interaction_key=_interaction_key(items),
    )


def image_urls(body: dict[str, Any]) -> list[str]:
    """The http and https addresses of all images, in order, each once."""
    urls = (url_of(part) for part in image_parts(input_items(body)))
    return list(dict.fromkeys(url for url in urls if url[:8].lower().startswith(("http://", "https://"))))


def input_items(body: dict[str, Any]) -> list[Any]:
    """The input as a list; a string is one user message."""
    items = body.get("input")
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    return items if isinstance(items, list) else []


def image_parts(items: list[Any]) -> Iterator[dict[str, Any]]:
    """All image parts in messages and in the outputs of tools."""
    for item in items:
        if not isinstance(item, dict):
            continue
        item = own_form(item)
        if item.get("type") in _IMAGES:
            yield item
        for name in _LISTS:
            inner = item.get(name)
            if isinstance(inner, list):
                yield from image_parts(inner)


def url_of(part: dict[str, Any]) -> str:
    """The address in an image part; "" if it has none."""
    url = part.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    return url if isinstance(url, str) else ""


def _role(item: Any) -> str:
    """ "user" for what a person said, "instructions" for what does not count, "agent" for all else."""
    if isinstance(item, str):
        return "user"
    if not isinstance(item, dict):
        return "agent"
    if item.get("type") == "additional_tools" or item.get("role") in ("system", "developer"):
        return "instructions"
    return "user" if item.get("role") == "user" and item.get("type") in (None, "message") else "agent"


def _initiator(items: list[Any]) -> Literal["user", "agent"]:
    """Contract §5.5: "user" if a person had the last word. Honest, because it decides billing."""
    last = next((role for item in reversed(items) if (role := _role(item)) != "instructions"), "user")
    return "agent" if last == "agent" else "user"


def _interaction_key(items: list[Any]) -> bytes:
    """Position and digest of the last user message: tool rounds append after it and leave both as they are."""
    at = next((at for at in range(len(items) - 1, -1, -1) if _role(items[at]) == "user"), -1)
    item = items[at] if items else {}
    return interaction_key(at, item.get("content") if isinstance(item, dict) else item)
