"""OpenAI's hosted ``web_search`` in a Responses request for a model that Copilot serves elsewhere: the bridge runs it.

The tool becomes a function that the model calls; what the client sees are ``web_search_call`` items with their sources.
Spec: OpenAI "Web search"; contract §7.4, §14.2. Pure, on the wire form.
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
from app.errors import InvalidRequestError

Json = dict[str, Any]

_NAME: Final = "web_search"


def is_search(tool: Any) -> bool:
    """Whether this is the hosted search, under any of its names (``web_search``, ``web_search_preview…``)."""
    return isinstance(tool, dict) and str(tool.get("type")).startswith(_NAME)


def served(body: Json) -> tuple[Json, SearchTool] | None:
    """The body with a function in place of the search, and the tool; None if there is none.

    Raises: InvalidRequestError for a search tool of the wrong shape.
    """
    given = body.get("tools")
    tools = given if isinstance(given, list) else []
    at = next((at for at, tool in enumerate(tools) if is_search(tool)), None)
    if at is None:
        return None
    # Anything may stand where a name should be; those that are none are refused later, by their path.
    given_names = [one.get("name") for one in tools if isinstance(one, dict)]
    name = free_name({one for one in given_names if isinstance(one, str)})
    tool = _search_tool(tools[at], name, body.get("max_tool_calls"), f"tools[{at}]")
    function: Json = {
        "type": "function",
        "name": name,
        "description": f"{DESCRIPTION}, as links.",
        "parameters": SCHEMA,
    }
    rest = [one for one in tools[at + 1 :] if not is_search(one)]
    changed = {**body, "tools": [*tools[:at], function, *rest]}
    if tool.max_uses is not None:
        del changed["max_tool_calls"]
    if isinstance(include := body.get("include"), list):
        # The sources are always told.
        changed["include"] = [one for one in include if not str(one).startswith("web_search_call.")]
    if "tool_choice" in body:
        changed["tool_choice"] = _choice(body["tool_choice"], {"type": "function", "name": name})
    return changed, tool


def _search_tool(tool: Json, name: str, most: Any, path: str) -> SearchTool:
    filters = reading.opt_obj(tool.get("filters"), f"{path}.filters") or {}
    allowed = _domains(filters, "allowed_domains", path)
    blocked = _domains(filters, "blocked_domains", path)
    location = reading.opt_obj(tool.get("user_location"), f"{path}.user_location") or {}
    # The preview had it nested one deeper, as chat does.
    inner = location.get("approximate")
    location = inner if isinstance(inner, dict) else location
    uses = most if type(most) is int and most > 0 else None
    return SearchTool(name, uses, allowed, blocked, location_in(location))


def _domains(filters: Json, field: str, path: str) -> tuple[str, ...]:
    where = f"{path}.filters.{field}"
    given = filters.get(field)
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) and one.strip() for one in given):
        raise InvalidRequestError(f"`{where}` must be a list of domains.", param=where)
    return tuple(one.strip() for one in given)


def _choice(given: Any, function: Json) -> Any:
    """A choice that names the search names the function."""
    if is_search(given):
        return function
    if isinstance(given, dict) and given.get("type") == "allowed_tools" and isinstance(given.get("tools"), list):
        return {**given, "tools": [function if is_search(one) else one for one in given["tools"]]}
    return given


def blocks(wanted: Wanted, outcome: Findings | Failure | None) -> tuple[Json | None, str]:
    """The item of a search, which is told when it is over, and what the model is told of the result."""
    if outcome is None:
        return None, ""
    action: Json = {"type": "search", "query": wanted.query, "queries": [wanted.query]}
    if isinstance(outcome, Findings):
        action["sources"] = [{"type": "url", "url": source.url} for source in outcome.sources]
    status = "failed" if isinstance(outcome, Failure) else "completed"
    return {"type": "web_search_call", "status": status, "action": action}, told_of(outcome)
