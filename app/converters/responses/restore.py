"""What the way back must know of the way there: tools in the client's terms. Made by ``native.prepare``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.converters.ir import Tool
from app.converters.tools import ToolNames


@dataclass(frozen=True, slots=True)
class Restore:
    """names: the client's tools by their upstream names. tools, tool_choice: as the client gave them, to be echoed."""

    names: ToolNames
    known: tuple[Tool, ...] = ()
    tools: Any = None
    tool_choice: Any = None

    @property
    def is_needed(self) -> bool:
        """Whether anything upstream says would look strange to the client."""
        return self.tools is not None or bool(self.known)
