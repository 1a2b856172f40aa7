"""Which type of tool or item a refusal is about: ``type:custom``, so that the encoders say it in another way.

A type is never a field of the body that could be left out (`removable`); it is known by its place (``tools[3].type``),
or by its name in the text: "The requested tool image_generation is not supported.", "Invalid value: 'namespace'".
Only types that the request really has are looked for. Contract §7.4, §7.10, §10.3; contract §8.4 for Messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.converters.wire.error_body import Said
from app.converters.wire.refusal_words import is_about_support

# What every upstream takes, so that its name in a text means something else.
_PLAIN: Final = frozenset({"function", "message", "reasoning", "function_call", "text", "none", "auto"})
_PLACE: Final = re.compile(r"\[?\b(?P<list>tools|input)(?P<path>(?:\[\d+\]|\.\d+|\.tools(?=[\[.]))+)(?:\.type)?$")
_STEP: Final = re.compile(r"\d+|tools")
# Behind these words stands what would be taken.
_LISTED: Final = re.compile(
    r"\b(?:(?:supported|allowed|valid|expected) (?:values|types|tools|tags)|(?:expected|must be|should be)? ?one of)\b",
    re.IGNORECASE,
)
_OF_A_TYPE: Final = re.compile(
    r"\binvalid (?:value|type|tool)|\bexpected tags|\bcannot be used|\bdisabled|\binput tag", re.IGNORECASE
)
_ABOUT_TOOLS: Final = re.compile(r"\btools?\b|\btype\b|\bitems?\b|\binvalid value\b|\binput\b", re.IGNORECASE)
_DATE: Final = re.compile(r"_20\d\d_?\d\d_?\d\d$")
_UNCALLED: Final = re.compile(r"function call output requires call_id", re.IGNORECASE)


def refused_types(said: Said, body: Mapping[str, Any]) -> Iterator[str]:
    """The types that are refused, the surest first."""
    if _UNCALLED.search(said.message):
        yield "function_call_output"
        return
    if not (is_about_support(said.message) or _OF_A_TYPE.search(said.message)):
        return
    param = said.param or ""
    place = _PLACE.search(param)
    at_place = _type_at(body, place["list"], place["path"]) if place is not None else None
    if at_place is not None and at_place not in _PLAIN:
        yield at_place
    listed = _LISTED.search(said.message)
    text = said.message[: listed.start()] if listed is not None else said.message
    if not (_ABOUT_TOOLS.search(text) or param.startswith(("tools", "input"))):
        return
    for kind in types_in(body):
        if kind != at_place and any(_names(text, words) for words in _spellings(kind)):
            yield kind
    yield from _of_named_tools(text, body)


def types_in(body: Mapping[str, Any]) -> list[str]:
    """The types of tools and items in a request, each once, without those that every upstream takes."""
    found: dict[str, None] = {}
    for one in [*_tools(body), *_dicts(body.get("input"))]:
        kind = one.get("type")
        if isinstance(kind, str) and kind and kind not in _PLAIN:
            found[kind] = None
    return list(found)


def _spellings(kind: str) -> tuple[str, ...]:
    """``web_search_preview_2025_03_11`` is also called web_search_preview, web_search and web search."""
    undated = _DATE.sub("", kind)
    spelled = (kind, undated, undated.removesuffix("_preview"))
    return tuple(dict.fromkeys(word for one in spelled for word in (one, one.replace("_", " "))))


def _names(text: str, words: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(words)}(?![\w-])", text, re.IGNORECASE) is not None


def _of_named_tools(text: str, body: Mapping[str, Any]) -> Iterator[str]:
    """A tool may be refused by its name: "Tool 'apply_patch' is not supported"."""
    for tool in _tools(body):
        kind, name = tool.get("type"), tool.get("name")
        if not isinstance(kind, str) or kind in _PLAIN or not isinstance(name, str) or not name:
            continue
        if re.search(rf"\btools? [`'\"]{re.escape(name)}[`'\"]", text, re.IGNORECASE):
            yield kind


def _tools(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Tools at the top, those of items, and those inside other tools."""
    offers = [body.get("tools"), *(item.get("tools") for item in _dicts(body.get("input")))]
    for tool in (tool for offer in offers for tool in _dicts(offer)):
        yield tool
        yield from _dicts(tool.get("tools"))


def _type_at(body: Mapping[str, Any], top: str, path: str) -> str | None:
    value: Any = body.get(top)
    for step in _STEP.findall(path):
        if step == "tools":
            value = value.get("tools") if isinstance(value, dict) else None
        else:
            value = value[int(step)] if isinstance(value, list) and int(step) < len(value) else None
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else None


def _dicts(value: Any) -> list[Any]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
