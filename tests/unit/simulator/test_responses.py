"""``POST /responses``: events, opaque ids, sealed reasoning, and everything it refuses (contract §7, §13.7)."""

from typing import Any

import pytest

TOOL = {
    "type": "function",
    "name": "read_file",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "strict": False,
}
TWO_CALLS = 'Go. [[say: Reading it now.]][[tool: read_file {"path":"a]].txt"}]] [[tool: list_files]]'
ENCRYPTED = {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low", "summary": "auto"}}
USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "read_file", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "file text"}
PIXEL = "data:image/gif;base64,R0lGODlhAwACAIAAAAAAAP///yH5BAEAAAAALAAAAAADAAIAAAIDhG8FADs="


def kinds(events):
    return [event["type"] for event in events]


def error(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.json()["error"]


def test_text_stream(wire):
    answer = wire.respond("[[say: Hi there, how are you?]]", stream=True)
    assert b"[DONE]" not in answer.content
    assert answer.content.startswith(b'event: response.created\ndata: {"type":"response.created","sequence_number":0,')
    found = wire.events(answer)
    names = kinds(found)
    assert names[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(names[4:-4]) == {"response.output_text.delta"}
    assert names[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    deltas = [event for event in found if event["type"].endswith("text.delta")]
    assert "".join(event["delta"] for event in deltas) == found[-4]["text"] == "Hi there, how are you?"
    assert all(event["logprobs"] == [] and event["obfuscation"] for event in deltas)
    done = found[-1]["response"]
    assert done["model"] == "gpt-5.2-2025-12-11"
    assert done["output"][0]["content"][0]["text"] == "Hi there, how are you?"
    assert done["output"][0]["phase"] == "final_answer"
    assert done["usage"]["total_tokens"] == done["usage"]["input_tokens"] + done["usage"]["output_tokens"]
    assert found[-1]["copilot_usage"]["total_nano_aiu"] > 0
    assert found[0]["response"]["usage"] is None


def test_ids_are_fresh_in_every_event(wire):
    found = wire.events(wire.respond(TWO_CALLS, stream=True, tools=[TOOL]))
    ids = [event["item_id"] for event in found if "item_id" in event]
    ids += [event["item"]["id"] for event in found if "item" in event]
    ids += [event["response"]["id"] for event in found if "response" in event]
    ids += [item["id"] for item in found[-1]["response"]["output"]]
    assert len(set(ids)) == len(ids)
    assert all(400 <= len(one) <= 432 for one in ids)
    sane = wire.events(wire.respond("[[knob: sane_ids=true]]" + TWO_CALLS, stream=True))
    assert len({event["item_id"] for event in sane if "item_id" in event}) == 3
    assert sane[0]["response"]["id"] == sane[-1]["response"]["id"]
    assert sane[-1]["response"]["id"].startswith("resp_")


def test_tool_calls(wire):
    found = wire.events(wire.respond(TWO_CALLS, stream=True, tools=[TOOL, {**TOOL, "name": "list_files"}]))
    items = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in items] == ["message", "function_call", "function_call"]
    assert items[0]["phase"] == "commentary"
    assert items[1]["arguments"] == '{"path":"a]].txt"}'
    assert items[1]["call_id"].startswith("call_")
    deltas = [event for event in found if event["type"] == "response.function_call_arguments.delta"]
    assert "".join(event["delta"] for event in deltas if event["output_index"] == 1) == items[1]["arguments"]
    hidden = wire.events(wire.respond("[[knob: ciphertext_arguments=true]]" + TWO_CALLS, stream=True))
    assert not any("path" in event["delta"] for event in hidden if event["type"].endswith("arguments.delta"))
    assert (
        next(event["arguments"] for event in hidden if event["type"].endswith("arguments.done")) == '{"path":"a]].txt"}'
    )
    one = wire.respond(TWO_CALLS, tools=[TOOL], parallel_tool_calls=False).json()
    assert [item["type"] for item in one["output"]] == ["message", "function_call"]


def test_whole_answer(wire):
    body = wire.respond(
        "[[say: Good day, friend]]", "gpt-5.1", max_output_tokens=100, tools=[{**TOOL, "strict": None}, TOOL]
    ).json()
    assert list(body) == sorted(body)
    assert body["output_text"] is None
    assert not {"store", "error", "metadata"} & set(body)
    assert body["reasoning"] == {"effort": "none", "summary": None}
    assert body["tools"][0]["strict"] is True
    assert body["tools"][0]["parameters"]["additionalProperties"] is False
    assert body["tools"][1] == TOOL
    assert body["max_output_tokens"] == 100
    item = body["output"][0]
    assert "phase" not in item
    assert item["content"] == [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Good day, friend"}]
    assert len(item["id"]) >= 400


def test_reasoning(wire):
    found = wire.events(wire.respond("[[think: **Plan**\n\nThen do]][[say: ok]]", stream=True, **ENCRYPTED))
    names = kinds(found)
    part = [
        "response.reasoning_summary_part.added",
        *["response.reasoning_summary_text.delta"] * 3,
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
    ]
    assert [name for name in names if "reasoning" in name] == part + part
    added, done = (event["item"] for event in found if event.get("item", {}).get("type") == "reasoning")
    assert added["summary"] == []
    assert [one["text"] for one in done["summary"]] == ["**Plan**", "Then do"]
    assert len(added["encrypted_content"]) < len(done["encrypted_content"])
    assert found[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 5
    unasked = wire.respond("[[think: Plan]]").json()["output"][0]
    assert unasked["summary"] == []
    assert "encrypted_content" not in unasked
    late = wire.events(wire.respond("[[knob: reasoning_summary=done_only]][[think: Plan]]", stream=True, **ENCRYPTED))
    assert not any("summary" in name for name in kinds(late))
    assert late[3]["item"]["summary"][0]["text"] == "Plan"


def test_encrypted_content_is_bound(wire):
    found = wire.events(wire.respond("[[think: Plan]][[say: ok]]", stream=True, **ENCRYPTED))
    added, done = (event["item"] for event in found if event.get("item", {}).get("type") == "reasoning")
    copy = found[-1]["response"]["output"][0]

    def again(item, **more):
        return wire.respond([USER, item, {"role": "assistant", "content": "ok"}, USER], **more)

    bare = {name: value for name, value in done.items() if name != "id"}
    assert again(done).status_code == 200
    assert again(bare).status_code == 200
    for wrong in ({**done, "id": copy["id"]}, added, {**done, "id": added["id"]}, {**done, "id": "rs_1"}):
        refused = error(again(wrong))
        assert (
            refused["message"].startswith("The encrypted content for item ") or "string too long" in refused["message"]
        )
    assert error(again({**done, "id": copy["id"]})) == {
        "message": f"The encrypted content for item {copy['id']} could not be verified. Reason: Encrypted content "
        "item_id did not match the target item id.",
        "code": "invalid_request_body",
    }
    assert "maximum length 64" in error(again({**done, "id": done["id"][:-9]}))["message"]
    assert "could not be verified" in error(again({**bare, "encrypted_content": "gAAAAABx"}))["message"]
    assert "not found" in error(again({"type": "reasoning", "id": done["id"], "summary": []}))["message"]
    foreign = again(done, account="ghu_test_unlimited")
    assert (foreign.status_code, foreign.text) == (401, "unauthorized\n")
    assert again(bare, account="ghu_test_unlimited").status_code == 401


def test_item_ids(wire):
    body = wire.respond(TWO_CALLS, tools=[TOOL]).json()
    message, call = body["output"][0], body["output"][1]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "x"}
    assert wire.respond([USER, message, call, result]).status_code == 200
    assert wire.respond([USER, {**message, "id": "msg_123"}, USER]).status_code == 200
    lost = {
        "code": "bad_request",
        "type": "websocket_error",
        "message": "input item ID does not belong to this connection",
    }
    assert error(wire.respond([USER, {**message, "id": "msg_unknown"}, USER])) == lost
    assert error(wire.respond([USER, {**call, "id": "fc_1"}, result])) == lost
    assert error(wire.respond([USER, message, USER], account="ghu_test_unlimited")) == lost
    assert "maximum length 64" in error(wire.respond([USER, {**message, "id": message["id"] + "A"}, USER]))["message"]
    wire.sim.config(stale_item_ids=True, stale_item_status=401)
    assert error(wire.respond([USER, message, USER]), 401) == lost


def test_rounds_and_tool_results(wire):
    prompt = {"role": "user", "content": [{"type": "input_text", "text": "[[tool: a {}]] [[next]] [[tool: b {}]]"}]}
    output = wire.respond([prompt]).json()["output"]
    given = [prompt, *output, {"type": "function_call_output", "call_id": output[0]["call_id"], "output": "A!"}]
    output = wire.respond(given).json()["output"]
    assert output[0]["name"] == "b"
    given += [
        *output,
        {
            "type": "function_call_output",
            "call_id": output[0]["call_id"],
            "output": [{"type": "input_text", "text": "B!"}],
        },
    ]
    assert wire.respond(given).json()["output"][0]["content"][0]["text"] == "The tool answered: B!"
    forced = wire.respond("do", tools=[TOOL], tool_choice={"type": "function", "name": "read_file"}).json()
    assert forced["output"][0]["arguments"] == '{"path": "sample"}'
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    shaped = wire.respond("do", text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}})
    assert shaped.json()["output"][0]["content"][0]["text"] == '{"n": 1}'
    assert "simulator" in wire.respond("Hello").json()["output"][0]["content"][0]["text"]
    assert wire.respond("[[echo]]", store=False).json()["output"][0]["content"][0]["text"] == (
        '["input", "model", "store"]'
    )


def test_pictures_need_the_vision_header(wire):
    image = {"type": "input_image", "image_url": PIXEL}
    seen = [{"role": "user", "content": [image]}]
    missing = error(wire.respond(seen))
    assert missing == {"message": "missing required Copilot-Vision-Request header for vision requests", "code": ""}
    vision = {"Copilot_Vision_Request": "true"}
    assert "image/gif, 3x2 pixels" in wire.respond(seen, header=vision).json()["output"][0]["content"][0]["text"]
    nested = [USER, CALL, {**OUTPUT, "output": [image]}]
    assert wire.respond(nested).status_code == 400
    assert wire.respond(nested, header=vision).status_code == 200


def test_ends(wire):
    short = wire.events(wire.respond("[[chunks: 40]]", stream=True, max_output_tokens=16))[-1]
    assert short["type"] == "response.incomplete"
    assert short["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert short["response"]["output"][0]["status"] == "incomplete"
    filtered = wire.events(wire.respond("[[filter]][[say: a b c d e f]]", stream=True))[-1]["response"]
    assert filtered["incomplete_details"] == {"reason": "content_filter"}
    assert filtered["output"][0]["content"][0]["text"] == "a b c"
    failed = wire.events(wire.respond("[[finish: failed]]", stream=True))[-1]
    assert failed["response"]["error"]["code"] == "server_error"
    assert wire.events(wire.respond("[[finish: cancelled]]", stream=True))[-1]["type"] == "response.cancelled"
    refused = wire.events(wire.respond("[[finish: refusal]][[say: No.]]", stream=True))
    assert {"response.refusal.delta", "response.refusal.done"} <= set(kinds(refused))
    assert refused[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    early = wire.events(wire.respond("[[cut: 4]]", stream=True))
    assert len(early) == 4


def test_errors_inside_the_stream(wire):
    prompt = "[[stream_error: server_error Oops]][[say: a b c d e f]]"
    flat = wire.events(wire.respond(prompt, stream=True))
    assert flat[-1] == {
        "type": "error",
        "sequence_number": len(flat) - 1,
        "code": "server_error",
        "message": "Oops",
        "param": None,
    }
    assert not any(name.endswith("done") for name in kinds(flat))
    nested = wire.events(wire.respond("[[knob: responses_error=nested]]" + prompt, stream=True))[-1]
    assert nested["error"] == {"code": "server_error", "message": "Oops"}
    failed = wire.events(wire.respond("[[knob: responses_error=failed]]" + prompt, stream=True))[-1]
    assert (failed["type"], failed["response"]["error"]["message"]) == ("response.failed", "Oops")
    wire.sim.fault("in_stream_error_bare", endpoint="/responses")
    assert wire.respond("hi", stream=True).content.endswith(b'"message":"Internal server error"}}')
    assert error(wire.respond(prompt), 500)["message"] == "Oops"
    wire.sim.fault("rate_limited_429", endpoint="/responses")
    assert wire.respond("hi").status_code == 429
    assert wire.respond("[[error: 503]]", stream=True).status_code == 503


def test_knobs_of_the_events(wire):
    untyped = wire.events(wire.respond("[[knob: missing_event_type=true]]", stream=True))
    assert not any("type" in event for event in untyped)
    inside = wire.events(wire.respond("[[knob: native_copilot_usage=inside]]", stream=True))[-1]
    assert "copilot_usage" not in inside
    assert "copilot_usage" in inside["response"]
    plain = wire.events(wire.respond("hi", stream=True, header={"Copilot_Integration_Id": None}))
    assert not any("obfuscation" in event for event in plain)
    less = wire.events(wire.respond("[[knob: missing_logprobs=true]]", stream=True))
    assert not any("logprobs" in event for event in less)
    older = wire.respond("[[knob: phase=false]]").json()["output"][0]
    assert "phase" not in older
    crlf = wire.respond("[[knob: framing=crlf]]", stream=True).content
    assert crlf.startswith(b"event: response.created\r\ndata: {")


def test_custom_tools_when_accepted(wire):
    custom = {
        "type": "custom",
        "name": "apply_patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
    }
    wire.sim.config(responses_by_model={"gpt-5.2": {"custom": 400, "namespace": 400}, "gpt-5-mini": {"custom": 500}})
    refused = error(wire.respond("hi", tools=[custom]))
    assert (refused["message"][:23], refused["code"]) == ("Invalid value: 'custom'", "unknown_parameter")
    assert wire.respond("hi", "gpt-5-mini", tools=[custom]).status_code == 500
    wire.sim.config(responses_by_model={"gpt-5.2": {"namespace": True}})
    prompt = '[[tool: apply_patch {"input":"*** Begin Patch"}]]'
    found = wire.events(wire.respond(prompt, stream=True, tools=[custom]))
    names = [name for name in kinds(found) if "custom" in name]
    assert names == ["response.custom_tool_call_input.delta"] * 3 + ["response.custom_tool_call_input.done"]
    item = found[-1]["response"]["output"][0]
    assert (item["type"], item["input"]) == ("custom_tool_call", "*** Begin Patch")
    result = {"type": "custom_tool_call_output", "call_id": item["call_id"], "output": "patched"}
    after = wire.respond([{"role": "user", "content": prompt}, item, result], tools=[custom]).json()
    assert after["output"][0]["content"][0]["text"] == "The tool answered: patched"
    searched = wire.events(
        wire.respond('[[tool: web_search {"query":"x"}]][[say: found]]', stream=True, tools=[{"type": "web_search"}])
    )
    assert [name for name in kinds(searched) if "web_search" in name] == [
        f"response.web_search_call.{stage}" for stage in ("in_progress", "searching", "completed")
    ]
    spaced = wire.respond("[[tool: read_file {}]]", tools=[{"type": "namespace", "name": "functions", "tools": [TOOL]}])
    assert spaced.json()["output"][0]["namespace"] == "functions"


NEWER = {"namespace": True, "additional_tools": True, "tool_search": True}
SPACE = {"type": "namespace", "name": "mcp__files", "description": "", "tools": [TOOL]}


def test_who_takes_the_newer_forms(wire):
    """Contract §7.4, §7.10: namespaces since gpt-5.5, tools among the items since gpt-5.6."""
    assert error(wire.respond("hi", tools=[SPACE]))["param"] == "tools[0].type"
    assert error(wire.respond("hi", tools=[{"type": "tool_search", "execution": "client"}]))["param"] == "tools[0].type"
    item = {"type": "additional_tools", "role": "developer", "tools": [TOOL]}
    assert error(wire.respond([item, USER]))["param"] == "input[0].type"
    wire.sim.config(responses_by_model={"gpt-5.2": NEWER})
    user = {"role": "user", "content": "[[tool: read_file {}]] [[next]] [[say: read]]"}
    call = wire.respond([item, user]).json()["output"][0]
    assert (call["type"], call["name"], call.get("namespace")) == ("function_call", "read_file", None)
    named = error(wire.respond("hi", tools=[{**TOOL, "name": "tool_search"}]))
    assert "'tool_search' is a reserved name" in named["message"]


def test_the_namespace_of_a_call_has_to_come_back(wire):
    wire.sim.config(responses_by_model={"gpt-5.2": NEWER})
    user = {"role": "user", "content": "[[tool: read_file {}]] [[next]] [[say: read]]"}
    call = wire.respond([user], tools=[SPACE]).json()["output"][0]
    assert (call["name"], call["namespace"]) == ("read_file", "mcp__files")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "text"}
    assert wire.respond([user, call, result], tools=[SPACE]).status_code == 200
    lost = {name: value for name, value in call.items() if name != "namespace"}
    assert error(wire.respond([user, lost, result], tools=[SPACE]))["message"] == (
        "Missing namespace for function_call 'read_file'."
    )


def test_the_client_searches_for_tools(wire):
    """Contract §7.5.8, §7.10: a call whose arguments are an object; what was found can be called from then on."""
    wire.sim.config(responses_by_model={"gpt-5.2": {"tool_search": True}})
    wire.sim.config(catalogue={"patch": {"gpt-5.2": {"capabilities": {"supports": {"tool_search": True}}}}})
    search = [{"type": "tool_search", "execution": "client", "parameters": {"type": "object", "properties": {}}}]
    steps = ['[[tool: tool_search {"query":"files"}]]', "[[tool: read_file {}]]", "[[say: done]]"]
    user = {"role": "user", "content": " [[next]] ".join(steps)}
    found = wire.events(wire.respond([user], tools=search, stream=True))
    call = next(event["item"] for event in found if event["type"] == "response.output_item.done")
    assert (call["type"], call["execution"], call["arguments"]) == ("tool_search_call", "client", {"query": "files"})
    loaded = {"type": "tool_search_output", "execution": "client", "call_id": call["call_id"], "status": "completed"}
    loaded["tools"] = [{**TOOL, "defer_loading": True}]
    second = wire.respond([user, call, loaded], tools=search).json()["output"][0]
    assert (second["type"], second["name"], second["namespace"]) == ("function_call", "read_file", "read_file")


def test_a_result_without_a_call_is_taken_by_some(wire):
    event = {"type": "function_call_output", "name": "watch", "namespace": "files", "output": "a.txt has changed"}
    assert wire.respond([event, USER]).status_code == 200
    assert error(wire.respond([event, USER], "gpt-5-mini"))["message"] == "Function call output requires call_id"


def test_a_model_with_web_search_searches_by_itself(wire):
    search = [{"type": "web_search"}]
    whole = wire.respond("Kites", tools=search, tool_choice="required").json()
    call, message = whole["output"]
    assert (call["type"], call["action"]) == ("web_search_call", {"type": "search", "query": "Kites"})
    part = message["content"][0]
    links = [part["text"][note["start_index"] : note["end_index"]] for note in part["annotations"]]
    assert [f"([{note['title']}]({note['url']}))" for note in part["annotations"]] == links
    assert len(links) == 2
    found = wire.events(wire.respond("[[say: One. ([A](https://a.test/))]]", tools=search, stream=True))
    added = [event["annotation"]["url"] for event in found if event["type"].endswith("annotation.added")]
    assert added == ["https://a.test/"]
    without: tuple[dict[str, Any], ...] = ({"tool_choice": "none"}, {"tools": []})
    for options in without:
        plain = wire.respond("Kites", **{"tools": search, **options}).json()
        assert [item["type"] for item in plain["output"]] == ["message"]


def test_compaction(wire):
    wanted = [{"type": "compaction", "compact_threshold": 50}]
    found = wire.events(wire.respond("x" * 400, "gpt-5.4", stream=True, context_management=wanted))
    item = next(event["item"] for event in found if event.get("item", {}).get("type") == "compaction")
    assert wire.respond([item, USER], "gpt-5.4").status_code == 200
    assert wire.respond([{**item, "encrypted_content": "x"}, USER], "gpt-5.4").status_code == 400
    assert error(wire.respond("hi", context_management=wanted))["param"] == "context_management"


def test_usage_and_billing(wire):
    prompt = "[[knob: cached_tokens=4]][[knob: reasoning_tokens=9]][[say: Hi]]"
    usage = wire.respond(prompt).json()["usage"]
    same = wire.chat(prompt, "gpt-5.2").json()["usage"]
    assert usage == {
        "input_tokens": same["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": same["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 9},
        "total_tokens": same["total_tokens"],
    }
    assert same["prompt_tokens_details"]["cached_tokens"] == 4
    answer = wire.respond("hi", header={"X_Initiator": "agent"})
    assert "x-quota-snapshot-premium_interactions" in answer.headers
    state = wire.sim.state()
    assert (state["responses"], state["ledger"]["user_requests"], state["ledger"]["agent_requests"]) == (2, 2, 1)
    assert wire.respond("hi", account="ghu_test_exhausted").status_code == 402


def test_endpoint_enforcement(wire):
    assert error(wire.respond("hi", "gpt-4.1")) == {
        "message": 'model "gpt-4.1" is not accessible via the /responses endpoint',
        "code": "unsupported_api_for_model",
    }
    wire.sim.config(unsupported_api_variant="no_endpoints")
    assert error(wire.respond("hi", "claude-sonnet-4.5"))["message"] == (
        "no model endpoints available given user constraints"
    )
    for path in ("/responses/compact", "/responses/input_tokens", "/responses/resp_1/cancel"):
        assert wire.post(path, {}).status_code == 404
    upgrade = wire.session.get(wire.sim.capi + "/responses", headers=wire.headers())
    assert upgrade.status_code == 405
    long = error(wire.respond("x" * 1_100_000))
    assert long["code"] == "model_max_prompt_tokens_exceeded"


STORE = (
    '{"error":{"message":"store is not supported","code":"unsupported_value","param":"store","type":'
    '"invalid_request_error"}}\n'
)
IMAGES = (
    '{"error":{"message":"The requested tool image_generation is not supported.","code":"unsupported_value",'
    '"param":"tools","type":"invalid_request_error"}}\n'
)
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"store": True}, STORE),
        ({"previous_response_id": "resp_1"}, "previous_response_id is not supported"),
        ({"service_tier": "auto"}, "service_tier is not supported"),
        ({"background": True}, "background is not supported"),
        ({"stream_options": {"include_usage": True}}, "stream_options is not supported"),
        ({"conversation": "conv_1"}, "conversation is not supported"),
        ({"client_metadata": {}}, "Unknown parameter: 'client_metadata'."),
        ({"max_tokens": 100}, "Unknown parameter: 'max_tokens'."),
        ({"reasoning": {"effort": "low", "mode": "x"}}, "Unknown parameter: 'reasoning.mode'."),
        ({"reasoning": {"context": "no_turns"}}, "Invalid value: 'no_turns'"),
        ({"max_output_tokens": 15}, "Expected a value >= 16, but got 15 instead."),
        ({"max_output_tokens": 999999}, "Expected a value <= 128000"),
        ({"temperature": 0.2}, "'temperature' is not supported with this model"),
        ({"top_p": 0.5}, "'top_p' is not supported with this model"),
        ({"include": ["everything"]}, "Invalid value: 'everything'"),
        ({"truncation": "middle"}, "Invalid value: 'middle'"),
        ({"reasoning": {"summary": "verbose"}}, "Invalid value: 'verbose'"),
        ({"text": {"verbosity": "loud"}}, "'loud' is not supported"),
        (
            {"text": {"format": {"type": "json_schema", "schema": OPEN}}},
            "Missing required parameter: 'text.format.name'",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": OPEN, "strict": True}}},
            "'additionalProperties' is required",
        ),
        ({"prompt_cache_key": "k" * 65}, "maximum length 64"),
        ({"metadata": {"a": 1}}, "Invalid 'metadata'"),
        ({"tools": [TOOL] * 129}, "maximum length 128"),
        ({"tools": [{"type": "image_generation"}]}, IMAGES),
        ({"tools": [{"type": "local_shell"}]}, "The requested tool local_shell is not supported."),
        ({"tools": [{"type": "mcp"}]}, "The requested tool mcp is not supported."),
        ({"tools": [{"type": "web_search_2030"}]}, "The use of the web search tool is not supported."),
        ({"tools": [{"type": "namespace", "name": "functions", "tools": [TOOL]}]}, "Invalid value: 'namespace'"),
        ({"tools": [{"type": "tool_search"}]}, "Invalid value: 'tool_search'"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "Missing required parameter: 'tools[0].name'."),
        ({"tools": [{**TOOL, "name": "a.b"}]}, "does not match pattern"),
        ({"tools": [{**TOOL, "cache_control": {}}]}, "Unknown parameter: 'tools[0].cache_control'."),
        ({"tools": [{**TOOL, "parameters": {}}]}, "schema must be a JSON Schema of 'type: \"object\"'"),
        ({"tools": [{**TOOL, "strict": True, "parameters": OPEN}]}, "Invalid schema for function 'read_file'"),
        ({"tool_choice": "required"}, "only allowed when 'tools' are specified"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "other"}}, "'other' not found in 'tools'"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "read_file"}}},
            "tool_choice.function",
        ),
        ({"input": []}, "Invalid 'input'"),
        ({"input": None}, "Missing required parameter: 'input'."),
        ({"input": [USER, CALL]}, "No tool output found for function call call_1."),
        ({"input": [USER, OUTPUT]}, "No tool call found for function call output with call_id call_1."),
        ({"input": [USER, OUTPUT, CALL]}, "No tool call found"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "Invalid value: 'text'."),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}, USER]},
            "Supported values are: 'output_text', 'refusal'.",
        ),
        ({"input": [{**USER, "cache_control": {}}]}, "Unknown parameter: 'input[0].cache_control'."),
        ({"input": [{"role": "tool", "content": "x"}]}, "Invalid value: 'tool'."),
        ({"input": [USER, {"type": "item_reference", "id": "rs_1"}]}, "Item with id 'rs_1' not found."),
        (
            {"input": [USER, {"type": "additional_tools", "role": "developer", "tools": []}]},
            "Invalid value: 'additional_tools'",
        ),
        ({"input": [USER, {**CALL, "type": "shell_call"}]}, "Invalid value: 'shell_call'"),
        ({"input": [USER, {**CALL, "call_id": "c" * 65}, {**OUTPUT, "call_id": "c" * 65}]}, "maximum length 64"),
        ({"input": [USER, CALL, {**OUTPUT, "output": {"a": 1}}]}, "Invalid type for 'input[2].output'"),
        ({"input": [{**USER, "phase": "middle"}]}, "Invalid value: 'middle'"),
        ({"stream": "yes"}, "Invalid type for 'stream'"),
    ],
)
def test_refusals(wire, fields, word):
    answer = wire.post("/responses", {"model": "gpt-5.2", "input": "hi", **fields})
    refused = error(answer)
    assert word in (answer.text if word[0] == "{" else refused["message"])
    assert wire.sim.ledger()["user_requests"] == 0


