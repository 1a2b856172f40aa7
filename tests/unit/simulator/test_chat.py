"""The vendors' dialects and the request checks of ``/chat/completions`` (contract §6, §13.6)."""

import json

import pytest

TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}
TWO_CALLS = 'Go. [[say: Reading it now.]][[tool: read_file {"path":"a]].txt"}]] [[tool: list_files]]'


def chunks(frames):
    assert frames[-1] == "[DONE]"
    return [json.loads(frame) for frame in frames[:-1]]


def deltas(found):
    return [choice["delta"] for chunk in found for choice in chunk["choices"] or []]


def text(found):
    return "".join(delta.get("content") or "" for delta in deltas(found))


def finish(found):
    return [
        choice["finish_reason"] for chunk in found for choice in chunk["choices"] or [] if choice.get("finish_reason")
    ]


def test_openai_text_stream(wire):
    frames = wire.stream("[[say: Hi there, how are you doing?]]")
    found = chunks(frames)
    assert frames[0].startswith('{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[')
    assert frames[1].startswith(
        '{"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":'
        '"assistant"},"finish_reason":null,"index":0,"logprobs":null}],"created":'
    )
    assert text(found) == "Hi there, how are you doing?"
    assert len(found) >= 8
    assert found[-2]["choices"][0]["delta"] == {}
    assert finish(found) == ["stop"]
    assert found[-1]["choices"] == []
    usage = found[-1]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert {chunk["model"] for chunk in found[1:]} == {"gpt-4.1-2025-04-14"}
    assert all(chunk["usage"] is None for chunk in found[1:-1])


def test_openai_tool_stream(wire):
    found = chunks(wire.stream(TWO_CALLS))
    assert text(found) == "Reading it now."
    calls = [delta["tool_calls"][0] for delta in deltas(found) if "tool_calls" in delta]
    assert calls[0]["function"] == {"arguments": "", "name": "read_file"}
    assert calls[0]["id"].startswith("call_")
    assert [call["index"] for call in calls if "id" in call] == [0, 1]
    assert "".join(call["function"]["arguments"] for call in calls if call["index"] == 0) == '{"path":"a]].txt"}'
    assert all(call.keys() == {"function", "index"} for call in calls if "id" not in call)
    assert finish(found) == ["tool_calls"]


def test_openai_2024_stream(wire):
    frames = wire.stream("[[knob: dialect=openai-2024]][[say: one two three four five]]")
    assert frames[0].startswith(
        '{"choices":[],"created":0,"id":"","prompt_filter_results":[{"content_filter_results":{'
        '"error":{"code":"","message":""},'
    )
    found = chunks(frames)
    assert all(set(chunk) == {"choices", "created", "id"} for chunk in found[1:])
    assert found[2]["choices"][0]["delta"] == {"content": "one", "role": None}
    assert list(found[2]["choices"][0]) == ["index", "content_filter_offsets", "content_filter_results", "delta"]
    assert found[-1]["choices"][0]["delta"] == {"content": None, "role": None}


def test_claude_stream(wire):
    frames = wire.stream(TWO_CALLS, "claude-sonnet-4.5")
    found = chunks(frames)
    assert frames[0].startswith('{"choices":[{"index":0,"delta":{"content":"Rea","role":"assistant"}}],"created":')
    assert '"severity":"0"' in frames[1]
    calls = [delta["tool_calls"][0] for delta in deltas(found) if "tool_calls" in delta]
    assert [call["index"] for call in calls] == [0] * len(calls)
    openers = [call for call in calls if "id" in call]
    assert len(openers) == 2
    assert all("arguments" not in call["function"] for call in openers)
    assert openers[0]["id"].startswith("toolu_bdrk_")
    assert calls[1]["function"] == {"arguments": ""}
    assert found[-1]["choices"] == [{"finish_reason": "tool_calls", "index": 0, "delta": {"content": None}}]
    assert list(found[-1]) == ["choices", "created", "id", "usage", "model", "copilot_usage"]
    assert "object" not in found[0]


def test_claude_whole_answer_is_spread(wire):
    body = wire.chat(TWO_CALLS, "claude-sonnet-4.5").json()
    assert [choice["index"] for choice in body["choices"]] == [0, 0, 0]
    assert body["choices"][0]["message"] == {"content": "Reading it now.", "role": "assistant"}
    assert [len(choice["message"].get("tool_calls", [])) for choice in body["choices"]] == [0, 1, 1]
    assert body["id"].startswith("msg_bdrk_01")
    wire.sim.config(multi_choice="other_index")
    other = wire.chat(TWO_CALLS, "claude-sonnet-4.5").json()
    assert [choice["index"] for choice in other["choices"]] == [0, 1, 2]
    both = [chunk for chunk in chunks(wire.stream(TWO_CALLS, "claude-sonnet-4.5")) if len(chunk["choices"]) == 2]
    assert [choice["index"] for choice in both[0]["choices"]] == [0, 1]


