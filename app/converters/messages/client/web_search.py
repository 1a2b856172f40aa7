"""Anthropic's server tools ``web_search_…`` and ``web_fetch_…`` in a messages request: served, or gone with a note.

Copilot refuses both types. Served (`served`), the search becomes a function that the model calls and the bridge runs;
fetching is never served. Otherwise (`removed`) the tools go, and a sentence at the end of the system prompt tells the
model, so that it does not make results up. Either way the blocks of earlier searches become something that upstream
takes. Spec: Anthropic "Web search tool", "Server tools"; contract §8.4.

Pure, on the wire form: both paths to upstream begin with it. What needs no change is given back as the same object.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from app.converters.codec import Identity
from app.converters.messages.vocabulary import PROTOCOL
from app.converters.neutral.opaque_text import lines_of, refuse_bytes
from app.converters.neutral.vocabulary import Opaque, Response, Text, Usage
from app.converters.neutral.web_search import (
    DESCRIPTION,
    LOCATION,
    SCHEMA,
    Failure,
    Findings,
    SearchTool,
    Wanted,
    told_of,
    told_of_pages,
)
from app.converters.wire import json_bytes
from app.errors import InvalidRequestError

Json = dict[str, Any]

_SEARCH: Final = "web_search_"
_FETCH: Final = "web_fetch_"
_RESULTS: Final = {"web_search_tool_result": "web_search", "web_fetch_tool_result": "web_fetch"}

# Only such characters: Claude Code takes anything else in this field for readable text.
_SEALED: Final = "bridge-search-1-"

_OUTRIGHT: Final = "Perform a web search for the query:"
"""How Claude Code asks for a search, in a conversation of its own (2.1.330)."""

NOT_AVAILABLE: Final = (
    "Web search is not available through this connection: it is switched off, or Copilot offers none to this account. "
    "No search was made, and none will succeed on another try. Tell the user so instead of presenting anything as a "
    "search result. (Whoever runs the bridge chooses who searches with the setting WEB_SEARCH_MODEL.)"
)
"""What stands beside the error in the answer to a request that could do nothing but search."""


def is_web(tool: Any) -> bool:
    """Whether this is Anthropic's own web search or web fetch."""
    return isinstance(tool, dict) and str(tool.get("type")).startswith((_SEARCH, _FETCH))


def gone(body: Json) -> list[Json]:
    """The tools that `removed` takes away."""
    return [tool for tool in _tools(body) if is_web(tool)]


def _is_search(tool: Any) -> bool:
    return is_web(tool) and str(tool["type"]).startswith(_SEARCH)


def _tools(body: Json) -> list[Any]:
    tools = body.get("tools")
    return tools if isinstance(tools, list) else []


def is_forced(body: Json) -> bool:
    """Whether a request is for a search and nothing else: there is no other tool, and it has to be called.

    To models that it does not know Claude Code gives the choice, yet it asks for the search in so many words, and
    reports "Did 0 searches" if none was made.
    """
    tools, choice = _tools(body), body.get("tool_choice")
    if not tools or not all(map(_is_search, tools)):
        return False
    if not isinstance(choice, dict) or choice.get("type") == "auto":
        return _last_words(body).startswith(_OUTRIGHT)
    names = [tool.get("name") for tool in tools]
    return choice.get("type") == "any" or (choice.get("type") == "tool" and choice.get("name") in names)


