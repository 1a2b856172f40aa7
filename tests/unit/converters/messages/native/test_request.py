"""Native requests: bytes as they came, and what Copilot refuses out of the way (contract §8.3, §8.4)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app.converters.codec import NativeRequest, UpstreamRequest
from app.converters.messages.native import blocks as native_blocks
from app.converters.messages.native.request import count_tokens_request, prepare, prepare_count
from app.converters.messages.traits import image_urls, traits
from app.converters.messages.upstream.schemas import RESTORE
from app.converters.messages.vocabulary import ANSWER_TOOL
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.sealed_signatures import seal
from app.converters.neutral.vocabulary import Reasoning
from app.errors import UnsupportedFeatureError
from tests.unit.converters.messages.conftest import NEWEST, OLDER, SONNET

PNG = "data:image/png;base64,iVBORw0KGgo="


def body_of(**fields: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **fields}


def ready(body: dict[str, Any], *, limits: ModelLimits = SONNET, betas: str = "", **more: Any) -> UpstreamRequest:
    given: dict[str, Any] = {"inlined": {}, "refused": frozenset(), **more}
    headers = {"Anthropic-Beta": betas} if betas else {}
    before = json.dumps(body)
    prepared = prepare(
        NativeRequest(
            raw=json.dumps(body).encode(), body=body, model="claude-sonnet-4.6", limits=limits, headers=headers, **given
        )
    )
    assert json.dumps(body) == before
    return prepared


def sent(body: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = json.loads(ready(body, **more).body)
    assert isinstance(found, dict)
    return found


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def test_bytes_pass_as_they_came_but_for_the_model() -> None:
    raw = b'{ "unknown":1.50, "model" : "claude-sonnet-4-6",\n"messages":[{"role":"user","content":"\\u0041"}] }'
    prepared = prepare(
        NativeRequest(raw=raw, body=json.loads(raw), model="claude-sonnet-4.6", limits=SONNET, inlined={}, headers={})
    )
    assert prepared.body == raw.replace(b"claude-sonnet-4-6", b"claude-sonnet-4.6")
    same = prepare(
        NativeRequest(raw=raw, body=json.loads(raw), model="claude-sonnet-4-6", limits=SONNET, inlined={}, headers={})
    )
    assert same.body is raw
    assert same.dropped == ()
    assert same.headers == {}


def test_another_model_inside_the_body_is_no_obstacle() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "Task", "input": {"model": "haiku"}}
    body = body_of(
        messages=[{"role": "assistant", "content": [call]}, user({"type": "tool_result", "tool_use_id": "t1"})]
    )
    assert sent(body) == {**body, "model": "claude-sonnet-4.6"}


def test_integers_of_any_size_survive() -> None:
    body = body_of(speed="fast", tools=[{"name": "a", "input_schema": {"type": "object", "maximum": 2**70}}])
    assert sent(body)["tools"][0]["input_schema"]["maximum"] == 2**70


@pytest.mark.parametrize(
    "name",
    ["safeguards", "diagnostics", "fallbacks", "speed", "container", "mcp_servers", "inference_geo", "service_tier"],
)
def test_refused_fields_are_left_out_and_named(name: str) -> None:
    prepared = ready(body_of(**{name: "x"}))
    assert name not in json.loads(prepared.body)
    assert prepared.dropped == (name,)


def test_betas_pass_or_stay_with_their_fields() -> None:
    management = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    body = body_of(context_management=management)
    with_beta = ready(body, betas="claude-code-20250219, context-1m-2025-08-07,context-management-2025-06-27")
    assert with_beta.headers == {"anthropic-beta": "claude-code-20250219,context-management-2025-06-27"}
    assert with_beta.dropped == ("anthropic-beta:context-1m-2025-08-07",)
    assert json.loads(with_beta.body)["context_management"] == management
    assert "context_management" not in sent(body)
    refused = frozenset({"beta:context-management-2025-06-27,other"})
    again = ready(body, betas="context-management-2025-06-27", refused=refused)
    assert again.headers == {}
    assert "context_management" not in json.loads(again.body)


def test_tool_fields_need_their_betas() -> None:
    tool = {"name": "a", "input_schema": {"$schema": "x", "type": "object"}, "cache_control": {"type": "ephemeral"}}
    extras = {"defer_loading": True, "eager_input_streaming": True, "strict": True, "input_examples": [{}]}
    body = body_of(tools=[{**tool, **extras, "allowed_callers": ["direct"]}, tool])
    clean = {**tool, "input_schema": {"type": "object"}}
    assert sent(body)["tools"] == [clean, clean]
    betas = "advanced-tool-use-2025-11-20,fine-grained-tool-streaming-2025-05-14,structured-outputs-2025-12-15"
    assert sent(body, betas=betas)["tools"] == [{**clean, **extras}, clean]


def test_hosted_tools_are_dropped_unless_forced() -> None:
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    plain = {"name": "a", "input_schema": {"type": "object", "properties": {}}}
    prepared = ready(body_of(tools=[code, plain]))
    assert json.loads(prepared.body)["tools"] == [plain]
    assert prepared.dropped == ("tools[].code_execution_20250825",)
    alone = sent(body_of(tools=[code], tool_choice={"type": "auto"}))
    assert "tools" not in alone
    assert "tool_choice" not in alone
    for choice in ({"type": "tool", "name": "code_execution"}, {"type": "any"}):
        with pytest.raises(UnsupportedFeatureError) as caught:
            ready(body_of(tools=[code], tool_choice=choice))
        assert caught.value.param == "tool_choice"


def test_without_the_search_deferred_tools_are_there_from_the_start() -> None:
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    tool = {"name": "a", "input_schema": {"type": "object"}, "defer_loading": True}
    newest = replace(NEWEST, tool_search=False)
    found = sent(body_of(tools=[search, tool]), betas="advanced-tool-use-2025-11-20", limits=newest)
    assert found["tools"] == [{"name": "a", "input_schema": {"type": "object"}}]


def test_typed_client_tools_become_functions() -> None:
    found = sent(body_of(tools=[{"type": "bash_20250124", "name": "bash"}]))["tools"][0]
    assert found["name"] == "bash"
    assert "type" not in found
    assert "command" in found["input_schema"]["properties"]


def test_cache_marks_keep_their_type_alone() -> None:
    mark = {"type": "ephemeral", "scope": "global", "ttl": "1h"}
    text = {"type": "text", "text": "x", "cache_control": mark}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text], "cache_control": mark}
    tool = {"name": "a", "input_schema": {"type": "object"}, "cache_control": mark}
    prepared = ready(body_of(system=[text], messages=[user(text, result)], tools=[tool]))
    assert b"scope" not in prepared.body
    assert b"ttl" not in prepared.body
    assert prepared.body.count(b'"cache_control":{"type":"ephemeral"}') == 5
    assert set(prepared.dropped) == {"cache_control.scope", "cache_control.ttl"}


def test_a_cache_mark_of_the_request_goes_to_its_last_block() -> None:
    found = sent(body_of(cache_control={"type": "ephemeral"}))
    assert "cache_control" not in found
    assert found["messages"][0]["content"] == [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]


def test_older_output_format_moves_and_brings_its_beta() -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    prepared = ready(body_of(output_format=wanted))
    assert json.loads(prepared.body)["output_config"] == {"format": wanted}
    assert prepared.headers == {"anthropic-beta": "structured-outputs-2025-11-13"}
    newer = ready(body_of(output_config={"format": wanted}), betas="structured-outputs-2025-12-15")
    assert newer.headers == {"anthropic-beta": "structured-outputs-2025-12-15"}


def test_structured_output_as_a_tool_where_the_model_has_none() -> None:
    """Claude Code asks its small model for titles in this way (client notes §1)."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    body = body_of(output_config={"format": {"type": "json_schema", "schema": schema}}, thinking={"type": "adaptive"})
    prepared = ready(body, limits=OLDER)
    found = json.loads(prepared.body)
    assert found["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert found["tools"][0]["input_schema"] == schema
    assert not {"output_config", "thinking"} & found.keys()
    assert prepared.restore == RESTORE
    assert prepared.headers == {}
    assert ready(body).restore is None
    assert ready(body, refused=frozenset({"output_config.format"})).restore == RESTORE


def test_edits_of_thoughts_need_thinking() -> None:
    thoughts, uses = {"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}
    betas = "context-management-2025-06-27"
    body = body_of(context_management={"edits": [thoughts, uses]})
    assert sent(body, betas=betas)["context_management"] == {"edits": [uses]}
    assert sent({**body, "thinking": {"type": "adaptive"}}, betas=betas)["context_management"]["edits"][0] == thoughts
    assert "context_management" not in sent(body_of(context_management={"edits": [thoughts]}), betas=betas)


def test_a_forced_tool_forbids_thinking() -> None:
    tools = [{"name": "a", "input_schema": {"type": "object", "properties": {}}}]
    forced = body_of(tools=tools, tool_choice={"type": "any"}, thinking={"type": "adaptive"})
    assert "thinking" not in sent(forced)


@pytest.mark.parametrize(
    ("limits", "effort", "expected"),
    [(SONNET, "high", "high"), (SONNET, "max", "high"), (NEWEST, "low", "high"), (OLDER, "low", None)],
)
def test_effort_only_as_listed(limits: ModelLimits, effort: str, expected: str | None) -> None:
    found = sent(body_of(output_config={"effort": effort}), limits=limits)
    assert found.get("output_config", {}).get("effort") == expected


@pytest.mark.parametrize(
    ("limits", "given", "max_tokens", "expected"),
    [
        (SONNET, {"type": "adaptive", "display": "omitted"}, 8000, {"type": "adaptive", "display": "omitted"}),
        (SONNET, {"type": "adaptive", "display": "odd"}, 8000, {"type": "adaptive", "display": "summarized"}),
        (OLDER, {"type": "adaptive"}, 8000, {"type": "enabled", "budget_tokens": 4000}),
        (NEWEST, {"type": "enabled", "budget_tokens": 2000}, 8000, {"type": "adaptive"}),
        (SONNET, {"type": "enabled", "budget_tokens": 2000}, 8000, {"type": "enabled", "budget_tokens": 2000}),
        (SONNET, {"type": "enabled", "budget_tokens": 100}, 8000, {"type": "enabled", "budget_tokens": 1024}),
        (SONNET, {"type": "enabled", "budget_tokens": 63999}, 64000, {"type": "enabled", "budget_tokens": 31999}),
        (SONNET, {"type": "enabled", "budget_tokens": 2000}, 1000, None),
        (ModelLimits(model="plain"), {"type": "enabled", "budget_tokens": 2000}, 4000, None),
        (ModelLimits(), {"type": "enabled", "budget_tokens": 2000}, 4000, {"type": "enabled", "budget_tokens": 2000}),
        (SONNET, {"type": "disabled"}, 100, {"type": "disabled"}),
    ],
)
def test_thinking_as_the_model_takes_it(limits: ModelLimits, given: Any, max_tokens: int, expected: Any) -> None:
    body = body_of(thinking=given, max_tokens=max_tokens, temperature=0.3, top_k=5, stream=True)
    found = sent(body, limits=limits)
    assert found.get("thinking") == expected
    is_on = expected is not None and expected["type"] != "disabled"
    assert ("temperature" in found) == (not is_on)
    assert ("top_k" in found) == (not is_on)


def test_output_limits_are_clamped() -> None:
    assert sent(body_of(max_tokens=128_000, stream=True))["max_tokens"] == 32_000
    assert sent(body_of(max_tokens=128_000))["max_tokens"] == 16_000
    body = body_of()
    del body["max_tokens"]
    assert "max_tokens" not in sent(body)


def test_a_thread_is_refused_so_that_the_sdk_goes_on_without() -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        ready(body_of(thread={"type": "create"}))
    assert caught.value.details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def test_foreign_and_missing_proofs_are_left_out() -> None:
    mine = {"type": "thinking", "thinking": "a", "signature": "EqoB"}
    foreign = {"type": "thinking", "thinking": "b", "signature": seal(Reasoning("", "sig", "responses"))}
    none = {"type": "thinking", "thinking": "c", "signature": ""}
    said = {"type": "text", "text": "So."}
    messages = [
        user({"type": "text", "text": "Hi"}),
        {"role": "assistant", "content": [mine, foreign, none, said]},
        {"role": "assistant", "content": [foreign]},
        user({"type": "text", "text": "Go on"}),
    ]
    found = sent(body_of(messages=messages))["messages"]
    assert found == [messages[0], {"role": "assistant", "content": [mine, said]}, messages[3]]
    again = sent(body_of(messages=messages), refused=frozenset({"proof"}))["messages"]
    assert again[1]["content"] == [said]


def test_thinking_stops_for_a_tool_round_that_lost_its_thought() -> None:
    call = {"type": "tool_use", "id": "t", "name": "a", "input": {}}
    thought = {"type": "thinking", "thinking": "b", "signature": "EqoB"}
    messages = [
        user({"type": "text", "text": "Hi"}),
        {"role": "assistant", "content": [thought, call]},
        user({"type": "tool_result", "tool_use_id": "t"}),
    ]
    body = body_of(messages=messages, thinking={"type": "enabled", "budget_tokens": 2000}, max_tokens=4000)
    assert "thinking" in sent(body)
    assert "thinking" not in sent(body, refused=frozenset({"proof"}))


def test_empty_text_goes() -> None:
    empty, said = {"type": "text", "text": " \n"}, {"type": "text", "text": "x"}
    messages = [user(said, empty), {"role": "assistant", "content": ""}, {"role": "user", "content": "y"}]
    assert sent(body_of(messages=messages, system=[empty]))["messages"] == [user(said), messages[2]]


def test_images_by_address_are_inlined() -> None:
    url = "https://example.com/a.png"
    image = {"type": "image", "source": {"type": "url", "url": url}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    body = body_of(messages=[user(image, result)])
    assert image_urls(body) == [url]
    assert traits(body).has_images
    found = sent(body, inlined={url: PNG})["messages"][0]["content"]
    expected = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert found[0]["source"] == expected
    assert found[1]["content"][0]["source"] == expected
    data_url = {"type": "image", "source": {"type": "url", "url": PNG}}
    assert sent(body_of(messages=[user(data_url)]))["messages"][0]["content"][0]["source"] == expected


def test_system_messages_find_a_place() -> None:
    call = {"type": "tool_use", "id": "t", "name": "a", "input": {}}
    result = user({"type": "tool_result", "tool_use_id": "t"})
    messages = [
        {"role": "system", "content": "First."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [call]},
        {"role": "system", "content": "Hurry."},
        result,
        {"role": "system", "content": [{"type": "text", "text": "Late."}]},
    ]
    found = sent(body_of(messages=messages, system="Base."))
    assert found["system"] == [{"type": "text", "text": "Base."}, {"type": "text", "text": "First."}]
    assert found["messages"] == [
        messages[1],
        messages[2],
        result,
        {"role": "user", "content": "Hurry."},
        {"role": "user", "content": [{"type": "text", "text": "Late."}]},
    ]


def test_what_upstream_refused_before_is_left_out() -> None:
    text = {"type": "text", "text": "x", "foo": 1}
    body = body_of(
        messages=[user(text)], brand_new=1, tools=[{"name": "a", "input_schema": {"type": "object"}, "shiny": 1}]
    )
    refused = frozenset({"brand_new", "messages.content.text.foo", "tools.custom.shiny"})
    prepared = ready(body, refused=refused)
    found = json.loads(prepared.body)
    assert "brand_new" not in found
    assert found["messages"][0]["content"] == [{"type": "text", "text": "x"}]
    assert found["tools"] == [{"name": "a", "input_schema": {"type": "object"}}]
    assert set(prepared.dropped) == refused


def test_counting_tokens() -> None:
    body = body_of(stream=True, temperature=1, system="s", speed="fast")
    assert count_tokens_request(body) == {name: body[name] for name in ("model", "messages", "system")}
    raw = json.dumps(body).encode()
    prepared = prepare_count(NativeRequest(raw=raw, body=body, model="m", limits=SONNET, inlined={}, headers={}))
    assert json.loads(prepared.body) == {"model": "m", "messages": body["messages"], "system": "s"}


RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
CALLED = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "a", "input": {}}]}


