"""Web search at ``/responses``, for models that have it: the call, made-up pages, citations (contract §7.4, §7.5.6).

The annotations have the form of OpenAI's ``url_citation``; nothing in the contract says what Copilot makes of them.
"""

import json
import re
from typing import TYPE_CHECKING, Any

from . import checks, prompts
from .plan import Call, Plan

if TYPE_CHECKING:
    from .inference import Job

Json = dict[str, Any]

LINK = re.compile(r"\(?\[([^\]]+)\]\((https?://[^)]+)\)\)?")


def is_search(call: Call, declared: list[Json]) -> bool:
    """Whether this call is one of the hosted search and not of a function."""
    names = {tool.get("name") for tool in declared if tool.get("type") == "function"}
    return call.name.startswith("web_search") and call.name not in names and _offered(declared)


def search_unasked(job: "Job", plan: Plan) -> None:
    """A model that is offered the search, and told nothing else, searches for what the user said."""
    declared = [tool for tool in job.fields.get("tools") or [] if isinstance(tool, dict)]
    given = job.directives
    if not _offered(declared) or plan.calls or not job.fresh or job.fields.get("tool_choice") == "none":
        return
    if given.problem or given.chunks or plan.filtered or (given.say is None and given.tools):
        return
    messages = job.chat["messages"]
    # A picture is looked at, and what has to have a form is given in it.
    if job.chat.get("response_format") or checks.image_urls(messages):
        return
    query = prompts.query(messages)
    plan.calls.append(Call("ws", "web_search", json.dumps({"query": query}, ensure_ascii=False)))
    if given.say is None:
        plan.pieces = prompts.pieces(found(query))


def found(query: str) -> str:
    place = re.sub(r"[^a-z0-9]+", "-", query.lower()).strip("-")[:40] or "page"
    return (
        f"Simulated news on {query}. ([Simulated news](https://news.test/{place}?utm_source=openai)) "
        f"What is known of {query}. ([Simulated wiki](https://wiki.test/{place}))"
    )


def annotations(text: str) -> list[Json]:
    """A citation for each link in the text."""
    return [
        {
            "type": "url_citation",
            "start_index": link.start(),
            "end_index": link.end(),
            "url": link[2],
            "title": link[1],
        }
        for link in LINK.finditer(text)
    ]


def _offered(declared: list[Json]) -> bool:
    return any(str(tool.get("type")).startswith("web_search") for tool in declared)
