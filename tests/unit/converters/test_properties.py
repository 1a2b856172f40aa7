"""Whatever is said, in whatever order and cut: no codec raises, no grammar breaks, no word, call or proof is lost."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.converters.exchange import Converted
from app.converters.neutral import events as ev
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import (
    Annotation,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from app.converters.registry import CLIENTS, UPSTREAMS
from app.converters.wire import json_bytes
from app.errors import GatewayError, UnsupportedFeatureError, UpstreamError, UpstreamProtocolError
from tests.support.effort import tries
from tests.support.fuzzing import BY_PROTOCOL, CATALOGUE
from tests.support.grammar import Told, read
from tests.support.identities import identity_of

Json = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

PROTOCOLS = tuple(UPSTREAMS)
each_client = pytest.mark.parametrize("client", PROTOCOLS)
each_upstream = pytest.mark.parametrize("upstream", PROTOCOLS)
hard = settings(
    max_examples=tries(60), deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

IDENTITY = identity_of("asked", created=1_760_000_000, fallback_id="fallback")
MARKED = "gwseal1:chat::x"

# A high surrogate alone: half an emoji. Never a low one, which Python, unlike JSON, would not join with it.
_nasty = st.sampled_from(
    ['"', "\\", '\\"', "\n\n", "data: [DONE]", "\u2028", "\x00", "\ud83d", "é😀", "}", '{"a":', " "]
)
words = st.lists(st.text(max_size=6) | _nasty, min_size=1, max_size=4).map("".join).filter(str.strip)
proofs = st.text("ABCab0+/=_-", min_size=4, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5) | _nasty,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=4) | _nasty, values, max_size=3)
# Of several texts for one object some have white space; "" is no arguments at all.
arguments = st.one_of(
    st.just(""),
    objects.map(lambda value: json.dumps(value)),
    objects.map(lambda value: json_bytes.dumps(value).decode()),
    objects.map(lambda value: json.dumps(value, indent=1) + "\n"),
)


# Not what a function takes, yet models write it, or are cut off in it.
odd_arguments = words.map(lambda text: "x" + text) | st.sampled_from(
    ["[1]", "null", '"a"', '{"a":', "{", " {", '{"a":1}x']
)


def pieces(draw: Draw, text: str) -> list[str]:
    """The text, cut anywhere; no piece is empty."""
    cuts = sorted(draw(st.sets(st.integers(1, max(len(text) - 1, 1)), max_size=4)))
    found = [text[start:end] for start, end in zip((0, *cuts), (*cuts, len(text)), strict=True)]
    return [piece for piece in found if piece]


def interleaved(draw: Draw, lists: list[list[Any]]) -> list[Any]:
    """One list of all, each in its own order."""
    order = draw(st.permutations([at for at, one in enumerate(lists) for _ in one]))
    rest = [iter(one) for one in lists]
    return [next(rest[at]) for at in order]


# ── what an answer says ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Said:
    """What a client reads out of an answer, whatever its dialect. calls: name and arguments text."""

    text: str = ""
    refusal: str = ""
    thought: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    proofs: str = ""


def said_of(client: str, told: Told) -> Said:
    found = Said(calls=told.closed_calls if client != "responses" else _calls_of(told.answer["output"]))
    if client == "chat":
        message = told.answer["choices"][0]["message"]
        found.text, found.refusal = message.get("content") or "", message.get("refusal") or ""
        found.thought = message.get("reasoning_content") or ""
        found.proofs = f"{message.get('reasoning_opaque')} {message.get('cot_id')}"
        assert (message.get("reasoning_text") or "") == found.thought
    elif client == "messages":
        for block in told.answer["content"]:
            found.text += block["text"] if block["type"] == "text" else ""
            found.thought += block["thinking"] if block["type"] == "thinking" else ""
            found.proofs += f" {block.get('signature')} {block.get('data')}"
    else:
        for item in told.answer["output"]:
            if item["type"] == "message":
                found.text += "".join(part.get("text", "") for part in item["content"])
                found.refusal += "".join(part.get("refusal", "") for part in item["content"])
            elif item["type"] == "reasoning":
                found.thought += "".join(part["text"] for part in item["summary"])
                found.proofs += f" {item.get('encrypted_content')}"
        assert told.answer["output_text"] == found.text
    return found


def _calls_of(output: list[Json]) -> list[tuple[str, str]]:
    """Those too that were told as incomplete, since the answer was."""
    calls = [item for item in output if item["type"].endswith("_call") and "call_id" in item]
    return [(call["name"], call["arguments"] if call["type"] == "function_call" else call["input"]) for call in calls]


def expected_call(client: str, call: ToolCall, names: dict[str, str]) -> tuple[str, str]:
    """The call as the client is to get it. names: of custom tools, which went upstream as functions."""
    is_custom = call.kind == "custom"
    text = call.arguments
    if not is_custom and names.get(call.name) == "custom":
        given = json.loads(text) if text.strip() else {}
        text, is_custom = given["input"] if isinstance(given.get("input"), str) else text, True
    if client == "messages" and is_custom:
        return call.name, json_bytes.dumps({"input": text}).decode()
    if client == "messages" and text.strip() and not text.lstrip().startswith("{"):
        return call.name, json_bytes.dumps({"_raw_arguments": text}).decode()
    return call.name, text if is_custom or text.strip() else "{}"


def check_said(client: str, parts: list[Part], found: Said, custom: dict[str, str], *, in_order: bool) -> None:
    """Everything of the parts is in what the client got. in_order: else parts may have been taken apart."""
    texts = [part.text for part in parts if isinstance(part, Text)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    if client == "messages":
        texts, refusals = [part.text for part in parts if isinstance(part, Text | Refusal)], []
    thoughts = [part.text for part in parts if isinstance(part, Reasoning)]
    told = ((texts, found.text), (refusals, found.refusal), (thoughts, found.thought))
    calls = [expected_call(client, part, custom) for part in parts if isinstance(part, ToolCall)]
    if in_order:
        for mine, theirs in told:
            # A chat client gets all of one kind in one field, where a blank line keeps apart what was told apart.
            between = "(?:\n\n)?" if client == "chat" else ""
            assert re.fullmatch(between.join(map(re.escape, mine)), theirs), (mine, theirs)
        assert found.calls == calls
    else:
        for mine, theirs in told:
            # Words that go on after others have begun stand elsewhere.
            missing, more = Counter("".join(mine)), Counter(theirs)
            assert not missing - more, (mine, theirs)
            assert set(more - missing) <= ({"\n"} if client == "chat" else set()), (mine, theirs)
        # White space behind a call that was over when another part began says nothing.
        assert Counter((name, text.strip()) for name, text in found.calls) == Counter(
            (name, text.strip()) for name, text in calls
        )
    for part in parts:
        if isinstance(part, Reasoning) and part.signature and "gwseal1:" not in part.signature:
            assert part.signature in found.proofs


# ── (a) any grammatical events, to every client ─────────────────────────────────────────────────────────────────────

CUSTOM = {"patch": "custom"}
TOOLS = (Tool("get"), Tool("patch", kind="custom"), Tool("run", namespace="box"))
REQUEST = Request(model="asked", tools=TOOLS, has_tools_field=True, include_usage=True)

_notes = st.lists(
    st.builds(Annotation, kind=st.just("url"), url=st.just("https://a.test"), title=st.none() | words), max_size=2
).map(tuple)
_inputs = words.map(lambda text: json_bytes.dumps({"input": text}).decode())
_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=words | st.just(""), annotations=_notes, phase=st.none() | st.just("commentary")),
    st.builds(Refusal, text=words),
    st.builds(
        lambda text, proof, origin: Reasoning(text, proof or None, origin if proof else None),
        words | st.just(""),
        proofs | st.just("") | st.just(MARKED),
        st.sampled_from(PROTOCOLS),
    ),
    st.builds(lambda data: Reasoning(signature=data, origin="messages", redacted=True), proofs),
    st.builds(lambda args: ToolCall("", "get", args), arguments),
    st.builds(lambda args: ToolCall("", "made_up", args), arguments | odd_arguments),
    st.builds(lambda args: ToolCall("", "patch", args), _inputs),
    st.builds(lambda args: ToolCall("", "free", args, kind="custom"), words),
    st.sampled_from(
        [
            Opaque("messages", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
            Opaque("responses", {"type": "web_search_call", "status": "completed"}),
            Opaque("chat", {"type": "odd"}),
        ]
    ),
)


def _with_ids(parts: list[Part]) -> list[Part]:
    return [
        ev.rebuilt(part, {"call_id": f"call_{at}"}) if isinstance(part, ToolCall) else part
        for at, part in enumerate(parts)
    ]


@st.composite
def event_streams(draw: Draw) -> tuple[list[Part], list[ev.Event]]:
    """Parts, and events that tell them, up to the end and without it."""
    parts = _with_ids(draw(st.lists(_parts, max_size=6)))
    told: list[ev.Event] = [ev.ResponseStart("id+/=1", "m", draw(st.none() | st.just(7)), draw(_usages))]
    for index, part in enumerate(parts):
        streams = [
            [ev.PartDelta(index, name, piece) for piece in pieces(draw, getattr(part, name) or "")]
            for name in ev.streamed_fields(part)
        ]
        told += [ev.PartStart(index, ev.opened(part)), *interleaved(draw, streams), ev.PartEnd(index, part)]
    for at in draw(st.lists(st.integers(1, len(told)), max_size=3)):
        told.insert(at, ev.Ping())
    return parts, told


_usages = st.none() | st.builds(Usage, *[st.none() | st.integers(0, 10**6)] * 5)


@st.composite
def endings(draw: Draw, parts: list[Part]) -> ev.ResponseEnd:
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    likely = ["tool_calls", "stop"] if has_calls else ["stop", "stop_sequence", "refusal", "pause"]
    reason = draw(st.sampled_from([*likely, "length", "content_filter", "context_overflow"]))
    return ev.ResponseEnd(reason, "END" if reason == "stop_sequence" else None, draw(_usages))


def encode(client: str, told: list[ev.Event]) -> bytes:
    codec = CLIENTS[client]
    encoder = codec.encode_stream(REQUEST, IDENTITY, codec.traits({"stream_options": {"include_usage": True}}))
    return b"".join(encoder.feed(event) for event in told)


@each_client
@hard
@given(data=st.data())
def test_every_grammatical_stream_reaches_the_client_whole(client: str, data: st.DataObject) -> None:
    parts, told = data.draw(event_streams())
    told.append(data.draw(endings(parts)))
    ev.check(told)
    answer = read(client, encode(client, told))
    assert answer.is_finished
    check_said(client, parts, said_of(client, answer), CUSTOM, in_order=True)


@each_client
@hard
@given(data=st.data())
def test_a_stream_that_fails_anywhere_ends_in_an_error_and_runs_no_half_call(client: str, data: st.DataObject) -> None:
    _, told = data.draw(event_streams())
    kept = told[: data.draw(st.integers(0, len(told)))]
    error = data.draw(st.sampled_from([UpstreamProtocolError("torn"), UpstreamError("no", status=529, code="x")]))
    kept.append(ev.StreamError(error))
    ev.check(kept)
    answer = read(client, encode(client, kept))
    assert answer.error
    assert not answer.is_finished
    ended = [event.part for event in kept if isinstance(event, ev.PartEnd)]
    whole = [expected_call(client, part, CUSTOM) for part in ended if isinstance(part, ToolCall)]
    assert not Counter(answer.closed_calls) - Counter(whole)


# ── (b) any upstream stream, in any cut, to every client ────────────────────────────────────────────────────────────

_answer_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=words),
    st.builds(lambda text, proof: Reasoning(text, proof or None), words, proofs | st.just("")),
    st.builds(lambda args: ToolCall("", "get", args), arguments),
    st.builds(lambda args: ToolCall("", "patch", args), _inputs),
)


@dataclass
class Script:
    """What upstream says. is_mixed: its parts are under way at the same time."""

    parts: list[Part]
    is_mixed: bool
    finish: str
    frames: list[bytes]


def frame(data: Json | str, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json_bytes.dumps(data).decode("utf-8")
    return (f"event: {name}\n" if name else "").encode() + b"data: " + text.encode() + b"\n\n"


@st.composite
def scripts(draw: Draw, upstream: str) -> Script:
    parts = draw(st.lists(_answer_parts, min_size=1, max_size=5))
    if draw(st.integers(0, 9)) == 0 and upstream != "messages":
        parts = [Refusal(draw(words))]
    parts = [
        ev.rebuilt(part, {"origin": upstream}) if isinstance(part, Reasoning) and part.signature else part
        for part in _with_ids(parts)
    ]
    is_mixed = draw(st.booleans())
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    finish = draw(st.sampled_from(["length", "end", "end"]))
    make = {"chat": _chat_frames, "messages": _messages_frames, "responses": _responses_frames}[upstream]
    return Script(parts, is_mixed, finish, make(draw, parts, is_mixed, finish, has_calls))


def _merged(draw: Draw, lists: list[list[Any]], is_mixed: bool) -> list[Any]:
    return interleaved(draw, lists) if is_mixed else [one for each in lists for one in each]


_USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def _chat_frames(draw: Draw, parts: list[Part], is_mixed: bool, finish: str, has_calls: bool) -> list[bytes]:
    # Claude's way: every call has the index 0, and only where they follow each other can they be told apart.
    is_claude = draw(st.booleans()) and not is_mixed
    index = 0
    deltas: list[list[Json]] = []
    for part in parts:
        match part:
            case Text():
                deltas.append([{"content": piece} for piece in pieces(draw, part.text)])
            case Refusal():
                deltas.append([{"refusal": piece} for piece in pieces(draw, part.text)])
            case Reasoning():
                deltas.append([{"reasoning_text": piece} for piece in pieces(draw, part.text)])
                if part.signature:
                    deltas[-1].append({"reasoning_opaque": part.signature})
            case ToolCall():
                at = 0 if is_claude else index
                index += 1
                whole = draw(st.booleans())
                first = {"name": part.name, "arguments": part.arguments if whole else ""}
                calls = [{"index": at, "id": part.call_id, "type": "function", "function": first}]
                rest = [] if whole else pieces(draw, part.arguments)
                calls += [{"index": at, "function": {"arguments": piece}} for piece in rest]
                deltas.append([{"tool_calls": [call]} for call in calls])
    reason = "length" if finish == "length" else "tool_calls" if has_calls else "stop"
    envelope = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "served"}
    found = [
        frame({**envelope, "choices": [{"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}]})
        for delta in _merged(draw, deltas, is_mixed)
    ]
    last: Json = {**envelope, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    if draw(st.booleans()):
        found += [frame({**last, "usage": _USAGE})]
    else:
        found += [frame(last), frame({**envelope, "choices": [], "usage": _USAGE})]
    return [*found, frame("[DONE]")]


def _messages_frames(draw: Draw, parts: list[Part], is_mixed: bool, finish: str, has_calls: bool) -> list[bytes]:
    blocks: list[list[Json]] = []
    for at, part in enumerate(parts):
        deltas: list[Json]
        match part:
            case Text():
                block: Json = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces(draw, part.text)]
            case Reasoning():
                block = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(draw, part.text)]
                if part.signature:
                    deltas.append({"type": "signature_delta", "signature": part.signature})
            case ToolCall():
                block = {"type": "tool_use", "id": part.call_id, "name": part.name, "input": {}}
                texts = ["", *pieces(draw, part.arguments)]
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in texts]
        blocks.append(
            [
                {"type": "content_block_start", "index": at, "content_block": block},
                *({"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas),
                {"type": "content_block_stop", "index": at},
            ]
        )
    reason = "max_tokens" if finish == "length" else "tool_use" if has_calls else "end_turn"
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "served", "content": [], "usage": usage}
    told: list[Json] = [
        {"type": "message_start", "message": message},
        *_merged(draw, blocks, is_mixed),
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 4},
        },
        {"type": "message_stop"},
    ]
    told.insert(draw(st.integers(1, len(told) - 2)), {"type": "ping"})
    return [frame(event, event["type"]) for event in told]


def _responses_frames(draw: Draw, parts: list[Part], is_mixed: bool, finish: str, has_calls: bool) -> list[bytes]:
    items = [_responses_item(draw, at, part) for at, part in enumerate(parts)]
    output = [told[-1]["item"] for told in items]
    status = "incomplete" if finish == "length" else "completed"
    response = {"id": "resp_1", "object": "response", "created_at": 5, "model": "served", "output": []}
    final = {**response, "status": status, "output": output if draw(st.booleans()) else []}
    final["incomplete_details"] = {"reason": "max_output_tokens"} if finish == "length" else None
    final["usage"] = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    told: list[Json] = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        *_merged(draw, items, is_mixed),
        {"type": f"response.{status}", "response": final},
    ]
    return [frame({**event, "sequence_number": at}, event["type"]) for at, event in enumerate(told)]


def _responses_item(draw: Draw, at: int, part: Part) -> list[Json]:
    """The events of one item; every one has another id, as Copilot has it."""
    told: list[Json] = []

    def tell(kind: str, **fields: Any) -> None:
        told.append({"type": f"response.{kind}", "output_index": at, "item_id": f"{at}/{len(told)}", **fields})

    if isinstance(part, Text | Refusal):
        is_text = isinstance(part, Text)
        stem, key = ("output_text", "text") if is_text else ("refusal", "refusal")
        content = {"type": stem, key: part.text, **({"annotations": []} if is_text else {})}
        item: Json = {"type": "message", "role": "assistant", "content": [content]}
        tell("output_item.added", item={**item, "content": []})
        tell("content_part.added", content_index=0, part={**content, key: ""})
        for piece in pieces(draw, part.text):
            tell(f"{stem}.delta", content_index=0, delta=piece)
        tell(f"{stem}.done", content_index=0, **{key: part.text})
        tell("content_part.done", content_index=0, part=content)
    elif isinstance(part, Reasoning):
        item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": part.text}]}
        tell("output_item.added", item={**item, "summary": []})
        for piece in pieces(draw, part.text) if draw(st.booleans()) else []:
            tell("reasoning_summary_text.delta", summary_index=0, delta=piece)
        item |= {"encrypted_content": part.signature} if part.signature else {}
    else:
        assert isinstance(part, ToolCall)
        # As upstream writes no arguments.
        text = part.arguments or "{}"
        item = {"type": "function_call", "call_id": part.call_id, "name": part.name, "arguments": text}
        tell("output_item.added", item={**item, "arguments": ""})
        for piece in ["x9/+", "Q=="] if draw(st.integers(0, 3)) == 0 else pieces(draw, text):
            tell("function_call_arguments.delta", delta=piece)
        tell("function_call_arguments.done", arguments=text)
    tell("output_item.done", item={**item, "id": f"{at}/done"})
    return told


def cut(draw: Draw, raw: bytes) -> list[bytes]:
    if draw(st.integers(0, 5)) == 0:
        return [raw[at : at + 1] for at in range(len(raw))]
    cuts = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=8)))
    return [raw[start:end] for start, end in zip((0, *cuts), (*cuts, len(raw)), strict=True)]


BODIES: dict[str, Json] = {
    "chat": {
        "model": "asked",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [
            {"type": "function", "function": {"name": "get"}},
            {"type": "custom", "custom": {"name": "patch"}},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "messages": {
        "model": "asked",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"name": "get", "input_schema": {"type": "object"}}],
        "stream": True,
    },
    "responses": {
        "model": "asked",
        "input": "x",
        "tools": [{"type": "function", "name": "get", "parameters": {}}, {"type": "custom", "name": "patch"}],
        "stream": True,
    },
}


def exchange(client: str, upstream: str, body: Json) -> Converted:
    codec = CLIENTS[client]
    found = Converted(
        codec,
        UPSTREAMS[upstream],
        body,
        traits=codec.traits(body),
        identity=IDENTITY,
        model="m",
        limits=ModelLimits(model="m"),
        inlined={},
    )
    found.payload()
    return found


@each_client
@each_upstream
@hard
@given(data=st.data())
def test_every_upstream_stream_reaches_every_client_whole_in_any_cut(
    client: str, upstream: str, data: st.DataObject
) -> None:
    script = data.draw(scripts(upstream))
    transformer = exchange(client, upstream, BODIES[client]).transformer()
    out = b"".join(transformer.feed(piece) for piece in cut(data.draw, b"".join(script.frames))) + transformer.finish()
    answer = read(client, out)
    assert transformer.error is None
    assert transformer.ended
    assert answer.is_finished
    assert transformer.usage is not None
    assert transformer.usage["input_tokens"] == 10
    custom = {} if client == "messages" else CUSTOM
    # All texts of a chat answer are one, and so are its thoughts.
    in_order = not script.is_mixed
    check_said(client, script.parts, said_of(client, answer), custom, in_order=in_order)
    assert transformer.feed(b"data: {}\n\n") == b""
    assert transformer.finish() == b""


@each_upstream
@hard
@given(data=st.data())
def test_every_upstream_stream_becomes_grammatical_events(upstream: str, data: st.DataObject) -> None:
    script = data.draw(scripts(upstream))
    found = decoded(upstream, script.frames)
    ev.check(found)
    assert isinstance(found[-1], ev.ResponseEnd)


@each_upstream
@each_client
@hard
@given(data=st.data())
def test_a_stream_that_breaks_off_never_looks_finished(client: str, upstream: str, data: st.DataObject) -> None:
    script = data.draw(scripts(upstream))
    end = {"chat": -2, "messages": -1, "responses": -1}[upstream]
    # The last frame that a chat answer needs is the one with the finish reason.
    frames = script.frames[: data.draw(st.integers(0, max(len(script.frames) + end - 1, 0)))]
    transformer = exchange(client, upstream, BODIES[client]).transformer()
    out = b"".join(transformer.feed(piece) for piece in cut(data.draw, b"".join(frames))) + transformer.finish()
    assert transformer.error is not None
    assert read(client, out).error


def decoded(upstream: str, frames: list[bytes]) -> list[ev.Event]:
    decoder = UPSTREAMS[upstream].decode_stream()
    return [*(event for one in frames for event in decoder.feed_bytes(one)), *decoder.finish()]


_junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False) | st.text(max_size=3) | words,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "index", "id", "delta", "error", "message", "content"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


@each_upstream
@settings(hard, max_examples=tries(250))
@given(data=st.data())
def test_whatever_upstream_streams_no_decoder_raises_and_the_grammar_holds(upstream: str, data: st.DataObject) -> None:
    script = data.draw(scripts(upstream))
    events = [json.loads(one[one.index(b"{") :]) for one in script.frames if b"{" in one]
    for _ in range(data.draw(st.integers(1, 3))):
        box, key = data.draw(st.sampled_from(_places(events)))
        if data.draw(st.booleans()):
            del box[key]
        else:
            box[key] = data.draw(_junk)
        assume(events)
    frames = [frame(json.dumps(event), event.get("type", "") if _is_named(event) else "") for event in events]
    ev.check(decoded(upstream, frames))


def _is_named(event: Any) -> bool:
    return isinstance(event, dict) and isinstance(event.get("type"), str) and event["type"].isidentifier()


# ── (c) any valid request, to every upstream ────────────────────────────────────────────────────────────────────────


@dataclass
class Turn:
    """One turn. parts: (kind, text); calls: (id, name, arguments or input); results: (id, parts), in any order."""

    role: str
    parts: list[tuple[str, str]] = field(default_factory=list)
    thought: tuple[str, str] = ("", "")
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    results: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)


PIXEL = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
UNION = {"anyOf": [SCHEMA, {"type": "object", "properties": {"b": {"type": "integer"}}}], "$defs": {}}


class Maker:
    """Draws a conversation in which every text is unlike all others."""

    def __init__(self, draw: Draw, client: str) -> None:
        self.draw = draw
        self.client = client
        self.count = 0

    def text(self) -> str:
        self.count += 1
        return f"t{self.count}:{self.draw(words)}."

    def parts(self, *kinds: str, least: int = 1) -> list[tuple[str, str]]:
        return [(kind, self.text()) for kind in self.draw(st.lists(st.sampled_from(kinds), min_size=least, max_size=3))]

    def conversation(self) -> list[Turn]:
        turns = [Turn(role, self.parts("text")) for role in self.draw(st.lists(st.sampled_from(SYSTEMS), max_size=2))]
        for _ in range(self.draw(st.integers(1, 3))):
            turns.append(Turn("user", self.parts("text", "text", "image", "link", "document")))
            if self.draw(st.booleans()):
                turns += self.assistant()
            if self.draw(st.integers(0, 4)) == 0:
                turns.append(Turn(self.draw(st.sampled_from(SYSTEMS)), self.parts("text")))
        return turns

    def assistant(self) -> list[Turn]:
        turn = Turn("assistant", self.parts("text", least=0))
        if self.draw(st.booleans()):
            self.count += 1
            turn.thought = (self.text(), self.draw(st.sampled_from(["", f"proof{self.count}=="])))
        for _ in range(self.draw(st.integers(0, 3))):
            self.count += 1
            call_id = self.draw(st.sampled_from(["call_{}", "toolu.{}", "{}|é", "x" * 90 + "{}"])).format(self.count)
            kinds = ["get", "union"] if self.client == "messages" else ["get", "union", "patch"]
            name = self.draw(st.sampled_from(kinds))
            given = self.text() if name == "patch" else self.draw(objects) | {"a": self.text()}
            turn.calls.append((call_id, name, given))
        if not turn.parts and not turn.calls:
            turn.parts = [("text", self.text())]
        if not turn.calls:
            return [turn]
        kinds = ["text"] if self.client == "chat" else ["text", "text", "image"]
        results = [(call_id, self.parts(*kinds, least=0)) for call_id, _, _ in turn.calls]
        return [turn, Turn("tool", results=self.draw(st.permutations(results)))]

    def maybe(self, body: Json, name: str, *choices: Any) -> None:
        if self.draw(st.integers(0, 2)) == 0:
            body[name] = self.draw(st.sampled_from(choices))

    def arguments(self, given: Any) -> str:
        return given if isinstance(given, str) else json.dumps(given, indent=self.draw(st.sampled_from([None, 1])))


SYSTEMS = ("system", "developer")


def chat_request(maker: Maker, turns: list[Turn]) -> Json:
    draw, messages = maker.draw, []
    for turn in turns:
        if turn.role == "tool":
            messages += [
                {"role": "tool", "tool_call_id": call_id, "content": _chat_content(draw, parts)}
                for call_id, parts in turn.results
            ]
            continue
        message: Json = {"role": turn.role, "content": _chat_content(draw, turn.parts) or None}
        text, proof = turn.thought
        if text:
            message[draw(st.sampled_from(["reasoning_content", "reasoning_text"]))] = text
            message |= {"reasoning_opaque": proof} if proof else {}
        if turn.calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "custom", "custom": {"name": name, "input": given}}
                if name == "patch"
                else {
                    "id": call_id,
                    "type": "function",
                    "function": {"name": name, "arguments": maker.arguments(given)},
                }
                for call_id, name, given in turn.calls
            ]
        messages.append(message)
    get = {"type": "function", "function": {"name": "get", "parameters": SCHEMA, "strict": draw(st.booleans())}}
    union = {"type": "function", "function": {"name": "union", "description": "d", "parameters": UNION}}
    patch = {"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}}
    body: Json = {"model": "m", "messages": messages}
    if draw(st.booleans()):
        body["tools"] = [get, union, patch]
        named = {"type": "function", "function": {"name": "get"}}
        allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}}
        custom = {"type": "custom", "custom": {"name": "patch"}}
        maker.maybe(body, "tool_choice", "auto", "none", "required", named, allowed, custom)
        maker.maybe(body, "parallel_tool_calls", True, False)
    schema = {"type": "json_schema", "json_schema": {"name": "r", "schema": SCHEMA, "strict": True}}
    maker.maybe(body, "response_format", {"type": "text"}, {"type": "json_object"}, schema)
    maker.maybe(body, "reasoning_effort", "none", "minimal", "low", "medium", "high", "xhigh")
    maker.maybe(body, "stop", "END", ["a", "b"])
    maker.maybe(body, "max_completion_tokens", 1, 500, 10**6)
    maker.maybe(body, "stream_options", {"include_usage": True}, {"include_obfuscation": False})
    maker.maybe(body, "logit_bias", {"1": -100})
    maker.maybe(body, "n", 1)
    return body


def _chat_content(draw: Draw, parts: list[tuple[str, str]]) -> Any:
    if [kind for kind, _ in parts] == ["text"] and draw(st.booleans()):
        return parts[0][1]
    return [_chat_part(kind, text) for kind, text in parts]


def _chat_part(kind: str, text: str) -> Json:
    if kind == "text":
        return {"type": "text", "text": text}
    if kind == "document":
        return {"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{_base64(text)}"}}
    url = f"data:image/png;base64,{PIXEL}" if kind == "image" else "https://pictures.test/a.png"
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


def messages_request(maker: Maker, turns: list[Turn]) -> Json:
    draw = maker.draw
    messages: list[Json] = []
    body: Json = {"model": "m", "max_tokens": draw(st.sampled_from([1, 4000, 10**6])), "messages": messages}
    cut = next(at for at, turn in enumerate(turns) if turn.role not in SYSTEMS)
    if cut:
        body["system"] = [{"type": "text", "text": text} for turn in turns[:cut] for _, text in turn.parts]
        body["system"][-1]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    for turn in turns[cut:]:
        blocks: list[Json] = []
        text, proof = turn.thought
        if text:
            blocks.append({"type": "thinking", "thinking": text, "signature": proof})
        blocks += [_block(kind, text) for kind, text in turn.parts]
        blocks += [
            {"type": "tool_use", "id": call_id, "name": name, "input": given} for call_id, name, given in turn.calls
        ]
        for call_id, parts in turn.results:
            result: Json = {"type": "tool_result", "tool_use_id": call_id}
            if parts or draw(st.booleans()):
                result["content"] = [_block(kind, text) for kind, text in parts]
            maker.maybe(result, "is_error", True, False)
            blocks.append(result)
        role = {"tool": "user", "developer": "system"}.get(turn.role, turn.role)
        is_plain = [block["type"] for block in blocks] == ["text"] and draw(st.booleans())
        messages.append({"role": role, "content": blocks[0]["text"] if is_plain else blocks})
    if draw(st.booleans()):
        body["tools"] = [
            {"name": "get", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}},
            {"type": "custom", "name": "union", "description": "d", "input_schema": UNION},
            {"type": "bash_20250124", "name": "bash"},
            {"type": "web_search_20250305", "name": "web_search"},
        ]
        choices = [{"type": "auto"}, {"type": "any", "disable_parallel_tool_use": True}, {"type": "none"}]
        maker.maybe(body, "tool_choice", *choices, {"type": "tool", "name": "get"})
    thinking = [{"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}, {"type": "disabled"}]
    maker.maybe(body, "thinking", *thinking)
    form = {"type": "json_schema", "schema": SCHEMA}
    maker.maybe(body, "output_config", {"format": form, "effort": "high"}, {"effort": "low"}, {"format": form})
    maker.maybe(body, "stop_sequences", ["a"], ["a", "b"])
    maker.maybe(body, "top_k", 5)
    maker.maybe(body, "context_management", {"edits": []})
    return body


def _block(kind: str, text: str) -> Json:
    if kind == "text":
        return {"type": "text", "text": text}
    if kind == "document":
        source = {"type": "text", "media_type": "text/plain", "data": text}
        return {"type": "document", "source": source, "title": "T", "citations": {"enabled": True}}
    if kind == "image":
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    return {"type": "image", "source": {"type": "url", "url": "https://pictures.test/a.png"}}


def responses_request(maker: Maker, turns: list[Turn]) -> Json:
    draw = maker.draw
    items: list[Json] = []
    body: Json = {"model": "m", "input": items}
    if turns[0].role in SYSTEMS and len(turns[0].parts) == 1 and draw(st.booleans()):
        body["instructions"] = turns[0].parts[0][1]
        turns = turns[1:]
    for turn in turns:
        text, proof = turn.thought
        if text:
            item: Json = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]}
            items.append(item | ({"encrypted_content": proof} if proof else {}))
        if turn.parts:
            key = "output_text" if turn.role == "assistant" else "input_text"
            content = [_input_part(key, kind, text) for kind, text in turn.parts]
            is_plain = len(content) == 1 and content[0]["type"] == key and draw(st.booleans())
            items.append({"role": turn.role, "content": content[0]["text"] if is_plain else content})
            maker.maybe(items[-1], "type", "message")
        for call_id, name, args in turn.calls:
            kind, key = ("custom_tool_call", "input") if name == "patch" else ("function_call", "arguments")
            items.append({"type": kind, "call_id": call_id, "name": name, key: maker.arguments(args)})
            maker.maybe(items[-1], "id", "fc_1")
        for call_id, parts in turn.results:
            output = [_input_part("input_text", kind, text) for kind, text in parts]
            is_plain = [one["type"] for one in output] == ["input_text"] and draw(st.booleans())
            told = output[0]["text"] if is_plain else output
            items.append({"type": "function_call_output", "call_id": call_id, "output": told})
    get = {"type": "function", "name": "get", "parameters": SCHEMA, "strict": True}
    union = {"type": "function", "name": "union", "description": "d", "parameters": UNION, "strict": None}
    patch = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "s: /a/"}}
    if draw(st.booleans()):
        space = {"type": "namespace", "name": "box", "description": "B", "tools": [get]}
        body["tools"] = [get, union, patch, space, {"type": "web_search"}]
        named = {"type": "function", "name": "get"}
        allowed = {"type": "allowed_tools", "mode": "required", "tools": [named, {"type": "custom", "name": "patch"}]}
        maker.maybe(body, "tool_choice", "auto", "none", "required", named, allowed)
        maker.maybe(body, "parallel_tool_calls", True, False)
    form = {"type": "json_schema", "name": "r", "schema": SCHEMA, "strict": True}
    maker.maybe(body, "text", {"format": form}, {"format": {"type": "json_object"}, "verbosity": "low"})
    maker.maybe(body, "reasoning", {"effort": "high", "summary": "auto"}, {"effort": "none"}, {"summary": "concise"})
    maker.maybe(body, "include", ["reasoning.encrypted_content"], [])
    maker.maybe(body, "max_output_tokens", 1, 500, 10**6)
    maker.maybe(body, "prompt_cache_key", "k" * 100)
    maker.maybe(body, "store", True, False)
    return body


def _input_part(key: str, kind: str, text: str) -> Json:
    if kind == "text":
        return {"type": key, "text": text}
    if kind == "document":
        data = f"data:text/plain;base64,{_base64(text)}"
        return {"type": "input_file", "filename": "a.txt", "file_data": data}
    url = f"data:image/png;base64,{PIXEL}" if kind == "image" else "https://pictures.test/a.png"
    return {"type": "input_image", "image_url": url, "detail": "high"}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


WRITERS = {"chat": chat_request, "messages": messages_request, "responses": responses_request}


@st.composite
def valid_requests(draw: Draw, client: str) -> tuple[Json, list[Turn]]:
    maker = Maker(draw, client)
    turns = maker.conversation()
    body = WRITERS[client](maker, turns)
    body["stream"] = draw(st.booleans())
    maker.maybe(body, "temperature", 0, 0.5, 1, 2 if client != "messages" else 1)
    maker.maybe(body, "top_p", 0.5, 1)
    maker.maybe(body, "metadata", {"user_id": "u"} if client == "messages" else {"k": "v"})
    maker.maybe(body, "service_tier", "auto")
    return body, turns


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for one in inner for text in strings(one)]


def calls_in(upstream: str, body: Json) -> list[tuple[str, str, Any]]:
    """Id, name and parsed arguments of each call, in order."""
    found: list[tuple[str, str, Any]] = []
    if upstream == "responses":
        items = [item for item in body["input"] if item.get("type") in ("function_call", "custom_tool_call")]
        return [
            (
                item["call_id"],
                item["name"],
                json.loads(item["arguments"]) if item["type"] == "function_call" else {"input": item["input"]},
            )
            for item in items
        ]
    for message in body["messages"]:
        called = [(call["id"], call["function"]) for call in message.get("tool_calls") or []]
        found += [(call_id, details["name"], json.loads(details["arguments"])) for call_id, details in called]
        blocks = message["content"] if isinstance(message["content"], list) else []
        found += [(one["id"], one["name"], one["input"]) for one in blocks if one["type"] == "tool_use"]
    return found


def results_in(upstream: str, body: Json) -> list[str]:
    """The ids of the results, in order."""
    if upstream == "responses":
        kinds = ("function_call_output", "custom_tool_call_output")
        return [item["call_id"] for item in body["input"] if item.get("type") in kinds]
    found = []
    for message in body["messages"]:
        found += [message["tool_call_id"]] if message["role"] == "tool" else []
        blocks = message["content"] if isinstance(message["content"], list) else []
        found += [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    return found


def limits_for(draw: Draw, upstream: str) -> ModelLimits:
    names = [name for name in BY_PROTOCOL[upstream] if name != "gemini-chat"]  # it calls no tools
    chosen = draw(st.sampled_from(names))
    return ModelLimits.of(next(entry for entry in CATALOGUE if entry["id"] == chosen))


@each_upstream
@each_client
@settings(hard, max_examples=tries(40))
@given(data=st.data())
def test_every_valid_request_reaches_every_upstream_whole(client: str, upstream: str, data: st.DataObject) -> None:
    body, turns = data.draw(valid_requests(client))
    before = json.dumps(body)
    request = CLIENTS[client].decode_request(body)
    limits = limits_for(data.draw, upstream)
    if request.stop and upstream == "responses":
        with pytest.raises(UnsupportedFeatureError):
            UPSTREAMS[upstream].encode_request(request, limits, Losses())
        body.pop("stop", body.pop("stop_sequences", None))
        request = CLIENTS[client].decode_request(body)
        before = json.dumps(body)
    sent = json.loads(json_bytes.dumps(UPSTREAMS[upstream].encode_request(request, limits, Losses())))
    assert json.dumps(body) == before, "the client's body was changed"
    said = strings(sent)
    for turn in turns:
        for kind, text in [*turn.parts, *(part for _, parts in turn.results for part in parts)]:
            if kind in ("text", "document"):
                is_there = any(text in one or (kind == "document" and _base64(text) in one) for one in said)
                plain = text.encode("utf-8", "replace").decode()
                assert is_there or any(plain in one for one in said), text
            else:
                assert any(PIXEL in one or one == "https://pictures.test/a.png" for one in said)
        text, proof = turn.thought
        if proof:
            is_told = client == upstream and bool(turn.parts or turn.calls)
            assert any(proof in one for one in said) == is_told
    calls = calls_in(upstream, sent)
    wanted = [(name, {"input": given} if name == "patch" else given) for turn in turns for _, name, given in turn.calls]
    assert [(name, given) for _, name, given in calls] == wanted
    assert [call_id for call_id, _, _ in calls] == results_in(upstream, sent)
    assert len({call_id for call_id, _, _ in calls}) == len(calls)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", call_id) for call_id, _, _ in calls)


REFUSED: dict[str, list[Json]] = {
    "chat": [{"n": 2}, {"audio": {"voice": "x"}}, {"modalities": ["text", "audio"]}],
    "messages": [{"thread": {"id": "t"}}, {"tool_choice": {"type": "tool", "name": "code_execution"}}],
    "responses": [
        {"previous_response_id": "resp_1"},
        {"background": True},
        {"conversation": "c"},
        {"prompt": {"id": "p"}},
        {"tool_choice": {"type": "code_interpreter"}},
        {"input": [{"type": "item_reference", "id": "x"}]},
    ],
}


@each_upstream
@each_client
@settings(hard, max_examples=tries(15))
@given(data=st.data())
def test_what_is_refused_is_refused_as_the_clients_fault(client: str, upstream: str, data: st.DataObject) -> None:
    body, _ = data.draw(valid_requests(client))
    extra = data.draw(st.sampled_from(REFUSED[client]))
    if "tool_choice" in extra:
        hosted = (
            {"type": "code_execution_20250825", "name": "code_execution"}
            if client == "messages"
            else {"type": "code_interpreter"}
        )
        body["tools"] = [hosted]
    body |= extra
    limits = limits_for(data.draw, upstream)

    def send() -> None:
        UPSTREAMS[upstream].encode_request(CLIENTS[client].decode_request(body), limits, Losses())

    with pytest.raises(GatewayError) as caught:
        send()
    assert caught.value.status == 400
    assert caught.value.param
