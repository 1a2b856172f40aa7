"""Tool calls of one streamed choice: which call a fragment belongs to, and what of it the client gets.

Contract §6.5.5–6.5.8: Claude gives every parallel call the index 0, Gemini leaves index and id out, and only the client
wants all of it right: index 0, 1, 2 …; id, type and name in the first fragment of a call and nowhere else.
"""

from __future__ import annotations

from typing import Any

from app.converters.chat import quirks
from app.converters.chat.call_proofs import shown


class _Call:
    """One call under way. index: ours, 0, 1, 2 …; upstream_index: theirs, often 0 for all."""

    __slots__ = ("has_made_id", "id", "index", "is_named", "upstream_index")

    def __init__(self, index: int, upstream_index: object, call_id: str, *, has_made_id: bool) -> None:
        self.index = index
        self.upstream_index = upstream_index
        self.id = call_id
        self.has_made_id = has_made_id
        self.is_named = False


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

    def mend(self, raw: dict[str, Any], answer_id: str, proof: object = None) -> dict[str, Any]:
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

    def _open(self, raw: dict[str, Any], answer_id: str) -> _Call:
        index = len(self._calls)
        given = raw.get("id")
        has_id = isinstance(given, str) and given != ""
        call_id = str(given) if has_id else quirks.make_call_id(answer_id, self._choice, index)
        call = _Call(index, raw.get("index"), call_id, has_made_id=not has_id)
        self._calls.append(call)
        return call

    def _continued(self, raw: dict[str, Any], has_name: bool) -> _Call | None:
        """The call that a fragment continues, None for a new one: by id, never by index alone (§6.5.7, §12.3.2)."""
        last, call_id, index = self._last, raw.get("id"), raw.get("index")
        if last is None:
            return None
        if call_id:
            same_id = next((call for call in self._calls if call.id == call_id), None)
            # An id may come late, for a call that had none: the one we made has been given out and stays.
            is_late = last.has_made_id and not has_name and index == last.upstream_index
            return same_id or (last if is_late else None)
        if has_name:
            # §6.5.8: whole calls without ids. Only a call that is still nameless can be meant otherwise.
            return last if not last.is_named else None
        if index is not None and index != last.upstream_index:
            same_index = [call for call in self._calls if call.upstream_index == index]
            if len(same_index) == 1:
                return same_index[0]
        return last


def _fragment(
    call: _Call, raw: dict[str, Any], function: dict[str, Any], shown_id: str, is_first: bool
) -> dict[str, Any]:
    mended: dict[str, Any] = {"index": call.index}
    if is_first:
        kind = raw.get("type")
        mended.update(id=shown_id, type=kind if kind and isinstance(kind, str) else "function")
    mended.update(quirks.public(raw, without=("index", "id", "type", "function")))
    if "custom" in raw and not function:
        return mended
    details: dict[str, Any] = {}
    if function.get("name") and not call.is_named:
        details["name"] = function["name"]
        call.is_named = True
    details["arguments"] = quirks.arguments_of(function)
    details.update(quirks.public(function, without=("name", "arguments")))
    mended["function"] = details
    return mended
