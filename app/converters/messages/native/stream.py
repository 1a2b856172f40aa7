"""Normalizes Copilot's native messages stream on its way to a messages client (contract §8.6; conversion rules §1.7).

Nearly all of such a stream is right as it is: whole events pass byte for byte, told apart by a few searches in what one
read brought, without a loop over its lines. Only a read that holds something to care for is taken apart:

* ``message_start``: the name of the model is the client's, private extras go.
* ``message_delta``, ``message_stop``: private extras go (Bedrock metrics, but not what the answer cost), and so does a
  report of context edits that tells of none: Copilot sends it unasked (contract §8.5), and LangChain's stream fails on
  it.
* ``[DONE]`` and all else after ``message_stop``: gone; official SDKs fail on it (contract §12.3.14).
* An error inside the stream, torn JSON, an end without ``message_stop``: ``event: error``, never an end.

An unescaped ``"key":`` cannot stand inside a JSON string, so that these searches find structure, or cost a slow round.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.converters.codec import Identity
from app.converters.messages.client.stream import StreamEncoder
from app.converters.messages.errors import decode_error, error_frame
from app.converters.messages.upstream.response import NO_EDITS
from app.converters.messages.upstream.stream import StreamDecoder, no_start
from app.converters.messages.vocabulary import finish_reason
from app.converters.neutral.events import ResponseEnd, StreamError
from app.converters.neutral.vocabulary import Request
from app.converters.neutral.whole_calls import CUTS, broken_call, is_whole
from app.converters.wire import json_bytes, sse
from app.converters.wire.error_body import is_error
from app.converters.wire.event_reader import kind_of
from app.converters.wire.stream_shell import NormalizedStream
from app.errors import GatewayError, UpstreamProtocolError

Json = dict[str, Any]

_PRIVATE: Final = ("amazon-bedrock", "amazon_bedrock")
_NOISE: Final = frozenset({"padding", "obfuscation"})
_PARTIAL_JSON: Final = re.compile(rb'"partial_json"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*)"')


def public(fields: Json) -> Json:
    """The fields that a client may see; the same object if it may see all."""
    if not any(is_private(name) for name in fields) and fields.get("context_management") != NO_EDITS:
        return fields
    return {
        name: value
        for name, value in fields.items()
        if not (is_private(name) or (name == "context_management" and value == NO_EDITS))
    }


def is_private(name: str) -> bool:
    """Whether a field is the affair of the cloud behind Copilot, or noise. All else that upstream adds is the
    client's."""
    return name.startswith(_PRIVATE) or name in _NOISE


class _Call:
    """A call under way. told: its arguments as they were given out, as JSON string bodies."""

    __slots__ = ("name", "told")

    def __init__(self, block: Json) -> None:
        self.name = str(block.get("name"))
        self.told: list[bytes] = []

    @property
    def arguments(self) -> str:
        return str(json_bytes.loads(b'"' + b"".join(self.told) + b'"'))


def is_call(block: Json) -> bool:
    """Whether a block is a call that the client runs."""
    return block.get("type") == "tool_use"