# ── served ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def served(body: Json) -> tuple[Json, SearchTool] | None:
    """The body with a function in place of the search tool, and the tool; None if there is none.

    Searches of earlier turns become calls of that function with their results.
    Raises: InvalidRequestError for a search tool of the wrong shape.
    """
    tools = _tools(body)
    at = next((at for at, tool in enumerate(tools) if _is_search(tool)), None)
    if at is None:
        return None
    tool = _search_tool(tools[at], f"tools[{at}]")
    function: Json = {"name": tool.name, "description": f"{DESCRIPTION}.", "input_schema": SCHEMA}
    if isinstance(tools[at].get("cache_control"), dict):
        function["cache_control"] = tools[at]["cache_control"]
    rest = [one for one in tools[at + 1 :] if not _is_search(one)]
    if any(isinstance(one, dict) and one.get("name") == tool.name for one in [*tools[:at], *rest]):
        raise InvalidRequestError("tools: Tool names must be unique.", param="tools")
    changed = {**body, "tools": [*tools[:at], function, *rest]}
    if is_forced(body):
        choice = body.get("tool_choice")
        changed["tool_choice"] = {**(choice if isinstance(choice, dict) else {}), "type": "tool", "name": tool.name}
    messages = body.get("messages")
    if isinstance(messages, list):
        changed["messages"] = [
            turn for at, message in enumerate(messages) for turn in _as_calls(message, tool.name, f"messages[{at}]")
        ]
    return changed, tool


def _search_tool(tool: Json, path: str) -> SearchTool:
    name, uses = tool.get("name", "web_search"), tool.get("max_uses")
    if not isinstance(name, str) or not name:
        raise InvalidRequestError(f"{path}.name: Input should be 'web_search'", param=f"{path}.name")
    if uses is not None and (type(uses) is not int or uses < 1):
        raise InvalidRequestError(f"{path}.max_uses: Input should be greater than 0", param=f"{path}.max_uses")
    allowed, blocked = (_domains(tool, field, path) for field in ("allowed_domains", "blocked_domains"))
    if allowed and blocked:
        raise InvalidRequestError(
            f"{path}: only one of allowed_domains and blocked_domains can be given.", param=f"{path}.blocked_domains"
        )
    location = tool.get("user_location")
    if location is not None and not isinstance(location, dict):
        raise InvalidRequestError(f"{path}.user_location: Input should be an object", param=f"{path}.user_location")
    known = {field: location[field] for field in LOCATION if isinstance(location.get(field), str)} if location else {}
    return SearchTool(name, uses, allowed, blocked, known or None)


def _domains(tool: Json, field: str, path: str) -> tuple[str, ...]:
    given = tool.get(field)
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(one, str) and one.strip() for one in given):
        raise InvalidRequestError(f"{path}.{field}: Input should be a list of domains", param=f"{path}.{field}")
    return tuple(one.strip() for one in given)


def _as_calls(message: Any, name: str, path: str) -> list[Any]:
    """A message of the assistant with searches in it, as the calls and results that it was made of.

    After a result the assistant's next words are a turn of their own; a call behind it was made beside the search.
    """
    blocks = message.get("content") if isinstance(message, dict) else None
    if not isinstance(blocks, list) or message.get("role") != "assistant" or not any(map(_is_web_block, blocks)):
        return [message]
    results = {str(block.get("tool_use_id")): block.get("content") for block in blocks if _result_of(block)}
    turns: list[Json] = []
    used = [str(block.get("id")) for block in blocks if _use_of(block) == "web_search"]
    said: list[Any] = []
    found: list[Json] = []

    def turn_over() -> None:
        if said:
            turns.append({**message, "content": list(said)})
        if found:
            turns.append({"role": "user", "content": list(found)})
        said.clear()
        found.clear()

    for at, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, dict) else None
        if _use_of(block) == "web_search":
            given = block.get("input")
            call = {
                "type": "tool_use",
                "id": block.get("id"),
                "name": name,
                "input": given if _is_object(given) else {},
            }
            said.append(call)
            content = results.get(str(block.get("id")), {"error_code": "unavailable"})
            result = {"type": "tool_result", "tool_use_id": block.get("id"), "content": told_in(content)}
            found.append(result if isinstance(content, list) else {**result, "is_error": True})
        elif _result_of(block) == "web_search" and str(block.get("tool_use_id")) in used:
            continue
        else:
            if found and kind != "tool_use":
                turn_over()
            said.append(_as_said(block, f"{path}.content[{at}]"))
    turn_over()
    return turns


