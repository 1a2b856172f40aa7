"""Tool calls of one streamed choice: which call a fragment belongs to, and what of it the client gets.

Contract §6.5.5–§6.5.8: Claude gives every parallel call the index 0, Gemini leaves index and id out; only the client
wants all of it right: index 0, 1, 2 …; id, type and name in the first fragment of a call and nowhere else.
"""

from __future__ import annotations

from typing import Any

from app.converters.chat import quirks
from app.converters.chat.thought_signatures import shown
from app.converters.wire import json_bytes


class _Call:
    """One call under way. index, id: ours, 0, 1, 2 … and no two alike; upstream_index: theirs, often 0 for all;
    upstream_id: theirs. told: the arguments that were given out, as JSON string bodies; none of free text."""

    __slots__ = (
        "has_arguments", "has_made_id", "has_placeholder", "id", "index", "is_custom", "name", "told", "upstream_id",
        "upstream_index",
    )  # fmt: skip

    def __init__(self, index: int, raw: dict[str, Any], call_id: str) -> None:
        self.index = index
        self.upstream_index = raw.get("index")
        self.upstream_id = raw.get("id")
        self.id = call_id
        self.has_made_id = call_id != self.upstream_id
        self.has_arguments = self.has_placeholder = self.is_custom = False
        self.name = ""
        self.told: list[bytes] = []

    def arguments(self, given: str) -> str:
        """A piece of the arguments. An empty object at their beginning may but stand for what follows: it waits."""
        if not self.has_arguments and given == "{}":
            self.has_placeholder = True
            return ""
        if self.has_placeholder and not self.has_arguments and given.isspace():
            given = "{}" + given
        if given:
            self.has_arguments = self.has_arguments or not given.isspace()
            self.told.append(json_bytes.dumps(given)[1:-1])
        return given


class ToolCalls:
    """The calls of one choice. last: the index of the one that the last fragment belonged to."""

    __slots__ = ("_calls", "_choice", "_last")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._calls: list[_Call] = []
        self._last: _Call | None = None

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def last(self) -> int | None:
        return self._last.index if self._last else None

    def normalize(self, raw: dict[str, Any], answer_id: str, proof: object = None) -> dict[str, Any]:
        """One fragment from upstream → the same fragment for the client.

        proof: what the client has to send back with the call, where the call itself does not hold it.
        """
        given = raw.get("function")
        function = given if isinstance(given, dict) else {}
        call = self._continued(raw, bool(function.get("name")))
        is_first = call is None
        if call is None:
            call = self._open(raw, answer_id)
        self._last = call
        return _fragment(call, raw, function, shown(call.id, function.get("thought_signature") or proof), is_first)

    @property
    def told(self) -> list[bytes]:
        """Where what the last call is told in arguments is kept."""
        return self._last.told if self._last else []

    def given_out(self) -> list[tuple[str, str]]:
        """Name and arguments of all calls, as the client has them; of free text, which may be anything, none."""
        return [(call.name, str(json_bytes.loads(b'"' + b"".join(call.told) + b'"'))) for call in self._calls]

    def placeholders(self, *, of_empty: bool) -> list[dict[str, Any]]:
        """Fragments for the calls whose arguments have stayed an empty object, or (of_empty) none at all. To be told
        once, at the end."""
        left = [
            call
            for call in self._calls
            if not (call.has_arguments or call.is_custom) and (call.has_placeholder or of_empty)
        ]
        for call in left:
            call.told.append(b"{}")
            call.has_arguments = True
        return [{"index": call.index, "function": {"arguments": "{}"}} for call in left]

    def _open(self, raw: dict[str, Any], answer_id: str) -> _Call:
        index = len(self._calls)
        given = raw.get("id")
        # Two calls with one id: whoever answers them could not tell them apart.
        has_id = isinstance(given, str) and given != "" and all(given != call.id for call in self._calls)
        call_id = str(given) if has_id else quirks.make_call_id(answer_id, self._choice, index)
        call = _Call(index, raw, call_id)
        self._calls.append(call)
        return call

    def _continued(self, raw: dict[str, Any], has_name: bool) -> _Call | None:
        """The call that a fragment continues, or None: by id, never by index alone (contract §6.5.7, §12.3.2)."""
        last, call_id, index = self._last, raw.get("id"), raw.get("index")
        if last is None:
            return None
        if call_id:
            same_id = [call for call in self._calls if call.upstream_id == call_id]
            if same_id:
                alike = next((call for call in same_id if call.upstream_index == index), None)
                # Named anew, and counted as another: it is another, whatever its id says.
                is_another = alike is None and has_name and same_id[0].name
                return None if is_another else alike or same_id[0]
            # An id may come late, for a call that had none: the one we made has been given out and stays.
            is_late = last.has_made_id and not has_name and index == last.upstream_index
            return last if is_late else None
        if has_name:
            # Contract §6.5.8: whole calls without ids. Only a call that is still nameless can be meant otherwise.
            return last if not last.name else None
        if index is not None and index != last.upstream_index:
            same_index = [call for call in self._calls if call.upstream_index == index]
            if len(same_index) == 1:
                return same_index[0]
        return last


def _fragment(
    call: _Call, raw: dict[str, Any], function: dict[str, Any], shown_id: str, is_first: bool
) -> dict[str, Any]:
    normalized: dict[str, Any] = {"index": call.index}
    if is_first:
        kind = raw.get("type")
        normalized.update(id=shown_id, type=kind if kind and isinstance(kind, str) else "function")
    normalized.update(quirks.public(raw, without=("index", "id", "type", "function")))
    if "custom" in raw and not function:
        call.is_custom = True
        return normalized
    details: dict[str, Any] = {}
    if function.get("name") and not call.name:
        details["name"] = function["name"]
        call.name = str(function["name"])
    details["arguments"] = call.arguments(quirks.arguments_of(function))
    details.update(quirks.public(function, without=("name", "arguments")))
    normalized["function"] = details
    return normalized
