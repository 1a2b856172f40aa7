"""``POST /v1/messages`` and ``count_tokens``: events, and everything they refuse (contract §8, §13.8)."""

import json
from typing import Any

import pytest

from tests.support.pictures import png_base64

TOOL: dict[str, Any] = {
    "name": "read_file",
    "description": "Read",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
TWO_CALLS = 'Go. [[say: Reading it now.]][[tool: read_file {"path":"a]].txt"}]] [[tool: list_files]]'
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
CACHE = {"type": "ephemeral"}
USER = {"role": "user", "content": "hi"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "file text"}
PIXEL = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/gif",
        "data": "R0lGODlhAwACAIAAAAAAAP///yH5BAEAAAAALAAAAAADAAIAAAIDhG8FADs=",
    },
}
VISION = {"Copilot_Vision_Request": "true"}


def beta(*names):
    return {"Anthropic_Beta": ",".join(names)}


ADVANCED, CONTEXT, SHAPES = (
    beta("advanced-tool-use-2025-11-20"),
    beta("context-management-2025-06-27"),
    beta("structured-outputs-2025-12-15"),
)


def kinds(events):
    return [event["type"] for event in events]


def user(*blocks):
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(value, **more):
    return {"type": "text", "text": value, **more}


def backend(answer, status=400):
    """The message of an error in Anthropic's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    body = answer.json()
    assert (body["type"], set(body)) == ("error", {"type", "error"})
    return body["error"]["message"]


def gateway(answer, status=400):
    """The error of the layer in front, in OpenAI's shape."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    return answer.json()["error"]