# ── removed ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def removed(body: Json) -> Json:
    """The body without both tools, with a note for the model; searches of earlier turns become text.

    A choice that forced one of them is left to the model. Other hosted tools are not touched.
    """
    body = _history_as_text(body)
    taken = gone(body)
    if not taken:
        return body
    rest = [tool for tool in _tools(body) if not is_web(tool)]
    changed = {**body, "tools": rest}
    choice = body.get("tool_choice")
    names = [tool.get("name") for tool in taken]
    if isinstance(choice, dict) and (
        (choice.get("type") == "tool" and choice.get("name") in names) or (choice.get("type") == "any" and not rest)
    ):
        changed["tool_choice"] = {key: value for key, value in choice.items() if key != "name"} | {"type": "auto"}
    if not rest:
        del changed["tools"]
        changed.pop("tool_choice", None)
    return _with_note(changed, note_on(taken))


def note_on(tools: list[Json]) -> str:
    """What the model is told of tools that are gone: always the same for the same tools, for prompt caches."""
    kinds = sorted({"web_search" if _is_search(tool) else "web_fetch" for tool in tools}, reverse=True)
    names = " and ".join(kinds)
    are, they = ("are", "they") if len(kinds) > 1 else ("is", "it")
    return (
        f"Note on tools: {names} {are} not available through this connection, although the client has asked for "
        f"{'them' if len(kinds) > 1 else 'it'}. Nothing has been searched or fetched. If the task needs {names}, say "
        f"plainly that {they} {are} not available here, and do not present anything as a search result."
    )


def _with_note(body: Json, note: str) -> Json:
    """At the very end of the system prompt, behind every cache mark."""
    system = body.get("system")
    block = {"type": "text", "text": note}
    if isinstance(system, str) and system:
        return {**body, "system": f"{system}\n\n{note}"}
    if isinstance(system, list):
        return {**body, "system": [*system, block]}
    return body if system else {**body, "system": [block]}  # of another kind: somebody else says what is wrong


def _history_as_text(body: Json) -> Json:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    changed = [_message_as_text(message, f"messages[{at}]") for at, message in enumerate(messages)]
    if all(new is old for new, old in zip(changed, messages, strict=True)):
        return body
    return {**body, "messages": changed}


def _message_as_text(message: Any, path: str) -> Any:
    blocks = message.get("content") if isinstance(message, dict) and message.get("role") == "assistant" else None
    if not isinstance(blocks, list) or not any(map(_is_web_block, blocks)):
        return message
    changed = [_as_said(block, f"{path}.content[{at}]") for at, block in enumerate(blocks)]
    return {**message, "content": changed}


def _use_of(block: Any) -> str | None:
    """Which of the two tools is used here."""
    if not isinstance(block, dict) or block.get("type") != "server_tool_use":
        return None
    name = block.get("name")
    return str(name) if name in _RESULTS.values() else None


def _result_of(block: Any) -> str | None:
    return _RESULTS.get(str(block.get("type"))) if isinstance(block, dict) else None


def _is_web_block(block: Any) -> bool:
    return _use_of(block) is not None or _result_of(block) is not None


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _as_said(block: Any, path: str) -> Any:
    return _as_text(block, path) if _is_web_block(block) else _without_web_citations(block)


def _as_text(block: Json, path: str) -> Json:
    used, given = _use_of(block), block.get("content")
    if used is not None:
        text = f"[{used}: {json_bytes.dumps(block.get('input') or {}).decode()}]"
    elif _result_of(block) == "web_search":
        text = f"[web_search found]\n{told_in(given)}"
    else:
        text = f"[web_fetch read]\n{_fetched(given, path)}"
    mark = block.get("cache_control")
    return {"type": "text", "text": text} | ({"cache_control": mark} if mark is not None else {})


def _fetched(given: Any, path: str) -> str:
    """The address and the text of a page that was fetched elsewhere. Raises: UnsupportedFeatureError for one that is
    no text."""
    if not isinstance(given, dict):
        return ""
    if given.get("error_code"):
        return f"Nothing: {given['error_code']}"
    refuse_bytes(given, path)
    return "\n".join(lines_of(given))


