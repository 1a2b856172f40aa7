"""Mends Copilot's native messages stream on its way to a messages client (contract §8.6; conversion.md §1.7).

Nearly all of such a stream is right as it is: whole events pass byte for byte, told apart by a few searches in what one
read brought, without a loop over its lines. Only a read that holds something to care for is taken apart:

* ``message_start``: the name of the model is the client's, private extras go.
* ``message_delta``, ``message_stop``: private extras go (``copilot_usage``, Bedrock metrics), and so does a report of
  context edits that tells of none: Copilot sends it unasked (contract §8.5), and LangChain's stream fails on it.
* ``[DONE]`` and all else after ``message_stop``: gone; official SDKs fail on it (contract §12.3.14).
* An error inside the stream, torn JSON, an end without ``message_stop``: ``event: error``, never an end.

An unescaped ``"key":`` cannot stand inside a JSON string, so that these searches find structure, or cost a slow round.
"""

from __future__ import annotations

from typing import Any, Final

from app.converters import json_bytes, sse
from app.converters.chat.errors import describe_page, is_page
from app.converters.events import ResponseEnd, StreamError
from app.converters.ir import Request
from app.converters.messages.answers import NO_EDITS
from app.converters.messages.errors import decode_error, error_frame
from app.converters.messages.stream_decoder import StreamDecoder
from app.converters.messages.stream_encoder import StreamEncoder
from app.errors import GatewayError, UpstreamProtocolError, broken_off

Json = dict[str, Any]

_PRIVATE: Final = ("copilot_", "amazon-bedrock", "amazon_bedrock")
_NOISE: Final = frozenset({"padding", "obfuscation"})
# Bedrock's metrics stand in ``message_stop`` alone; ``[DONE]`` has no brace.
_CARE: Final = (b"message_", b'"error"', b'"copilot_')
_SSE_FIELDS: Final = frozenset({b"id", b"retry"})


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
    """Whether a field is Copilot's own affair, or that of the cloud behind it."""
    return name.startswith(_PRIVATE) or name in _NOISE


