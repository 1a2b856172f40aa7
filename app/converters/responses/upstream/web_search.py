"""A web search by a model that has it at ``/responses``: the request for it, and what the answer found.

Contract §7.4, §7.5.6: upstream runs ``web_search`` itself and tells ``web_search_call`` items; the sources stand as
``url_citation`` annotations of the text. Only fields that upstream is known to take are sent, so the limits of the
client's tool (domains, place) are words of the instructions; the domains are also enforced on what comes back.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.neutral.search_findings import cites, findings_in
from app.converters.neutral.vocabulary import Opaque, Response, Text
from app.converters.neutral.web_search import Failure, Findings, SearchTool
from app.converters.responses.parts import ORIGIN

_TASK: Final = (
    "You are a search engine for another model. Search the web for the user's query, then report what the pages say: "
    "facts, numbers, names and dates, as exactly as the pages give them, in short paragraphs. Cite the page of every "
    "statement. Add nothing from memory and do not address the user. If the search finds nothing, say only that."
)


def search_body(query: str, tool: SearchTool, *, model: str) -> dict[str, Any]:
    """The body of the search call. It is streamed, so that a client that leaves ends the search."""
    return {
        "model": model,
        "instructions": "\n".join([_TASK, *_limits(tool)]),
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": query}]}],
        "tools": [{"type": "web_search"}],
        "tool_choice": "required",
        "store": False,
        "stream": True,
    }


def _limits(tool: SearchTool) -> list[str]:
    told = []
    if tool.allowed_domains:
        told.append(f"Use only pages of these domains: {', '.join(tool.allowed_domains)}.")
    if tool.blocked_domains:
        told.append(f"Use no pages of these domains: {', '.join(tool.blocked_domains)}.")
    if tool.location:
        place = ", ".join(f"{name} {value}" for name, value in tool.location.items())
        told.append(f"Where the place matters, the user is here: {place}.")
    return told


def findings_of(response: Response, tool: SearchTool) -> Findings | Failure:
    """What was found. Failure "unavailable": the model has not searched at all."""
    texts = [part for part in response.parts if isinstance(part, Text) and part.text]
    calls = [part.value for part in response.parts if isinstance(part, Opaque) and _is_call(part)]
    found = findings_in(texts, tool, further=(pair for call in calls for pair in _sources(call)))
    return found if calls or cites(texts) else Failure("unavailable")


def _is_call(part: Opaque) -> bool:
    return part.origin == ORIGIN and isinstance(part.value, dict) and part.value.get("type") == "web_search_call"


def _sources(call: dict[str, Any]) -> list[tuple[str, str]]:
    """``action.sources``, which upstream may add."""
    action = call.get("action")
    given = action.get("sources") if isinstance(action, dict) else None
    sources = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    return [(str(one.get("url") or ""), str(one.get("title") or "")) for one in sources]
