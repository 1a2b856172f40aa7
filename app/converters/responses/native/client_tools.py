"""What the way back must know of the way there: tools in the client's terms. Made by ``request.prepare``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.converters.neutral.tools import ToolNames


@dataclass(frozen=True, slots=True)
class ClientTools:
    """names: the client's tools by their upstream names, where these differ. tools, tool_choice: as the client gave
    them, to be echoed."""

    names: ToolNames
    tools: Any = None
    tool_choice: Any = None