@pytest.mark.parametrize(
    ("messages", "initiator"),
    [
        ([{"role": "user", "content": "Hi"}], "user"),
        ([user({"type": "text", "text": "Hi"}), CALLED, user(RESULT)], "agent"),
        ([user({"type": "text", "text": "Hi"}), CALLED, user(RESULT, {"type": "text", "text": "Stop!"})], "user"),
        ([CALLED, user(RESULT, {"type": "text", "text": "<system-reminder>x</system-reminder>"})], "agent"),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "He"}], "agent"),
        ([{"role": "user", "content": "Hi"}, {"role": "system", "content": "x"}], "user"),
        ("nonsense", "user"),
    ],
)
def test_initiator(messages: Any, initiator: str) -> None:
    assert traits({"messages": messages}).initiator == initiator


def test_all_rounds_of_a_turn_share_a_key() -> None:
    first = user({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}})
    later = [user({"type": "text", "text": "Hi"}), CALLED, user(RESULT)]
    one, two = traits({"messages": [first]}), traits({"messages": later})
    assert one.interaction_key == two.interaction_key
    other = traits({"messages": [*later, CALLED, {"role": "user", "content": "Hi"}]})
    assert other.interaction_key != one.interaction_key


@pytest.mark.parametrize("system", [5, {"a": 1}, True])
def test_a_system_of_the_wrong_type_is_left_for_upstream_to_refuse(system: Any) -> None:
    said = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    body = {"system": system, "messages": said}
    normalized = native_blocks.normalize(body, {}, Losses(), ModelLimits(), sends_proofs=True)
    assert normalized["system"] == system


