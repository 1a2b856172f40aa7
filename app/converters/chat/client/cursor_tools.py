"""Free-text tools whose calls a client wants, and gives back, in the envelope of a function (Cursor).

Cursor declares ``{"type": "custom", "name": …, "format": …}`` as Responses has it, and reads ``function`` of every call
that it gets: the raw text stands in ``function.arguments``, which is no JSON then. In its history the call comes back
like that and has to be the call of a free-text tool again. Sources: forum.cursor.com 153019, codex-proxy #707 and #708.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from app.converters.neutral.tools import arguments_object
from app.converters.neutral.vocabulary import Message, Part, Tool, ToolCall

# Nobody's protocol: no encoder writes it, and names with `is_` are notes that no client has to hear of.
_ORIGIN: Final = "cursor"
_MARK: Final[dict[str, Any]] = {"is_enveloped": True}


def enveloped(tool: Tool) -> Tool:
    """The tool, with the mark that its calls go in the envelope of a function. Only free-text tools have one."""
    if tool.kind != "custom":
        return tool
    return dataclasses.replace(tool, extra={**tool.extra, _ORIGIN: _MARK})


def enveloped_names(tools: Iterable[Tool]) -> frozenset[str]:
    """The names of the tools that bear the mark."""
    return frozenset(tool.name for tool in tools if _ORIGIN in tool.extra)


def recalled(messages: Iterable[Message], tools: Iterable[Tool]) -> tuple[Message, ...]:
    """The messages, with every call that came in an envelope a call of its free-text tool again.

    So is a call of a tool that is not offered any more (another mode of the editor) if its arguments are no JSON
    object: some upstreams would refuse such a function call.
    """
    tools = list(tools)
    names, offered = enveloped_names(tools), {tool.name for tool in tools}

    def recall(part: Part) -> Part:
        if not isinstance(part, ToolCall) or part.kind != "function":
            return part
        is_text = part.name in names or (part.name not in offered and arguments_object(part.arguments) is None)
        return dataclasses.replace(part, kind="custom") if is_text else part

    return tuple(
        dataclasses.replace(message, parts=tuple(map(recall, message.parts))) if message.calls else message
        for message in messages
    )
