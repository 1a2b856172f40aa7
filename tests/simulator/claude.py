"""What each Claude model takes at ``/v1/messages`` (contract §8.10), and the stricter reading for all others."""

import re
from dataclasses import dataclass
from typing import Any

_LOW_TO_HIGH = ("low", "medium", "high")


@dataclass(frozen=True)
class Row:
    efforts: tuple[str, ...]
    thinking: tuple[str, ...]
    system: bool = False
    forced: bool = True
    #: efforts refused while thinking is disabled
    not_still: tuple[str, ...] = ()


_ALL = (*_LOW_TO_HIGH, "xhigh", "max")
_MATRIX = {
    "claude-haiku-4.5": Row((), ("enabled", "disabled")),
    "claude-sonnet-4.6": Row((*_LOW_TO_HIGH, "max"), ("adaptive", "enabled", "disabled")),
    "claude-opus-4.6": Row((*_LOW_TO_HIGH, "max"), ("adaptive", "enabled", "disabled")),
    "claude-opus-4.7": Row(_ALL, ("adaptive", "disabled")),
    "claude-sonnet-5": Row(_ALL, ("adaptive", "disabled"), system=True),
    "claude-opus-4.8": Row(_ALL, ("adaptive", "disabled"), system=True),
    "claude-opus-5": Row(_ALL, ("adaptive", "disabled"), system=True, not_still=("xhigh", "max")),
    "claude-opus-5.5": Row(_ALL, ("adaptive",), system=True, forced=False),
}


def row(entry: dict[str, Any]) -> Row:
    """The model's row, or what its entry and its generation imply."""
    name = str(entry["id"])
    if name in _MATRIX:
        return _MATRIX[name]
    supports = entry["capabilities"].get("supports", {})
    adaptive = supports.get("adaptive_thinking")
    kinds = ["disabled"]
    if adaptive in (True, "optional", "required"):
        kinds.append("adaptive")
    version = re.match(r"claude-[a-z]+-(\d+)(?:\.(\d+))?", name)
    newer = bool(version) and (int(version[1]), int(version[2] or 0)) >= (4, 7)
    if newer and "adaptive" not in kinds:
        kinds.append("adaptive")
    if not newer and adaptive != "required":
        kinds.append("enabled")
    if adaptive == "required":
        kinds.remove("disabled")
    efforts = tuple(supports.get("reasoning_effort") or (() if "haiku" in name else ("medium",)))
    return Row(efforts, tuple(kinds))
