"""What holds for every stream that a client gets, by dialect (conversion rules §4); and what the stream adds up to.

``read("messages", raw)`` checks the grammar, event by event, and gives a `Told`: the whole answer that a strict client
would have in hand, in the very form of that dialect's whole answer. Nothing here uses the code under test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_MESSAGES_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RESPONSES_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STOP_REASONS = {
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
}
_FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}
# As the name of a member: a text may well say the same words. Natively all else that upstream adds is the client's.
PRIVATE_MEMBER = re.compile(rb'"(?:padding|obfuscation|amazon[-_]bedrock[\w-]*|content_filter_offsets)"\s*:')


class BrokenGrammar(AssertionError):
    """The stream is not what clients of this dialect can read."""


@dataclass
class Told:
    """What a stream told.

    events:       all events (messages, responses) or chunks (chat), parsed; keep-alives not among them.
    is_finished:  it ended well: ``message_stop``, ``[DONE]``, ``response.completed`` or ``.incomplete``.
    error:        the error that ended it instead.
    answer:       the whole answer, in the form of the dialect's whole answer; what came, if it did not end well.
    closed_calls: the calls that a client would take for complete, as (name, arguments text).
    """

    events: list[Json] = field(default_factory=list)
    is_finished: bool = False
    error: Json | None = None
    answer: Json = field(default_factory=dict)
    closed_calls: list[tuple[str, str]] = field(default_factory=list)


def read(protocol: str, raw: bytes, *, is_native: bool = False) -> Told:
    """The whole stream of a client. Raises: BrokenGrammar.

    is_native: upstream speaks the same dialect; where that dialect lets parallel calls interleave, they may.
    """
    return READERS[protocol](raw, is_native)


def frames(raw: bytes) -> list[bytes]:
    """Frames without their blank lines; each must be whole."""
    if not raw:
        return []
    pieces = raw.split(b"\n\n")
    _must(pieces.pop() == b"", "the last frame has no end")
    _must(all(pieces), "an empty frame")
    return pieces


def read_messages(raw: bytes, is_native: bool = False) -> Told:
    """A stream of the messages dialect, in which nothing ever interleaves."""
    return _Messages().read(raw)


def read_responses(raw: bytes, is_native: bool = False) -> Told:
    """A stream of the responses dialect."""
    return _Responses(interleaves=is_native).read(raw)


def read_chat(raw: bytes, is_native: bool = False) -> Told:
    """A stream of the chat dialect; one choice."""
    return _Chat(interleaves=is_native).read(raw)


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise BrokenGrammar(what)


def _named_events(raw: bytes) -> list[Json]:
    """Events whose ``event:`` equals their ``type``; comments are passed over."""
    found = []
    for piece in frames(raw):
        if piece.startswith(b":"):
            continue
        lines = piece.split(b"\n")
        _must(len(lines) == 2 and lines[0].startswith(b"event: ") and lines[1].startswith(b"data: "), repr(piece[:80]))
        event = json.loads(lines[1][6:])
        _must(lines[0][7:].decode() == event["type"], f"event: differs from type: {piece[:80]!r}")
        found.append(event)
    return found


def _clean(raw: bytes) -> None:
    found = PRIVATE_MEMBER.search(raw)
    _must(found is None, f"what is between Copilot and its own clients: {found and found.group()!r}")


# -- messages --------------------------------------------------------------------------------------------------------


class _Messages:
    def __init__(self) -> None:
        self.told = Told()
        self.open: int | None = None
        self.kinds: list[str] = []
        self.json = ""
        self.has_ending = False

    def read(self, raw: bytes) -> Told:
        _clean(raw)
        for event in _named_events(raw):
            _must(not self.told.is_finished and self.told.error is None, f"after the end: {event['type']}")
            self.told.events.append(event)
            handler = getattr(self, "on_" + event["type"], None)
            if handler is None:
                raise AssertionError(f"no event of this dialect: {event['type']}")
            handler(event)
        _must(self.told.is_finished != (self.told.error is not None), "neither message_stop nor error")
        return self.told

    @property
    def content(self) -> list[Json]:
        found: list[Json] = self.told.answer["content"]
        return found

    def started(self) -> None:
        _must(bool(self.told.answer), "before message_start")

    def on_ping(self, event: Json) -> None:
        pass

    def on_error(self, event: Json) -> None:
        _must(set(event) <= {"type", "error", "request_id"}, f"an error with {sorted(event)}")
        _must(bool(event["error"].get("type")) and bool(event["error"].get("message")), "an error that says nothing")
        self.told.error = event["error"]

    def on_message_start(self, event: Json) -> None:
        _must(not self.told.answer, "a second message_start")
        message = event["message"]
        for name in ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"):
            _must(name in message, f"message_start without {name}")
        _must(_MESSAGES_ID.fullmatch(message["id"]) is not None, f"the id {message['id']}")
        _must((message["type"], message["role"], message["content"]) == ("message", "assistant", []), "message_start")
        _must(message["stop_reason"] is None and message["stop_sequence"] is None, "it has ended at its start")
        for name in ("input_tokens", "output_tokens"):
            _must(type(message["usage"].get(name)) is int, f"message_start.usage without {name}")
        self.told.answer = {**message, "content": [], "usage": dict(message["usage"])}

    def on_content_block_start(self, event: Json) -> None:
        self.started()
        _must(self.open is None and not self.has_ending, "a block began inside another, or after message_delta")
        _must(event["index"] == len(self.content), f"block {event['index']} instead of {len(self.content)}")
        self.open, self.kinds, self.json = event["index"], [], ""
        block = dict(event["content_block"])
        if block["type"] == "text":
            _must(block["text"] == "", "a text that is there at its start")
        elif block["type"] == "thinking":
            _must(block["thinking"] == "" and block.get("signature", "") == "", "a thought that is there at its start")
        elif block["type"] == "tool_use":
            _must(block["input"] == {}, "a call with input at its start")
            _must(_MESSAGES_ID.fullmatch(block["id"]) is not None, f"the call id {block['id']}")
            _must(bool(block["name"]), "a call without name")
        self.content.append(block)

    def on_content_block_delta(self, event: Json) -> None:
        _must(event["index"] == self.open, "a delta of a block that is not open")
        block, delta = self.content[-1], event["delta"]
        kind = delta["type"]
        _must("signature_delta" not in self.kinds or kind == "signature_delta", f"{kind} after signature_delta")
        self.kinds.append(kind)
        match kind, block["type"]:
            case "text_delta", "text":
                _must("citations_delta" not in self.kinds or bool(delta["text"]), "an empty delta")
                block["text"] += delta["text"]
            case "citations_delta", "text":
                block["citations"] = [*(block.get("citations") or []), delta["citation"]]
            case "thinking_delta", "thinking":
                block["thinking"] += delta["thinking"]
            case "signature_delta", "thinking":
                block["signature"] = block.get("signature", "") + delta["signature"]
            case "input_json_delta", "tool_use" | "server_tool_use":
                self.json += delta["partial_json"]
            case _:
                raise BrokenGrammar(f"{kind} in a block of type {block['type']}")

    def on_content_block_stop(self, event: Json) -> None:
        _must(event["index"] == self.open, "the end of a block that is not open")
        self.open = None
        block = self.content[-1]
        if block["type"] == "thinking":
            _must(bool(block.get("signature")), "a thought with an empty signature")
        if block["type"] == "text":
            _must(bool(block["text"]), "an empty text block")
        if block["type"] == "tool_use":
            try:
                block["input"] = json.loads(self.json) if self.json else {}
            except ValueError:
                block["input"] = None
            else:
                _must(isinstance(block["input"], dict), "input that is no object")
            self.told.closed_calls.append((block["name"], self.json or "{}"))

    def on_message_delta(self, event: Json) -> None:
        self.started()
        _must(self.open is None, "message_delta inside a block")
        _must(not self.has_ending, "a second message_delta")
        self.has_ending = True
        _must(event["delta"]["stop_reason"] in _STOP_REASONS, f"the stop reason {event['delta']['stop_reason']}")
        _must("stop_sequence" in event["delta"], "message_delta without stop_sequence")
        _must(type(event["usage"].get("output_tokens")) is int, "message_delta.usage without output_tokens")
        self.told.answer |= event["delta"] | {k: v for k, v in event.items() if k not in ("type", "delta", "usage")}
        self.told.answer["usage"] |= event["usage"]

    def on_message_stop(self, event: Json) -> None:
        _must(self.has_ending, "message_stop without message_delta")
        _must(event == {"type": "message_stop"}, "message_stop says nothing else")
        calls = any(block["type"] == "tool_use" for block in self.content)
        _must(self.told.answer["stop_reason"] != "tool_use" or calls, "tool_use without a call")
        _must(self.told.answer["stop_reason"] != "end_turn" or not calls, "end_turn beside calls")
        self.told.is_finished = True


# -- responses -------------------------------------------------------------------------------------------------------

_TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
_STREAMED = {
    "response.output_text": ("text", "content_index"),
    "response.refusal": ("refusal", "content_index"),
    "response.reasoning_summary_text": ("text", "summary_index"),
    "response.reasoning_text": ("text", "content_index"),
    "response.function_call_arguments": ("arguments", None),
    "response.custom_tool_call_input": ("input", None),
}
_WHOLE = {"response.content_part": "content_index", "response.reasoning_summary_part": "summary_index"}
_OF_RESPONSE = (
    "id",
    "object",
    "created_at",
    "model",
    "output",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
    "status",
)


class _Responses:
    def __init__(self, *, interleaves: bool) -> None:
        self.interleaves = interleaves
        self.told = Told()
        self.texts: dict[tuple[str, int, int], str] = {}
        self.over: set[tuple[str, int, int]] = set()
        self.items: dict[int, Json] = {}
        self.open: dict[int, str] = {}
        self.ids: set[str] = set()

    def read(self, raw: bytes) -> Told:
        _clean(raw)
        events = self.told.events = _named_events(raw)
        _must([event.get("sequence_number") for event in events] == list(range(len(events))), "sequence numbers")
        _must(bool(events), "nothing at all")
        types = [event["type"] for event in events]
        errors = [event for event in events if event["type"] == "error"]
        if errors:
            self.told.error = errors[0]
            _must(len(errors) == 1 and bool(errors[0].get("message")), "an error that says nothing, or two")
        if types == ["error"]:
            return self.told
        begins = (
            ["response.created", "error"] if types[1:2] == ["error"] else ["response.created", "response.in_progress"]
        )
        _must(types[:2] == begins, f"begins with {types[:2]}")
        _must([at for at, kind in enumerate(types) if kind in _TERMINAL] == [len(types) - 1], f"ends in {types[-3:]}")
        _must(bool(errors) == (types[-1] == "response.failed"), "an error beside a good end, or the reverse")
        for event in events[:-1]:
            self.see(event)
        self.end(events[-1])
        return self.told

    def see(self, event: Json) -> None:
        kind = event["type"]
        if "response" in event:
            self.see_response(event["response"])
            _must(event["response"]["status"] == "in_progress" and event["response"]["output"] == [], kind)
        elif kind == "response.output_item.added":
            self.see_item(event["output_index"], event["item"])
        elif kind == "response.output_item.done":
            index = event["output_index"]
            _must(event["item"]["id"] == self.open.pop(index, None), "the end of an item that is not open")
            self.close(index, event["item"])
        elif kind != "error":
            self.see_inner(event)

    def see_item(self, index: int, item: Json) -> None:
        _must(self.interleaves or not self.open, "an item began inside another")
        begun = len(self.items) + len(self.open)
        _must(index == begun, f"item {index} instead of {begun}")
        _must(_RESPONSES_ID.fullmatch(item["id"]) is not None, f"the item id {item['id']}")
        _must(item["id"] not in self.ids, "an item id twice")
        self.open[index] = item["id"]
        self.ids.add(item["id"])

    def see_response(self, response: Json) -> None:
        for name in _OF_RESPONSE:
            _must(name in response, f"a response without {name}")
        _must(response["object"] == "response", "object")
        _must(_RESPONSES_ID.fullmatch(response["id"]) is not None, f"the id {response['id']}")
        first = self.told.events[0]["response"]
        for name in ("id", "model", "created_at"):
            _must(response[name] == first[name], f"{name} changes")

    def see_inner(self, event: Json) -> None:
        kind, at = event["type"], event["output_index"]
        _must(at in self.open and event.get("item_id") == self.open[at], f"{kind} of an item that is not open")
        stem, _, verb = kind.rpartition(".")
        if stem in _WHOLE:
            inner = event[_WHOLE[stem]]
            key = (stem, at, inner)
            if verb == "added":
                _must(key not in self.texts and (inner == 0 or (stem, at, inner - 1) in self.over), kind)
                self.texts[key] = ""
            else:
                _must(key in self.texts, f"{kind} of what never began")
                self.over.add(key)
            return
        if stem not in _STREAMED:
            return
        name, index = _STREAMED[stem]
        key = (stem, at, event[index] if index else 0)
        _must(key not in self.over, f"{kind} after its end")
        if verb == "delta":
            _must(bool(event["delta"]), f"an empty {kind}")
            self.texts[key] = self.texts.get(key, "") + event["delta"]
        else:
            _must(event[name] == self.texts.get(key, ""), f"{kind} is not the sum of its deltas")
            self.over.add(key)

    def close(self, at: int, item: Json) -> None:
        self.items[at] = item
        if item["type"] == "message":
            _must(item["role"] == "assistant", "role")
            for position, part in enumerate(item["content"]):
                kind, name = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
                self.is_told((f"response.{kind}", at, position), part[name])
                _must(("response.content_part", at, position) in self.over, "a part that was never closed")
        elif item["type"] == "reasoning":
            for position, part in enumerate(item["summary"]):
                self.is_told(("response.reasoning_summary_text", at, position), part["text"])
                _must(("response.reasoning_summary_part", at, position) in self.over, "a part that was never closed")
            _must(item.get("encrypted_content") != "", "an empty proof")
        elif item["type"] in ("function_call", "custom_tool_call"):
            stem, name = (
                ("response.function_call_arguments", "arguments")
                if item["type"] == "function_call"
                else ("response.custom_tool_call_input", "input")
            )
            self.is_told((stem, at, 0), item[name])
            _must(bool(item["call_id"]) and bool(item["name"]), "a call without id or name")
            _must(item["type"] == "custom_tool_call" or bool(item["arguments"]), "empty arguments")
            if item["status"] == "completed":
                self.told.closed_calls.append((item["name"], item[name]))

    def is_told(self, key: tuple[str, int, int], text: str) -> None:
        _must(self.texts.get(key, "") == text, f"{key} is not the sum of its deltas")
        _must(key in self.over, f"{key} was never done")

    def end(self, event: Json) -> None:
        response = event["response"]
        self.see_response(response)
        _must(response["status"] == event["type"].rpartition(".")[2], "the status differs from the event")
        _must(response["output"] == [item for _, item in sorted(self.items.items())], "the output is not what was told")
        self.told.answer = response
        if event["type"] == "response.failed":
            _must(bool(response["error"]), "a failure without error")
            return
        _must(not self.open, "the answer ended inside an item")
        _must((response["status"] == "incomplete") == bool(response["incomplete_details"]), "incomplete_details")
        if response["usage"] is not None:
            _check_responses_usage(response["usage"])
        self.told.is_finished = True


def _check_responses_usage(usage: Json) -> None:
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        _must(type(usage.get(name)) is int, f"usage without {name}")
    _must(type(usage["input_tokens_details"]["cached_tokens"]) is int, "usage without cached_tokens")
    _must(type(usage["output_tokens_details"]["reasoning_tokens"]) is int, "usage without reasoning_tokens")
    _must(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], "the total is no sum")


# -- chat ------------------------------------------------------------------------------------------------------------

_APPENDED = ("content", "refusal", "reasoning_content", "reasoning_text", "reasoning_opaque", "cot_id", "cot_summary")


class _Chat:
    def __init__(self, *, interleaves: bool) -> None:
        self.interleaves = interleaves
        self.told = Told()
        self.message: Json = {}
        self.finish: str | None = None
        self.logprobs: Any = None
        self.usage: Json | None = None
        self.envelope: Json = {}
        self.extra: Json = {}

    def read(self, raw: bytes) -> Told:
        _clean(raw)
        for piece in frames(raw):
            if piece.startswith(b":"):
                continue
            _must(piece.startswith(b"data: ") and b"\n" not in piece, repr(piece[:80]))
            _must(not self.told.is_finished and self.told.error is None, "after the end")
            if piece == b"data: [DONE]":
                _must(self.finish is not None, "[DONE] without a finish reason")
                self.told.is_finished = True
                continue
            chunk = json.loads(piece[6:])
            self.told.events.append(chunk)
            if "error" in chunk:
                _must(bool(chunk["error"].get("message")), "an error that says nothing")
                self.told.error = chunk["error"]
                continue
            self.see(chunk)
        _must(self.told.is_finished != (self.told.error is not None), "neither [DONE] nor error")
        self.told.answer = self.whole()
        return self.told

    def see(self, chunk: Json) -> None:
        envelope = {name: chunk[name] for name in ("id", "object", "created", "model")}
        _must(not self.envelope or envelope == self.envelope, "the chunks do not share id, object, created and model")
        _must(envelope["object"] == "chat.completion.chunk" and bool(envelope["id"]), "envelope")
        self.envelope = envelope
        self.extra |= {k: v for k, v in chunk.items() if k not in (*envelope, "choices", "usage") and v is not None}
        if chunk.get("usage") is not None:
            _must(self.finish is not None and chunk["choices"] == [], "usage stands in a chunk of its own, at the end")
            _must(self.usage is None, "usage twice")
            self.usage = chunk["usage"]
            _check_chat_usage(self.usage)
            return
        _must(len(chunk["choices"]) == 1, "a chunk without choice, or with several")
        (entry,) = chunk["choices"]
        _must(entry["index"] == 0, "index")
        _must(self.finish is None, "a delta after the finish reason")
        self.see_delta(entry["delta"])
        self.logprobs = entry.get("logprobs") or self.logprobs
        if entry.get("finish_reason") is not None:
            _must(entry["finish_reason"] in _FINISH_REASONS, f"the finish reason {entry['finish_reason']}")
            self.finish = entry["finish_reason"]

    def see_delta(self, delta: Json) -> None:
        _must(("role" in delta) == (not self.message), "role stands in the first delta and nowhere else")
        if not self.message:
            _must(delta["role"] == "assistant", "role")
            self.message = {"role": "assistant"}
        for name in _APPENDED:
            if delta.get(name) is not None:
                self.message[name] = (self.message.get(name) or "") + delta[name]
        for name in ("annotations",):
            if delta.get(name):
                self.message[name] = [*self.message.get(name, []), *delta[name]]
        if delta.get("function_call"):
            call = self.message.setdefault("function_call", {"name": "", "arguments": ""})
            for name, value in delta["function_call"].items():
                call[name] = call.get(name, "") + value
        for fragment in delta.get("tool_calls") or []:
            self.see_call(fragment)

    def see_call(self, fragment: Json) -> None:
        calls = self.message.setdefault("tool_calls", [])
        index = fragment["index"]
        least = 0 if self.interleaves else len(calls) - 1
        _must(least <= index <= len(calls), f"call {index} after {len(calls)} calls")
        if index == len(calls):
            _must(
                bool(fragment.get("id")) and fragment.get("type") in ("function", "custom"), "a call without id, type"
            )
            kind = fragment["type"]
            details = fragment[kind]
            _must(bool(details.get("name")), "a call without name")
            _must(fragment["id"] not in [call["id"] for call in calls], "a call id twice")
            calls.append({"id": fragment["id"], "type": kind, kind: dict(details)})
            calls[-1][kind].setdefault(_text_of(kind), "")
            return
        call = calls[index]
        kind = call["type"]
        _must(set(fragment) <= {"index", kind}, f"a later fragment with {sorted(fragment)}")
        _must(not fragment[kind].get("name"), "a name twice")
        for name, value in fragment[kind].items():
            call[kind][name] = call[kind].get(name, "") + value

    def whole(self) -> Json:
        if not self.envelope:
            return {}
        calls = self.message.get("tool_calls", [])
        if self.finish is not None:
            for call in calls:
                kind = call["type"]
                self.told.closed_calls.append((call[kind]["name"], call[kind][_text_of(kind)]))
                _must(kind == "custom" or bool(call[kind]["arguments"]), "empty arguments")
            has_calls = bool(calls) or "function_call" in self.message
            _must(self.finish not in ("tool_calls", "function_call") or has_calls, "tool_calls without a call")
            _must(self.finish != "stop" or not has_calls, "stop beside calls")
        choice = {"index": 0, "message": self.message, "logprobs": self.logprobs, "finish_reason": self.finish}
        answer: Json = {**self.envelope, "object": "chat.completion", "choices": [choice], **self.extra}
        return answer if self.usage is None else {**answer, "usage": self.usage}


def _text_of(kind: str) -> str:
    return "input" if kind == "custom" else "arguments"


def _check_chat_usage(usage: Json) -> None:
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        _must(type(usage.get(name)) is int, f"usage without {name}")
    _must(usage["total_tokens"] >= usage["prompt_tokens"] + usage["completion_tokens"], "the total is no sum")


READERS: dict[str, Callable[[bytes, bool], Told]] = {
    "chat": read_chat,
    "messages": read_messages,
    "responses": read_responses,
}
