"""The model list in the two forms that clients read. Pure: catalogue entries in, JSON objects out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from app.converters.neutral.prices import prices_of
from app.errors import InvalidRequestError, NotFoundError


class Entry(Protocol):
    """What the forms need of a catalogue entry."""

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def vendor(self) -> str: ...
    @property
    def endpoints(self) -> tuple[str, ...]: ...
    @property
    def raw(self) -> dict[str, Any]: ...


# Upstream's own fields, kept under their names; terms of a policy are prose for people and stay out.
_EXTRAS = (
    "billing",
    "capabilities",
    "is_chat_default",
    "is_chat_fallback",
    "model_picker_category",
    "model_picker_enabled",
    "preview",
    "vendor",
    "version",
    "warning_messages",
    "info_messages",
)
_DATE = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)")
_UNKNOWN_DATE = 0


def openai_model(entry: Entry, *, alias: str | None = None) -> dict[str, Any]:
    """One model as OpenAI lists it, plus what upstream tells of it. alias: a mapped name that leads to this entry."""
    raw = entry.raw
    limits = _limits(raw)
    supports = _supports(raw)
    return {
        "id": alias or entry.id,
        "object": "model",
        "created": _created(entry),
        "owned_by": entry.vendor or "github-copilot",
        "name": display_name(entry),
        **({"mapped_to": entry.id} if alias else {}),
        "supported_endpoints": list(entry.endpoints),
        "context_window": limits.get("max_context_window_tokens"),
        "max_prompt_tokens": limits.get("max_prompt_tokens"),
        "max_output_tokens": limits.get("max_output_tokens"),
        "supports_vision": bool(supports.get("vision") or limits.get("vision")),
        "supports_tools": bool(supports.get("tool_calls")),
        **{key: raw[key] for key in _EXTRAS if key in raw},
        **({"prices": prices.told()} if (prices := prices_of(raw)) is not None else {}),
        **({"policy": {"state": raw["policy"].get("state")}} if isinstance(raw.get("policy"), dict) else {}),
    }


def anthropic_model(entry: Entry, *, alias: str | None = None) -> dict[str, Any]:
    """One model as Anthropic lists it, with the same extras."""
    base = openai_model(entry, alias=alias)
    created = datetime.fromtimestamp(base.pop("created"), UTC)
    for name in ("object", "owned_by", "name"):
        base.pop(name)
    limits = _limits(entry.raw)
    return {
        "type": "model",
        "display_name": display_name(entry),
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_input_tokens": limits.get("max_prompt_tokens") or limits.get("max_context_window_tokens"),
        "max_tokens": limits.get("max_output_tokens"),
        **base,
    }


def with_aliases(entries: Sequence[Entry], aliases: Mapping[str, Entry]) -> list[tuple[Entry, str | None]]:
    """All entries, then the mapped names that are no entry of their own; a name that is both means its target."""
    listed: list[tuple[Entry, str | None]] = [(entry, None) for entry in entries if entry.id not in aliases]
    return listed + [(entry, name) for name, entry in aliases.items()]


def openai_list(models: Sequence[tuple[Entry, str | None]]) -> dict[str, Any]:
    return {"object": "list", "data": [openai_model(entry, alias=alias) for entry, alias in models]}


def anthropic_list(
    models: Sequence[tuple[Entry, str | None]], *, limit: str | None, after_id: str | None, before_id: str | None
) -> dict[str, Any]:
    """Anthropic's list with its paging. Models that only embed or complete are no Messages models and stay out.

    Raises: InvalidRequestError for a bad limit, NotFoundError for an unknown cursor.
    """
    listed = [anthropic_model(entry, alias=alias) for entry, alias in models if entry.type == "chat"]
    size = _page_size(limit)
    ids = [model["id"] for model in listed]
    start, end = 0, len(listed)
    if after_id is not None:
        start = _position(ids, after_id, "after_id") + 1
        page, more = listed[start : start + size], start + size < end
    elif before_id is not None:
        end = _position(ids, before_id, "before_id")
        page, more = listed[max(0, end - size) : end], end > size
    else:
        page, more = listed[:size], end > size
    return {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _page_size(limit: str | None) -> int:
    if limit is None:
        return 1000  # Anthropic's default is 20, but no client of ours pages, and a cut list looks like missing models
    if len(limit) > 4 or not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= 1000:
        raise InvalidRequestError("'limit' must be a whole number from 1 to 1000.", param="limit")
    return int(limit)


def _position(ids: list[str], cursor: str, name: str) -> int:
    if cursor not in ids:
        raise NotFoundError(f"'{name}' names no model of this list.", param=name)
    return ids.index(cursor)


def display_name(entry: Entry) -> str:
    """As the official client shows it (contract §4.3)."""
    name = str(entry.raw.get("name") or entry.id)
    return f"{name} (Preview)" if entry.raw.get("preview") is True and "preview" not in name.lower() else name


def _created(entry: Entry) -> int:
    """Epoch seconds of the date in the version, which is all that upstream tells of a model's age."""
    found = _DATE.search(str(entry.raw.get("version") or "")) or _DATE.search(entry.id)
    try:
        if found is None:
            return _UNKNOWN_DATE
        year, month, day = map(int, found.groups())
        return int(datetime(year, month, day, tzinfo=UTC).timestamp())
    except ValueError:
        return _UNKNOWN_DATE


def _capabilities(raw: dict[str, Any], name: str) -> dict[str, Any]:
    capabilities = raw.get("capabilities")
    found = capabilities.get(name) if isinstance(capabilities, dict) else None
    return found if isinstance(found, dict) else {}


def _limits(raw: dict[str, Any]) -> dict[str, Any]:
    return _capabilities(raw, "limits")


def _supports(raw: dict[str, Any]) -> dict[str, Any]:
    return _capabilities(raw, "supports")
