"""OpenAI's ``web_search_options`` in a chat request: the bridge runs the search, for a model of any kind.

The field becomes a function that the model calls; what the client sees are the pages, as ``url_citation`` annotations
of the text that was written after the search. Chat has no form for the search itself. Spec: OpenAI "Web search";
contract §6.1, §14.2. Pure, on the wire form.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.neutral.web_search import (
    DESCRIPTION,
    SCHEMA,
    Failure,
    Findings,
    SearchTool,
    Wanted,
    free_name,
    location_in,
    told_of,
)
from app.converters.wire import reading

Json = dict[str, Any]

FIELD: Final = "web_search_options"


def served(body: Json) -> tuple[Json, SearchTool] | None:
    """The body with a function in place of the field, and the tool; None if it asks for no search, or for several
    choices, of which an answer with searches has one.

    Raises: InvalidRequestError for options of the wrong shape.
    """
    options = reading.opt_obj(body.get(FIELD), FIELD)
    choices = body.get("n")
    if options is None or (type(choices) is int and choices > 1):
        return None
    # Whoever speaks of functions gets his calls as such.
    legacy = bool(body.get("functions")) and not body.get("tools")
    field = "functions" if legacy else "tools"
    given = body.get(field)
    if given is not None and not isinstance(given, list):
        return None  # somebody else says what is wrong
    own = given or []
    name = free_name(_names(own))
    function: Json = {"name": name, "description": f"{DESCRIPTION}, as links.", "parameters": SCHEMA}
    changed = {key: value for key, value in body.items() if key != FIELD}
    changed[field] = [*own, function if legacy else {"type": "function", "function": function}]
    choice = "function_call" if legacy else "tool_choice"
    changed |= _choice(choice, body.get(choice), own, name)
    if not own and changed.get(choice) is None:
        changed.pop(choice, None)
    return changed, SearchTool(name, location=_location(options))


def _names(tools: list[Any]) -> set[str]:
    # Anything may stand where a name should be; those that are none are refused later, by their path.
    holders = [holder for tool in tools if isinstance(tool, dict) for holder in (tool, *tool.values())]
    given = [holder.get("name") for holder in holders if isinstance(holder, dict)]
    return {name for name in given if isinstance(name, str)}


def _choice(field: str, given: Any, own: list[Any], name: str) -> Json:
    """The client's choice is about tools of its own: "none" leaves the search, and "required" is not met by it."""
    if given not in ("none", "required"):
        return {}
    if not own:
        return {field: None}
    search = {"type": "function", "name": name}
    allowed = [search] if given == "none" else [_ref(tool) for tool in own]
    mode = "auto" if given == "none" else given
    return {field: {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}}


def _ref(tool: Any) -> Any:
    """How a choice names a tool; what is none is refused by its decoder."""
    if not isinstance(tool, dict):
        return tool
    inner = next((tool[kind] for kind in ("function", "custom") if isinstance(tool.get(kind), dict)), tool)
    return {"type": tool.get("type") or "function", "name": inner.get("name")}


def _location(options: Json) -> dict[str, str] | None:
    path = f"{FIELD}.user_location"
    location = reading.opt_obj(options.get("user_location"), path) or {}
    inner = reading.opt_obj(location.get("approximate"), f"{path}.approximate")
    # Responses has it flat.
    location = inner if inner is not None else location
    return location_in(location)


def blocks(_wanted: Wanted, outcome: Findings | Failure | None) -> tuple[Json | None, str]:
    """Nothing for the client, whose texts cite the pages; what the model is told of the result."""
    return None, told_of(outcome) if outcome is not None else ""