class Mender:
    """Upstream's messages stream in, a clean one out. One per answer.

    model: the name the client asked for. fallback_id: answer id, where upstream gives none. restore: of ``Prepared``;
    set where structured output comes as a call and has to be unwrapped. The others are there for the sake of all
    protocols: usage is always told, there is one answer and no times.
    For the books, as far as is known: `usage` in Anthropic's words, and `finish_reason`.
    """

    def __init__(
        self,
        *,
        model: str,
        include_usage: bool = True,
        choices: int = 1,
        created: int = 0,
        fallback_id: str = "",
        restore: Any = None,
    ) -> None:
        self.usage: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self._model = model
        self._fallback_id = fallback_id
        self._lines = sse.LineCutter()
        self._pending = b""
        self._name = b""
        self._data: list[bytes] = []
        self._stray = b""
        self._out: list[bytes] = []
        self._is_started = self._is_ended = self._has_single_breaks = False
        self._error: GatewayError | None = None
        self._unwrapping = None
        if restore is not None:
            self._unwrapping = StreamDecoder(), StreamEncoder(Request(model=model), model=model)

    @property
    def ended(self) -> bool:
        """A terminal frame, ``message_stop`` or an error, has been given out."""
        return self._is_ended

    @property
    def error(self) -> GatewayError | None:
        """The error that ended the stream."""
        return self._error

    @property
    def started(self) -> bool:
        """``message_start`` has been given out."""
        return self._is_started

    def feed(self, data: bytes) -> bytes:
        """Whatever one read brought → everything it yields for the client, in whole frames."""
        if self._is_ended:
            return b""
        block = self._lines.feed(data)
        if self._pending:
            block = self._pending + block
        cut = block.rfind(b"\n\n") + 2
        if cut == 1:
            self._pending = block
            # Upstream might frame by single line breaks; then waiting for a blank line would be waiting for the end.
            return self._slowly(b"") if block.count(b"\ndata:") < 2 else self._slowly(self._taken(len(block)))
        self._pending = block[cut:]
        block = block[:cut]
        if (
            self._is_started
            and self._unwrapping is None
            and not self._data
            and not self._name
            and self._is_plain(block)
        ):
            return block
        return self._slowly(block)

    def _taken(self, length: int) -> bytes:
        block, self._pending = self._pending[:length], self._pending[length:]
        return block

    @staticmethod
    def _is_plain(block: bytes) -> bool:
        """Whether these frames need no care: one name, one line of data that ends in a brace, one blank line each."""
        count = block.count(b"}\n\n")
        if block.count(b"\ndata: {") != count or block.count(b"event: ") != count or block.count(b"\n") != 3 * count:
            return False
        return not any(care in block for care in _CARE)

    def finish(self) -> bytes:
        """Upstream closed: an error, unless ``message_stop`` has been seen. Idempotent."""
        if self._is_ended:
            return b""
        # Pure JSON without a frame is an error that the gateway wrote bare; an event cut short is no event.
        rest, self._pending = self._pending + self._lines.take_rest(), b""
        if self._has_single_breaks or (rest.lstrip()[:1] in (b"{", b"<") and not self._data):
            self._read_lines(rest + b"\n\n")
        if not self._is_ended:
            self._stop(self._broken_off())
        return self._take_out()

    def fail(self, error: GatewayError) -> bytes:
        """The transport broke: an error frame, unless the client has the end already."""
        if self._is_ended:
            return b""
        self._stop(error)
        return self._take_out()

    def _slowly(self, block: bytes) -> bytes:
        self._read_lines(block)
        return self._take_out()

    def _take_out(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _read_lines(self, block: bytes) -> None:
        for line in block.split(b"\n")[:-1]:
            if line:
                self._read_line(line.removeprefix(sse.BOM))
            elif self._data or self._name:
                self._dispatch()
            if self._is_ended:
                return

    def _read_line(self, line: bytes) -> None:
        name, value = sse.field(line)
        if name == b"data":
            if self._data and _parsed(b"\n".join(self._data)) is not None:
                self._dispatch()  # framed by single line breaks
            if not self._is_ended:
                self._data.append(value)
        elif name == b"event":
            if self._data:
                self._has_single_breaks = True
                self._dispatch()
            self._name = value.strip()
        elif not name:
            self._out.append(sse.comment(line[1:]))
        elif name in _SSE_FIELDS:
            pass
        elif line[:1] in (b"{", b"<"):
            # An error of the gateway may stand there bare, as in the other dialects.
            self._data.append(line)
        else:
            self._stray = line[:200]

    def _dispatch(self) -> None:
        data, name = b"\n".join(self._data).strip(), self._name
        self._data.clear()
        self._name = b""
        if not data:
            return
        if data == b"[DONE]":
            self._stop(self._broken_off())
            return
        event = _parsed(data)
        if event is None:
            text = data.decode("utf-8", "replace")
            page = f"{describe_page(text)} instead of an answer" if is_page(text) else "a torn piece of JSON"
            self._stop(UpstreamProtocolError(f"GitHub Copilot sent {page} in its stream. Try again."))
            return
        kind = event.get("type")
        kind = kind if isinstance(kind, str) and kind else name.decode("utf-8", "replace")
        if self._unwrapping is not None and (self._is_started or kind == "message_start"):
            self._unwrap(kind, event, data, *self._unwrapping)
        else:
            self._read_event(kind, event, data)

    def _unwrap(self, kind: str, event: Json, data: bytes, decoder: StreamDecoder, encoder: StreamEncoder) -> None:
        """Structured output that came as a call is text to the client: through the vocabulary and back."""
        self._is_started = True
        if kind == "message_start":
            message = event.get("message")
            self._note_usage(message.get("usage") if isinstance(message, dict) else None)
        elif kind == "message_delta":
            self._note_end(event)
        for neutral in decoder.feed(kind, data.decode("utf-8", "replace")):
            if isinstance(neutral, StreamError):
                self._stop(neutral.error)
            else:
                self._out.append(encoder.feed(neutral))
                self._is_ended = isinstance(neutral, ResponseEnd)

    def _read_event(self, kind: str, event: Json, data: bytes) -> None:
        if kind == "error" or event.get("error"):
            self._stop(decode_error(200, {}, data))
        elif kind == "message_start":
            self._start(event)
        elif not self._is_started:
            if kind != "ping":
                self._stop(UpstreamProtocolError("GitHub Copilot's stream does not begin with message_start."))
        elif kind == "message_stop":
            self._give(kind, json_bytes.dumps(public(event)))
            self._is_ended = True
        else:
            if kind == "message_delta":
                self._note_end(event)
            mended = _public_event(event)
            self._give(kind, data if mended is event and b"\n" not in data else json_bytes.dumps(mended))

    def _start(self, event: Json) -> None:
        if self._is_started:
            self._stop(UpstreamProtocolError("GitHub Copilot began its answer twice. Try again."))
            return
        given = event.get("message")
        message = mend_message(given if isinstance(given, dict) else {}, self._model, self._fallback_id)
        self._note_usage(message.get("usage"))
        self._is_started = True
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

    def _stop(self, error: GatewayError) -> None:
        self._error = error
        self._is_ended = True
        self._out.append(error_frame(error))

    def _broken_off(self) -> GatewayError:
        stray = " ".join(self._stray.decode("utf-8", "replace").split())
        return broken_off(f'It said: "{stray}".' if stray else "")


def mend_message(message: Json, model: str, fallback_id: str) -> Json:
    """The message object of a whole answer or of ``message_start``: the client's model name, nothing missing."""
    mended = {**public(message), "model": model}
    if not isinstance(mended.get("id"), str) or not mended["id"]:
        mended["id"] = fallback_id
    if not isinstance(mended.get("content"), list):
        mended["content"] = []
    given = mended.get("usage")
    usage = public(given) if isinstance(given, dict) else {}
    mended["usage"] = {"input_tokens": 0, "output_tokens": 0} | usage
    return {"type": "message", "role": "assistant", "stop_reason": None, "stop_sequence": None} | mended


def _public_event(event: Json) -> Json:
    """The same object if nothing in it is private."""
    mended = public(event)
    for name in ("delta", "usage", "content_block"):
        inner = mended.get(name)
        if isinstance(inner, dict) and (clean := public(inner)) is not inner:
            mended = {**mended, name: clean}
    return mended


def _parsed(payload: bytes) -> Json | None:
    try:
        value = json_bytes.loads(payload)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
