"""Native requests: bytes as they come, but for what upstream refuses (contract §7.2–§7.6, client notes §0)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.codec import NativeRequest, UpstreamRequest
from app.converters.neutral.model_limits import ModelLimits
from app.converters.responses.native.request import passes, prepare
from app.converters.responses.traits import image_urls, traits
from app.converters.responses.vocabulary import item_id
from app.errors import InvalidRequestError, UnsupportedFeatureError
from tests.unit.converters.responses.grammar import FIXTURES, fixture_json

LIMITS = ModelLimits(model="gpt-5.6-luna", max_output_tokens=1000, reasoning_effort=("low", "medium", "high"))
PLAIN: dict[str, Any] = {"store": False, "include": ["reasoning.encrypted_content"]}
SAID = {"type": "message", "role": "user", "content": "Hi"}


def ready(body: dict[str, Any], **more: Any) -> tuple[dict[str, Any], UpstreamRequest]:
    body = {"model": "m", "input": "x", **body}
    before = json.dumps(body)
    prepared = prepare(
        NativeRequest(raw=before.encode(), body=body, **{"model": "gpt-5.6-luna", "limits": LIMITS, **more})
    )
    assert json.dumps(body) == before, "the client's body was touched"
    sent: dict[str, Any] = json.loads(prepared.body)
    return sent, prepared


def test_bytes_pass_where_only_the_model_changes() -> None:
    raw = b'{ "input" : "caf\\u00e9 \\"model\\": x",  "model":"asked" , "store":false,'
    raw += b'"include":["reasoning.encrypted_content"] }'
    prepared = prepare(NativeRequest(raw=raw, body=json.loads(raw), model="gpt-5.6-luna", limits=LIMITS))
    assert prepared.body == raw.replace(b'"asked"', b'"gpt-5.6-luna"')
    assert prepare(NativeRequest(raw=raw, body=json.loads(raw), model="asked", limits=LIMITS)).body is raw
    assert prepared.dropped == ()
    assert prepared.restore is None


def test_nested_model_key_is_left_alone() -> None:
    body = {**PLAIN, "metadata": {"model": "m"}}
    sent, _ = ready(body)
    assert (sent["model"], sent["metadata"]) == ("gpt-5.6-luna", {"model": "m"})


def test_nothing_is_stored_and_reasoning_is_asked_for() -> None:
    sent, prepared = ready({"store": True, "include": ["web_search_call.results"]})
    assert sent["store"] is False
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert prepared.dropped == ("include[].web_search_call.results",)


@pytest.mark.parametrize(
    "field",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": {"id": "c"}},
        {"background": True},
        {"prompt": {"id": "p"}},
        {"input": [{"type": "item_reference", "id": "rs_1"}]},
        {"input": [{"id": "rs_1"}]},
        {"input": [SAID, {"type": "compaction_trigger"}]},
        {"tools": [{"type": "file_search"}], "tool_choice": {"type": "file_search"}},
        {"tools": [{"type": "mcp"}], "tool_choice": "required"},
        {
            "tools": [{"type": "mcp"}],
            "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "mcp"}]},
        },
        {"tool_choice": {"type": "image_generation"}},
    ],
)
def test_what_would_change_the_meaning_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        ready(field)
    assert caught.value.param


def test_what_says_nothing_is_left_out() -> None:
    sent, prepared = ready({**PLAIN, "previous_response_id": None, "background": False, "conversation": None})
    assert not {"previous_response_id", "background", "conversation"} & sent.keys()
    assert prepared.dropped == ()


def test_advice_upstream_refuses_is_dropped_and_said() -> None:
    sent, prepared = ready(
        {
            **PLAIN,
            "service_tier": "flex",
            "client_metadata": {"a": "b"},
            "stream_options": {"include_obfuscation": False},
            "reasoning": {"effort": "low", "context": "all_turns"},
            "temperature": 0.2,
            "top_p": 0.9,
            "user": "u" * 65,
            "prompt_cache_key": "k" * 100,
        }
    )
    assert set(prepared.dropped) == {
        "service_tier",
        "client_metadata",
        "stream_options",
        "temperature",
        "top_p",
        "user",
    }
    assert sent["reasoning"] == {"effort": "low", "context": "all_turns"}
    assert len(sent["prompt_cache_key"]) == 64
    assert "temperature" not in sent


def test_sampling_stays_for_models_that_do_not_reason() -> None:
    sent, _ = ready({**PLAIN, "temperature": 0.2}, model="gpt-4.1", limits=ModelLimits(family="gpt-4.1"))
    assert sent["temperature"] == 0.2


@pytest.mark.parametrize(
    ("given", "sent_"),
    [("xhigh", "high"), ("minimal", "low"), ("none", "low"), ("medium", "medium")],
)
def test_effort_is_clamped(given: str, sent_: str) -> None:
    assert ready({"reasoning": {"effort": given}})[0]["reasoning"] == {"effort": sent_}


def test_effort_is_left_out_for_models_without() -> None:
    sent, prepared = ready({**PLAIN, "reasoning": {"effort": "low"}}, limits=ModelLimits())
    assert "reasoning" not in sent
    assert prepared.dropped == ("reasoning.effort",)


@pytest.mark.parametrize(("given", "sent_"), [(1, 16), (16, 16), (500, 500), (128000, 1000)])
def test_output_limit_is_clamped(given: int, sent_: int) -> None:
    assert ready({"max_output_tokens": given})[0]["max_output_tokens"] == sent_


def test_ids_and_nulls_of_items_are_left_out() -> None:
    items = [
        {**SAID, "id": "msg_1"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "encrypted_content": "gAAA",
            "status": None,
            "content": None,
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c" * 80, "name": "f", "arguments": "{}", "namespace": None},
        {"type": "function_call_output", "id": "fo_1", "call_id": "c" * 80, "output": "x"},
        {"type": "compaction", "id": "Zm9v+/=", "encrypted_content": "gBBB"},
        {"type": "compaction", "id": item_id("resp_1", "compaction", 0), "encrypted_content": "gCCC"},
    ]
    sent, prepared = ready({"input": items})
    assert sent["input"][0] == SAID
    assert sent["input"][1] == {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    assert sent["input"][2]["call_id"] == sent["input"][3]["call_id"]
    assert len(sent["input"][2]["call_id"]) <= 64
    # Contract §7.5.5: the one item that keeps its id, if upstream gave it.
    assert sent["input"][4] == items[4]
    assert sent["input"][5] == {"type": "compaction", "encrypted_content": "gCCC"}
    assert prepared.dropped == ()


def test_thoughts_without_a_proof_of_upstream_are_left_out() -> None:
    thoughts = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "summary": [], "encrypted_content": "gwseal1:messages::sig"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
    ]
    assert len(ready({"input": [*thoughts, SAID]})[0]["input"]) == 2
    sent, prepared = ready({"input": [*thoughts, SAID]}, refused=frozenset({"proof"}))
    assert sent["input"] == [SAID]
    assert prepared.dropped == ("input[].reasoning",)


EVERYTHING = frozenset(
    f"type:{kind}"
    for kind in ("custom", "namespace", "additional_tools", "tool_search", "web_search", "shell", "apply_patch")
)
"""A model that has refused all of it."""
READ = {"type": "function", "name": "read", "parameters": {"type": "object", "properties": {}}, "strict": False}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": GRAMMAR}
FILES = {"type": "namespace", "name": "mcp__files", "description": "Files.", "tools": [READ]}
SEARCH = {"type": "tool_search", "execution": "client", "description": "Finds.", "parameters": {"type": "object"}}
FOUND = {**READ, "name": "rename_symbol", "defer_loading": True}
NATIVE: dict[str, list[dict[str, Any]]] = {
    "tools": [
        READ,
        PATCH,
        FILES,
        SEARCH,
        {"type": "web_search", "external_web_access": True},
        {"type": "web_search_preview_2025_03_11"},
        {"type": "shell", "environment": {"type": "container_auto"}},
        {"type": "apply_patch"},
        {"type": "x_search"},
        {"type": "tomorrow", "any": ["thing"]},
    ],
    "input": [
        {"type": "additional_tools", "role": "developer", "tools": [{**FILES, "name": "functions"}, PATCH]},
        {"type": "message", "role": "developer", "content": "Be brief."},
        SAID,
        {"type": "message", "role": "assistant", "phase": "commentary", "content": "Looking."},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin Patch"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"},
        {"type": "function_call", "namespace": "mcp__files", "name": "read", "arguments": "{}", "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a"}]},
        {"type": "tool_search_call", "execution": "client", "call_id": "c3", "arguments": {"query": "rename"}},
        {"type": "tool_search_output", "execution": "client", "call_id": "c3", "tools": [FOUND]},
        {"type": "function_call", "namespace": "rename_symbol", "name": "rename_symbol", "arguments": "{}"}
        | {"call_id": "c4"},
        {"type": "function_call_output", "call_id": "c4", "output": "renamed"},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "shell_call", "call_id": "c5", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c5", "output": [{"stdout": "a.txt"}]},
        {"type": "function_call_output", "name": "watch", "namespace": "files", "output": "a.txt has changed"},
        {"type": "compaction", "id": "Zm9v", "encrypted_content": "gAAA"},
        {"type": "item_of_tomorrow", "text": "x"},
        SAID,
    ],
}


@pytest.mark.parametrize(
    "choice",
    [
        None,
        "required",
        {"type": "custom", "name": "apply_patch"},
        {"type": "function", "name": "read", "namespace": "mcp__files"},
        {"type": "web_search"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "apply_patch"}, SEARCH]},
    ],
)
def test_what_codex_sends_passes_to_the_byte(choice: Any) -> None:
    """Contract §7.4, §7.10: nothing of it is translated, left out or even written anew."""
    body = {**PLAIN, **NATIVE, "reasoning": {"effort": "low", "context": "all_turns"}, "model": "gpt-5.6-luna"}
    body |= {"tool_choice": choice} if choice is not None else {}
    raw = json.dumps(body, indent=1).encode()
    prepared = prepare(NativeRequest(raw=raw, body=body, model="gpt-5.6-luna", limits=LIMITS))
    assert prepared.body is raw
    assert prepared.losses == ()


def test_what_a_model_has_refused_is_said_in_another_way() -> None:
    sent, prepared = ready({**PLAIN, **NATIVE}, refused=EVERYTHING | {"type:x_search", "type:tomorrow"})
    assert [tool.get("name", tool["type"]) for tool in sent["tools"]] == [
        "read",
        "apply_patch",
        "mcp__files__read",
        "client_side__tool_search",
        "web_search_preview_2025_03_11",
        "client_side__apply_patch",
        "functions__read",
        "rename_symbol",
    ]
    assert {tool["type"] for tool in sent["tools"]} <= {"function", "web_search_preview_2025_03_11"}
    assert set(prepared.dropped) >= {
        "tools[].custom",
        "tools[].namespace",
        "tools[].tool_search",
        "tools[].web_search",
        "tools[].shell",
        "tools[].apply_patch",
        "tools[].x_search",
        "tools[].tomorrow",
    }
    kinds = [item.get("type", "message") for item in sent["input"]]
    assert not {"custom_tool_call", "custom_tool_call_output", "additional_tools", "tool_search_call"} & set(kinds)
    assert not any("namespace" in item for item in sent["input"] if item.get("call_id"))
    calls = {item["call_id"]: item["name"] for item in sent["input"] if item.get("type") == "function_call"}
    assert calls == {
        "c1": "apply_patch",
        "c2": "mcp__files__read",
        "c3": "client_side__tool_search",
        "c4": "rename_symbol",
        "c5": "client_side__shell",
    }
    assert sent["input"][3]["arguments"] == '{"input":"*** Begin Patch"}'


@pytest.mark.parametrize("kind", ["custom", "namespace", "additional_tools", "tool_search", "web_search", "shell"])
def test_one_refused_type_leaves_the_others_as_they_are(kind: str) -> None:
    sent, prepared = ready({**PLAIN, **NATIVE}, refused=frozenset({f"type:{kind}"}))
    assert prepared.dropped, "what was changed on a refusal is named"
    kept = {json.dumps(tool) for tool in sent["tools"]}
    for tool in NATIVE["tools"]:
        if kind not in json.dumps(tool):
            assert json.dumps(tool) in kept
    of_others = [item for item in NATIVE["input"] if kind not in json.dumps(item)]
    assert [item for item in of_others if item not in sent["input"]] == []


def test_older_models_get_from_the_start_what_they_are_known_to_take() -> None:
    """Contract §7.4, Appendix C: free text and web search, but neither namespaces nor tools among the items."""
    older = ModelLimits(model="gpt-5.2-codex")
    sent, prepared = ready({**PLAIN, **NATIVE}, limits=older, model="gpt-5.2-codex")
    assert prepared.dropped == ("tools[].defer_loading",)  # there is no search that could load it
    assert PATCH in sent["tools"]
    assert {"mcp__files__read", "client_side__tool_search", "functions__read", "rename_symbol"} <= {
        tool.get("name") for tool in sent["tools"]
    }
    assert not any(tool["type"] in ("namespace", "tool_search") for tool in sent["tools"])
    told = ModelLimits(model="gpt-5.2-codex", tool_search=True)
    assert SEARCH in ready({**PLAIN, **NATIVE}, limits=told, model="gpt-5.2-codex")[0]["tools"]


def test_a_free_text_tool_inside_a_namespace_keeps_its_place() -> None:
    space = {**FILES, "tools": [READ, {**PATCH, "name": "exec"}]}
    item = {"type": "additional_tools", "role": "developer", "tools": [space]}
    sent, _ = ready({"tools": [space], "input": [item, SAID]}, refused=frozenset({"type:custom"}))
    for shown in (sent["tools"][0], sent["input"][0]["tools"][0]):
        assert (shown["type"], shown["name"]) == ("namespace", "mcp__files")
        assert [(tool["type"], tool["name"]) for tool in shown["tools"]] == [("function", "read"), ("function", "exec")]


def test_a_report_without_a_call_becomes_text_where_it_is_refused() -> None:
    report = {"type": "function_call_output", "name": "watch", "namespace": "files", "output": "a.txt has changed"}
    sent, _ = ready({"input": [report]}, refused=frozenset({"type:function_call_output"}))
    [item] = sent["input"]
    assert (item["role"], item["content"][0]["type"]) == ("user", "input_text")
    assert "a.txt has changed" in item["content"][0]["text"]


def test_a_conversation_that_was_led_elsewhere_keeps_its_own_tools() -> None:
    """The proofs of another protocol stay behind; that is no reason to say anything else in another way."""
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "gwseal1:messages::sig"}
    body = {**PLAIN, **NATIVE, "model": "gpt-5.6-luna", "input": [*NATIVE["input"][:4], thought, *NATIVE["input"][4:]]}
    assert passes(json.dumps(body).encode(), body)
    sent, prepared = ready(body)
    assert (sent["tools"], sent["input"]) == (NATIVE["tools"], NATIVE["input"])
    assert prepared.dropped == ("input[].reasoning",)
    elsewhere = {**body, "input": [{**SAID, "content": "gwseal1:messages::sig"}]}
    assert not passes(json.dumps(elsewhere).encode(), elsewhere)


def test_what_never_runs_here_is_left_out_from_the_start() -> None:
    kinds = ("image_generation", "code_interpreter", "file_search", "mcp", "programmatic_tool_calling")
    sent, prepared = ready({**PLAIN, "tools": [*({"type": kind} for kind in kinds), PATCH]})
    assert sent["tools"] == [PATCH]
    assert prepared.dropped == tuple(f"tools[].{kind}" for kind in kinds)
    local, _ = ready({**PLAIN, "tools": [{"type": "local_shell"}, {"type": "computer"}]})
    assert [tool["name"] for tool in local["tools"]] == ["client_side__local_shell", "client_side__computer"]


def test_codex_tools_become_functions_where_they_are_refused() -> None:
    sent, prepared = ready(fixture_json("tool_custom.request.json"), refused=EVERYTHING)
    assert [(tool["type"], tool["name"], tool["strict"]) for tool in sent["tools"]] == [
        ("function", "apply_patch", False),
        ("function", "functions__exec", False),
        ("function", "functions__wait", False),
    ]
    assert set(prepared.dropped) == {
        "tools[].custom",
        "tools[].web_search",
        "tools[].namespace",
        "input[].additional_tools",
    }
    kinds = [item.get("type", "message") for item in sent["input"]]
    assert kinds == ["message", *["function_call", "function_call_output"] * 2]
    assert sent["input"][1]["arguments"] == '{"input":"*** Begin\\n\\"q\\""}'
    assert sent["input"][3]["name"] == "functions__exec"
    assert "namespace" not in sent["input"][3]


@pytest.mark.parametrize(
    ("choice", "sent_"),
    [
        ({"type": "custom", "name": "exec"}, {"type": "function", "name": "functions__exec"}),
        (
            {"type": "function", "name": "wait", "namespace": "functions"},
            {"type": "function", "name": "functions__wait"},
        ),
        ("required", "required"),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "custom", "name": "apply_patch"}, {"type": "mcp"}],
            },
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "apply_patch"}]},
        ),
    ],
)
def test_tool_choice_follows_the_tools(choice: Any, sent_: Any) -> None:
    body = {**fixture_json("tool_custom.request.json"), "tool_choice": choice}
    assert ready(body, refused=EVERYTHING)[0]["tool_choice"] == sent_


def test_choice_goes_when_no_tool_remains() -> None:
    sent, _ = ready({"tools": [{"type": "file_search"}], "tool_choice": "auto", "parallel_tool_calls": True})
    assert not {"tools", "tool_choice"} & sent.keys()


def test_plain_functions_stay_as_they_are() -> None:
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "defer_loading": True}
    ]
    sent, prepared = ready({"tools": tools})
    assert sent["tools"] == [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
    assert prepared.dropped == ("tools[].defer_loading",)
    assert ready({"tools": []})[0]["tools"] == []


def test_images_are_inlined_wherever_they_are() -> None:
    url, data = "https://a.test/x.png", "data:image/png;base64,AA"
    image = {"type": "input_image", "image_url": url, "detail": "auto"}
    items = [
        {"role": "user", "content": [image]},
        {"type": "function_call_output", "call_id": "c", "output": [image]},
    ]
    body = {"model": "m", "input": items}
    assert image_urls(body) == [url]
    assert traits(body).has_images
    sent, _ = ready(body, inlined={url: data})
    assert json.dumps(sent).count(data) == 2
    assert url not in json.dumps(sent)


def test_what_upstream_refused_before_is_left_out() -> None:
    items = [{**SAID, "phase": "x"}, {"role": "assistant", "content": "y"}]
    body = {**PLAIN, "input": items, "text": {"verbosity": "low"}, "truncation": "auto"}
    sent, prepared = ready(body, refused=frozenset({"input[].phase", "text.verbosity", "truncation", "absent.x"}))
    assert sent["input"] == [SAID, items[1]]
    assert not {"text", "truncation"} & sent.keys()
    assert prepared.dropped == ("input[].phase", "text.verbosity", "truncation")


def test_huge_integers_survive() -> None:
    raw = b'{"model":"m","input":"x","metadata":{"n":123456789012345678901234567890}}'
    prepared = prepare(
        NativeRequest(
            raw=raw, body=json.loads(raw.replace(b"123456789012345678901234567890", b"1e29")), model="m", limits=LIMITS
        )
    )
    assert b"123456789012345678901234567890" in prepared.body


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.request.json")), ids=lambda path: path.name.split(".")[0])
def test_earlier_turns_keep_their_bytes(path: Any) -> None:
    body = json.loads(path.read_bytes())
    if isinstance(body["input"], str):
        body["input"] = [{"role": "user", "content": body["input"]}]
    before = ready(body)[0]["input"]
    longer = [*body["input"], {"role": "assistant", "content": "a", "id": "msg_9"}, SAID]
    after = ready({**body, "input": longer})[0]["input"]
    assert json.dumps(after).startswith(json.dumps(before)[:-1])


# -- traits ----------------------------------------------------------------------------------------------------------

OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("items", "initiator"),
    [
        ("Hi", "user"),
        ([SAID], "user"),
        ([SAID, {"role": "assistant", "content": "x"}], "agent"),
        ([SAID, CALL, OUTPUT], "agent"),
        ([SAID, CALL, OUTPUT, {"role": "developer", "content": "x"}], "agent"),
        ([SAID, {"type": "additional_tools", "tools": []}], "user"),
        ([{"role": "system", "content": "x"}], "user"),
        ([SAID, {"type": "reasoning", "summary": []}], "agent"),
        (["Hi"], "user"),
        (7, "user"),
    ],
)
def test_initiator(items: Any, initiator: str) -> None:
    found = traits({"model": "m", "input": items, "stream": True})
    assert found.initiator == initiator
    assert (found.model, found.stream, found.include_usage, found.choices) == ("m", True, True, 1)


def test_interaction_key_is_the_same_in_all_tool_rounds() -> None:
    first = traits({"input": [SAID]}).interaction_key
    assert traits({"input": [SAID, CALL, OUTPUT]}).interaction_key == first
    assert traits({"input": [SAID, CALL, OUTPUT, SAID]}).interaction_key != first


def test_traits_never_fail() -> None:
    for body in ({}, {"model": 1, "input": None}, {"input": [None, 1, {"content": [None]}, {"role": 4}]}):
        assert traits(body).model == ""


@pytest.mark.parametrize("body", [{"tools": 7}, {"tools": [7]}, {"tools": [{"type": "custom"}]}, {"input": [{}]}])
def test_malformed_requests_are_client_errors(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        ready(body)
