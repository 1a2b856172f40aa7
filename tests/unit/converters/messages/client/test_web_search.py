"""Anthropic's web tools in a request: served or gone with a note; their blocks in history and answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.converters.codec import NativeRequest
from app.converters.exchange import whole_or_stream
from app.converters.messages import CLIENT, NATIVE, UPSTREAM
from app.converters.messages.client import web_search
from app.converters.messages.client.web_search import blocks, is_forced, removed, served, told_in
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import Request
from app.converters.neutral.web_search import Failure, Findings, SearchTool, Source, Wanted
from app.converters.registry import UPSTREAMS
from app.errors import InvalidRequestError
from tests.support.identities import identity_of

Json = dict[str, Any]

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
OWN = {"name": "get_weather", "input_schema": {"type": "object", "properties": {}}}
WANTED = Wanted("srvtoolu_1", "kites")
FOUND = Findings((Source("https://kites.test/", "Kites", "They fly — 高い."), Source("https://b.test/", "B")))
HELLO = [{"role": "user", "content": "hi"}]


def body_of(*tools: Json, **fields: Any) -> Json:
    return {"model": "m", "max_tokens": 9, "messages": HELLO, "tools": list(tools), **fields}


def forced(name: str = "web_search") -> Json:
    return {"type": "tool", "name": name}


# ── served ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_served_the_tool_is_a_function_in_its_place() -> None:
    found = served(body_of(OWN, {**SEARCH, "cache_control": {"type": "ephemeral"}}, tool_choice=forced()))
    assert found is not None
    body, tool = found
    assert [one["name"] for one in body["tools"]] == ["get_weather", "web_search"]
    function = body["tools"][1]
    assert function.keys() == {"name", "description", "input_schema", "cache_control"}
    assert function["input_schema"]["required"] == ["query"]
    assert body["tool_choice"] == forced()
    assert tool == SearchTool("web_search", 8)


def test_nothing_to_serve() -> None:
    for body in (body_of(OWN), body_of(FETCH), {"messages": HELLO}, {"tools": "x"}):
        assert served(body) is None


def test_the_limits_of_the_tool() -> None:
    place = {"type": "approximate", "city": "Kiel", "country": "DE", "odd": 7}
    found = served(
        body_of({**SEARCH, "type": "web_search_20260209", "allowed_domains": ["a.test"], "user_location": place})
    )
    assert found is not None
    assert found[1] == SearchTool("web_search", 8, ("a.test",), (), {"city": "Kiel", "country": "DE"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_uses": 0}, "tools[0].max_uses"),
        ({"max_uses": True}, "tools[0].max_uses"),
        ({"max_uses": "8"}, "tools[0].max_uses"),
        ({"name": ""}, "tools[0].name"),
        ({"name": 7}, "tools[0].name"),
        ({"allowed_domains": "a.test"}, "tools[0].allowed_domains"),
        ({"blocked_domains": [7]}, "tools[0].blocked_domains"),
        ({"allowed_domains": ["a.test"], "blocked_domains": ["b.test"]}, "tools[0].blocked_domains"),
        ({"user_location": "Kiel"}, "tools[0].user_location"),
    ],
)
def test_a_tool_of_the_wrong_shape_is_named(fields: Json, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        served(body_of({**SEARCH, **fields}))
    assert caught.value.param == param


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="unique"):
        served(body_of(SEARCH, {**OWN, "name": "web_search"}))


# ── what the model is told when it goes ─────────────────────────────────────────────────────────────────────────────


def test_removed_the_model_is_told_at_the_end_of_the_system_prompt() -> None:
    cached = {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    found = removed(body_of(SEARCH, OWN, system=[cached]))
    assert found["tools"] == [OWN]
    assert found["system"][0] == cached
    assert found["system"][1].keys() == {"type", "text"}
    assert "web_search is not available" in found["system"][1]["text"]
    assert removed(body_of(SEARCH, system="Be kind."))["system"].startswith("Be kind.\n\nNote on tools: web_search")
    assert removed(body_of(SEARCH))["system"] == [found["system"][1]]


def test_the_note_names_what_is_gone() -> None:
    text = removed(body_of(FETCH, SEARCH))["system"][0]["text"]
    assert "web_search and web_fetch are not available" in text
    assert "web_fetch is not available" in removed(body_of(FETCH))["system"][0]["text"]


def test_the_note_is_constant() -> None:
    """It stands before the conversation: any change would empty the prompt cache."""
    first = removed(body_of(SEARCH, OWN))["system"]
    later = removed(body_of({**SEARCH, "max_uses": 3}, OWN, messages=[*HELLO, *HELLO]))["system"]
    assert first == later


@pytest.mark.parametrize("choice", [forced(), {"type": "any"}, {"type": "auto"}])
def test_without_any_tool_left_there_is_no_choice(choice: Json) -> None:
    found = removed(body_of(SEARCH, tool_choice=choice))
    assert "tools" not in found
    assert "tool_choice" not in found


def test_a_forced_search_is_left_to_the_model() -> None:
    choice = {**forced(), "disable_parallel_tool_use": True}
    found = removed(body_of(SEARCH, OWN, tool_choice=choice))
    assert found["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert removed(body_of(SEARCH, OWN, tool_choice={"type": "any"}))["tool_choice"] == {"type": "any"}
    assert removed(body_of(SEARCH, OWN, tool_choice=forced("get_weather")))["tool_choice"] == forced("get_weather")


def test_other_bodies_stay_the_same_object() -> None:
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    for body in (body_of(OWN), body_of(code), {"messages": HELLO}, {"messages": 7, "tools": 7}):
        assert removed(body) is body


def test_a_system_prompt_of_the_wrong_kind_is_left_for_others_to_refuse() -> None:
    assert removed(body_of(SEARCH, system=7))["system"] == 7


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_every_upstream_gets_the_note_and_no_tool(upstream: str) -> None:
    limits = ModelLimits.of({"id": "m"})
    body = body_of(SEARCH, FETCH, OWN, tool_choice=forced())
    losses = Losses()
    sent = json.dumps(UPSTREAMS[upstream].encode_request(CLIENT.decode_request(body), limits, losses))
    assert "web_search and web_fetch are not available" in sent
    assert "20250305" not in sent
    assert [name for name in losses.names() if "web_" in name]
    if upstream == "messages":
        raw = json.dumps(body).encode()
        prepared = NATIVE.prepare(NativeRequest(raw=raw, body=body, model="m", limits=limits, inlined={}, headers={}))
        native = json.loads(prepared.body)
        assert "web_search and web_fetch are not available" in native["system"][0]["text"]
        assert native["tools"] == [OWN]
        assert prepared.dropped == ("tools[].web_search_20250305", "tools[].web_fetch_20250910")


@pytest.mark.parametrize(
    ("tools", "choice", "expected"),
    [
        ([SEARCH], forced(), True),
        ([SEARCH], {"type": "any"}, True),
        ([SEARCH], {"type": "auto"}, False),
        ([SEARCH], None, False),
        ([SEARCH], forced("other"), False),
        ([SEARCH, OWN], forced(), False),
        ([FETCH], {"type": "any"}, False),
        ([], {"type": "any"}, False),
    ],
)
def test_when_a_request_can_do_nothing_but_search(tools: list[Json], choice: Any, expected: bool) -> None:
    assert is_forced(body_of(*tools, tool_choice=choice)) is expected


def test_a_search_that_is_asked_for_outright_is_one() -> None:
    """Claude Code, to a model that it does not know."""
    reminder = text("<system-reminder>…</system-reminder>")
    asked = [{"role": "user", "content": [reminder, text("Perform a web search for the query: kites")]}]
    for choice in ({}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}):
        body = body_of(SEARCH, messages=asked, **choice)
        assert is_forced(body)
        found = served(body)
        assert found is not None
        assert found[0]["tool_choice"].items() >= forced().items()
        assert not is_forced(body_of(SEARCH, OWN, messages=asked, **choice))
    other = served(body_of(SEARCH, tool_choice={"type": "auto"}))
    assert other is not None
    assert other[0]["tool_choice"] == {"type": "auto"}


# ── earlier searches ────────────────────────────────────────────────────────────────────────────────────────────────

USE, RESULT = blocks(WANTED, None)[0], blocks(WANTED, FOUND)[0]
FAILED = blocks(WANTED, Failure("unavailable"))[0]
TOLD = "Kites\nhttps://kites.test/\nThey fly — 高い.\n\nB\nhttps://b.test/"


def text(said: str, **fields: Any) -> Json:
    return {"type": "text", "text": said, **fields}


def call(name: str = "web_search", call_id: str = "srvtoolu_1", **given: Any) -> Json:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def result(content: str = TOLD, call_id: str = "srvtoolu_1", **fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def history(*content: Json) -> list[Json]:
    found = served(body_of(SEARCH, messages=[*HELLO, {"role": "assistant", "content": list(content)}, *HELLO]))
    assert found is not None
    turns: list[Json] = found[0]["messages"]
    assert turns[0] == turns[-1] == HELLO[0]
    return turns[1:-1]


def test_a_search_in_the_history_is_a_call_with_its_result() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    assert history(thought, text("Let me see."), USE, RESULT, text("They fly.")) == [
        {"role": "assistant", "content": [thought, text("Let me see."), call(query="kites")]},
        {"role": "user", "content": [result()]},
        {"role": "assistant", "content": [text("They fly.")]},
    ]


def test_a_failed_search_and_one_without_result() -> None:
    told = result("The search failed: unavailable.", is_error=True)
    assert history(USE, FAILED)[1]["content"] == [told]
    assert history(USE)[1]["content"] == [told]
    assert history(USE, {**RESULT, "content": []})[1]["content"] == [result("The search named no pages.")]


def test_a_result_without_its_search_is_text() -> None:
    assert history(RESULT) == [{"role": "assistant", "content": [text(f"[web_search found]\n{TOLD}")]}]


def test_a_call_beside_the_search_stays_in_its_turn() -> None:
    own = call("get_weather", "toolu_1")
    assert history(USE, RESULT, own) == [
        {"role": "assistant", "content": [call(query="kites"), own]},
        {"role": "user", "content": [result()]},
    ]


def test_such_a_turn_meets_its_results_upstream() -> None:
    own, later = call("get_weather", "toolu_1"), {"role": "user", "content": [result("Rain.", "toolu_1")]}
    found = served(body_of(SEARCH, OWN, messages=[*HELLO, {"role": "assistant", "content": [USE, RESULT, own]}, later]))
    assert found is not None
    sent = UPSTREAM.encode_request(CLIENT.decode_request(found[0]), ModelLimits.of({"id": "m"}), Losses())
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user"]
    assert [block["tool_use_id"] for block in sent["messages"][2]["content"]] == ["srvtoolu_1", "toolu_1"]


def test_what_the_model_read_is_the_same_later() -> None:
    assert told_in(RESULT["content"]) == blocks(WANTED, FOUND)[1] == TOLD


def test_removed_a_search_in_the_history_is_text() -> None:
    cited = text("They fly.", citations=[{"type": "web_search_result_location", "url": "u", "encrypted_index": "x"}])
    mark = {"cache_control": {"type": "ephemeral"}}
    messages = [*HELLO, {"role": "assistant", "content": [USE, {**RESULT, **mark}, cited]}, *HELLO]
    found = removed({"messages": messages})["messages"]
    assert found[1]["content"] == [
        text('[web_search: {"query":"kites"}]'),
        text(f"[web_search found]\n{TOLD}", **mark),
        text("They fly."),
    ]
    assert (found[0], found[2]) == (HELLO[0], HELLO[0])


def test_a_fetched_page_in_the_history_is_text() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {"url": "https://a.test/"}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Words."}}
    page = {"type": "web_fetch_result", "url": "https://a.test/", "content": document}
    read = {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": page}
    found = removed({"messages": [{"role": "assistant", "content": [use, read]}]})["messages"][0]["content"]
    assert found == [text('[web_fetch: {"url":"https://a.test/"}]'), text("[web_fetch read]\nhttps://a.test/\nWords.")]
    failed = {**read, "content": {"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"}}
    found = removed({"messages": [{"role": "assistant", "content": [failed]}]})["messages"][0]["content"]
    assert found == [text("[web_fetch read]\nNothing: url_not_accessible")]


def test_other_server_tools_in_the_history_are_not_ours() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "tool_search_tool_regex", "input": {}}
    body = {"messages": [{"role": "assistant", "content": [use, {"type": "tool_search_tool_result"}]}]}
    assert removed(body) is body


def test_results_that_anthropic_encrypted_keep_title_and_address() -> None:
    foreign = {"type": "web_search_result", "title": "T", "url": "https://t.test/", "encrypted_content": "EqgfCioI="}
    assert told_in([foreign]) == "T\nhttps://t.test/"
    for odd in (7, None, [7, {}], [{"title": 7, "url": None, "encrypted_content": "bridge-search-1-%"}]):
        assert told_in(odd) == "The search named no pages."


@pytest.mark.parametrize("odd", [{}, {"id": {}}, {"id": 7, "input": 7}, {"input": None}])
def test_odd_blocks_are_the_clients_mistake(odd: Json) -> None:
    block = {"type": "server_tool_use", "name": "web_search", **odd}
    message = {"role": "assistant", "content": [block, {"type": "web_search_tool_result", "tool_use_id": []}]}
    found = served(body_of(SEARCH, messages=[*HELLO, message]))
    assert found is not None
    with pytest.raises(InvalidRequestError, match="id"):
        CLIENT.decode_request(found[0])
    removed(body_of(messages=[*HELLO, message]))


# ── blocks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_blocks_of_an_answer() -> None:
    assert USE == {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "kites"}}
    assert RESULT["tool_use_id"] == "srvtoolu_1"
    assert [one.keys() for one in RESULT["content"]] == [
        {"type", "title", "url", "encrypted_content", "page_age"},
        {"type", "title", "url", "encrypted_content", "page_age"},
    ]
    assert FAILED["content"] == {"type": "web_search_tool_result_error", "error_code": "unavailable"}


def test_what_is_sealed_does_not_look_like_text() -> None:
    """Claude Code shows what does as a snippet."""
    assert all(re.fullmatch(r"[\w+/=-]+", one["encrypted_content"], re.ASCII) for one in RESULT["content"])


def test_without_a_page_the_model_still_reads_the_summary() -> None:
    block, told = blocks(WANTED, Findings((), "It rains."))
    assert block["content"] == []
    assert told == "The search named no pages.\n\nIt rains."


IDENTITY = identity_of("m", created=1, fallback_id="msg_1")


def no_search(body: Json) -> bytes:
    answer = web_search.unavailable(body, IDENTITY)
    assert answer is not None
    return whole_or_stream(CLIENT, answer, Request(model="m"), identity=IDENTITY, traits=CLIENT.traits(body))


def test_the_answer_where_no_search_is_possible() -> None:
    """The bytes of the stream: the input of the search apart, as Anthropic streams it."""
    asked = [{"role": "user", "content": [text("Perform a web search for the query: kites")]}]
    body = body_of(SEARCH, messages=asked, stream=True)
    found = no_search(body)
    frames = found.decode().split("\n\n")
    assert frames[1:6] == [
        "event: content_block_start\ndata: "
        '{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"srvtoolu_msg_1",'
        '"name":"web_search","input":{}}}',
        "event: content_block_delta\ndata: "
        '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",'
        '"partial_json":"{\\"query\\":\\"kites\\"}"}}',
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
        "event: content_block_start\ndata: "
        '{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result",'
        '"tool_use_id":"srvtoolu_msg_1","content":{"type":"web_search_tool_result_error","error_code":"unavailable"}}}',
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":1}',
    ]
    assert '"stop_reason":"end_turn"' in frames[-3]
    assert '"server_tool_use":{"web_search_requests":0}' in frames[-3]
    whole = json.loads(no_search({**body, "stream": False}))
    assert [block["type"] for block in whole["content"]] == ["server_tool_use", "web_search_tool_result", "text"]
    assert "WEB_SEARCH_MODEL" in whole["content"][2]["text"]
    assert whole["usage"]["server_tool_use"] == {"web_search_requests": 0}
