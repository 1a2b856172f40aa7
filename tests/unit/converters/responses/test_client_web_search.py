"""OpenAI's hosted web search in a Responses request that the bridge serves: the function in its place."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.responses.client.web_search import served

SEARCH = {"type": "web_search"}


def named(name: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("name", [["a"], {"a": 1}, None, 7, True], ids=str)
def test_whatever_stands_where_a_name_should_be_is_left_for_the_decoder_to_refuse(name: Any) -> None:
    found = served({"tools": [named(name), SEARCH]})
    assert found is not None
    assert found[0]["tools"][0] == named(name)
    assert found[1].name == "web_search"


@pytest.mark.parametrize("count", [0, 1, 2, 200])
def test_the_function_never_takes_the_name_of_a_tool_of_the_clients_own(count: int) -> None:
    own = [named("web_search"), *(named(f"web_search_{number}") for number in range(2, count + 1))][:count]
    found = served({"tools": [*own, SEARCH]})
    assert found is not None
    names = [tool["name"] for tool in found[0]["tools"]]
    assert len(set(names)) == count + 1
    assert found[1].name == names[-1]
