"""Normalizes Copilot's native chat stream on its way to a chat client.

Every quirk of contract §6.5 has its remedy here or in `quirks`; they are listed in
tests/unit/converters/chat/native/test_stream.py.

Two paths lead through the normalizer and give the same bytes:

* The *slow* path parses a frame, normalizes it and writes it anew. First chunks, new calls, finishes, usage and errors
  go here.
* The *fast* path is learned from the slow one (`fast_path`): most frames of a stream differ in one string alone, and
  are normalized by cutting that string out and setting it into our own frame, without parsing.

Finish reasons and usage are held until the stream ends, then given out in OpenAI's order: finish, usage, ``[DONE]``.
Upstream may still send reasoning ids after a finish, a second finish for the same answer, or go on after a
``function_call`` (contract §6.5.9, §6.5.10, §6.5.13). Nothing is lost by waiting: the end follows the finish at once.
"""

from __future__ import annotations

from typing import Any

from app.converters.chat import quirks
from app.converters.chat.native import fast_path
from app.converters.chat.native.tool_calls import ToolCalls
from app.converters.chat.thought_signatures import needs_proofs
from app.converters.codec import Identity
from app.converters.neutral.whole_calls import check_calls
from app.converters.wire import accounting, json_bytes, sse
from app.converters.wire.error_body import is_error
from app.converters.wire.openai_errors import decode_error, error_frame
from app.converters.wire.stream_shell import NormalizedStream
from app.errors import GatewayError, UpstreamProtocolError

_MAX_KNOWN = 6

_ENVELOPE = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_ENTRY = frozenset({"index", "delta", "message", "finish_reason"})
_ONCE = frozenset({"prompt_filter_results"})
"""Of the whole answer, not of a chunk."""
_NOT_ASSISTANT = frozenset({"function", "tool"})


class _Choice:
    """What is known of one choice that the client sees."""

    __slots__ = ("calls", "ending", "has_open_call", "has_role", "index", "legacy", "reasons")

    def __init__(self, index: int) -> None:
        self.index = index
        self.calls = ToolCalls(index)
        self.has_role = False
        self.has_open_call = False
        self.legacy: list[str] = []
        self.ending: dict[str, Any] = {}
        self.reasons: list[str] = []

    @property
    def finish_reason(self) -> str | None:
        return quirks.fold_finish(self.reasons, has_calls=len(self.calls) > 0)

    def given_out(self) -> list[tuple[str, str]]:
        """Name and arguments of all calls, as the client has them."""
        legacy = [("function_call", "".join(self.legacy))] if self.legacy else []
        return self.calls.given_out() + legacy


