"""Settings that change within a Responses conversation hold at its end, at every upstream, or are refused by path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.responses.refusals import FUNCTIONS_ALONE
from app.errors import GatewayError
from tests.support.exchanges import PROTOCOLS, exchange_between, sent
from tests.support.rows import rows

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "hi"}
SAID: Json = {"role": "assistant", "content": "hello"}
PLAIN: Json = {"type": "text"}


def form(name: str) -> Json:
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    return {"type": "json_schema", "name": name, "schema": schema, "strict": False}


def update(**settings: Any) -> Json:
    return {"type": "configuration_update", **settings}


def _place(upstream: str, body: Json) -> Any:
    if upstream == "messages":
        return body.get("output_config")
    return body.get("text") if upstream == "responses" else body.get("response_format")


PEARS, FIGS = update(text={"format": form("pears")}), update(text={"format": form("figs")})
FORMATS: dict[str, tuple[Json, list[Json], str]] = {
    "only an update": ({}, [USER, PEARS], "pears"),
    "in the midst": ({}, [USER, PEARS, SAID, USER], "pears"),
    "instead of the request's": ({"text": {"format": form("figs")}}, [PEARS, USER], "pears"),
    "the last one": ({}, [FIGS, USER, PEARS], "pears"),
    "back to text": ({"text": {"format": form("figs")}}, [USER, update(text={"format": PLAIN})], ""),
    "another setting": (
        {"text": {"format": form("pears")}},
        [USER, update(reasoning={"effort": "low"}), update(text=None)],
        "pears",
    ),
}


@rows("upstream")
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", FORMATS)
def test_the_form_at_the_end_is_asked_for(upstream: str, case: str) -> None:
    more, items, name = FORMATS[case]
    exchange = exchange_between("responses", upstream, {"model": "m", "input": items, **more}, may_pass=False)
    body = sent(exchange)
    assert name in json.dumps(_place(upstream, body)) if name else _place(upstream, body) in (None, {"format": PLAIN})
    assert "figs" not in json.dumps(body)
    assert "configuration_update" not in json.dumps(body)


EFFORTS: dict[str, tuple[Json, list[Json], str]] = {
    "only an update": ({}, [USER, update(reasoning={"effort": "low"})], "low"),
    "instead of the request's": ({"reasoning": {"effort": "high"}}, [USER, update(reasoning={"effort": "low"})], "low"),
    "the last one": ({}, [update(reasoning={"effort": "high"}), USER, update(reasoning={"effort": "low"})], "low"),
    "nothing said": ({"reasoning": {"effort": "low"}}, [USER, update(reasoning={"effort": None})], "low"),
}


@rows("way")
@pytest.mark.parametrize("way", ["converted", "fallback"])
@pytest.mark.parametrize("case", EFFORTS)
def test_the_effort_at_the_end_is_asked_for(way: str, case: str) -> None:
    more, items, effort = EFFORTS[case]
    body = {"model": "m", "input": items, **more}
    exchange = exchange_between("responses", "responses", body, may_pass=way != "converted")
    told = json.loads(exchange.payload(FUNCTIONS_ALONE.refused).body)
    assert told["reasoning"]["effort"] == effort
    assert [item for item in told["input"] if item.get("type") == "configuration_update"] == []


def test_a_model_that_takes_the_item_gets_it_as_it_is() -> None:
    given = update(text={"format": form("pears")})
    told = sent(exchange_between("responses", "responses", {"model": "m", "input": [USER, given]}))
    assert given in told["input"]
    assert "text" not in told


REFUSED: dict[str, tuple[Json, str]] = {
    "an unknown setting": (update(instructions="be brief"), "input[1].instructions"),
    "an unknown one inside": (update(reasoning={"effort": "low", "summary": "auto"}), "input[1].reasoning.summary"),
    "an effort that is none": (update(reasoning={"effort": "huge"}), "input[1].reasoning.effort"),
    "no object": (update(text="json"), "input[1].text"),
    "a form that is none": (update(text={"format": {"type": "poem"}}), "input[1].text.format.type"),
    "a schema that is none": (
        update(text={"format": {"type": "json_schema", "name": "a"}}),
        "input[1].text.format.schema",
    ),
}


@rows("upstream")
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_changed_is_refused_by_its_path(upstream: str, case: str) -> None:
    item, path = REFUSED[case]
    body = {"model": "m", "input": [USER, item]}
    with pytest.raises(GatewayError) as caught:
        exchange_between("responses", upstream, body, may_pass=False).payload()
    assert (caught.value.status, caught.value.param) == (400, path)


@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_no_empty_message_is_left_in_its_place(upstream: str) -> None:
    body = sent(exchange_between("responses", upstream, {"model": "m", "input": [USER, update()]}, may_pass=False))
    listed = body["input"] if upstream == "responses" else body["messages"]
    assert len(listed) == 1