class StreamNormalizer(NormalizedStream):
    """Upstream's messages stream in, a clean one out. One per answer.

    restore: of the ``UpstreamRequest``; set where structured output comes as a call and has to be unwrapped.
    For the books, as far as is known: `usage` in Anthropic's words, and `finish_reason`.
    """

    def __init__(self, identity: Identity, *, restore: Any = None) -> None:
        super().__init__()
        self._identity = identity
        self._call: _Call | None = None
        self._torn: tuple[_Call, bytes] | None = None
        self._unwrapping = None
        if restore is not None:
            self._unwrapping = StreamDecoder(), StreamEncoder(Request(model=identity.model), model=identity.model)

    def _read_block(self, block: bytes) -> None:
        """Deltas in a row pass as they are, if nothing in them needs care."""
        if self._started and self._unwrapping is None and not (self._held or self._name or self._page):
            cut = block.rfind(b"\n\n") + 2
            plain = block[:cut] if cut > 1 else b""
            if plain and self._torn is None and _is_plain(plain):
                if self._call is not None:
                    self._call.told += _PARTIAL_JSON.findall(plain)
                self._out.append(plain)
                block = block[cut:]
        if block:
            super()._read_block(block)

    def _error_frames(self, error: GatewayError) -> bytes:
        return error_frame(error)

    def _read_comment(self, text: bytes) -> None:
        self._out.append(sse.comment(text))

    def _read_event(self, name: bytes, event: Json, payload: bytes, _line: bytes) -> None:
        if is_error(event):
            self._stop(decode_error(200, {}, payload))
            return
        kind = kind_of(event, name)
        if self._unwrapping is not None and (self._started or kind == "message_start"):
            self._unwrap(kind, event, *self._unwrapping)
        else:
            self._pass_event(kind, event, payload)

    def _unwrap(self, kind: str, event: Json, decoder: StreamDecoder, encoder: StreamEncoder) -> None:
        """Structured output that came as a call is text to the client: through the vocabulary and back."""
        self._started = True
        if kind == "message_start":
            message = event.get("message")
            self._note_usage(message.get("usage") if isinstance(message, dict) else None)
        elif kind == "message_delta":
            self._note_end(event)
        decoder.account = self.account
        for neutral in decoder.read(kind, event):
            if isinstance(neutral, StreamError):
                self._stop(neutral.error)
            else:
                self._out.append(encoder.feed(neutral))
                self._ended = isinstance(neutral, ResponseEnd)

    def _pass_event(self, kind: str, event: Json, payload: bytes) -> None:
        if kind == "message_start":
            self._start(event)
        elif not self._started:
            if kind != "ping":
                raise no_start()
        elif kind == "message_stop":
            self._judge(kind)
            self._give(kind, json_bytes.dumps(public(event)))
            self._ended = True
        else:
            if kind == "message_delta":
                self._note_end(event)
            if kind != "ping":
                self._judge(kind)
            self._note_call(kind, event)
            normalized = _public_event(event)
            if normalized.get("type") != kind:
                normalized = {**normalized, "type": kind}
            # What upstream wrote stays as it is, unless a strict parser would choke on it.
            is_clean = normalized is event and b"\n" not in payload and not sse.has_controls(payload)
            data = payload if is_clean else json_bytes.dumps(normalized)
            if kind == "content_block_stop" and self._call is not None:
                call, self._call = self._call, None
                if not is_whole(call.arguments):
                    self._torn = call, data
                    return
            self._give(kind, data)

    def _note_call(self, kind: str, event: Json) -> None:
        """What a call is given, as far as it is told in deltas."""
        block, delta = event.get("content_block"), event.get("delta")
        if kind == "content_block_start":
            self._call = _Call(block) if isinstance(block, dict) and is_call(block) else None
        elif kind == "content_block_delta" and self._call is not None and isinstance(delta, dict):
            piece = delta.get("partial_json")
            if isinstance(piece, str):
                self._call.told.append(json_bytes.dumps(piece)[1:-1])

    def _judge(self, kind: str) -> None:
        """A call whose arguments are no object waits for what follows its end: the end of an answer that was cut, or
        the verdict. Raises: UpstreamProtocolError."""
        if self._torn is None:
            return
        (call, data), self._torn = self._torn, None
        if kind != "message_delta" or finish_reason(self.finish_reason, has_calls=True) not in CUTS:
            raise broken_call(call.name)
        self._give("content_block_stop", data)

    def _start(self, event: Json) -> None:
        if self._started:
            raise UpstreamProtocolError("GitHub Copilot began its answer twice. Try again.")
        given = event.get("message")
        message = normalize_message(given if isinstance(given, dict) else {}, self._identity)
        self._note_usage(message.get("usage"))
        self._started = True
        self._give("message_start", json_bytes.dumps({**public(event), "message": message}))

    def _note_end(self, event: Json) -> None:
        self._note_usage(event.get("usage"))
        delta = event.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        self.finish_reason = reason if isinstance(reason, str) else self.finish_reason

    def _note_usage(self, usage: Any) -> None:
        if isinstance(usage, dict) and usage:
            given = {name: value for name, value in usage.items() if value is not None}
            self.usage = {**(self.usage or {}), **given}

    def _give(self, kind: str, data: bytes) -> None:
        self._out.append(b"event: %s\ndata: %s\n\n" % (kind.encode("utf-8", "replace"), data))


def _is_plain(block: bytes) -> bool:
    """Whether these events need no care: deltas by name and type, one line of data that ends in a brace, one blank
    line each."""
    count = block.count(b"}\n\n")
    return (
        block.count(b"event: content_block_delta\ndata: {") == count
        and block.count(b'"content_block_delta"') == count
        and block.count(b"\n") == 3 * count
        and b'"error"' not in block
        and not sse.has_controls(block)
    )


def normalize_message(message: Json, identity: Identity) -> Json:
    """The message object of a whole answer or of ``message_start``: the client's model name, nothing missing."""
    normalized = {**public(message), "model": identity.model}
    if not isinstance(normalized.get("id"), str) or not normalized["id"]:
        normalized["id"] = identity.fallback_id
    if not isinstance(normalized.get("content"), list):
        normalized["content"] = []
    given = normalized.get("usage")
    usage = public(given) if isinstance(given, dict) else {}
    normalized["usage"] = {"input_tokens": 0, "output_tokens": 0} | usage
    return {"type": "message", "role": "assistant", "stop_reason": None, "stop_sequence": None} | normalized


def _public_event(event: Json) -> Json:
    """The same object if nothing in it is private."""
    normalized = public(event)
    for name in ("delta", "usage", "content_block"):
        inner = normalized.get(name)
        if isinstance(inner, dict) and (clean := public(inner)) is not inner:
            normalized = {**normalized, name: clean}
    return normalized
