"""Mends Copilot's native ``/responses`` stream on its way to a Responses client.

Contract §7.5, §7.6; clients.md 0.2; conversion.md §4. Upstream's order of events stays; what is changed:

* ids: one per response and per item, in all events and in the final object; `sequence_number` counts what is given out.
* what an item said in deltas is what its ``.done``, its item and the final object say. What upstream tells only in the
  end (arguments whose deltas are ciphertext, a summary without deltas) is told as one delta before that end.
* tools in the client's terms: a function that stands for a custom tool comes back as ``custom_tool_call`` events.
* `obfuscation` and Copilot's private keys go, missing keys come.
* the end is exactly one terminal event, or, for all that is cut, torn or failed, ``error`` and ``response.failed``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.converters import json_bytes, sse
from app.converters.chat.errors import describe_page, is_page
from app.converters.responses import channels
from app.converters.responses.channels import Channel, Template
from app.converters.responses.errors import error_events, error_in, frame_of
from app.converters.responses.mended_item import MendedItem
from app.converters.responses.response import Identity, mend_object, public
from app.converters.responses.restore import Restore
from app.converters.responses.tables import TERMINALS, response_id
from app.errors import GatewayError, UpstreamProtocolError, broken_off

_BEGINNINGS: Final = frozenset({"response.created", "response.in_progress", "response.queued"})
_SSE_FIELDS: Final = frozenset({b"event", b"id", b"retry"})


class Mender:
    """Upstream's stream in, a clean one out. One per answer.

    model:       the name the client asked for.
    created:     epoch seconds, where upstream gives none. fallback_id: likewise.
    restore:     what ``native.prepare`` said of the client's tools.
    For the books, as far as is known: `usage`, and `finish_reason` (status, or the reason of an incomplete one).
    """

    def __init__(
        self,
        *,
        model: str,
        include_usage: bool = True,
        choices: int = 1,
        created: int,
        fallback_id: str,
        restore: Restore | None = None,
    ) -> None:
        self.usage: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self._identity = Identity(model, created, fallback_id, restore)
        self._id = ""
        self._begun: dict[str, Any] = {}
        self._items: dict[int, MendedItem] = {}
        self._lines = sse.LineCutter()
        self._name = b""
        self._held: list[bytes] = []
        self._stray = b""
        self._out: list[bytes] = []
        self._number = 0
        self._template: Template | None = None
        self._routes: dict[tuple[bytes, bytes], tuple[bytes, bytes, bytes, list[bytes]]] = {}
        self._started = self._ended = False
        self._error: GatewayError | None = None

    @property
    def ended(self) -> bool:
        """The terminal event, or an error, has been given out."""
        return self._ended

    @property
    def error(self) -> GatewayError | None:
        """The error that ended the stream."""
        return self._error

    @property
    def started(self) -> bool:
        """An event has been given out. Comments do not count."""
        return self._started

    def feed(self, data: bytes) -> bytes:
        """Whatever one read brought → everything it yields for the client."""
        if self._ended:
            return b""
        block = self._lines.feed(data)
        if block:
            self._read_lines(block)
        return self._take_out()

    def finish(self) -> bytes:
        """Upstream closed cleanly: an error, unless the terminal event has come. Idempotent."""
        if self._ended:
            return b""
        rest = self._lines.take_rest()
        if rest:
            self._read_lines(rest + b"\n")
        if not self._ended:
            self._stop(_torn() if self._held else self._broken_off())
        return self._take_out()

    def fail(self, error: GatewayError) -> bytes:
        """The transport broke: the error, unless the client has the end already."""
        if self._ended:
            return b""
        self._stop(error)
        return self._take_out()

    def _take_out(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    # -- lines -------------------------------------------------------------------------------------------------------

    def _read_lines(self, block: bytes) -> None:
        at, end = 0, len(block)
        while at < end and not self._ended:
            at = self._read_fast(block, at) if self._routes else at
            cut = block.find(b"\n", at)
            if cut < 0:
                return
            self._read_line(block[at:cut])
            at = cut + 1

    def _read_fast(self, block: bytes, at: int) -> int:
        """Mend deltas of the known shape for as long as there are any; where the first other thing stands."""
        template = self._template
        if template is None or self._held:
            return at
        match, groups, routes, out = template.match, template.groups, self._routes, self._out
        number, name = self._number, self._name
        while found := match(block, at):
            output, inner, delta = found.group(*groups)
            route = routes.get((output, inner))
            if route is None:
                break
            at, name = found.end(), b""
            if delta:
                head, middle, tail, told = route
                told.append(delta)
                out.append(b"%s%d%s%s%s" % (head, number, middle, delta, tail))
                number += 1
        self._number, self._name = number, name
        return at

    def _read_line(self, line: bytes) -> None:
        if not line:
            if self._held:
                # A blank line ends an event: what does not parse by now never will.
                self._stop(_torn())
            self._name = b""
            return
        line = line.removeprefix(sse.BOM)
        name, value = sse.field(line)
        if name == b"data":
            self._read_payload(value.strip(), line)
        elif not name:
            self._out.append(sse.comment(line[1:]))
        elif name in _SSE_FIELDS:
            self._name = value.strip() if name == b"event" else self._name
        elif line[:1] == b"{" or self._held:
            # §10.1: an error may stand there bare, even spread over several lines.
            self._read_payload(line.strip(), b"")
        elif is_page(line.decode("utf-8", "replace")):
            page = describe_page(line.decode("utf-8", "replace"))
            self._stop(UpstreamProtocolError(f"GitHub Copilot sent {page} instead of an answer. Try again."))
        else:
            self._stray = line[:200]

    def _read_payload(self, payload: bytes, line: bytes) -> None:
        if not payload or payload == b"[DONE]":
            return
        self._held.append(payload)
        whole = payload if len(self._held) == 1 else b"\n".join(self._held)
        event = _parsed(whole) if whole.endswith(b"}") else None
        if event is None:
            return
        self._held.clear()
        try:
            self._read(event, line)
        except GatewayError as error:
            self._stop(error)

    # -- events ------------------------------------------------------------------------------------------------------

    def _read(self, event: dict[str, Any], line: bytes) -> None:
        # §7.5: some frames lack the type.
        kind = event["type"] if isinstance(event.get("type"), str) else self._name.decode("utf-8", "replace")
        error = error_in({**event, "type": kind})
        if error is not None:
            return self._stop(error)
        if not kind.startswith("response."):
            return None
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        if kind in _BEGINNINGS:
            return self._begin(kind, response)
        if not self._started:
            self._begin("response.created", {"status": "in_progress"})
        if kind in TERMINALS:
            return self._end(kind, response)
        return self._read_inner(kind, event, line)

    def _begin(self, kind: str, response: dict[str, Any]) -> None:
        if not self._id:
            self._id = response_id(str(response.get("id") or self._identity.fallback_id))
        begun = mend_object({"status": "in_progress", **response}, self._id, self._identity, [])
        self._begun = begun
        self._tell(kind, response=begun)

    def _read_inner(self, kind: str, event: dict[str, Any], line: bytes) -> None:
        item = self._item_of(event)
        channel = channels.BY_DELTA.get(kind)
        if channel is not None:
            inner = _index(event, channel.index)
            delta = event.get("delta")
            item.delta(channel, inner, delta if isinstance(delta, str) else "", event.get("logprobs"))
            if line and item.flows(channel):
                self._learn(line, item, channel, inner)
            return None
        self._routes.clear()
        if kind in channels.BY_DONE:
            channel = channels.BY_DONE[kind]
            item.finish_text(channel, _index(event, channel.index), event.get(channel.key), event.get("logprobs"))
            return None
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(item, event)
        rest = {key: value for key, value in public(event).items() if key not in ("type", "sequence_number")}
        if "item_id" in rest:
            rest["item_id"] = item.id
        return self._tell(kind, **rest)

    def _item_of(self, event: dict[str, Any]) -> MendedItem:
        index = event.get("output_index")
        at = index if type(index) is int else max(self._items, default=0)
        if at not in self._items:
            self._items[at] = MendedItem(self._id, at, self._identity.restore, self._tell)
        return self._items[at]

    def _tell(self, kind: str, **fields: Any) -> None:
        self._started = True
        self._out.append(frame_of(kind, {"type": kind, "sequence_number": self._number, **fields}))
        self._number += 1

    def _learn(self, line: bytes, item: MendedItem, channel: Channel, inner: int) -> None:
        """Remember the shape of this line, and what of ours stands around the string in it."""
        shape = channels.template(self._name, line)
        found = shape.match(b"event: %s\n%s\n" % (self._name, line)) if shape is not None else None
        if shape is None or found is None:
            return
        if self._template is None or shape.pattern is not self._template.pattern:
            # Routes belong to one shape: another channel has begun.
            self._routes.clear()
            self._template = shape
        kind = f"{channel.event}.delta"
        head = f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":'.encode()
        place = f',"{channel.index}":{inner}' if channel.index else ""
        middle = f',"item_id":"{item.id}","output_index":{item.index}{place},"delta":"'.encode()
        tail = b'","logprobs":[]}\n\n' if channel.has_logprobs else b'"}\n\n'
        output, second, _ = found.group(*shape.groups)
        self._routes[output, second] = head, middle, tail, item.told(channel, inner)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _end(self, kind: str, response: dict[str, Any]) -> None:
        output = response.get("output")
        for at, raw in enumerate(output if isinstance(output, list) else []):
            if isinstance(raw, dict):
                self._item_of({"output_index": at}).complete(raw)
        status = TERMINALS[kind]
        for item in self._items.values():
            if item.is_open:
                if status == "completed" and item.is_call:
                    # A client would run half a call.
                    return self._stop(UpstreamProtocolError(_HALF_A_CALL))
                item.complete({**item.begun, "status": status})
        raw = {**response, "status": status}
        items = [item.final for _, item in sorted(self._items.items()) if item.final is not None]
        body = mend_object(raw, self._id, self._identity, items)
        self.usage = body["usage"]
        details = body.get("incomplete_details")
        self.finish_reason = details.get("reason") if isinstance(details, dict) else status
        self._tell(kind, response=body)
        self._ended = True
        return None

    def _stop(self, error: GatewayError) -> None:
        self._error = error
        self._ended = True
        items = [item.final for _, item in sorted(self._items.items()) if item.final is not None]
        self._out.append(error_events(error, self._number, {**self._begun, "output": items} if self._begun else None))

    def _broken_off(self) -> GatewayError:
        stray = " ".join(self._stray.decode("utf-8", "replace").split())
        return broken_off(f'It said: "{stray}".' if stray else "")


_HALF_A_CALL: Final = "GitHub Copilot ended its answer inside a tool call. Try again."

_READERS: Final[dict[str, Callable[[MendedItem, dict[str, Any]], None]]] = {
    "response.output_item.added": MendedItem.begin,
    "response.output_item.done": MendedItem.read_done,
    "response.content_part.added": MendedItem.begin_part,
    "response.content_part.done": MendedItem.end_part,
    "response.reasoning_summary_part.added": MendedItem.begin_part,
    "response.reasoning_summary_part.done": MendedItem.end_part,
}


def _torn() -> GatewayError:
    return UpstreamProtocolError("GitHub Copilot sent a torn piece of JSON in its stream. Try again.")


def _parsed(payload: bytes) -> dict[str, Any] | None:
    try:
        value = json_bytes.loads(payload)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _index(event: dict[str, Any], name: str | None) -> int:
    at = event.get(name) if name else 0
    return at if type(at) is int else 0