def test_openai_whole_answer(wire):
    body = wire.chat("[[say: Hi there]]").json()
    assert "object" not in body
    assert "created" not in body
    assert "padding" in body["choices"][0]["message"]
    assert body["model"] == "gpt-4.1-2025-04-14"
    called = wire.chat("[[tool: read_file {}]]").json()["choices"][0]
    assert "content" not in called["message"]
    assert called["content_filter_results"] == {}
    assert called["finish_reason"] == "tool_calls"


def test_gemini_wants_its_signature_back(wire):
    model, prompt = "gemini-3-pro-preview", 'Read. [[tool: read_file {"path":"a"}]]'
    found = chunks(wire.stream(prompt, model))
    delta = deltas(found)[0]
    call = delta["tool_calls"][0]
    assert call["function"]["arguments"] == '{"path":"a"}'
    assert call["function"]["thought_signature"] == delta["reasoning_opaque"]
    call["function"].pop("thought_signature")
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    messages = [
        {"role": "user", "content": prompt},
        answer,
        {"role": "tool", "tool_call_id": call["id"], "content": "file text"},
    ]
    refused = wire.chat(messages, model)
    assert refused.status_code == 400
    assert "missing a thought_signature" in refused.json()["error"]["message"]
    answer["reasoning_opaque"] = delta["reasoning_opaque"] + "x"
    assert wire.chat(messages, model).status_code == 400
    answer["reasoning_opaque"] = delta["reasoning_opaque"]
    done = wire.chat(messages, model).json()
    assert done["choices"][0]["message"]["content"] == "The tool answered: file text"


@pytest.mark.parametrize(
    ("mode", "keys"),
    [
        ("own_chunk", ("reasoning_text", "reasoning_opaque")),
        ("split", ("reasoning_text", "reasoning_opaque")),
        ("with_last_text", ("reasoning_text", "reasoning_opaque")),
        ("with_tool", ("reasoning_text", "reasoning_opaque")),
        ("azure_cot", ("cot_summary", "cot_id")),
        ("anthropic_form", ("thinking", "signature")),
    ],
)
def test_reasoning_forms(wire, mode, keys):
    found = chunks(wire.stream(f"[[knob: reasoning={mode}]][[think: I ponder deeply]][[tool: x]]", "claude-sonnet-4.5"))
    thought = [delta[keys[0]] for delta in deltas(found) if keys[0] in delta]
    assert "".join(thought) == "I ponder deeply"
    places = [number for number, delta in enumerate(deltas(found)) if keys[1] in delta]
    assert len(places) == (3 if mode == "split" else 1)
    if mode == "azure_cot":
        assert found[-1]["id"] == ""
    if mode == "with_tool":
        assert "tool_calls" in deltas(found)[places[0]]


def test_rounds_and_defaults(wire):
    prompt = "[[tool: a {}]] [[next]] [[tool: b {}]]"
    first = wire.chat(prompt, tools=[TOOL]).json()["choices"][0]["message"]["tool_calls"][0]
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "tool_calls": [first]},
        {"role": "tool", "tool_call_id": first["id"], "content": "A!"},
    ]
    second = wire.chat(messages).json()["choices"][0]["message"]["tool_calls"][0]
    assert second["function"]["name"] == "b"
    messages += [
        {"role": "assistant", "tool_calls": [second]},
        {"role": "tool", "tool_call_id": second["id"], "content": "B!"},
    ]
    assert "B!" in wire.chat(messages).json()["choices"][0]["message"]["content"]
    chosen = wire.chat("do it", tools=[TOOL], tool_choice="required").json()["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(chosen["function"]["arguments"]) == {"path": "sample"}


def test_small_talk_in_the_language_of_the_prompt(wire):
    wire.session.headers["accept"] = "text/event-stream"
    assert "模拟器" in text(chunks(wire.stream("你好")))
    assert "simulator" in text(chunks(wire.stream("Hello", "gemini-3-pro-preview")))
    assert len(chunks(wire.stream("[[chunks: 300]]"))) == 304
    assert "messages" in wire.chat("[[echo]]").json()["choices"][0]["message"]["content"]
    many = chunks(wire.stream("[[say: a b c d e]]", n=2))
    assert finish(many) == ["stop", "stop"]


BASE = [{"role": "user", "content": "hi"}]
CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "x", "arguments": "{}"}}],
}