def test_pictures_of_a_failed_result_stand_behind_all_results() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    words = {"type": "text", "text": "Half a screen."}
    failed = {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [words, picture]}
    wordless = {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": [picture]}
    fine = {"type": "tool_result", "tool_use_id": "t3", "content": [picture]}
    said = {"type": "text", "text": "Go on."}
    (turn,) = sent(body_of(messages=[user(failed, wordless, fine, said)]))["messages"]
    assert turn["content"] == [
        {"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [words]},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
        fine,
        {"type": "text", "text": "(Belongs to the result of tool call t1:)"},
        picture,
        {"type": "text", "text": "(Belongs to the result of tool call t2:)"},
        picture,
        said,
    ]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "words"}],
        [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": [{"type": "text", "text": "a"}]}],
        [{"type": "tool_result", "tool_use_id": "t1", "is_error": True}, {"type": "text", "text": "a"}],
        [{"type": "text", "text": "first"}, {"type": "tool_result", "tool_use_id": "t1", "content": "words"}],
    ],
)
def test_other_results_pass_as_they_came(content: list[Any]) -> None:
    body = body_of(model="claude-sonnet-4.6", messages=[user(*content)])
    assert ready(body).body == json.dumps(body).encode()


FOUND = {
    "type": "search_result",
    "source": "https://example.com/sky",
    "title": "Sky",
    "content": [{"type": "text", "text": "It is blue."}],
    "citations": {"enabled": True},
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
}
PLAIN = {"type": "document", "title": "Facts", "source": {"type": "text", "media_type": "text/plain", "data": "Green."}}
INNER = {"type": "document", "source": {"type": "content", "content": "Green."}}


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (FOUND, "Document: Sky\nhttps://example.com/sky\n\nIt is blue."),
        ({**PLAIN, "context": "a friend"}, "Document: Facts\na friend\n\nGreen."),
        (INNER, "Document:\n\nGreen."),
    ],
)
def test_a_document_that_is_no_pdf_is_text(block: Any, text: str) -> None:
    """Contract §8.11: upstream takes PDF alone, in messages and in results."""
    told = {"type": "text", "text": text} | ({"cache_control": {"type": "ephemeral"}} if block is FOUND else {})
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [block]}
    prepared = ready(body_of(messages=[user(block), user(result)]))
    messages = json.loads(prepared.body)["messages"]
    assert messages[0]["content"] == [told]
    assert messages[1]["content"] == [{**result, "content": [told]}]
    assert "messages[].content[].document" in [loss.path for loss in prepared.losses]


