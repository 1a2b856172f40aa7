"""The laws of conversion rules §8, over every fixture and all nine pairs of client and upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import message_create_params as messages_params
from anthropic.types.beta import message_create_params as beta_messages_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params as responses_params

from app.converters.exchange import Exchange
from app.converters.neutral import events as ev
from app.converters.neutral import vocabulary as ir
from app.converters.neutral.conversation import pair_tools, valid_name
from app.converters.neutral.losses import Losses
from app.converters.registry import CLIENTS, UPSTREAMS
from app.errors import GatewayError
from tests.support import grammar
from tests.support.effort import places_to_cut
from tests.support.exchanges import (
    MODELS,
    PAIRS,
    PROTOCOLS,
    answer_of,
    answering,
    cases,
    exchange_between,
    is_carried,
    limits_of,
    request_of,
    requests,
    sent,
    stream_of,
    streamed,
    transformed,
    whole,
)
from tests.support.identities import identity_of
from tests.support.rows import rows

Json = dict[str, Any]

NATIVE_ONLY = ("refused_n", "unanswered_call")
"""What passes natively, for upstream to judge; no codec converts it."""

REQUEST_PATHS = [
    (client, upstream, case)
    for client, upstream in PAIRS
    for case in requests(client)
    if case not in NATIVE_ONLY and is_carried(client, upstream, case)
]
CHAT_PDF = ("chat", "document")
"""Natively it passes; the codec knows that chat upstreams take no documents."""

REQUESTS = [
    (client, case) for client, upstream, case in REQUEST_PATHS if client == upstream and (client, case) != CHAT_PDF
]
ANSWERS = [(upstream, case) for upstream in PROTOCOLS for case in cases(upstream)]
ANSWER_PATHS = [(client, upstream, case) for client, upstream in PAIRS for case in cases(upstream)]

CUTS = 300
"""How many places a long stream is cut at in `make fuzz`; a shorter one at every byte."""


def decoded(client: str, case: str) -> ir.Request:
    return CLIENTS[client].decode_request(request_of(client, case))


def encoded(request: ir.Request, upstream: str) -> Json:
    """What upstream gets, as JSON makes it."""
    body = UPSTREAMS[upstream].encode_request(request, limits_of(MODELS[upstream][0]), Losses())
    found: Json = json.loads(json.dumps(body))
    return found


def stream_exchange(client: str, upstream: str, case: str) -> Exchange:
    return answering(client, upstream, streamed(client, request_of(client, case)))


def upstream_frames(upstream: str, case: str) -> list[bytes]:
    pieces = stream_of(upstream, case).split(b"\n\n")
    return [piece + b"\n\n" for piece in pieces if piece.strip()]


# -- round trip ------------------------------------------------------------------------------------------------------


@rows("protocol")
@pytest.mark.parametrize(("protocol", "case"), REQUESTS)
def test_a_request_survives_the_round_trip(protocol: str, case: str) -> None:
    """decode(encode(x)) == x, where x is what an encoder of this protocol makes: the rest is set right once."""
    codec = CLIENTS[protocol]
    once = encoded(decoded(protocol, case), protocol)
    request = codec.decode_request(once)
    assert encoded(request, protocol) == once
    assert codec.decode_request(encoded(request, protocol)) == request


@rows("protocol")
@pytest.mark.parametrize(("protocol", "case"), ANSWERS)
def test_an_answer_survives_the_round_trip(protocol: str, case: str) -> None:
    client, upstream = CLIENTS[protocol], UPSTREAMS[protocol]
    response = upstream.decode_response(json.loads(answer_of(protocol, case)))
    request, identity = ir.Request(model=response.model), identity_of(response.model)
    once = client.encode_response(response, request, identity)
    again = upstream.decode_response(json.loads(json.dumps(once)))
    assert client.encode_response(again, request, identity) == once
    assert (_said(again), again.finish_reason) == (_said(response), response.finish_reason)


def _said(response: ir.Response) -> list[tuple[Any, ...]]:
    """What an answer says; words of refusal are text in a protocol that has no place for them."""
    told: list[tuple[Any, ...]] = []
    for part in response.parts:
        match part:
            case ir.Text() | ir.Refusal():
                told.append(("text", part.text))
            case ir.Reasoning():
                told.append(("thought", part.text, part.signature, part.origin))
            case ir.ToolCall():
                told.append(("call", part.call_id, part.name, part.arguments or "{}"))
    return told


# -- stream equals whole ---------------------------------------------------------------------------------------------


@rows("upstream")
@pytest.mark.parametrize(("upstream", "case"), ANSWERS)
def test_stream_equals_whole(upstream: str, case: str) -> None:
    codec = UPSTREAMS[upstream]
    decoder = codec.decode_stream()
    told = [*decoder.feed_bytes(stream_of(upstream, case)), *decoder.finish()]
    ev.check(told)
    from_stream = ev.accumulate(told)
    from_whole = codec.decode_response(json.loads(answer_of(upstream, case)))
    assert from_stream.parts == from_whole.parts
    assert (from_stream.finish_reason, from_stream.stop_sequence, from_stream.usage) == (
        from_whole.finish_reason,
        from_whole.stop_sequence,
        from_whole.usage,
    )
    if upstream != "responses":  # whose ids are new in every event (contract §7.6)
        assert from_stream == from_whole


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), ANSWER_PATHS)
def test_the_client_gets_the_same_streamed_and_whole(client: str, upstream: str, case: str) -> None:
    in_one_piece = answering(client, upstream, whole(request_of(client, case))).whole(answer_of(upstream, case))
    exchange = stream_exchange(client, upstream, case)
    exploded = exchange.whole_as_stream(answer_of(upstream, case))
    is_native = client == upstream
    wanted = essence(client, json.loads(in_one_piece))
    for raw in (transformed(exchange, stream_of(upstream, case)), exploded):
        assert essence(client, grammar.read(client, raw, is_native=is_native).answer) == wanted


def essence(client: str, answer: Json) -> Json:
    """A whole answer without what may differ between two answers of the same content."""
    found = json.loads(json.dumps(answer))
    if client == "responses":
        # Where upstream's ids are new in every event, so are those that are made of them.
        for item in found["output"]:
            item.pop("id")
        return {name: found[name] for name in ("status", "incomplete_details", "output", "usage", "model", "error")}
    if client == "messages":
        for block in found["content"]:
            if block["type"] == "tool_use" and (block["input"] is None or "_raw_arguments" in block["input"]):
                block["input"] = "torn"
        return {name: value for name, value in found.items() if name not in ("id", "context_management")}
    found.pop("id")
    found.pop("prompt_filter_results", None)
    for choice in found["choices"]:
        message = choice["message"]
        # The filters tell of a stream piece by piece.
        choice.pop("content_filter_results", None)
        # `content: null` and `content: ""` say the same; a stream has only the latter.
        choice["message"] = {name: value for name, value in message.items() if value not in (None, "")}
    return {name: value for name, value in found.items() if name != "object"}


def test_chat_clients_get_usage_exactly_if_they_ask() -> None:
    for upstream in PROTOCOLS:
        for asks in (False, True):
            body = streamed("chat", request_of("chat", "text"), asks_for_usage=asks)
            raw = transformed(answering("chat", upstream, body), stream_of(upstream, "text"))
            assert ("usage" in grammar.read("chat", raw, is_native=upstream == "chat").answer) is asks


# -- usage -----------------------------------------------------------------------------------------------------------


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), ANSWER_PATHS)
def test_usage_says_the_same_in_every_dialect(client: str, upstream: str, case: str) -> None:
    """Input with and without its cached share, output with its thoughts: converted there and back."""
    codec = UPSTREAMS[upstream]
    wanted = codec.decode_response(json.loads(answer_of(upstream, case))).usage
    answer = answering(client, upstream, whole(request_of(client, case))).whole(answer_of(upstream, case))
    found = UPSTREAMS[client].decode_response(json.loads(answer)).usage
    assert wanted is not None
    assert found is not None
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        assert getattr(found, name) == getattr(wanted, name)
    for name in ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens"):
        assert (getattr(found, name) or 0) == (getattr(wanted, name) or 0)


# -- cuts ------------------------------------------------------------------------------------------------------------


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), ANSWER_PATHS)
def test_the_same_bytes_wherever_upstream_cuts(client: str, upstream: str, case: str) -> None:
    exchange, raw = stream_exchange(client, upstream, case), stream_of(upstream, case)
    uncut = transformed(exchange, raw)
    for at in places_to_cut(raw, CUTS, seed=f"{client}-{upstream}-{case}"):
        assert transformed(exchange, raw, (at,)) == uncut, f"cut at {at}"
    single = exchange.transformer()
    assert b"".join(single.feed(raw[at : at + 1]) for at in range(len(raw))) + single.finish() == uncut


@rows()
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_any_line_ending(client: str, upstream: str, ending: bytes) -> None:
    for case in ("text", "tool_parallel", "thinking"):
        exchange, raw = stream_exchange(client, upstream, case), stream_of(upstream, case)
        assert transformed(exchange, raw.replace(b"\n", ending)) == transformed(exchange, raw)


# -- prefix stability ------------------------------------------------------------------------------------------------

CONVERSATION = {"chat": "messages", "messages": "messages", "responses": "input"}


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), [path for path in REQUEST_PATHS if path[2] != "prefill"])
def test_a_turn_more_changes_nothing_of_the_turns_before(client: str, upstream: str, case: str) -> None:
    """The provider's prompt cache lives by it. The turn more is upstream's answer, results of its calls, a question."""
    body = _listed(client, request_of(client, case))
    short = _sent(client, upstream, body)
    exchange = exchange_between(client, upstream, whole(body))
    exchange.payload()
    # An answer without a word is no turn at all.
    name = case if case in cases(upstream) and case != "empty_answer" else "thinking"
    turns = _turn(client, json.loads(exchange.whole(answer_of(upstream, name))))
    long = _sent(client, upstream, {**body, CONVERSATION[client]: [*body[CONVERSATION[client]], *turns]})
    earlier, later = short.pop(CONVERSATION[upstream]), long.pop(CONVERSATION[upstream])
    assert later[: len(earlier)] == earlier
    assert len(later) > len(earlier)
    for name in ("system", "instructions", "tools", "tool_choice", "model"):
        assert long.get(name) == short.get(name)


def _sent(client: str, upstream: str, body: Json) -> Json:
    return _listed(upstream, sent(exchange_between(client, upstream, body)))


def _listed(client: str, body: Json) -> Json:
    if isinstance(body[CONVERSATION[client]], str):
        body[CONVERSATION[client]] = [{"role": "user", "content": body[CONVERSATION[client]]}]
    return body


def _turn(client: str, answer: Json) -> list[Json]:
    """What a client says next: the answer as it came, a result for each call, one more question."""
    if client == "chat":
        message = {k: v for k, v in answer["choices"][0]["message"].items() if v is not None}
        calls = message.get("tool_calls", [])
        results: list[Json] = [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in calls]
        if "function_call" in message:
            results = [{"role": "function", "name": message["function_call"]["name"], "content": "done"}]
        return [message, *results, {"role": "user", "content": "And then?"}]
    if client == "messages":
        blocks = [{"type": "text", "text": "And then?"}]
        calls = [block for block in answer["content"] if block["type"] == "tool_use"]
        made = [{"type": "tool_result", "tool_use_id": call["id"], "content": "done"} for call in calls]
        said = answer["content"] or [{"type": "text", "text": "(nothing)"}]
        return [{"role": "assistant", "content": said}, {"role": "user", "content": [*made, *blocks]}]
    calls = [item for item in answer["output"] if item["type"] in ("function_call", "custom_tool_call")]
    made = [{"type": f"{call['type']}_output", "call_id": call["call_id"], "output": "done"} for call in calls]
    return [*answer["output"], *made, {"role": "user", "content": "And then?"}]


# -- nothing is lost on the way there --------------------------------------------------------------------------------


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), REQUEST_PATHS)
def test_everything_that_was_said_reaches_upstream(client: str, upstream: str, case: str) -> None:
    """Every text, picture, call and result of the conversation, whatever the form; texts in their order."""
    request = decoded(client, case)
    arrived = CLIENTS[upstream].decode_request(_sent(client, upstream, request_of(client, case)))
    told, heard = _contents(request), _contents(arrived)
    assert _missing(told["texts"], heard["texts"]) == []
    for kind in ("pictures", "calls", "results"):
        assert _missing(told[kind], heard[kind]) == [], kind
    tools = {name for tool in request.tools if tool.kind != "hosted" and (name := tool.name)}
    choice = request.tool_choice
    if choice is not None and choice.mode == "allowed":
        tools &= {ref.name for ref in choice.allowed}
    assert all(any(_is_name(tool.name, name) for tool in arrived.tools) for name in tools)


def _contents(request: ir.Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"texts": [], "pictures": [], "calls": [], "results": []}
    for message in pair_tools(request.messages):
        for part in message.parts:
            _gather(part, found)
    return found


def _gather(part: Any, found: dict[str, list[str]]) -> None:
    match part:
        case ir.Text() | ir.Refusal():
            found["texts"].append(part.text.strip())
        case ir.File():
            found["texts"] += [part.text.strip()] if part.text else []
            found["pictures"] += [part.data] if part.data and not (part.media_type or "").startswith("text/") else []
            for inner in part.parts:
                _gather(inner, found)
        case ir.Image():
            found["pictures"].append(part.data or "inlined")
        case ir.ToolCall():
            found["calls"].append(_plain(part.arguments))
        case ir.ToolResult():
            found["results"].append(part.text)
            for inner in part.parts:
                if not isinstance(inner, ir.Text):
                    _gather(inner, found)


def _plain(arguments: str) -> str:
    """Arguments as text that does not depend on spaces, or on being wrapped."""
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return arguments
    if isinstance(value, dict) and len(value) == 1:
        ((name, only),) = value.items()
        value = only if name in ("input", "_raw_arguments") else value
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _missing(told: list[str], heard: list[str]) -> list[str]:
    """What was told and not heard, each thing heard counting once, in the order of the telling."""
    left, gone = list(heard), []
    for one in told:
        found = next((other for other in left if one == other or (one and one in other)), None)
        if found is None and one not in ("inlined", ""):
            gone.append(one)
        elif found == one:
            left.remove(found)
    return gone


def _is_name(wire: str, name: str) -> bool:
    return wire in (name, valid_name(name)) or wire.endswith(f"__{name}")


# -- truncation ------------------------------------------------------------------------------------------------------


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), ANSWER_PATHS)
def test_truncated_after_every_frame_it_never_looks_finished(client: str, upstream: str, case: str) -> None:
    exchange = stream_exchange(client, upstream, case)
    pieces = upstream_frames(upstream, case)
    is_native = client == upstream
    full = grammar.read(client, transformed(exchange, b"".join(pieces)), is_native=is_native)
    for count in range(_first_end(upstream, pieces)):
        told = grammar.read(client, transformed(exchange, b"".join(pieces[:count])), is_native=is_native)
        assert not told.is_finished, f"after {count} frames"
        assert told.error is not None
        assert told.error["message"]
        assert all(call in full.closed_calls for call in told.closed_calls), f"half a call after {count} frames"


def _first_end(upstream: str, pieces: list[bytes]) -> int:
    """The number of the frame that ends upstream's answer; chat's ends with its finish reason (contract §6.5)."""
    marks = {
        "chat": lambda piece: b'"finish_reason":"' in piece,
        "messages": lambda piece: b'"type":"message_stop"' in piece,
        "responses": lambda piece: piece.startswith((b"event: response.completed", b"event: response.incomplete")),
    }
    return next(at for at, piece in enumerate(pieces) if marks[upstream](piece))


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_torn_in_the_middle_of_a_frame_it_never_looks_finished(client: str, upstream: str) -> None:
    for case in ("tool_single", "thinking"):
        exchange, pieces = stream_exchange(client, upstream, case), upstream_frames(upstream, case)
        for count in range(1, _first_end(upstream, pieces)):
            raw = b"".join(pieces[:count]) + pieces[count][: len(pieces[count]) // 2]
            told = grammar.read(client, transformed(exchange, raw), is_native=client == upstream)
            assert not told.is_finished
            assert told.error is not None


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_broken_connection_ends_in_the_error_of_the_dialect(client: str, upstream: str) -> None:
    for case in ("text", "tool_parallel"):
        pieces = upstream_frames(upstream, case)
        for count in range(1, _first_end(upstream, pieces)):
            transformer = stream_exchange(client, upstream, case).transformer()
            raw = transformer.feed(b"".join(pieces[:count])) + transformer.fail(GatewayError("The line is dead."))
            told = grammar.read(client, raw, is_native=client == upstream)
            assert told.error is not None
            assert "The line is dead." in told.error["message"]
            assert transformer.finish() == b""


ERRORS = {
    "chat": b'data: {"error":{"message":"It broke","code":"server_error"}}\n\n',
    "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"It broke"}}\n\n',
    "responses": b'event: error\ndata: {"type":"error","error":{"code":"server_error","message":"It broke"}}\n\n',
}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_error_inside_the_stream_keeps_its_words(client: str, upstream: str) -> None:
    pieces = upstream_frames(upstream, "tool_single")
    for count in range(1, _first_end(upstream, pieces)):
        raw = b"".join(pieces[:count]) + ERRORS[upstream] + b"".join(pieces[count:])
        told = grammar.read(
            client, transformed(stream_exchange(client, upstream, "tool_single"), raw), is_native=client == upstream
        )
        assert told.error is not None
        assert "It broke" in told.error["message"]


# -- every field of the specs ----------------------------------------------------------------------------------------

SPECS: dict[str, tuple[Any, ...]] = {
    "chat": (
        chat_params.CompletionCreateParamsBase,
        chat_params.CompletionCreateParamsNonStreaming,
        chat_params.CompletionCreateParamsStreaming,
    ),
    "responses": (
        responses_params.ResponseCreateParamsBase,
        responses_params.ResponseCreateParamsNonStreaming,
        responses_params.ResponseCreateParamsStreaming,
    ),
    "messages": (
        messages_params.MessageCreateParamsBase,
        messages_params.MessageCreateParamsNonStreaming,
        messages_params.MessageCreateParamsStreaming,
        beta_messages_params.MessageCreateParamsBase,
        beta_messages_params.MessageCreateParamsNonStreaming,
        beta_messages_params.MessageCreateParamsStreaming,
    ),
}

NO_BODY_FIELDS = {"messages": {"betas": "the SDK sends it as the header anthropic-beta"}}

BEYOND_THE_SDK = {
    "chat": {
        "input",  # Cursor
        "copilot_skills", "copilot_thread_id", "intent", "intent_threshold", "snippy", "state",  # contract §6.1
        "thinking", "thinking_budget", "top_k",  # what clients of Claude send
    },
    "responses": {"client_metadata"},  # Codex
    "messages": {
        "anthropic_beta", "anthropic_version",  # other clouds
        "output_format", "safeguards", "temperature", "top_k", "top_p",  # older and newer SDKs
    },
}  # fmt: skip
"""Top-level fields of our tables that this SDK does not type."""


def _typed(protocol: str) -> set[str]:
    found: set[str] = set()
    for params in SPECS[protocol]:
        found |= params.__required_keys__ | params.__optional_keys__
    return found - NO_BODY_FIELDS.get(protocol, {}).keys()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_field_of_the_spec_is_accounted_for(protocol: str) -> None:
    """A new SDK with a new field fails here, by the name of the field: say in fields.py what becomes of it."""
    table = CLIENTS[protocol].fields
    assert sorted(_typed(protocol) - table.keys()) == [], f"fields.py of {protocol} does not know these fields"
    extra = {name for name in table if not set(".[") & set(name)} - _typed(protocol)
    assert extra - BEYOND_THE_SDK[protocol] == set(), "no field of the spec, and no reason given"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_carried_field_comes_back_and_is_recorded_elsewhere(protocol: str) -> None:
    codec = CLIENTS[protocol]
    given = {"context_management": {"edits": [{"type": "x"}]}, "include": ["message.output_text.logprobs"]}
    for name, field in codec.fields.items():
        if field.verdict != "carried" or set(".[") & set(name):
            continue
        request = codec.decode_request({**request_of(protocol, "text"), name: given.get(name, "auto")})
        for upstream in PROTOCOLS:
            losses = Losses()
            body = UPSTREAMS[upstream].encode_request(request, limits_of(MODELS[upstream][0]), losses)
            if upstream == protocol:
                assert name in body
            else:
                assert name in losses.names()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_dropped_field_is_recorded_and_a_refused_one_refused(protocol: str) -> None:
    codec = CLIENTS[protocol]
    for name, field in codec.fields.items():
        if set(".[") & set(name) or field.verdict not in ("dropped", "refused"):
            continue
        body = {**request_of(protocol, "text"), name: {"type": "some"}}
        if field.verdict == "refused":
            with pytest.raises(GatewayError) as caught:
                codec.decode_request(body)
            assert (caught.value.status, caught.value.param) == (400, name)
            continue
        for upstream in PROTOCOLS:
            losses = Losses()
            sent_body = UPSTREAMS[upstream].encode_request(
                codec.decode_request(body), limits_of(MODELS[upstream][0]), losses
            )
            assert name not in sent_body
            assert name in losses.names(), f"{name} of {protocol} vanishes on the way to {upstream}"
