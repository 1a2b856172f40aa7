from __future__ import annotations

import pytest

from app.errors import UnsupportedFeatureError
from app.routing import CHAT, EMBEDDINGS, RESPONSES, Model, find_model, near_matches, require_endpoint
from tests.support.rows import rows

IDS = [
    "claude-opus-4.6-1m",
    "claude-opus-4.6",
    "claude-sonnet-4.6",
    "claude-sonnet-4",
    "claude-haiku-4.5",
    "claude-3.5-sonnet",
    "gpt-4o-2024-11-20",
    "gpt-4o",
    "gpt-4.1",
    "gpt-5-mini",
    "gemini-3-pro-preview",
]
MODELS = [Model(id) for id in IDS]


@rows()
@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        *((id, id) for id in IDS),
        ("claude-sonnet-4-6", "claude-sonnet-4.6"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4.5"),
        ("claude-haiku-4-5-latest", "claude-haiku-4.5"),
        ("claude-opus-4-6[1m]", "claude-opus-4.6-1m"),
        ("claude-sonnet-4-6[1m]", "claude-sonnet-4.6"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-3-5-sonnet-20241022", "claude-3.5-sonnet"),
        ("anthropic/claude-opus-4.6", "claude-opus-4.6"),
        ("GPT-4.1", "gpt-4.1"),
        ("openai/gpt-4o", "gpt-4o"),
        ("claude-opus-5-5", None),
        ("gpt-4", None),
        ("", None),
    ],
)
def test_spelling_of_a_client_means_an_id(asked: str, meant: str | None) -> None:
    found = find_model(asked, MODELS)
    assert (found.id if found else None) == meant


def test_ambiguous_spelling_means_nothing() -> None:
    assert find_model("a.b", [Model("a-b"), Model("A_b")]) is None


def test_near_matches_are_the_likeliest_first() -> None:
    assert near_matches("claude-sonnet-9-9-20300101", IDS)[0].startswith("claude-sonnet-4")
    assert near_matches("zzz", IDS) == []


def test_endpoints_come_from_the_catalogue_and_never_from_a_name() -> None:
    assert Model.parse({"id": "x-codex"}).endpoints == (CHAT,)
    assert Model.parse({"id": "x", "capabilities": {"type": "embeddings"}}).endpoints == (EMBEDDINGS,)
    listed = Model.parse({"id": "gpt", "supported_endpoints": ["/responses", "ws:/responses", 7]})
    assert listed is not None
    assert listed.endpoints == (RESPONSES, "ws:/responses")
    with pytest.raises(UnsupportedFeatureError, match=r"served|serves") as caught:
        require_endpoint(listed, CHAT, MODELS)
    assert caught.value.code == "unsupported_api_for_model"
    require_endpoint(listed, RESPONSES, MODELS)


@pytest.mark.parametrize(("model", "path", "named"), [("chat-a", EMBEDDINGS, "embed-b"), ("embed-b", CHAT, "chat-a")])
def test_who_asks_for_a_model_that_is_for_something_else_is_told_of_others(model: str, path: str, named: str) -> None:
    off = Model("off", endpoints=(CHAT,), raw={"policy": {"state": "disabled"}})
    models = [off, Model("chat-a"), Model("embed-b", type="embeddings", endpoints=(EMBEDDINGS,))]
    (asked,) = [each for each in models if each.id == model]
    with pytest.raises(UnsupportedFeatureError) as caught:
        require_endpoint(asked, path, models)
    assert str(caught.value).endswith(f" Try {named} here.")


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"id": ""}, {"id": 7}])
def test_broken_entry_is_skipped(entry: object) -> None:
    assert Model.parse(entry) is None


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "x", "capabilities": None},
        {"id": "x", "capabilities": {"type": 7}, "supported_endpoints": "all", "vendor": None},
        {"id": "x", "request_headers": ["a"], "billing": 3},
    ],
)
def test_drifted_entry_is_still_read(entry: dict[str, object]) -> None:
    assert Model.parse(entry) is not None


def test_headers_that_no_request_can_carry_are_left_out() -> None:
    odd = {
        "X-Break": "a\r\nb: c", "X\nName": "a", "Ünï": "a", "X-Snow": "☃", "X-Long": "a" * 2000, "": "a", "X Y": "a",
        "Content-Length": "5", "transfer-encoding": "chunked", "Host": "elsewhere", "AUTHORIZATION": "token b",
    }  # fmt: skip
    model = Model.parse({"id": "x", "request_headers": {**odd, "X-Number": 7, "X-Spaced": " a b "}})
    assert model is not None
    assert model.request_headers == {"X-Number": "7", "X-Spaced": "a b"}
    many = Model.parse({"id": "x", "request_headers": {f"X-{number}": "a" for number in range(10_000)}})
    assert many is not None
    assert len(many.request_headers) < 100