def test_a_document_by_address_is_refused_in_clear_words() -> None:
    with pytest.raises(UnsupportedFeatureError, match="send the document itself"):
        sent(body_of(messages=[user({"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}})]))


def test_stop_sequences_of_white_space_go() -> None:
    assert sent(body_of(stop_sequences=["END", " ", "\n\n"]))["stop_sequences"] == ["END"]
    prepared = ready(body_of(stop_sequences=["\n"]))
    assert "stop_sequences" not in json.loads(prepared.body)
    assert prepared.dropped == ("stop_sequences",)


def test_notification_of_a_background_task_is_nobodys_turn() -> None:
    """Claude Code 2.1.330, after an agent in the background has ended."""
    told = "<system-reminder>\n[SYSTEM NOTIFICATION - NOT USER INPUT]\nThis is an automated …\n</system-reminder>"
    begun = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": "I do."}]
    twice = f"{told}\n{told}\n"
    for content in (told, [{"type": "text", "text": told}], twice):
        notified = body_of(messages=[*begun, {"role": "user", "content": content}])
        assert traits(notified).initiator == "agent"
        assert traits(notified).interaction_key == traits(body_of(messages=begun)).interaction_key
    for quoted in (told + "\nAnd now?", told.removesuffix("</system-reminder>") + "is what I got. Why?"):
        for content in (quoted, [{"type": "text", "text": quoted}]):
            said = body_of(messages=[*begun, {"role": "user", "content": content}])
            assert traits(said).initiator == "user", "a person's words in it"
    beside = [{"type": "text", "text": told}, {"type": "text", "text": "And now?"}]
    assert traits(body_of(messages=[*begun, {"role": "user", "content": beside}])).initiator == "user"