def _without_web_citations(block: Any) -> Any:
    """Citations of results that are blocks no more would point nowhere."""
    given = block.get("citations") if isinstance(block, dict) else None
    if not isinstance(given, list):
        return block
    kept = [one for one in given if not (isinstance(one, dict) and one.get("type") == "web_search_result_location")]
    if len(kept) == len(given):
        return block
    rest = {key: value for key, value in block.items() if key != "citations"}
    return {**rest, "citations": kept} if kept else rest


# ── blocks of an answer ─────────────────────────────────────────────────────────────────────────────────────────────


def blocks(wanted: Wanted, outcome: Findings | Failure | None) -> tuple[Json, str]:
    """The block of a search (None) or of its result, and what the model is told of the result."""
    if outcome is None:
        return {"type": "server_tool_use", "id": wanted.id, "name": "web_search", "input": {"query": wanted.query}}, ""
    content: Any
    if isinstance(outcome, Failure):
        content = {"type": "web_search_tool_result_error", "error_code": outcome.code}
    else:
        content = [
            {
                "type": "web_search_result",
                "title": source.title,
                "url": source.url,
                "encrypted_content": _seal(source.text),
                "page_age": None,
            }
            for source in outcome.sources
        ]
    return {"type": "web_search_tool_result", "tool_use_id": wanted.id, "content": content}, told_of(outcome)


def unavailable(body: Json, identity: Identity) -> Response | None:
    """The whole answer to a request that is nothing but a search, where none can be served; None for any other.

    The search is told, and that it failed. Text alone would read as an answer found without any search.
    """
    if not is_forced(body):
        return None
    wanted = Wanted("srvtoolu_" + re.sub(r"[^A-Za-z0-9_-]", "_", identity.fallback_id), query_in(body))
    failed = Failure("unavailable")
    return Response(
        id=identity.fallback_id,
        model=identity.model,
        created_at=identity.created,
        parts=(
            Opaque(PROTOCOL, blocks(wanted, None)[0]),
            Opaque(PROTOCOL, blocks(wanted, failed)[0]),
            Text(NOT_AVAILABLE),
        ),
        finish_reason="stop",
        usage=Usage(input_tokens=0, output_tokens=0),
        extra={PROTOCOL: {"server_tool_use": {"web_search_requests": 0}}},
    )


def told_in(content: Any) -> str:
    """What the model reads of a result block of an earlier turn: the same as in the turn of the search."""
    if isinstance(content, dict):
        return f"The search failed: {content.get('error_code')}."
    results = [result for result in content if isinstance(result, dict)] if isinstance(content, list) else []
    return told_of_pages((_text(result.get("title")), _text(result.get("url")), _page(result)) for result in results)


def _page(result: Json) -> str:
    """How old a page is, and what it says as far as that can be read."""
    return "\n".join(filter(None, (_text(result.get("page_age")), _unseal(result.get("encrypted_content")))))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def query_in(body: Json) -> str:
    """What a request that is nothing but a search wants to know, as near as its words tell: for the error's block."""
    return _last_words(body).removeprefix(_OUTRIGHT).strip()[:200]


def _last_words(body: Json) -> str:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    texts = [content] if isinstance(content, str) else []
    for block in content if isinstance(content, list) else []:
        text = block.get("text") if isinstance(block, dict) else None
        texts += [text] if isinstance(text, str) else []
    return texts[-1].strip() if texts else ""


def _seal(text: str) -> str:
    return _SEALED + base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode()


def _unseal(sealed: Any) -> str:
    """The text that `_seal` packed; "" for what Anthropic itself has encrypted."""
    if not isinstance(sealed, str) or not sealed.startswith(_SEALED):
        return ""
    try:
        return base64.urlsafe_b64decode(sealed[len(_SEALED) :]).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