@pytest.mark.parametrize(
    ("model", "fields", "word"),
    [
        (
            "gpt-4.1",
            {"store": True},
            '{"error":{"message":"store is not supported","code":"unsupported_value","param":'
            '"store","type":"invalid_request_error"}}\n',
        ),
        ("gpt-4.1", {"service_tier": "auto"}, "service_tier is not supported"),
        ("gpt-4.1", {"tools": [TOOL] * 129}, "maximum length 128"),
        ("gpt-4.1", {"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "does not match pattern"),
        ("gpt-4.1", {"prediction": {"type": "content", "content": ""}}, "prediction"),
        ("gpt-4.1", {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "x"}]}, "must be a response"),
        ("gpt-4.1", {"messages": [*BASE, CALL, *BASE]}, "call_1"),
        ("claude-sonnet-4.5", {"messages": [*BASE, CALL, *BASE]}, "tool_use ids were found without tool_result blocks"),
        ("claude-sonnet-4.5", {"messages": [{"role": "user", "content": ""}]}, "text content blocks must be non-empty"),
        (
            "claude-sonnet-4.5",
            {"messages": [*BASE, {"role": "assistant", "content": "x", "padding": "abc"}, *BASE]},
            "Extra inputs are not permitted",
        ),
        ("claude-sonnet-4.5", {"messages": [{"role": "developer", "content": "x"}, *BASE]}, "developer"),
        (
            "claude-sonnet-4.5",
            {"messages": [*BASE, {"role": "assistant", "content": "x", "reasoning_opaque": "forged"}, *BASE]},
            "Invalid `signature`",
        ),
        ("gpt-5-mini", {"reasoning_effort": "xhigh"}, "'xhigh' is not supported with the 'gpt-5-mini' model"),
        ("gpt-4.1", {"max_tokens": 0}, "max_tokens"),
        ("gpt-4.1", {"messages": []}, "non-empty array"),
    ],
)
def test_refusals(wire, model, fields, word):
    answer = (
        wire.chat(BASE, model, **{"header": {}, **{k: v for k, v in fields.items() if k != "messages"}})
        if "messages" not in fields
        else wire.chat(fields["messages"], model)
    )
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert word in (answer.json()["error"]["message"] if word[0] != "{" else answer.text)
    assert wire.sim.ledger()["user_requests"] == 0


def test_delta_and_frame_knobs(wire):
    def first(knob, model="gpt-4.1"):
        return wire.stream(f"[[knob: {knob}]][[say: one two three four five]]", model)

    assert deltas(chunks(first("role_null=true")))[1]["role"] is None
    assert deltas(chunks(first("role_empty=true")))[1]["role"] == ""
    assert all("content" in delta for delta in deltas(chunks(first("content_null=true"))))
    assert "content" not in deltas(chunks(first("missing_content=true")))[0]
    assert "message" in chunks(first("message_instead_of_delta=true"))[1]["choices"][0]
    assert any("copilot_annotations" in delta for delta in deltas(chunks(first("annotations=true"))))
    assert json.loads(first("side_channel=true")[1])["choices"] is None
    account = chunks(first("usage_mode=own_frame_copilot_usage", "claude-sonnet-4.5"))[-1]["copilot_usage"]
    assert account["total_nano_aiu"] > 0
    assert not any(chunk.get("usage") for chunk in chunks(first("usage_mode=none")))
    assert chunks(first("usage_mode=on_finish"))[-1]["choices"][0]["finish_reason"] == "stop"
    assert first("missing_done=true")[-1] != "[DONE]"
    assert wire.chat("[[knob: done_without_newline=true]]", stream=True).content.endswith(b"data: [DONE]")
    assert b": keep-alive\n\n" in wire.chat("[[knob: comments=true]]", stream=True).content
    assert b"\r\n\r\n" in wire.chat("[[knob: framing=crlf]]", stream=True).content
    assert wire.chat("[[knob: leak=anthropic_body]]").json()["type"] == "message"
    assert wire.chat("[[knob: leak=empty_choices]]").json()["choices"] == []
    assert text(chunks(first("tcp_chunk=byte"))) == "one two three four five"
    assert wire.chat("[[knob: unchunked=true]]", stream=True).headers.get("transfer-encoding") is None
    assert wire.chat("[[knob: nonsense=1]]").status_code == 400


def test_legacy_function_call(wire):
    found = chunks(wire.stream('[[tool: get_weather {"a":1}]]', functions=[{"name": "get_weather"}]))
    calls = [delta["function_call"] for delta in deltas(found) if "function_call" in delta]
    assert calls[0] == {"arguments": "", "name": "get_weather"}
    assert "".join(call["arguments"] for call in calls) == '{"a":1}'
    assert finish(found) == ["function_call"]
