"""Mends Copilot's native chat stream on its way to a chat client.

Every quirk of contract §6.5 has its remedy here or in `quirks`; tests/unit/converters/chat/test_mender.py lists them.

Two roads lead through the mender and give the same bytes:

* The *slow* road parses a frame, mends it and writes it anew. First chunks, new calls, finishes, usage, errors go here.
* The *fast* road is learned from the slow one (`surroundings`): most frames of a stream differ in one string alone, and
  are mended by cutting that string out and setting it into our own frame, without parsing.

Finish reasons and usage are held until the stream ends, then given out in OpenAI's order: finish, usage, ``[DONE]``.
Upstream may still send reasoning ids after a finish (§6.5.10), a second finish for the same answer (§6.5.9), or go on
after a ``function_call`` (§6.5.13). Nothing is lost by waiting, since the end follows the finish at once.
"""

from __future__ import annotations

from typing import Any

from app.converters import json_bytes, sse
from app.converters.chat import quirks, surroundings
from app.converters.chat.call_proofs import needs_proofs
from app.converters.chat.calls import ToolCalls
from app.converters.chat.errors import decode_error, describe_page, error_frame, is_page
from app.errors import GatewayError, UpstreamProtocolError, broken_off

_MAX_KNOWN = 6

_ENVELOPE = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_ENTRY = frozenset({"index", "delta", "message", "finish_reason"})
_NOT_ASSISTANT = frozenset({"function", "tool"})
_SSE_FIELDS = frozenset({b"event", b"id", b"retry"})


class _Choice:
    """What is known of one choice that the client sees."""

    __slots__ = ("calls", "has_open_call", "has_role", "index", "reasons")

    def __init__(self, index: int) -> None:
        self.index = index
        self.calls = ToolCalls(index)
        self.has_role = False
        self.has_open_call = False
        self.reasons: list[str] = []

    @property
    def finish_reason(self) -> str | None:
        return quirks.fold_finish(self.reasons, has_calls=len(self.calls) > 0)