def test_text_stream(wire):
    answer = wire.message("[[say: Hi there, how are you?]]", stream=True)
    assert answer.content.startswith(b'event: message_start\ndata: {"message":{"content":[],"id":"msg_bdrk_01')
    assert answer.content.endswith(b'"type":"message_stop"}\n\ndata: [DONE]\n\n')
    found = wire.events(answer)
    assert all(list(event) == sorted(event) for event in found)
    assert kinds(found)[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds(found)[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    deltas = [event["delta"]["text"] for event in found if event["type"] == "content_block_delta"]
    assert "".join(deltas) == "Hi there, how are you?"
    assert found[0]["message"]["model"] == "claude-sonnet-4-5-20250929"
    assert found[0]["message"]["usage"]["output_tokens"] == 1
    assert found[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[-2]["context_management"] == {"applied_edits": []}
    assert found[-2]["copilot_usage"]["total_nano_aiu"] > 0
    metrics = found[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] == found[-2]["usage"]["output_tokens"]
    wire.sim.config(messages_done=False, ping=False, bedrock_metrics=False, native_copilot_usage="off")
    quiet = wire.message("hi", stream=True)
    assert b"[DONE]" not in quiet.content
    assert b"ping" not in quiet.content
    assert wire.events(quiet)[-1] == {"type": "message_stop"}


def test_tool_calls(wire):
    found = wire.events(wire.message(TWO_CALLS, stream=True, tools=[TOOL]))
    starts = [event for event in found if event["type"] == "content_block_start"]
    assert [event["index"] for event in starts] == [0, 1, 2]
    assert starts[1]["content_block"]["input"] == {}
    assert starts[1]["content_block"]["id"].startswith("toolu_bdrk_01")
    parts = [event["delta"]["partial_json"] for event in found if event.get("index") == 1 and "delta" in event]
    assert parts[0] == ""
    assert "".join(parts) == '{"path":"a]].txt"}'
    assert [event["delta"]["partial_json"] for event in found if event.get("index") == 2 and "delta" in event] == [""]
    assert found[-2]["delta"]["stop_reason"] == "tool_use"
    body = wire.message(TWO_CALLS, tools=[TOOL]).json()
    assert list(body) == sorted(body)
    assert [block["type"] for block in body["content"]] == ["text", "tool_use", "tool_use"]
    assert body["content"][1]["input"] == {"path": "a]].txt"}
    assert list(body["content"][1]) == ["id", "input", "name", "type"]
    one = wire.message(TWO_CALLS, tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True}).json()
    assert len(one["content"]) == 2


def test_rounds_and_tool_results(wire):
    prompt = "[[tool: a {}]] [[next]] [[tool: b {}]]"
    first = wire.message(prompt).json()["content"][0]
    reminder = text("<system-reminder>[[say: no]]</system-reminder>")
    given = [
        {"role": "user", "content": prompt},
        assistant(first),
        user({"type": "tool_result", "tool_use_id": first["id"], "content": "A!"}, reminder),
    ]
    second = wire.message(given).json()["content"][0]
    assert second["name"] == "b"
    given += [
        assistant(second),
        user({"type": "tool_result", "tool_use_id": second["id"], "content": [text("B!")]}, reminder),
    ]
    assert wire.message(given).json()["content"][0]["text"] == "The tool answered: B!"
    forced = wire.message("do", tools=[TOOL], tool_choice={"type": "any"}).json()["content"]
    assert forced[0]["input"] == {"path": "sample"}
    named = wire.message("do", tools=[TOOL], tool_choice={"type": "tool", "name": "read_file"}).json()["content"]
    assert named[0]["name"] == "read_file"
    assert "simulator" in wire.message("Hello").json()["content"][0]["text"]
    assert wire.message("[[echo]]").json()["content"][0]["text"] == '["max_tokens", "messages", "model"]'


def test_thinking_and_its_signature(wire):
    prompt = '[[think: I ponder deeply]][[tool: read_file {"path":"a"}]]'
    found = wire.events(wire.message(prompt, stream=True, tools=[TOOL], **THINKING))
    assert found[1]["content_block"] == {"signature": "", "thinking": "", "type": "thinking"}
    deltas = [event["delta"] for event in found if event.get("index") == 0 and "delta" in event]
    assert "".join(delta.get("thinking", "") for delta in deltas) == "I ponder deeply"
    assert [delta["type"] for delta in deltas][-1] == "signature_delta"
    assert "thinking" not in json.dumps(wire.message(prompt).json()["content"])
    thought, call = wire.message(prompt, tools=[TOOL], **THINKING).json()["content"]
    result = user({"type": "tool_result", "tool_use_id": call["id"], "content": "x"})

    def again(*blocks, **more):
        return wire.message([USER, assistant(*blocks), result], tools=[TOOL], **{**THINKING, **more})

    assert again(thought, call).status_code == 200
    forged = {**thought, "signature": thought["signature"][:-4] + "AAAA"}
    assert backend(again(forged, call)) == "messages.1.content.0: Invalid `signature` in `thinking` block"
    assert "cannot be modified" in backend(again({**thought, "thinking": "other"}, call))
    assert "Expected `thinking` or `redacted_thinking`, but found `tool_use`" in backend(again(call))
    assert again(call, thinking={"type": "disabled"}).status_code == 200
    assert "Extra inputs" in backend(again({**thought, "cache_control": CACHE}, call))
    opaque = wire.chat("[[think: hm]]", "claude-sonnet-4.5").json()["choices"][0]["message"]["reasoning_opaque"]
    assert "Invalid `signature`" in backend(again({**thought, "thinking": "hm", "signature": opaque}, call))
    wire.sim.config(check_opaque=False, thinking_first=False)
    assert again(forged, call).status_code == 200
    assert again(call).status_code == 200


def test_hidden_and_redacted_thinking(wire):
    hidden = wire.message("[[knob: thinking_form=hidden]][[think: hm]][[say: ok]]", **THINKING).json()["content"]
    assert hidden[0]["thinking"] == ""
    redacted = wire.events(
        wire.message("[[knob: thinking_form=redacted]][[think: hm]][[say: ok]]", stream=True, **THINKING)
    )
    block = redacted[1]["content_block"]
    assert (block["type"], kinds(redacted)[3]) == ("redacted_thinking", "content_block_stop")
    for echoed in (hidden[0], block):
        assert wire.message([USER, assistant(echoed, text("ok")), USER], **THINKING).status_code == 200
    wrong = backend(wire.message([USER, assistant({**block, "data": "x"}, text("ok")), USER]))
    assert wrong == "messages.1.content.0: Invalid `data` in `redacted_thinking` block"
    assert wire.message("[[knob: think_unasked=true]][[think: hm]]").json()["content"][0]["thinking"] == "hm"


def test_ends(wire):
    stopped = wire.message("[[say: one two END three]]", stop_sequences=["END"]).json()
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "END")
    assert stopped["content"][0]["text"] == "one two "
    assert wire.message("[[chunks: 40]]", max_tokens=3).json()["stop_reason"] == "max_tokens"
    refused = wire.events(wire.message("[[finish: refusal]]", stream=True))
    assert kinds(refused) == ["message_start", "message_delta", "message_stop"]
    assert refused[1]["delta"]["stop_details"]["type"] == "refusal"
    assert wire.message("[[finish: refusal]]").json()["content"] == []
    half = wire.message("[[filter]][[say: a b c d e f]]").json()
    assert (half["stop_reason"], half["content"][0]["text"]) == ("refusal", "a b c")
    assert wire.message("[[finish: pause_turn]]").json()["stop_reason"] == "pause_turn"
    assert kinds(wire.events(wire.message("[[cut: 2]]", stream=True))) == ["message_start", "content_block_start"]


def test_errors_inside_the_stream(wire):
    prompt = "[[stream_error: overloaded_error Overloaded]][[say: a b c d e f]]"
    answer = wire.message(prompt, stream=True)
    assert answer.content.endswith(
        b'event: error\ndata: {"error":{"message":"Overloaded","type":"overloaded_error"},"type":"error"}\n\n'
    )
    assert "content_block_stop" not in kinds(wire.events(answer))
    assert backend(wire.message(prompt), 529) == "Overloaded"
    wire.sim.fault("overloaded_529", endpoint="/v1/messages")
    assert backend(wire.message("hi"), 529) == "Overloaded"
    assert wire.message("[[error: 429]]", stream=True).status_code == 429
    wire.sim.fault("truncate", endpoint="/v1/messages")
    assert len(wire.events(wire.message("hi", stream=True))) == 3


def test_tool_search(wire):
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex", "defer_loading": False}
    tools = [search, TOOL, {**TOOL, "name": "rare_tool", "defer_loading": True}]
    prompt = '[[tool: tool_search_tool_regex {"pattern":"rare"}]][[tool: rare_tool {}]]'
    answer = wire.message(prompt, tools=tools, header=ADVANCED).json()
    assert [block["type"] for block in answer["content"]] == ["server_tool_use", "tool_search_tool_result", "tool_use"]
    assert answer["content"][1]["content"]["tool_references"] == [{"type": "tool_reference", "tool_name": "rare_tool"}]
    assert answer["usage"]["server_tool_use"] == {"tool_search_requests": 1}
    result = user(
        {
            **RESULT,
            "tool_use_id": answer["content"][2]["id"],
            "content": [{"type": "tool_reference", "tool_name": "rare_tool"}],
        }
    )
    given = [{"role": "user", "content": prompt}, assistant(*answer["content"]), result]
    assert wire.message(given, tools=tools, header=ADVANCED).status_code == 200
    unknown = [USER, assistant(USE), user({**RESULT, "content": [{"type": "tool_reference", "tool_name": "X"}]})]
    assert backend(wire.message(unknown, tools=tools, header=ADVANCED)) == (
        "Tool reference 'X' not found in available tools"
    )
    assert "does not match any of the expected tags" in backend(wire.message("hi", tools=tools))
    assert "does not match" in backend(wire.message("hi", "claude-sonnet-4", tools=tools, header=ADVANCED))


def test_betas(wire):
    accepted = beta("claude-code-20250219", "interleaved-thinking-2025-05-14", "effort-2025-11-24")
    assert wire.message("hi", header=accepted).status_code == 200
    refused = wire.message("hi", header=beta("claude-code-20250219", "context-1m-2025-08-07", "skills-2025-10-02"))
    assert refused.text == (
        '{"error":{"message":"unsupported beta header(s): context-1m-2025-08-07, skills-2025-10-02"'
        ',"code":"invalid_request_body"}}\n'
    )
    for name in (
        "advisor-tool-2026-03-01",
        "tool-search-tool-2025-10-19",
        "files-api-2025-04-14",
        "code-execution-2025-05-22",
        "output-128k-2025-02-19",
        "message-threads-2026-08-12",
    ):
        assert gateway(wire.message("hi", header=beta(name)))["message"] == f"unsupported beta header(s): {name}"


def test_betas_were_read_more_and_less_strictly(wire):
    unknown, odd_date = beta("context-1m-2025-08-07"), beta("interleaved-thinking-2026-01-01")
    for level, statuses in (("list", (400, 200)), ("exact", (400, 400)), ("ignore", (200, 200))):
        wire.sim.config(beta_strictness=level)
        assert tuple(wire.message("hi", header=one).status_code for one in (unknown, odd_date)) == statuses
        assert wire.message("hi", header=beta("interleaved-thinking-2025-05-14")).status_code == 200


def test_fields_behind_a_beta(wire):
    edits = {"edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "input_tokens", "value": 100000}}]}
    assert backend(wire.message("hi", context_management=edits)) == "context_management: Extra inputs are not permitted"
    assert wire.message("hi", context_management=edits, header=CONTEXT).status_code == 200
    clear = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    assert "requires `thinking`" in backend(wire.message("hi", context_management=clear, header=CONTEXT))
    assert wire.message("hi", context_management=clear, header=CONTEXT, **THINKING).status_code == 200
    deferred = [TOOL, {**TOOL, "name": "b", "defer_loading": True}]
    assert backend(wire.message("hi", tools=deferred)) == "tools.1.custom.defer_loading: Extra inputs are not permitted"
    assert wire.message("hi", tools=deferred, header=ADVANCED).status_code == 200
    shape = {
        "output_config": {
            "format": {"type": "json_schema", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
        }
    }
    assert backend(wire.message("hi", "claude-sonnet-4.6", **shape)) == (
        "output_config.format: Extra inputs are not permitted"
    )
    shaped = wire.message("hi", "claude-sonnet-4.6", header=SHAPES, **shape).json()
    assert shaped["content"][0]["text"] == '{"n": 1}'
    assert "does not support output format" in backend(wire.message("hi", header=SHAPES, **shape))
    assert wire.message("hi", tools=[{**TOOL, "strict": True}], header=SHAPES).status_code == 200


def test_pictures_and_documents(wire):
    seen = [user(PIXEL, text("What is it?"))]
    assert gateway(wire.message(seen))["message"].startswith("missing required Copilot-Vision-Request header")
    assert "image/gif, 3x2 pixels" in wire.message(seen, header=VISION).json()["content"][0]["text"]
    nested = [USER, assistant(USE), user({**RESULT, "content": [PIXEL]})]
    assert gateway(wire.message(nested))["code"] == ""
    assert wire.message(nested, header=VISION).status_code == 200
    linked = [user({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}})]
    assert "Input tag 'url'" in backend(wire.message(linked, header=VISION))
    assert (
        wire.message(
            [
                user(
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                    }
                )
            ]
        ).status_code
        == 200
    )


def test_models_before_and_after(wire):
    wire.sim.catalogue(
        add=[
            {
                "id": "claude-opus-4.7",
                "name": "Claude Opus 4.7",
                "vendor": "Anthropic",
                "version": "claude-opus-4.7",
                "supported_endpoints": ["/v1/messages"],
                "capabilities": {
                    "type": "chat",
                    "supports": {"adaptive_thinking": True, "reasoning_effort": ["low", "medium", "high"]},
                },
            }
        ]
    )
    adaptive = {"thinking": {"type": "adaptive"}}
    assert wire.message("hi", "claude-opus-4.7", **adaptive).status_code == 200
    assert "not supported for this model" in backend(wire.message("hi", "claude-opus-4.7", **THINKING))
    assert "adaptive thinking is not supported" in backend(wire.message("hi", **adaptive))
    assert wire.message("hi", "claude-sonnet-4.6", **adaptive).status_code == 200
    prefill = [USER, {"role": "assistant", "content": "Well"}]
    assert "does not support assistant message prefill" in backend(wire.message(prefill))
    assert wire.message(prefill, "claude-sonnet-4").status_code == 200
    for model, effort, status in (
        ("claude-sonnet-4.6", "high", 200),
        ("claude-sonnet-4.6", "max", 200),
        ("claude-sonnet-4.6", "xhigh", 400),
        ("claude-haiku-4.5", "medium", 400),
        ("claude-opus-4.5", "medium", 200),
        ("claude-opus-4.5", "low", 400),
    ):
        assert wire.message("hi", model, output_config={"effort": effort}).status_code == status
    assert wire.message("hi", "claude-sonnet-4", temperature=1, top_p=1).status_code == 200


def test_usage_and_billing(wire):
    prompt = "[[knob: cached_tokens=9]][[knob: cache_write_tokens=2]][[knob: reasoning_tokens=7]][[say: Hi]]"
    usage = wire.message(prompt).json()["usage"]
    same = wire.chat(prompt, "claude-sonnet-4.5").json()["usage"]
    assert sum(usage[name] for name in usage if name != "output_tokens") == same["prompt_tokens"]
    assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (9, 2)
    assert usage["output_tokens"] == same["completion_tokens"] + 7
    assert same["prompt_tokens_details"] == {"cached_tokens": 9}
    newer = wire.message("[[knob: newer_usage=true]]").json()["usage"]
    assert newer["output_tokens_details"] == {"thinking_tokens": 0}
    answer = wire.message("hi", header={"X_Initiator": "agent"})
    assert "x-quota-snapshot-premium_interactions" in answer.headers
    state = wire.sim.state()
    assert (state["messages"], state["ledger"]["user_requests"], state["ledger"]["agent_requests"]) == (3, 3, 1)
    assert gateway(wire.message("hi", account="ghu_test_exhausted"), 402)["code"] == "quota_exceeded"


def test_endpoint_enforcement(wire):
    assert gateway(wire.message("hi", "gpt-4.1")) == {
        "message": 'model "gpt-4.1" is not accessible via the /v1/messages endpoint',
        "code": "unsupported_api_for_model",
    }
    for model in ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5[1m]"):
        assert gateway(wire.message("hi", model))["code"] == "model_not_supported"
    assert wire.post("/v1/messages/batches", {}).status_code == 404
    long = wire.message("x" * 700_000)
    assert gateway(long)["code"] == "model_max_prompt_tokens_exceeded"
    wire.sim.config(too_long_form="backend")
    assert backend(wire.message("x" * 700_000)) == "prompt is too long: 175003 tokens > 168000 maximum"


def test_forms_of_backend_errors(wire):
    wire.sim.config(backend_error_form="message")
    assert wire.message("hi", thread={}).text == '{"message":"thread: Extra inputs are not permitted"}\n'
    wire.sim.config(backend_error_form="with_request_id")
    assert wire.message("hi", thread={}).json()["request_id"].startswith("req_vrtx_")


def test_count_tokens(wire):
    def count(model="claude-sonnet-4.5", header=None, **fields):
        return wire.post("/v1/messages/count_tokens", {"model": model, "messages": [USER], **fields}, header=header)

    assert count().json() == {"input_tokens": wire.message("hi").json()["usage"]["input_tokens"]}
    assert count(tools=[TOOL]).json()["input_tokens"] > 4
    assert count(thinking={"type": "enabled", "budget_tokens": 9000}).status_code == 200
    for name, value in (("max_tokens", 100), ("stream", True), ("temperature", 1)):
        assert backend(count(**{name: value})) == f"{name}: Extra inputs are not permitted"
    assert "Unexpected role" in backend(count(messages=[USER, {"role": "system", "content": "x"}]))
    assert gateway(count(header=beta("files-api-1")))["code"] == "invalid_request_body"
    other = count("gpt-4.1")
    assert (other.status_code, other.text) == (404, "404 page not found\n")
    state = wire.sim.state()
    assert (state["count_tokens"], state["ledger"]["user_requests"]) == (9, 1)


def schema(**changes):
    return {"tools": [{**TOOL, "input_schema": {**TOOL["input_schema"], **changes}}]}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"safeguards": []}, "safeguards: Extra inputs are not permitted"),
        ({"thread": {"type": "create"}}, "thread: Extra inputs are not permitted"),
        ({"service_tier": "auto"}, "service_tier: Extra inputs are not permitted"),
        ({"inference_geo": "eu"}, "inference_geo: Extra inputs are not permitted"),
        ({"container": "c"}, "container: Extra inputs are not permitted"),
        ({"mcp_servers": []}, "mcp_servers: Extra inputs are not permitted"),
        ({"cache_control": CACHE}, "cache_control: Extra inputs are not permitted"),
        ({"output_format": {}}, "output_format: Extra inputs are not permitted"),
        ({"metadata": {"user_id": "u", "x": 1}}, "metadata.x: Extra inputs are not permitted"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"max_tokens": 128000, "stream": True}, "max_tokens: 128000 > 32000"),
        ({"max_tokens": 32000}, "max_tokens: 32000 > 16000"),
        ({"temperature": 2}, "temperature: range: 0..1"),
        ({"temperature": 1, "top_p": 1}, "cannot both be specified"),
        ({"temperature": 0.5, **THINKING}, "`temperature` may only be set to 1"),
        ({"top_p": 0.5, **THINKING}, "`top_p` must be"),
        ({"top_k": 5, **THINKING}, "`top_k` must be unset"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}, **THINKING}, "Thinking may not be enabled"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "`max_tokens` must be greater"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
            "thinking.enabled.display: Extra inputs are not permitted",
        ),
        ({"thinking": {"type": "deep"}}, "Input tag 'deep'"),
        ({"output_config": {"speed": 1}}, "output_config.speed: Extra inputs are not permitted"),
        ({"stop_sequences": [" "]}, "non-whitespace"),
        (
            {"system": [text("x", cache_control={**CACHE, "scope": "global"})]},
            "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted",
        ),
        ({"system": [text("x", cache_control={**CACHE, "ttl": "1h"})]}, "system.0.cache_control.ephemeral.ttl"),
        ({"system": [text("x", cache_control={"type": "forever"})]}, "Input tag 'forever'"),
        ({"system": [text("")]}, "system: text content blocks must be non-empty"),
        (
            {
                "system": [text(name, cache_control=CACHE) for name in "abc"],
                "tools": [{**TOOL, "cache_control": CACHE}],
                "messages": [user(text("x", cache_control=CACHE))],
            },
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            '{"error":{"message":"The use of the web search tool is not supported.","code":"unsupported_value"}}\n',
        ),
        ({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, "Input tag 'web_fetch_20250910'"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "Input tag 'bash_20250124'"),
        ({"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "Input tag 'code_execution_20250825'"),
        ({"tools": [{**TOOL, "eager_input_streaming": True}]}, "tools.0.custom.eager_input_streaming: Extra inputs"),
        ({"tools": [{**TOOL, "strict": True}]}, "tools.0.custom.strict: Extra inputs"),
        ({"tools": [{**TOOL, "input_examples": []}]}, "tools.0.custom.input_examples: Extra inputs"),
        ({"tools": [{**TOOL, "allowed_callers": []}]}, "tools.0.custom.allowed_callers: Extra inputs"),
        ({"tools": [{**TOOL, "name": "a.b"}]}, "String should match pattern"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tools": [{**TOOL, "name": f"t{number}"} for number in range(129)]}, "maximum length 128"),
        ({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required"),
        (schema(type=None), "tools.0.custom.input_schema.type"),
        (schema(**{"$schema": "https://json-schema.org/draft-07/schema#"}), "input_schema.$schema: Extra inputs"),
        (schema(anyOf=[{}]), "does not support oneOf, allOf, or anyOf"),
        ({"tool_choice": {"type": "any"}}, "may only be specified while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "Input tag 'None'"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "system", "content": "x"}, USER]}, 'Unexpected role "system"'),
        ({"messages": [{"role": "tool", "content": "x"}]}, "Input should be 'user' or 'assistant'"),
        ({"messages": [{**USER, "name": "x"}]}, "messages.0.name: Extra inputs are not permitted"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages: text content blocks must be non-empty"),
        ({"messages": [user(text(""))]}, "messages: text content blocks must be non-empty"),
        ({"messages": [user()]}, "all messages must have non-empty content"),
        ({"messages": [{"role": "assistant", "content": "x"}, USER]}, 'first message must use the "user" role'),
        ({"messages": [user(text("x", phase=1))]}, "messages.0.content.0.text.phase: Extra inputs are not permitted"),
        ({"messages": [user({"type": "input_text", "text": "x"})]}, "Input tag 'input_text'"),
        ({"messages": [USER, assistant(USE)]}, "does not support assistant message prefill"),
        ({"messages": [USER, assistant(USE), USER]}, "`tool_use` ids were found without `tool_result` blocks"),
        ({"messages": [USER, assistant(USE), user(text("first"), RESULT)]}, "without `tool_result` blocks"),
        ({"messages": [user(RESULT)]}, "unexpected `tool_use_id` found in `tool_result` blocks: toolu_1"),
        ({"messages": [USER, assistant(USE), user(RESULT, RESULT)]}, "must have a single result"),
        ({"messages": [USER, assistant(USE), user(RESULT), assistant(USE), user(RESULT)]}, "ids must be unique"),
        (
            {"messages": [USER, assistant({**USE, "id": "call|1"}), user(RESULT)]},
            "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ),
        ({"messages": [USER, assistant({**USE, "input": "{}"}), user(RESULT)]}, "Input should be a valid dictionary"),
        ({"messages": [USER, assistant(USE), user({**RESULT, "is_error": 1})]}, "Input should be a valid boolean"),
        ({"messages": [USER, assistant({"type": "thinking", "thinking": "x"}, text("y")), USER]}, "signature: Field"),
        (
            {
                "messages": [
                    user({"type": "document", "source": {"type": "base64", "media_type": "text/html", "data": "x"}})
                ]
            },
            "media_type: Input should be 'application/pdf'",
        ),
    ],
)
def test_refusals(wire, fields, word):
    answer = wire.post(
        "/v1/messages",
        {
            "model": "claude-sonnet-4.5",
            "max_tokens": 4096,
            "messages": [USER],
            **{name: value for name, value in fields.items() if value is not None},
        }
        if fields != {"max_tokens": None}
        else {"model": "claude-sonnet-4.5", "messages": [USER]},
    )
    assert answer.status_code == 400, answer.text
    assert word in (answer.text if word[0] == "{" else answer.json()["error"]["message"])
    assert wire.sim.ledger()["user_requests"] == 0


def test_everything_the_official_client_sends_is_accepted(wire):
    thought = wire.message("[[think: I should read it.]]", **THINKING).json()["content"][0]
    body = {
        "model": "claude-sonnet-4.5",
        "stream": True,
        "top_p": 1,
        "max_tokens": 32000,
        "system": [text("You are a coding agent.", cache_control=CACHE)],
        "messages": [
            user(text("Read the file")),
            assistant(thought, text("Reading."), USE),
            user({**RESULT, "content": [text("hello")], "cache_control": CACHE}),
        ],
        "tools": [
            {"name": "tool_search_tool_regex", "type": "tool_search_tool_regex_20251119", "defer_loading": False},
            {**TOOL, "cache_control": CACHE},
            {**TOOL, "name": "rare_tool", "defer_loading": True},
        ],
        "thinking": {"type": "enabled", "budget_tokens": 16000},
        "output_config": {"effort": "medium"},
        "context_management": {
            "edits": [
                {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}},
                {
                    "type": "clear_tool_uses_20250919",
                    "trigger": {"type": "input_tokens", "value": 100000},
                    "keep": {"type": "tool_uses", "value": 3},
                },
            ]
        },
    }
    header = beta("interleaved-thinking-2025-05-14", "context-management-2025-06-27", "advanced-tool-use-2025-11-20")
    answer = wire.post("/v1/messages", body, header=header)
    assert kinds(wire.events(answer))[-1] == "message_stop"


NEWEST = {
    name: {
        "id": name,
        "name": name,
        "vendor": "Anthropic",
        "version": name,
        "supported_endpoints": ["/v1/messages"],
        "capabilities": {"type": "chat", "supports": {"reasoning_effort": ["low", "medium", "high", "xhigh", "max"]}},
        "billing": {"token_prices": {"batch_size": 1000000, "default": {"cache_write_1h_price": 600}}},
    }
    for name in ("claude-sonnet-5", "claude-opus-5", "claude-opus-5.5")
}


def test_the_matrix_of_models(wire):
    """Contract §8.10, cell by cell where models differ."""
    wire.sim.catalogue(add=list(NEWEST.values()))
    midway = [USER, {"role": "assistant", "content": "Hi."}, USER, {"role": "system", "content": "Be brief."}]
    tool = {"name": "look", "input_schema": {"type": "object"}}
    still, any_tool = {"type": "disabled"}, {"tools": [tool], "tool_choice": {"type": "any"}}
    for model, prompt, fields, status in (
        ("claude-sonnet-4.6", midway, {}, 400),
        ("claude-sonnet-5", midway, {}, 200),
        ("claude-sonnet-5", [midway[-1], USER], {}, 400),
        ("claude-sonnet-5", "hi", THINKING, 400),
        ("claude-sonnet-5", "hi", {"thinking": still, "output_config": {"effort": "max"}}, 200),
        ("claude-opus-5", "hi", {"thinking": still, "output_config": {"effort": "high"}}, 200),
        ("claude-opus-5", "hi", {"thinking": still, "output_config": {"effort": "max"}}, 400),
        ("claude-opus-5", "hi", {"output_config": {"effort": "max"}}, 200),
        ("claude-opus-5", "hi", any_tool, 200),
        ("claude-opus-5.5", "hi", any_tool, 400),
        ("claude-opus-5.5", "hi", {"tools": [tool], "tool_choice": {"type": "none"}}, 200),
        ("claude-opus-5.5", "hi", {"thinking": still}, 400),
        ("claude-opus-5.5", "hi", {"thinking": {"type": "adaptive", "display": "summarized"}}, 200),
        ("claude-opus-5.5", "hi", {"thinking": {"type": "adaptive", "display": "loud"}}, 400),
    ):
        assert wire.message(prompt, model, **fields).status_code == status, (model, fields)


def test_an_hour_in_the_cache_needs_a_price_and_its_beta(wire):
    wire.sim.catalogue(add=list(NEWEST.values()))
    long = {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": HOUR}]}
    long_beta = beta("extended-cache-ttl-2025-04-11")
    assert wire.message([long], "claude-sonnet-5", header=long_beta).status_code == 200
    assert "ttl: Extra inputs" in backend(wire.message([long], "claude-sonnet-5"))
    assert "ttl: Extra inputs" in backend(wire.message([long], header=long_beta))


HOUR = {"type": "ephemeral", "ttl": "1h"}


def test_images_are_counted_and_looked_at(wire):
    def shown(count, size):
        image = {"type": "base64", "media_type": "image/png", "data": png_base64(size, size)}
        blocks = [{"type": "image", "source": image}] * count
        return wire.message([{"role": "user", "content": blocks}], header=VISION)

    assert shown(20, 3).status_code == 200
    assert "too many URL images in request (max 20)" in shown(21, 3).text
    assert "vision_attachment_not_accessible" in shown(1, 2).text
