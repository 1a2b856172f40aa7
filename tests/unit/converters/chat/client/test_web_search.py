"""OpenAI's ``web_search_options`` in a chat request that the bridge serves: the function in its place."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.chat.client.request import decode_request
from app.converters.chat.client.web_search import blocks, served
from app.converters.neutral.vocabulary import Request
from app.converters.neutral.web_search import Failure, Findings, SearchTool, Source, Wanted
from app.errors import InvalidRequestError

BASE: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Kites?"}]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
CUSTOM = {"type": "custom", "custom": {"name": "web_search"}}
FLAT = {"type": "function", "name": "web_search", "parameters": {"type": "object", "properties": {}}}


def serve(**fields: Any) -> tuple[dict[str, Any], SearchTool]:
    found = served({**BASE, "web_search_options": {}, **fields})
    assert found is not None
    assert "web_search_options" not in found[0]
    return found


def asked(**fields: Any) -> Request:
    return decode_request(serve(**fields)[0])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"web_search_options": None},
        {"web_search_options": {}, "n": 2},
        {"web_search_options": {}, "tools": {"a": 1}},
    ],
    ids=["none", "null", "choices", "no-list"],
)
def test_what_is_not_served(fields: dict[str, Any]) -> None:
    assert served({**BASE, **fields}) is None


@pytest.mark.parametrize(
    ("options", "location"),
    [
        ({}, None),
        ({"search_context_size": "low"}, None),
        ({"user_location": None}, None),
        ({"user_location": {"type": "approximate", "approximate": {"city": "Kiel", "country": "DE"}}}, True),
        ({"user_location": {"type": "approximate", "city": "Kiel", "country": "DE"}}, True),
        ({"user_location": {"type": "approximate", "approximate": {"city": ""}}}, None),
    ],
)
def test_the_options(options: dict[str, Any], location: bool | None) -> None:
    _, tool = serve(web_search_options=options)
    assert tool == SearchTool("web_search", location={"city": "Kiel", "country": "DE"} if location else None)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ("yes", "web_search_options"),
        ([], "web_search_options"),
        (True, "web_search_options"),
        ({"user_location": "Kiel"}, "web_search_options.user_location"),
        ({"user_location": {"approximate": "Kiel"}}, "web_search_options.user_location.approximate"),
    ],
)
def test_options_of_the_wrong_shape_are_named(options: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        served({**BASE, "web_search_options": options})
    assert caught.value.param == param


@pytest.mark.parametrize("own", [[CUSTOM], [FLAT], [WEATHER, CUSTOM]])
def test_the_function_never_takes_the_name_of_a_tool_of_the_clients_own(own: list[Any]) -> None:
    body, tool = serve(tools=own)
    assert body["tools"][:-1] == own
    assert body["tools"][-1]["function"]["name"] == tool.name == "web_search_2"


def test_legacy_functions_stay_legacy() -> None:
    legacy = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    request = asked(functions=[legacy], function_call="auto")
    assert [tool.name for tool in request.tools] == ["get_weather", "web_search"]
    assert not request.has_tools_field


@pytest.mark.parametrize("choice", ["auto", None, {"type": "function", "function": {"name": "get_weather"}}])
def test_a_choice_among_the_clients_own_tools_stays(choice: Any) -> None:
    assert serve(tools=[WEATHER], tool_choice=choice)[0]["tool_choice"] == choice


def test_none_forbids_the_clients_own_tools_and_not_the_search() -> None:
    found = asked(tools=[WEATHER], tool_choice="none").tool_choice
    assert found is not None
    assert [ref.name for ref in found.allowed] == ["web_search"]
    assert not found.is_required


def test_required_is_not_met_by_a_search() -> None:
    found = asked(tools=[WEATHER, CUSTOM, FLAT], tool_choice="required").tool_choice
    assert found is not None
    assert [(ref.name, ref.kind) for ref in found.allowed] == [
        ("get_weather", "function"),
        ("web_search", "custom"),
        ("web_search", "function"),
    ]
    assert found.is_required


@pytest.mark.parametrize("choice", ["none", "required", "auto", None])
def test_a_choice_without_tools_of_the_clients_own(choice: str | None) -> None:
    request = asked(tool_choice=choice)
    assert [tool.name for tool in request.tools] == ["web_search"]
    assert request.tool_choice is None or request.tool_choice.mode == "auto"


def test_what_client_and_model_are_told() -> None:
    wanted = Wanted("id", "kites")
    found = Findings((Source("https://kites.test/", "Kites", "They fly."),))
    assert blocks(wanted, None) == (None, "")
    assert blocks(wanted, found) == (None, "Kites\nhttps://kites.test/\nThey fly.")
    block, told = blocks(wanted, Failure("unavailable"))
    assert block is None
    assert "could not be run" in told
