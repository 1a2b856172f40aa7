"""The neutral vocabulary and what every encoder does with it: conversation, tools, limits."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.neutral.conversation import (
    distinct_call_ids,
    map_call_ids,
    merge_messages,
    pair_tools,
    split_leading_system,
    system_as_user,
    valid_call_id,
)
from app.converters.neutral.model_limits import (
    ModelLimits,
    budget_of,
    budget_of_effort,
    clamp_effort,
    effort_of,
    effort_of_budget,
)
from app.converters.neutral.tools import (
    RAW_ARGUMENTS,
    ToolNames,
    arguments_object,
    arguments_of,
    as_function,
    call_as_function,
    input_of,
)
from app.converters.neutral.vocabulary import (
    Image,
    Message,
    Part,
    Reasoning,
    ReasoningConfig,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    split_data_url,
)
from app.errors import InvalidRequestError


def call(call_id: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, "tool", arguments)


def result(call_id: str, text: str = "ok") -> ToolResult:
    return ToolResult(call_id, (Text(text),))


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def user(*parts: Part) -> Message:
    return Message("user", parts)


def test_values_are_equal_when_equal_and_frozen() -> None:
    assert Request(model="m", messages=(user(Text("a")),)) == Request(model="m", messages=(user(Text("a")),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Text("a").text = "b"  # type: ignore[misc]


def test_image_from_data_url_equals_image_from_base64() -> None:
    image = Image.of("data:image/PNG;base64,AAAA", detail="low")
    assert image == Image(data="AAAA", media_type="image/png", detail="low")
    assert image.as_url == "data:image/png;base64,AAAA"
    assert Image.of("https://x/y.png").as_url == "https://x/y.png"
    assert split_data_url("data:text/plain,hello") is None
    assert split_data_url("data:;base64,AA") == ("", "AA")


def test_usage_input_is_the_total_with_the_cached_share() -> None:
    usage = Usage(input_tokens=120, cached_input_tokens=100, output_tokens=31)
    assert usage.uncached_input_tokens == 20
    assert usage.total_tokens == 151
    assert Usage().total_tokens is None
    assert Usage().uncached_input_tokens is None
    assert usage.updated(Usage(output_tokens=40)) == Usage(120, 100, None, 40)
    assert usage.updated(None) is usage


# pairing


def test_results_move_behind_their_calls() -> None:
    messages = [assistant(call("a")), assistant(call("b")), user(Text("and?"), result("b")), user(result("a"))]
    assert pair_tools(messages) == [
        assistant(call("a"), call("b")),
        user(result("a"), result("b")),
        user(Text("and?")),
    ]


def test_a_result_that_stands_before_its_call_still_finds_it() -> None:
    assert pair_tools([user(result("a")), assistant(call("a"))]) == [assistant(call("a")), user(result("a"))]


def test_two_rounds_of_calls_stay_two_rounds() -> None:
    rounds = [assistant(call("a")), user(result("a")), assistant(call("b")), user(result("b"))]
    assert pair_tools(rounds) == rounds


def test_text_and_thought_beside_a_call_are_one_turn() -> None:
    run = [assistant(Reasoning("hm")), assistant(Text("let me")), assistant(call("a")), user(result("a"))]
    assert pair_tools(run)[0] == assistant(Reasoning("hm"), Text("let me"), call("a"))


def test_assistant_messages_without_calls_stay_apart() -> None:
    run = [assistant(Text("a")), assistant(Text("b")), user()]
    assert pair_tools(run) == run


def test_an_id_that_is_used_again_pairs_in_order() -> None:
    first, second = result("call_0", "first"), result("call_0", "second")
    messages = [assistant(call("call_0")), user(first), assistant(call("call_0")), user(second)]
    assert pair_tools(messages) == messages
    renamed = distinct_call_ids(messages)
    assert [part.call_id for message in renamed for part in message.calls] == ["call_0", "call_0-2"]
    assert [part.call_id for message in renamed for part in message.results] == ["call_0", "call_0-2"]
    assert renamed[:2] == messages[:2]


@pytest.mark.parametrize(
    "messages",
    [
        [assistant(call("lost"))],
        [user(result("lost"))],
    ],
)
def test_missing_and_orphan_results_are_refused_by_name(messages: list[Message]) -> None:
    with pytest.raises(InvalidRequestError, match="'lost'") as caught:
        pair_tools(messages)
    assert caught.value.param == "messages"


@pytest.mark.parametrize(("again", "told"), [("seen", ["seen"]), ("seen anew", ["seen", "seen anew"])])
def test_a_second_result_joins_the_first(again: str, told: list[str]) -> None:
    said = [assistant(call("c")), user(result("c", "seen")), user(Text("go on")), user(result("c", again))]
    paired = pair_tools(said)
    assert [message.role for message in paired] == ["assistant", "user", "user"]
    assert [part.text for part in paired[1].results[0].parts if isinstance(part, Text)] == told


def test_of_an_id_that_is_used_again_the_last_result_gets_what_is_left_over() -> None:
    said = [assistant(call("c")), user(result("c", "1")), assistant(call("c")), user(result("c", "2"))]
    paired = pair_tools([*said, user(result("c", "3"))])
    assert [[part.text for part in one.results[0].parts if isinstance(part, Text)] for one in paired[1::2]] == [
        ["1"],
        ["2", "3"],
    ]


def test_result_takes_the_kind_of_its_call() -> None:
    paired = pair_tools([assistant(ToolCall("a", "patch", "x", kind="custom")), user(result("a"))])
    assert paired[1].results[0].kind == "custom"


_ROUNDS = st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.randoms(use_true_random=False)), max_size=6)


@settings(derandomize=True, database=None, deadline=None)
@given(_ROUNDS)
def test_pairing_is_stable_from_turn_to_turn_and_loses_nothing(rounds: list[tuple[int, bool, Any]]) -> None:
    messages: list[Message] = []
    before: list[Message] = []
    for number, (count, talks, random) in enumerate(rounds):
        ids = [f"c{number}_{at}" for at in range(count)]
        messages += [user(Text(f"ask {number}")), *(assistant(call(call_id)) for call_id in ids)]
        answers = [user(result(call_id)) for call_id in ids] + ([user(Text("by the way"))] if talks else [])
        random.shuffle(answers)
        messages += answers
        paired = pair_tools(messages)
        assert paired[: len(before)] == before
        assert pair_tools(paired) == paired
        calls = [part.call_id for message in paired for part in message.calls]
        results = [part.call_id for message in paired for part in message.results]
        assert calls == results == [part.call_id for message in messages for part in message.calls]
        before = paired


def test_messages_of_one_role_merge() -> None:
    merged = merge_messages([user(Text("a")), user(Text("b")), Message("system", (Text("s"),)), user(Text("c"))])
    assert merged == [user(Text("a"), Text("b")), Message("system", (Text("s"),)), user(Text("c"))]
    named = [Message("user", extra={"chat": {"x": 1}}), Message("user", name="n", extra={"chat": {"x": 2, "y": 3}})]
    assert merge_messages(named) == [Message("user", (), "n", {"chat": {"x": 1, "y": 3}})]
    assert merge_messages(named, roles=()) == named


def test_leading_system_messages_are_set_apart_and_later_ones_become_the_users() -> None:
    one, two, late = Message("system", (Text("1"),)), Message("developer", (Text("2"),)), Message("system")
    leading, rest = split_leading_system([one, two, user(), late])
    assert leading == [one, two]
    assert [message.role for message in system_as_user(rest)] == ["user", "user"]
    assert split_leading_system([one]) == ([one], [])


# ids and names


@settings(derandomize=True, database=None, deadline=None)
@given(st.text(), st.text(), st.sampled_from([40, 64]))
def test_ids_become_valid_stable_and_stay_different(one: str, other: str, limit: int) -> None:
    valid = valid_call_id(one, limit=limit)
    assert valid == valid_call_id(one, limit=limit) == valid_call_id(valid, limit=limit)
    assert 0 < len(valid) <= limit
    assert valid.replace("-", "_").replace("_", "a").isalnum()
    assert valid.isascii()
    assert (valid == valid_call_id(other, limit=limit)) == (one == other)


def test_valid_ids_pass_and_others_stay_legible() -> None:
    assert valid_call_id("toolu_bdrk_01A") == "toolu_bdrk_01A"
    assert valid_call_id("functions.bash:0").startswith("functions_bash_0_")
    assert valid_call_id("call_a|fc_b") != valid_call_id("call_a_fc_b")
    messages = [assistant(call("a:b"), Text("x")), user(Text("y"))]
    assert map_call_ids(messages, valid_call_id)[0].calls[0].call_id == valid_call_id("a:b")
    assert map_call_ids(messages, valid_call_id)[1] is messages[1]


def test_names_go_out_and_come_back() -> None:
    tools = [
        Tool("ls"),
        Tool("exec", kind="custom", namespace="functions"),
        Tool("search", namespace="mcp__x__"),
        Tool("ünï"),
        Tool("web_search", kind="hosted"),
    ]
    names = ToolNames(tools)
    assert [names.wire_of(tool) for tool in tools[:3]] == ["ls", "functions__exec", "mcp__x__search"]
    for tool in tools[:4]:
        assert names.tool(names.wire_of(tool)) is tool
    assert names.tool("web_search") is None
    made_up = ToolCall("a", "nothing")
    assert names.restore(made_up) is made_up
    assert names.restore(ToolCall("a", "ls")) == ToolCall("a", "ls")
    assert names.restore(ToolCall("a", "mcp__x__search", "{}")) == ToolCall("a", "search", "{}", namespace="mcp__x__")


def test_a_name_that_responses_keeps_for_itself_is_another_on_the_wire_and_comes_back() -> None:
    tool = Tool("tool_search")
    names = ToolNames([tool])
    assert names.wire_of(tool) == names.wire("tool_search_") == "tool_search_"
    assert names.tool("tool_search_") is tool
    assert names.restore(ToolCall("a", "tool_search_", "{}")) == ToolCall("a", "tool_search", "{}")


def test_custom_call_comes_back_custom() -> None:
    tool = Tool(
        "patch", "Edits files.", kind="custom", format={"type": "grammar", "syntax": "lark", "definition": "start: X"}
    )
    function = as_function(tool)
    assert function.kind == "function"
    assert function.schema is not None
    assert function.schema["required"] == ["input"]
    assert function.description == "Edits files.\n\nThe input must match this lark grammar exactly:\nstart: X"
    assert as_function(function) is function
    nested = as_function(
        dataclasses.replace(tool, description=None, format={"type": "grammar", "grammar": tool.format})
    )
    assert nested.description == "The input must match this lark grammar exactly:\nstart: X"

    made = ToolCall("a", "patch", 'say "hi"\n', kind="custom")
    wrapped = call_as_function(made)
    assert json.loads(wrapped.arguments) == {"input": 'say "hi"\n'}
    names = ToolNames([tool])
    assert names.restore(wrapped) == made
    assert names.restore(made) is made
    assert names.restore(ToolCall("a", "patch")).kind == "custom"
    assert names.restore(ToolCall("a", "patch", "not json")).arguments == "not json"
    assert call_as_function(wrapped) is wrapped


def test_arguments_become_objects_and_nothing_is_lost() -> None:
    assert input_of("") == ({}, True)
    assert input_of('{"n":123456789012345678901234567890}')[0]["n"] == 123456789012345678901234567890
    for torn in ('{"a":', "[1]", "plain"):
        value, is_object = input_of(torn)
        assert not is_object
        assert value == {RAW_ARGUMENTS: torn}
        assert arguments_of(value) == torn
        assert arguments_object(torn) is None
    assert arguments_of({"b": 1, "a": "é"}) == '{"b":1,"a":"é"}'
    assert arguments_of(None) == "{}"


# limits

SONNET = {
    "id": "claude-sonnet-4.6",
    "vendor": "Anthropic",
    "capabilities": {
        "family": "claude-sonnet-4.6",
        "limits": {
            "max_output_tokens": 32000,
            "max_prompt_tokens": 168000,
            "vision": {"supported_media_types": ["image/png", 7], "max_prompt_images": 5},
        },
        "supports": {
            "adaptive_thinking": True,
            "max_thinking_budget": 32000,
            "min_thinking_budget": 1024,
            "reasoning_effort": ["high", "low", "medium", "odd"],
            "parallel_tool_calls": True,
            "structured_outputs": True,
            "vision": True,
        },
    },
}


def test_limits_are_read_from_the_catalogue() -> None:
    limits = ModelLimits.of(SONNET)
    assert limits == ModelLimits(
        model="claude-sonnet-4.6",
        vendor="Anthropic",
        family="claude-sonnet-4.6",
        max_output_tokens=32000,
        max_prompt_tokens=168000,
        min_thinking_budget=1024,
        max_thinking_budget=32000,
        reasoning_effort=("low", "medium", "high"),
        adaptive_thinking=True,
        vision=True,
        max_prompt_images=5,
        structured_outputs=True,
        parallel_tool_calls=True,
    )
    assert limits.thinks
    assert limits.clamp_output(64000) == 32000
    assert limits.clamp_output(3, least=16) == 16
    assert limits.clamp_output(None) is None
    assert ModelLimits().clamp_output(7) == 7


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"capabilities": 1},
        {"capabilities": {"limits": [], "supports": "x"}},
        {"id": 7, "capabilities": {"limits": {"max_output_tokens": "many", "vision": 1}, "supports": {"vision": "no"}}},
        {"capabilities": {"limits": {"max_output_tokens": True}, "supports": {"reasoning_effort": "low"}}},
    ],
)
def test_odd_entries_advertise_nothing(raw: Any) -> None:
    assert ModelLimits.of(raw) == ModelLimits()


def test_budget_becomes_effort_by_its_share() -> None:
    limits = ModelLimits.of(SONNET)
    efforts = [effort_of_budget(budget, 20000, limits) for budget in (1024, 3000, 3001, 10000, 10001)]
    assert efforts == ["low", "low", "medium", "medium", "high"]
    assert effort_of_budget(16000, None, limits) == "medium"
    assert effort_of_budget(31999, None, ModelLimits()) == "high"


def test_effort_is_one_that_the_model_advertises() -> None:
    limits = ModelLimits.of(SONNET)
    assert [clamp_effort(effort, limits) for effort in ("none", "minimal", "medium", "max")] == [
        "low",
        "low",
        "medium",
        "high",
    ]
    assert clamp_effort("high", ModelLimits()) is None
    assert effort_of(ReasoningConfig(mode="disabled"), 1000, limits) == "low"
    assert effort_of(ReasoningConfig(mode="disabled"), 1000, ModelLimits()) is None
    assert effort_of(ReasoningConfig(effort="xhigh"), 1000, limits) == "high"
    assert effort_of(ReasoningConfig(mode="enabled", budget_tokens=31999), 32000, limits) == "high"
    assert effort_of(ReasoningConfig(mode="enabled"), 32000, limits) == "medium"
    assert effort_of(ReasoningConfig(mode="adaptive"), 32000, limits) is None


@settings(derandomize=True, database=None, deadline=None)
@given(st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]), st.integers(1, 200_000))
def test_budget_is_within_the_range_and_below_the_limit(effort: Any, limit: int) -> None:
    budget = budget_of_effort(effort, limit, ModelLimits.of(SONNET))
    assert (budget is None) == (effort == "none" or limit <= 1024)
    if budget is not None:
        assert 1024 <= budget <= 32000
        assert budget < limit


def test_budget_is_the_clients_own_or_that_of_its_effort() -> None:
    limits = ModelLimits.of(SONNET)
    assert budget_of(ReasoningConfig(budget_tokens=50000), 20000, limits) == 19999
    assert budget_of(ReasoningConfig(effort="low"), 20000, limits) == 3000
    assert budget_of(ReasoningConfig(mode="enabled"), 20000, limits) == 10000
    assert budget_of(ReasoningConfig(mode="disabled", effort="high"), 20000, limits) is None
    assert budget_of(ReasoningConfig(effort="low"), 20000, ModelLimits()) is None


def test_thoughts_are_asked_for_when_the_client_shows_them() -> None:
    assert ReasoningConfig(mode="enabled").shows_text
    assert ReasoningConfig(summary="auto").shows_text
    assert not ReasoningConfig(effort="low").shows_text
    assert not ReasoningConfig(mode="adaptive", display="omitted").shows_text
    assert not ReasoningConfig(effort="none", summary="auto").shows_text
