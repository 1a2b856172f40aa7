"""Effort, thinking, system messages and tool choice by model: every cell of contract §8.10, natively and converted."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from app.converters.chat import CLIENT as CHAT
from app.converters.codec import Identity, NativeRequest, UpstreamRequest
from app.converters.exchange import converted_exchange
from app.converters.messages import CLIENT, NATIVE, UPSTREAM
from app.converters.neutral.model_limits import EFFORTS, ModelLimits
from app.errors import InvalidRequestError
from tests.simulator import claude
from tests.support.rows import rows

ALL = ["low", "medium", "high", "xhigh", "max"]
LISTED: dict[str, list[str]] = {
    "claude-haiku-4.5": [],
    "claude-sonnet-4.6": ["low", "medium", "high", "max"],
    "claude-opus-4.6": ["low", "medium", "high", "max"],
    "claude-opus-4.7": ALL,
    "claude-sonnet-5": ALL,
    "claude-opus-4.8": ALL,
    "claude-opus-5": ALL,
    "claude-opus-5.5": ALL,
}
WITH_BUDGET = ("claude-haiku-4.5", "claude-sonnet-4.6", "claude-opus-4.6")
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
every_model = pytest.mark.parametrize("model", LISTED)
# What the catalogue tells of thinking: the generation decides where it is silent, and where it is wrong.
every_word = pytest.mark.parametrize("word", ["declared", "silent"])


def entry(model: str, word: str = "declared", **prices: Any) -> dict[str, Any]:
    kinds = claude.row({"id": model}).thinking
    supports: dict[str, Any] = {"reasoning_effort": LISTED[model]}
    if word == "declared" and "adaptive" in kinds:
        supports["adaptive_thinking"] = "required" if kinds == ("adaptive",) else "optional"
    if model in WITH_BUDGET:
        supports |= {"max_thinking_budget": 32000, "min_thinking_budget": 1024}
    if word == "silent" and model in ("claude-sonnet-4.6", "claude-opus-4.6"):
        supports["adaptive_thinking"] = True  # the older form of the same word
    limits = {"max_output_tokens": 64000}
    billing = {"token_prices": {"batch_size": 1_000_000, "default": {"input_price": 300, **prices}}}
    return {"id": model, "capabilities": {"limits": limits, "supports": supports}, "billing": billing}


def natively(body: dict[str, Any], of: dict[str, Any], betas: str = "") -> UpstreamRequest:
    limits = ModelLimits.of(of)
    whole = {"model": of["id"], "max_tokens": 16000, **body}
    headers = {"anthropic-beta": betas} if betas else {}
    raw = json.dumps(whole).encode()
    return NATIVE.prepare(NativeRequest(raw=raw, body=whole, model=of["id"], limits=limits, headers=headers))


def converted(client: Any, body: dict[str, Any], of: dict[str, Any]) -> UpstreamRequest:
    whole = {"model": of["id"], **body}
    request = NativeRequest(raw=b"", body=whole, model=of["id"], limits=ModelLimits.of(of))
    identity = Identity(of["id"], 1, "id")
    return converted_exchange(client, UPSTREAM, request, traits=client.traits(whole), identity=identity).payload()


def fits(sent: UpstreamRequest, model: str) -> dict[str, Any]:
    """The body, if it is within its row."""
    body: dict[str, Any] = json.loads(sent.body)
    row = claude.row({"id": model})
    thinking = body.get("thinking", {"type": None})
    assert thinking["type"] in (None, *row.thinking)
    assert (
        set(thinking)
        <= {
            None: {"type"},
            "disabled": {"type"},
            "enabled": {"type", "budget_tokens"},
            "adaptive": {"type", "display"},
        }[thinking["type"]]
    )
    effort = body.get("output_config", {}).get("effort")
    assert effort is None or effort in row.efforts
    assert not (thinking["type"] == "disabled" and effort in row.not_still)
    choice = body.get("tool_choice", {}).get("type")
    assert choice not in ("any", "tool") or row.forced
    assert all(message["role"] != "system" or row.system for message in body["messages"])
    return body


SAID = [{"role": "user", "content": "Hi"}]
THINKING = [
    None,
    {"type": "disabled"},
    {"type": "adaptive"},
    {"type": "adaptive", "display": "omitted"},
    {"type": "enabled", "budget_tokens": 8000},
    {"type": "enabled", "budget_tokens": 8000, "display": "summarized"},
]


@every_model
@every_word
def test_every_wish_becomes_one_that_the_model_takes(model: str, word: str) -> None:
    for thinking, effort in itertools.product(THINKING, [None, *EFFORTS]):
        body: dict[str, Any] = {"messages": SAID}
        body |= {"thinking": thinking} if thinking else {}
        body |= {"output_config": {"effort": effort}} if effort else {}
        sent = fits(natively(body, entry(model, word)), model)
        wants = thinking is not None and thinking["type"] != "disabled"
        assert (sent.get("thinking", {}).get("type") in ("adaptive", "enabled")) == wants
        told = sent.get("output_config", {}).get("effort")
        assert told is None or effort is not None
        listed = LISTED[model]
        if effort in listed and not (thinking == {"type": "disabled"} and model == "claude-opus-5"):
            assert told == effort
        elif effort and listed and told is not None and told != listed[0]:
            assert EFFORTS.index(told) <= EFFORTS.index(effort)  # clamped downwards


@rows("model")
@every_model
@every_word
@pytest.mark.parametrize("effort", EFFORTS)
def test_efforts_of_other_protocols_become_ones_that_it_takes(model: str, word: str, effort: str) -> None:
    body = {"messages": SAID, "reasoning_effort": effort}
    sent = fits(converted(CHAT, body, entry(model, word)), model)
    if effort != "none":
        assert sent["thinking"]["type"] in ("adaptive", "enabled")
    if sent.get("thinking", {}).get("type") == "adaptive":
        # As the official client asks for it: the newest models hide their thoughts otherwise.
        assert sent["thinking"]["display"] == "summarized"


def test_how_thoughts_are_shown_is_the_clients_wish_in_words_of_upstreams() -> None:
    for given, told in (("omitted",) * 2, ("summarized",) * 2, ("updates", "summarized"), ("odd", "summarized")):
        sent = natively({"messages": SAID, "thinking": {"type": "adaptive", "display": given}}, entry("claude-opus-5"))
        assert json.loads(sent.body)["thinking"]["display"] == told
    sent = natively({"messages": SAID, "thinking": {"type": "adaptive", "display": ["odd"]}}, entry("claude-opus-5"))
    assert json.loads(sent.body)["thinking"] == {"type": "adaptive"}


MIDWAY = [
    {"role": "user", "content": "One."},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "Three."},
    {"role": "system", "content": "Be brief from now on."},
    {"role": "user", "content": "Four."},
]


@rows("model")
@every_model
@pytest.mark.parametrize("way", ["native", "messages", "chat"])
def test_a_system_message_midway_stays_one_where_it_is_taken(model: str, way: str) -> None:
    body = {"messages": MIDWAY, "max_tokens": 100}
    if way == "native":
        sent = natively(body, entry(model))
    else:
        sent = converted(CLIENT if way == "messages" else CHAT, body, entry(model))
    found = fits(sent, model)
    told = [one["role"] for one in found["messages"] if "Be brief" in json.dumps(one)]
    assert told == ["system" if claude.row({"id": model}).system else "user"]
    assert [one["role"] for one in found["messages"] if "Two." in json.dumps(one)] == ["assistant"]


@rows("model")
@every_model
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look"}, {"type": "auto"}])
def test_a_forced_call_is_asked_for_in_words_where_it_cannot_be_forced(model: str, choice: dict[str, str]) -> None:
    body = {"messages": SAID, "tools": [TOOL], "tool_choice": choice, "system": "Be kind."}
    sent = natively(body, entry(model))
    found = fits(sent, model)
    is_said = "this is required" in json.dumps(found["system"])
    assert is_said == (model == "claude-opus-5.5" and choice["type"] != "auto")
    assert any(loss.path == "tool_choice" for loss in sent.losses) == is_said
    asked = {"messages": SAID, "tools": [{"type": "function", "function": {"name": "look"}}], "tool_choice": "required"}
    fits(converted(CHAT, asked, entry(model)), model)


# ── betas and cache marks ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("alias", ["tool-search-tool-2025-10-19", "tool-examples-2025-10-29"])
def test_an_alias_of_a_beta_goes_under_the_name_that_upstream_knows(alias: str) -> None:
    tools = [TOOL, {**TOOL, "name": "rare", "defer_loading": True, "input_examples": [{}]}]
    sent = natively({"messages": SAID, "tools": tools}, entry("claude-sonnet-4.6"), betas=f"{alias}, oauth-2025-04-20")
    assert sent.headers["anthropic-beta"] == "advanced-tool-use-2025-11-20,oauth-2025-04-20"
    assert json.loads(sent.body)["tools"][1]["defer_loading"] is True
    assert sent.losses == ()


def marked(ttl: str | None) -> dict[str, Any]:
    mark = {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})
    return {
        "system": [{"type": "text", "text": "Be kind.", "cache_control": mark}],
        "tools": [{**TOOL, "cache_control": mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": mark}]}],
    }


def marks(sent: UpstreamRequest) -> list[Any]:
    body = json.loads(sent.body)
    return [one["cache_control"] for one in (*body["system"], *body["tools"], *body["messages"][0]["content"])]


def test_an_hour_in_the_cache_is_kept_where_it_has_a_price() -> None:
    sent = natively(marked("1h"), entry("claude-sonnet-4.6", cache_write_1h_price=600))
    assert marks(sent) == [{"type": "ephemeral", "ttl": "1h"}] * 3
    assert sent.headers["anthropic-beta"] == "extended-cache-ttl-2025-04-11"
    assert sent.losses == ()


def test_an_hour_in_the_cache_is_left_out_where_it_has_none() -> None:
    sent = natively(marked("1h"), entry("claude-sonnet-4.6", cache_write_price=375))
    assert marks(sent) == [{"type": "ephemeral"}] * 3
    assert "anthropic-beta" not in sent.headers
    assert [loss.path for loss in sent.losses] == ["cache_control.ttl"]


def test_the_usual_time_in_the_cache_needs_no_word() -> None:
    sent = natively(marked("5m"), entry("claude-sonnet-4.6", cache_write_1h_price=600))
    assert marks(sent) == [{"type": "ephemeral"}] * 3
    assert sent.losses == ()


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.mark.parametrize(("count", "is_fine"), [(20, True), (21, False)])
def test_more_images_than_upstream_takes_are_refused_by_count(count: int, is_fine: bool) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    inside = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [IMAGE] * (count - 1)}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [inside]},
    ]
    shown = [{"role": "user", "content": [{"type": "text", "text": "Look."}, *[CHAT_IMAGE] * count]}]
    for send in (
        lambda: natively({"messages": messages, "tools": [TOOL]}, entry("claude-sonnet-4.6")),
        lambda: converted(CHAT, {"messages": shown}, entry("claude-sonnet-4.6")),
    ):
        if is_fine:
            assert send().body
            continue
        with pytest.raises(InvalidRequestError, match="21 images, and GitHub Copilot takes 20") as refused:
            send()
        assert refused.value.param == "messages"