EFFORTS = {
    "gpt-5.4": "none low medium high xhigh",
    "gpt-5.3-codex": "none low medium high xhigh",
    "gpt-5-mini": "minimal low medium high",
    "gpt-5.6-luna": "none low medium high xhigh max",
    "grok-4.5": "minimal low medium high xhigh",
}


@pytest.mark.parametrize("model", EFFORTS)
def test_effort_matrix(wire, model):
    wire.sim.catalogue(
        add=[
            {
                "id": "gpt-5.6-luna",
                "name": "Luna",
                "vendor": "OpenAI",
                "version": "gpt-5.6-luna",
                "supported_endpoints": ["/responses"],
                "capabilities": {"type": "chat"},
            }
        ],
        patch={"grok-4.5": {"policy": {"state": "enabled"}}},
    )
    accepted = EFFORTS[model].split()
    for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max"):
        answer = wire.respond("hi", model, reasoning={"effort": effort})
        assert (answer.status_code == 200) == (effort in accepted), effort
    assert wire.respond("hi", model).status_code == 200
    if "none" in accepted:
        refused = error(wire.respond("hi", model, reasoning={"effort": "minimal"}))
        assert refused["message"].startswith(
            f"Unsupported value: 'minimal' is not supported with the '{model}' model. "
            "Supported values are: 'none', 'low', "
        )


def test_everything_the_official_client_sends_is_accepted(wire):
    body = {
        "model": "gpt-5.4",
        "stream": True,
        "tools": [TOOL],
        "max_output_tokens": 128000,
        "tool_choice": "auto",
        "input": [
            {"role": "system", "content": [{"type": "input_text", "text": "You are a coding agent."}]},
            USER,
            {
                "role": "assistant",
                "type": "message",
                "id": "msg_123",
                "status": "completed",
                "phase": "commentary",
                "content": [{"type": "output_text", "text": "Listing.", "annotations": []}],
            },
            CALL,
            OUTPUT,
        ],
        "store": False,
        "text": {"verbosity": "low"},
        "truncation": "disabled",
        "reasoning": {"effort": "medium", "summary": "detailed"},
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0f0e:gpt",
        "context_management": [{"type": "compaction", "compact_threshold": 244800}],
    }
    assert kinds(wire.events(wire.post("/responses", body)))[-1] == "response.completed"
