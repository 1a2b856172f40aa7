"""No client gets arguments that are no JSON object as if they were whole: it would fail on them, or run half a call.

The one verdict on calls that are over, for all dialects, natively and converted, whole and streamed: the object, or an
error that ends the answer. A call that the output limit or a filter has cut off is not over; its answer says so. White
space alone is no arguments at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.converters.neutral.events import Event, PartEnd, Ping, ResponseEnd, StreamError
from app.converters.neutral.tools import ToolNames, arguments_object
from app.converters.neutral.vocabulary import FinishReason, Part, Response, ToolCall
from app.errors import UpstreamProtocolError

CUTS: Final[frozenset[FinishReason]] = frozenset({"length", "context_overflow", "content_filter", "refusal"})
"""Ends that may stand in the middle of a call."""


def is_whole(arguments: str) -> bool:
    """Whether the arguments of a function are a JSON object, or none at all."""
    return arguments_object(arguments) is not None


def broken_call(name: str) -> UpstreamProtocolError:
    """The error of a call that is over, and whose arguments are no object."""
    return UpstreamProtocolError(
        f"GitHub Copilot called the tool {name[:64]!r} with arguments that are no JSON object. Try again."
    )


def check_calls(calls: Sequence[tuple[str, str]], *, is_cut: bool) -> None:
    """Raises: UpstreamProtocolError for one of these, name and arguments, that is not whole. is_cut: the last may be
    unfinished."""
    for name, arguments in calls[:-1] if is_cut else calls:
        if not is_whole(arguments):
            raise broken_call(name)


def check_response(response: Response, names: ToolNames) -> None:
    """The same for the calls of a whole answer of upstream's. names: the client's tools.

    Raises: UpstreamProtocolError.
    """
    is_cut = response.finish_reason in CUTS and isinstance(response.parts[-1] if response.parts else None, ToolCall)
    calls = [(part.name, "" if _is_free(part, names) else part.arguments) for part in response.calls]
    check_calls(calls, is_cut=is_cut)


class CallGuard:
    """The same for events as they come: ``feed`` gives those that may be told by now. One per answer.

    The end of a call that is not whole waits for what follows it: the end of an answer that was cut, or the verdict.
    """

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        self._torn: PartEnd | None = None

    def feed(self, event: Event) -> list[Event]:
        """Nothing comes after a StreamError."""
        if self._torn is not None:
            return self._after(self._torn, event)
        if isinstance(event, PartEnd) and isinstance(event.part, ToolCall) and self._is_torn(event.part):
            self._torn = event
            return []
        return [event]

    def _after(self, torn: PartEnd, event: Event) -> list[Event]:
        if isinstance(event, Ping):
            return [event]
        self._torn = None
        if isinstance(event, StreamError):
            return [event]
        if isinstance(event, ResponseEnd) and event.finish_reason in CUTS:
            return [torn, event]
        return [StreamError(broken_call(torn.part.name if isinstance(torn.part, ToolCall) else ""))]

    def _is_torn(self, call: ToolCall) -> bool:
        return not _is_free(call, self._names) and not is_whole(call.arguments)


def _is_free(part: Part, names: ToolNames) -> bool:
    """Whether any text will do: the client knows the tool as one of free text."""
    if not isinstance(part, ToolCall) or part.kind == "custom":
        return True
    tool = names.tool(names.wire_of(part))
    return tool is not None and tool.kind == "custom"