class StreamMender:
    """Upstream's chat stream in, a clean OpenAI stream out. One per answer.

    model:         the name the client asked for, restored in every chunk.
    include_usage: whether the client asked for the usage chunk.
    choices:       the n the client asked for; with 1, whatever upstream splits over several choices becomes one.
    created:       epoch seconds, where upstream gives none.
    fallback_id:   answer id, where upstream gives none.
    For the books, as far as is known: `usage`, and `finish_reason` of the choice that finished last; `upstream_model`.
    Spec:          contract §6.4, §6.5, §12.3; conversion §4.
    """

    def __init__(self, *, model: str, include_usage: bool, choices: int = 1, created: int, fallback_id: str) -> None:
        self.usage: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self.upstream_model = ""
        self._model = model
        self._include_usage = include_usage
        self._folds = choices == 1
        self._fallback_created = created
        self._fallback_id = fallback_id
        self._id = ""
        self._created = 0
        self._extras: dict[str, Any] = {}
        self._lines = sse.LineCutter()
        self._held: list[bytes] = []
        self._stray = b""
        self._out: list[bytes] = []
        self._known: list[surroundings.Surroundings] = []
        self._choices: dict[int, _Choice] = {}
        self._started = False
        self._ended = False
        self._error: GatewayError | None = None

    @property
    def ended(self) -> bool:
        """A terminal frame, ``[DONE]`` or an error, has been given out."""
        return self._ended

    @property
    def error(self) -> GatewayError | None:
        """The error that ended the stream."""
        return self._error

    @property
    def started(self) -> bool:
        """A chunk has been given out. Comments do not count: no client shows them."""
        return self._started

    def feed(self, data: bytes) -> bytes:
        """Whatever one read brought → everything it yields for the client."""
        if self._ended:
            return b""
        block = self._lines.feed(data)
        if block:
            # Without its last line break, after which no line has come yet, not even an empty one.
            self._read_lines(block[:-1])
        return self._take_out()

    def finish(self) -> bytes:
        """Upstream closed cleanly: the end of an answer that is complete, an error for one that is not. Idempotent.

        Complete means: a finish reason for every choice and no call begun since; ``[DONE]`` may be missing (§6.5.17).
        """
        if self._ended:
            return b""
        rest = self._lines.take_rest()
        if rest and not (len(rest) < len(b"data: [DONE]") and b"data: [DONE]".startswith(rest)):
            self._read_lines(rest)
        if not self._ended and self._held:
            self._stop(_torn())
        if not self._ended:
            if self._choices and all(c.reasons and not c.has_open_call for c in self._choices.values()):
                self._end()
            else:
                self._stop(self._broken_off())
        return self._take_out()

    def fail(self, error: GatewayError) -> bytes:
        """The transport broke: an error frame, unless the client has the end already."""
        if self._ended:
            return b""
        self._stop(error)
        return self._take_out()

    def _take_out(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _read_lines(self, block: bytes) -> None:
        out = self._out
        for line in surroundings.without_offsets(block).split(b"\n"):
            if not line:
                if self._held:
                    # A blank line ends an event: what does not parse by now never will.
                    self._stop(_torn())
                    return
                continue
            for known in self._known:
                if line.startswith(known.head) and line.endswith(known.tail) and len(line) >= known.shortest:
                    text = line[known.start : known.end]
                    if (b'"' not in text and b"\\" not in text) or surroundings.is_string_body(text):
                        out.append(text.join(known.ours))
                        break
            else:
                self._read_line(line)
                if self._ended:
                    return

    def _read_line(self, line: bytes) -> None:
        line = line.removeprefix(sse.BOM)
        name, value = sse.field(line)
        if name == b"data":
            self._read_payload(value.strip(), line)
        elif not name:
            self._out.append(sse.comment(line[1:]))
        elif name in _SSE_FIELDS:
            pass
        elif line[:1] == b"{" or self._held:
            # §6.5.16: an error, or a whole answer, may stand there bare, even spread over several lines.
            self._read_payload(line.strip(), line)
        elif is_page(line.decode("utf-8", "replace")):
            page = describe_page(line.decode("utf-8", "replace"))
            self._stop(UpstreamProtocolError(f"GitHub Copilot sent {page} instead of an answer. Try again."))
        else:
            self._stray = line[:200]

    def _read_payload(self, payload: bytes, line: bytes) -> None:
        if payload == b"[DONE]":
            self._stop(_torn()) if self._held else self._done()
            return
        if not payload and not self._held:
            return
        self._held.append(payload)
        # §6.4 and conversion §4: each data line is a frame, yet one event may also be spread over several lines.
        whole = payload if len(self._held) == 1 else b"\n".join(self._held)
        value = _parsed(whole) if whole.endswith(b"}") else None
        if value is not None:
            self._held.clear()
            self._read_chunk(value, line if whole is payload else b"")
        elif len(self._held) > 1 and _parsed(payload):
            # A frame of its own follows a torn one: with single line breaks no blank line would ever tell.
            self._stop(_torn())

    def _read_chunk(self, chunk: dict[str, Any], line: bytes) -> None:
        if quirks.error_in(chunk):
            self._stop(decode_error(200, {}, json_bytes.dumps(chunk)))
            return
        if quirks.is_anthropic(chunk):
            chunk = quirks.from_anthropic(chunk)
        usage = chunk.get("usage")
        if isinstance(usage, dict) and usage:
            self.usage = quirks.mend_usage(usage)
        entries = chunk.get("choices")
        if not isinstance(entries, list) or not entries:
            # §6.5.1 filter chunk, §6.5.13 side channel, §6.5.18 accounting, or usage: nothing for the client right now.
            return
        self._note_identity(chunk)
        for position, entry in enumerate(entries):
            if isinstance(entry, dict) and not self._ended:
                self._read_entry(entry, position, line if len(entries) == 1 else b"")

    def _note_identity(self, chunk: dict[str, Any]) -> None:
        """Take id and time from the first real chunk that has them; once given out they stay (§6.5.1, §6.5.10)."""
        self._extras = quirks.public(chunk, without=_ENVELOPE)
        if self._started:
            return
        if not self._id and isinstance(chunk.get("id"), str):
            self._id = chunk["id"]
        if not self._created and type(chunk.get("created")) is int:
            self._created = chunk["created"]
        if not self.upstream_model and isinstance(chunk.get("model"), str):
            self.upstream_model = chunk["model"]

    def _read_entry(self, entry: dict[str, Any], position: int, line: bytes) -> None:
        choice = self._choice_of(entry, position)
        raw = entry.get("message") or entry.get("delta")
        raw = raw if isinstance(raw, dict) else {}
        if str(raw.get("role")) in _NOT_ASSISTANT:
            # §6.5.13: search results of a remote agent, after which the answer goes on.
            choice.reasons = [reason for reason in choice.reasons if reason != "function_call"]
            return
        self._freeze_identity()
        reason = entry.get("finish_reason")
        delta = self._mend_delta(choice, raw)
        extras = quirks.public(entry, without=_ENTRY)
        # An empty delta is only worth a chunk where it opens the answer or brings logprobs.
        if any(delta.values()) or extras.get("logprobs") or (not reason and (delta or not choice.has_role)):
            self._give_delta(choice, delta, extras, line if not reason else b"")
        if reason == "error":
            self._stop(decode_error(200, {}, b""))
        elif reason and isinstance(reason, str):
            choice.reasons.append(reason)
            choice.has_open_call = False
            self.finish_reason = choice.finish_reason
            self._forget_calls()

    def _choice_of(self, entry: dict[str, Any], position: int) -> _Choice:
        index = entry.get("index")
        if self._folds:
            index = 0
        elif type(index) is not int or index < 0:
            index = position
        if index not in self._choices:
            self._choices[index] = _Choice(index)
        return self._choices[index]

    def _mend_delta(self, choice: _Choice, raw: dict[str, Any]) -> dict[str, Any]:
        delta = {
            key: value
            for key, value in quirks.public(raw, without=("role", "tool_calls")).items()
            if value is not None or not choice.has_role
        }
        if isinstance(delta.get("content"), list):
            delta["content"] = quirks.text_of(delta["content"])
        quirks.offer_reasoning(delta)
        calls = raw.get("tool_calls")
        if isinstance(calls, list) and calls:
            last = choice.calls.last
            proof = raw.get("reasoning_opaque") if needs_proofs(self.upstream_model) else None
            delta["tool_calls"] = [choice.calls.mend(call, self._id, proof) for call in calls if isinstance(call, dict)]
            choice.has_open_call = True
            if choice.calls.last != last:
                self._forget_calls()
        return delta

    def _give_delta(self, choice: _Choice, delta: dict[str, Any], extras: dict[str, Any], line: bytes) -> None:
        is_first = not choice.has_role
        if is_first:
            # openai-python concatenates repeated roles to "assistantassistant": only the first delta may have one.
            choice.has_role = True
            delta = {"role": "assistant", **delta}
        self._give(self._chunk(choice.index, delta, extras, None))
        if line and not is_first:
            self._learn(line, choice.index, delta, extras)

    def _chunk(self, index: int, delta: dict[str, Any], extras: dict[str, Any], reason: str | None) -> dict[str, Any]:
        entry = {"index": index, "delta": delta, **extras, "finish_reason": reason}
        return {**self._envelope(), "choices": [entry]}

    def _envelope(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            **self._extras,
        }

    def _freeze_identity(self) -> None:
        self._id = self._id or self._fallback_id
        self._created = self._created or self._fallback_created

    def _give(self, chunk: dict[str, Any]) -> None:
        self._started = True
        self._out.append(sse.frame(json_bytes.dumps(chunk)))

    def _learn(self, line: bytes, index: int, delta: dict[str, Any], extras: dict[str, Any]) -> None:
        """Remember the surroundings of the one string that this frame carried, if it carried nothing else."""
        found = surroundings.only_string(delta)
        if found is None:
            return
        key, text, blank = found
        mended = sse.frame(json_bytes.dumps(self._chunk(index, blank, extras, None)))
        known = surroundings.learn(line, key, text, mended, 2 if "reasoning_content" in blank else 1)
        if known is not None:
            self._known.insert(0, known)
            del self._known[_MAX_KNOWN:]

    def _forget_calls(self) -> None:
        """Which call a bare fragment belongs to depends on what came before it: when that changes, learn anew."""
        self._known = [known for known in self._known if not known.is_call]

    def _done(self) -> None:
        """Upstream said ``[DONE]``.

        It ended on purpose, so a missing finish reason is made up for: "stop". Not so for a call that nobody finished,
        which a client would run with half its arguments; nor for an answer without anything in it.
        """
        if any(choice.has_open_call and not choice.reasons for choice in self._choices.values()):
            self._stop(self._broken_off())
        elif self._choices or self.usage:
            self._end()
        else:
            self._stop(UpstreamProtocolError("GitHub Copilot ended the stream without an answer. Try again."))

    def _end(self) -> None:
        self._freeze_identity()
        if not self._choices:
            # §6.3.4: usage and no choice at all is an empty answer.
            self._choices[0] = _Choice(0)
        for choice in self._choices.values():
            if not choice.has_role:
                self._give_delta(choice, {"content": ""}, {}, b"")
            if not choice.reasons:
                choice.reasons.append("stop")
            self.finish_reason = choice.finish_reason
            self._give(self._chunk(choice.index, {}, {"logprobs": None}, self.finish_reason))
        if self._include_usage and self.usage is not None:
            self._give({**self._envelope(), "choices": [], "usage": self.usage})
        self._out.append(sse.DONE)
        self._ended = True

    def _stop(self, error: GatewayError) -> None:
        self._error = error
        self._ended = True
        self._out.append(error_frame(error))

    def _broken_off(self) -> GatewayError:
        stray = " ".join(self._stray.decode("utf-8", "replace").split())
        return broken_off(f'It said: "{stray}".' if stray else "")


def _torn() -> GatewayError:
    return UpstreamProtocolError("GitHub Copilot sent a torn piece of JSON in its stream. Try again.")


def _parsed(payload: bytes) -> dict[str, Any] | None:
    try:
        value = json_bytes.loads(payload)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
