"""What the contract lets a Messages client say to a Claude reaches it on both ways; elsewhere it is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.neutral.model_limits import ModelLimits
from tests.support.exchanges import exchange_between

Json = dict[str, Any]

SAID = [{"role": "user", "content": "hi"}]
WAYS = [pytest.param(True, id="native"), pytest.param(False, id="converted")]


def model(name: str, *, hour: float | None = None, **supports: Any) -> ModelLimits:
    prices = {"token_prices": {"default": {"cache_write_1h_price": hour}}} if hour is not None else {}
    entry = {"id": name, "vendor": "Anthropic", "capabilities": {"supports": supports}, "billing": prices}
    return ModelLimits.of(entry)


def sent(body: Json, limits: ModelLimits, may_pass: bool, betas: str = "") -> tuple[Json, tuple[str, ...], str]:
    """Body, what was left out, and the betas."""
    headers = {"anthropic-beta": betas} if betas else {}
    whole = {"model": "m", "max_tokens": 4000, "messages": SAID, **body}
    exchange = exchange_between(
        "messages", "messages", whole, model=limits.model, limits=limits, may_pass=may_pass, headers=headers
    )
    prepared = exchange.payload()
    return json.loads(prepared.body), prepared.dropped, prepared.headers.get("anthropic-beta", "")


# ── how thoughts are shown (contract §8.2, §8.10) ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("may_pass", WAYS)
@pytest.mark.parametrize("display", ["summarized", "omitted", "updates", "of tomorrow"])
def test_the_display_of_adaptive_thoughts_is_what_the_client_said_in_words_of_upstreams(
    display: str, may_pass: bool
) -> None:
    thinking = {"type": "adaptive", "display": display}
    told = {**thinking, "display": "omitted" if display == "omitted" else "summarized"}
    body, _, _ = sent({"thinking": thinking}, model("claude-opus-5", adaptive_thinking=True), may_pass)
    assert body["thinking"] == told
    # A model that takes a budget alone has no such field; what has become adaptive keeps it.
    body, _, _ = sent({"thinking": thinking}, model("claude-haiku-4.5", max_thinking_budget=9000), may_pass)
    assert body["thinking"].keys() == {"type", "budget_tokens"}
    enabled = {"type": "enabled", "budget_tokens": 2000, "display": display}
    body, _, _ = sent({"thinking": enabled}, model("claude-opus-5", adaptive_thinking=True), may_pass)
    assert body["thinking"] == told


# ── the search among deferred tools (contract §8.2, §8.3) ───────────────────────────────────────────────────────────

BETA = "advanced-tool-use-2025-11-20"
SCHEMA = {"type": "object", "properties": {}}
PLAIN = {"name": "read", "input_schema": SCHEMA}
RARE = {"name": "rare", "input_schema": SCHEMA, "defer_loading": True, "input_examples": [{}]}
SEARCHES = [
    {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
    {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25", "defer_loading": False},
    {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25", "cache_control": {"type": "ephemeral"}},
]
ABLE = [model("claude-sonnet-4.6"), model("claude-opus-4.5"), model("claude-opus-9", tool_search=True)]
UNABLE = [model("claude-haiku-4.5"), model("claude-opus-9")]


@pytest.mark.parametrize("may_pass", WAYS)
@pytest.mark.parametrize("limits", ABLE, ids=lambda limits: limits.model)
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["type"])
def test_the_search_among_deferred_tools_goes_with_its_beta(search: Json, limits: ModelLimits, may_pass: bool) -> None:
    tools = [search, PLAIN, RARE]
    for given in ("", BETA, "tool-search-tool-2025-10-19", "advanced-tool-use-2026-01-01"):
        body, dropped, betas = sent({"tools": tools}, limits, may_pass, given)
        assert body["tools"] == tools
        assert not dropped
        assert betas.count("advanced-tool-use-") == 1


@pytest.mark.parametrize("may_pass", WAYS)
@pytest.mark.parametrize("limits", UNABLE, ids=lambda limits: limits.model)
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["type"])
def test_where_nothing_can_search_all_tools_are_there_and_the_search_is_named(
    search: Json, limits: ModelLimits, may_pass: bool
) -> None:
    body, dropped, _ = sent({"tools": [search, PLAIN, RARE]}, limits, may_pass, BETA)
    assert [tool["name"] for tool in body["tools"]] == ["read", "rare"]
    assert not any("defer_loading" in tool for tool in body["tools"])
    assert {f"tools[].{search['type']}", "tools[].defer_loading"} <= set(dropped)


@pytest.mark.parametrize("upstream", ["chat", "responses"])
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["type"])
def test_other_upstreams_get_all_tools_and_the_rest_is_named(search: Json, upstream: str) -> None:
    body = {"model": "m", "max_tokens": 99, "messages": SAID, "tools": [search, PLAIN, RARE]}
    prepared = exchange_between("messages", upstream, body).payload()
    names = [tool.get("function", tool)["name"] for tool in json.loads(prepared.body)["tools"]]
    assert names == ["read", "rare"]
    wanted = {f"tools[].{search['type']}", "tools[].defer_loading", "tools[].input_examples"}
    assert wanted <= set(prepared.dropped)


def test_a_beta_that_was_refused_takes_the_search_along() -> None:
    whole = {"model": "m", "max_tokens": 4000, "messages": SAID, "tools": [SEARCHES[0], PLAIN, RARE]}
    exchange = exchange_between("messages", "messages", whole, model="claude-sonnet-4.6", limits=ABLE[0])
    prepared = exchange.payload(frozenset({f"beta:{BETA}"}))
    assert [tool["name"] for tool in json.loads(prepared.body)["tools"]] == ["read", "rare"]
    assert BETA not in prepared.headers.get("anthropic-beta", "")


# ── how long the cache lasts (contract §4.3, §8.4) ──────────────────────────────────────────────────────────────────

HOUR, BARE = {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}
LONG_CACHE = "extended-cache-ttl-2025-04-11"
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBO"}
PLACES: dict[str, Json] = {
    "system": {"system": [{"type": "text", "text": "s", "cache_control": HOUR}]},
    "a tool": {"tools": [{**PLAIN, "cache_control": HOUR}]},
    "text": {"messages": [{"role": "user", "content": [{"type": "text", "text": "t", "cache_control": HOUR}]}]},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image", "source": PNG, "cache_control": HOUR}]}]},
    "a PDF": {"messages": [{"role": "user", "content": [{"type": "document", "source": PDF, "cache_control": HOUR}]}]},
    "a call and its result": {
        "messages": [
            *SAID,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}, "cache_control": HOUR}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r", "cache_control": HOUR}],
            },
        ],
        "tools": [PLAIN],
    },
    "the whole": {"cache_control": HOUR},
}


def marks(value: Any) -> list[Json]:
    """All cache marks in a body."""
    if isinstance(value, list):
        return [mark for inner in value for mark in marks(inner)]
    if not isinstance(value, dict):
        return []
    own = [value["cache_control"]] if "cache_control" in value else []
    return own + [mark for inner in value.values() for mark in marks(inner)]


@pytest.mark.parametrize("may_pass", WAYS)
@pytest.mark.parametrize("place", PLACES)
def test_an_hour_is_kept_where_it_has_a_price(place: str, may_pass: bool) -> None:
    count = max(len(marks(PLACES[place])), 1)
    body, dropped, betas = sent(PLACES[place], model("claude-x", hour=2.0), may_pass)
    assert (marks(body), dropped, LONG_CACHE in betas) == ([HOUR] * count, (), True)
    body, dropped, betas = sent(PLACES[place], model("claude-x"), may_pass)
    assert (marks(body), dropped, LONG_CACHE in betas) == ([BARE] * count, ("cache_control.ttl",), False)