class StreamNormalizer(NormalizedStream):
    """Upstream's chat stream in, a clean OpenAI stream out. One per answer.

    identity:      its model is restored in every chunk.
    include_usage: whether the client asked for the usage chunk.
    checks_calls:  whether a call whose arguments are no object breaks the answer; no, where somebody else judges that.
    choices:       the n the client asked for; with 1, whatever upstream splits over several choices becomes one.
    For the books, as far as is known: `usage`, and `finish_reason` of the choice that finished last; `upstream_model`.
    Spec:          contract §6.4, §6.5, §12.3; conversion rules §4.
    """

    def __init__(self, identity: Identity, *, include_usage: bool, choices: int = 1, checks_calls: bool = True) -> None:
        super().__init__()
        self._checks_calls = checks_calls
        self.upstream_model = ""
        self._identity = identity
        self._include_usage = include_usage
        self._folds = choices == 1
        self._id = ""
        self._created = 0
        self._extras: dict[str, Any] = {}
        self._beside: dict[str, Any] = {}
        self._known: list[fast_path.FrameTemplate] = []
        self._choices: dict[int, _Choice] = {}

    def _read_eof(self) -> None:
        """Complete: each choice has finished and began no call since; ``[DONE]`` may be missing (contract §6.5.17)."""
        choices = self._choices.values()
        if choices and not self._held and all(choice.reasons and not choice.has_open_call for choice in choices):
            self._end_checked()
        else:
            self._stop(self._broken_off())

    def _error_frames(self, error: GatewayError) -> bytes:
        return error_frame(error)

    def _read_block(self, block: bytes) -> None:
        out = self._out
        # Without its last line break, after which no line has come yet, not even an empty one.
        for line in fast_path.without_offsets(block[:-1]).split(b"\n"):
            if not line and not self._held and not self._page:
                continue
            for known in () if self._held else self._known:
                if line.startswith(known.head) and line.endswith(known.tail) and len(line) >= known.shortest:
                    text = line[known.start : known.end]
                    if fast_path.is_string_body(text):
                        out.append(text.join(known.ours))
                        if known.told is not None:
                            known.told.append(text)
                        break
            else:
                self._read_line(line)
                if self._ended:
                    return

    def _read_comment(self, text: bytes) -> None:
        self._out.append(sse.comment(text))

    def _read_event(self, _name: bytes, event: dict[str, Any], payload: bytes, line: bytes) -> None:
        if is_error(event):
            self._stop(decode_error(200, {}, payload))
            return
        chunk = quirks.from_anthropic(event) if quirks.is_anthropic(event) else event
        usage = chunk.get("usage")
        if isinstance(usage, dict) and usage:
            self.usage = quirks.normalize_usage(usage)
        entries = chunk.get("choices")
        if not isinstance(entries, list) or not entries:
            # Filters, side channels, accounting (contract §6.5.1, §6.5.13, §6.5.18), usage. Clients look for the first
            # choice of each chunk and fail where there is none: what else is said rides with the next that is told.
            self._beside |= quirks.public(chunk, without=_ENVELOPE)
            return
        self._note_identity(chunk)
        for position, entry in enumerate(entries):
            if isinstance(entry, dict) and not self._ended:
                self._read_entry(entry, position, line if len(entries) == 1 else b"")

    def _note_identity(self, chunk: dict[str, Any]) -> None:
        """Take id and time from the first real chunk with them; once given out they stay (contract §6.5.1, §6.5.10)."""
        self._extras = quirks.public(chunk, without=_ENVELOPE)
        for name in _ONCE & self._extras.keys():
            self._beside[name] = self._extras.pop(name)
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
            # Contract §6.5.13: search results of a remote agent, after which the answer goes on.
            choice.reasons = [reason for reason in choice.reasons if reason != "function_call"]
            return
        self._freeze_identity()
        reason = entry.get("finish_reason")
        delta = self._normalize_delta(choice, raw)
        extras = quirks.public(entry, without=_ENTRY)
        # An empty delta is only worth a chunk where it opens the answer or brings something beside it.
        has_extras = not reason and any(extras.values())
        if (
            any(delta.values())
            or extras.get("logprobs")
            or has_extras
            or (not reason and (delta or not choice.has_role))
        ):
            self._give_delta(choice, delta, extras, line if not reason else b"")
        if reason == "error":
            self._stop(decode_error(200, {}, b""))
        elif reason and isinstance(reason, str):
            choice.reasons.append(reason)
            choice.ending |= {name: value for name, value in extras.items() if name != "logprobs"}
            is_over = self._checks_calls and choice.finish_reason not in quirks.CUTS
            if left := choice.calls.placeholders(of_empty=is_over):
                self._give_delta(choice, {"tool_calls": left}, {}, b"")
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

    def _normalize_delta(self, choice: _Choice, raw: dict[str, Any]) -> dict[str, Any]:
        delta = {
            key: value
            for key, value in quirks.public(raw, without=("role", "tool_calls")).items()
            if value is not None or not choice.has_role
        }
        if isinstance(delta.get("content"), list):
            delta["content"] = quirks.text_of(delta["content"])
        quirks.offer_reasoning(delta)
        legacy = raw.get("function_call")
        if isinstance(legacy, dict):
            choice.legacy.append(quirks.arguments_of(legacy))
        calls = raw.get("tool_calls")
        if isinstance(calls, list) and calls:
            last = choice.calls.last
            proof = raw.get("reasoning_opaque") if needs_proofs(self.upstream_model) else None
            delta["tool_calls"] = [
                choice.calls.normalize(call, self._id, proof) for call in calls if isinstance(call, dict)
            ]
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
            "model": self._identity.model,
            **self._extras,
        }

    def _freeze_identity(self) -> None:
        self._id = self._id or self._identity.fallback_id
        self._created = self._created or self._identity.created

    def _give(self, chunk: dict[str, Any]) -> None:
        self._started = True
        if self._beside:
            chunk, self._beside = {**chunk, **self._beside}, {}
        self._out.append(sse.frame(json_bytes.dumps(chunk)))

    def _learn(self, line: bytes, index: int, delta: dict[str, Any], extras: dict[str, Any]) -> None:
        """Remember a template of this frame around the one string that it carried, if it carried nothing else."""
        found = fast_path.only_string(delta)
        if found is None:
            return
        key, text, blank = found
        if key == "arguments" and not text.strip():
            return  # whether it says anything depends on what follows
        normalized = sse.frame(json_bytes.dumps(self._chunk(index, blank, extras, None)))
        times = 2 if "reasoning_content" in blank else 1
        told = self._choices[index].calls.told if key == "arguments" else None
        known = fast_path.learn(line, key, text, normalized, times, told)
        if known is not None:
            self._known.insert(0, known)
            del self._known[_MAX_KNOWN:]

    def _forget_calls(self) -> None:
        """Which call a bare fragment belongs to depends on what came before it: when that changes, learn anew."""
        self._known = [known for known in self._known if known.told is None]

    def _read_done(self) -> None:
        """Upstream said ``[DONE]``.

        It ended on purpose, so a missing finish reason is made up for: "stop". Not so for a call that nobody finished,
        which a client would run with half its arguments; nor for an answer without anything in it.
        """
        if any(choice.has_open_call and not choice.reasons for choice in self._choices.values()):
            self._stop(self._broken_off())
        elif self._choices or self.usage:
            self._end_checked()
        else:
            self._stop(UpstreamProtocolError("GitHub Copilot ended the stream without an answer. Try again."))

    def _end_checked(self) -> None:
        try:
            self._end()
        except UpstreamProtocolError as error:
            self._stop(error)

    def _end(self) -> None:
        """Raises: UpstreamProtocolError for a call that is no whole one."""
        self._freeze_identity()
        if not self._choices:
            # Contract §6.3.4: usage and no choice at all is an empty answer.
            self._choices[0] = _Choice(0)
        for choice in self._choices.values():
            if not choice.has_role:
                self._give_delta(choice, {"content": ""}, {}, b"")
            if not choice.reasons:
                choice.reasons.append("stop")
            self.finish_reason = choice.finish_reason
            if self._checks_calls:
                check_calls(choice.given_out(), is_cut=choice.finish_reason in quirks.CUTS)
        # What it cost stands beside the usage, or where there is none on the last finish, as upstream has it.
        account = {accounting.FIELD: self.account} if self.account else {}
        has_usage = self._include_usage and self.usage is not None
        finishes = [
            self._chunk(choice.index, {}, {"logprobs": None, **choice.ending}, choice.finish_reason)
            for choice in self._choices.values()
        ]
        if not has_usage:
            finishes[-1] |= account
        for chunk in finishes:
            self._give(chunk)
        if has_usage:
            self._give({**self._envelope(), "choices": [], "usage": self.usage, **account})
        self._out.append(sse.DONE)
        self._ended = True
