"""The ``anthropic-beta`` header: what Copilot takes of it, and what a body needs (contract §8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.converters.neutral.model_limits import ModelLimits

HEADER: Final = "anthropic-beta"

ACCEPTED: Final = (
    "claude-code-",
    "oauth-",
    "effort-",
    "interleaved-thinking-",
    "context-management-",
    "advanced-tool-use-",
    "prompt-caching-",
    "token-efficient-tools-",
    "task-budgets-",
    "structured-outputs-",
    "fine-grained-tool-streaming-",
    "extended-cache-ttl-",
)
"""Prefixes of the values that upstream takes. It refuses the whole request for any other (probed, contract §8.3)."""

STRUCTURED_OUTPUTS: Final = "structured-outputs-2025-11-13"
CONTEXT_MANAGEMENT: Final = "context-management-2025-06-27"
INTERLEAVED: Final = "interleaved-thinking-2025-05-14"

LONG_CACHE: Final = "extended-cache-ttl-2025-04-11"
ADVANCED_FIELDS: Final = ("defer_loading", "input_examples")
"""What that beta brings to tools."""
ADVANCED_TOOLS: Final = "advanced-tool-use-2025-11-20"
_ALIASES: Final = {"tool-search-tool-2025-10-19": ADVANCED_TOOLS, "tool-examples-2025-10-29": ADVANCED_TOOLS}
"""Refused under these names, yet the fields that they bring are refused without the other (contract §8.3)."""

_SEARCHING_MODELS: Final = ("claude-sonnet-4.5", "claude-sonnet-4.6", "claude-opus-4.5", "claude-opus-4.6")
"""Those that the official client lets search, whatever the catalogue says."""

REFUSED_PREFIX: Final = "beta:"
"""Names of betas among what upstream refused before: ``beta:context-1m-2025-08-07``; several with commas."""


def given(headers: Mapping[str, str]) -> list[str]:
    """The client's betas, in their order, each once, under the names that upstream knows."""
    value = next((value for name, value in headers.items() if name.lower() == HEADER), "")
    named = (part.strip() for part in value.split(","))
    return list(dict.fromkeys(_ALIASES.get(one, one) for one in named if one))


def forwarded(betas: Iterable[str], refused: frozenset[str]) -> tuple[list[str], list[str]]:
    """Those that upstream takes, and those that stay behind."""
    named = {
        one.strip()
        for name in refused
        if name.startswith(REFUSED_PREFIX)
        for one in name.removeprefix(REFUSED_PREFIX).split(",")
    }
    kept: list[str] = []
    dropped: list[str] = []
    for beta in betas:
        (kept if beta.startswith(ACCEPTED) and beta not in named else dropped).append(beta)
    return kept, dropped


def has(betas: Iterable[str], prefix: str) -> bool:
    """Whether a beta of this family is among them, whatever its date."""
    return any(beta.startswith(prefix) for beta in betas)


def needed(body: Mapping[str, Any]) -> list[str]:
    """The betas without which upstream refuses this body."""
    config, thinking = body.get("output_config"), body.get("thinking")
    found: list[str] = []
    if isinstance(config, dict) and config.get("format") is not None:
        found.append(STRUCTURED_OUTPUTS)
    if body.get("context_management") is not None:
        found.append(CONTEXT_MANAGEMENT)
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and body.get("tools"):
        # As the official client does, so that the model may think between tool calls.
        found.append(INTERLEAVED)
    if any(_is_advanced(tool) for tool in _list(body.get("tools"))):
        found.append(ADVANCED_TOOLS)
    if _has_long_mark(body):
        found.append(LONG_CACHE)
    return found


def searches_tools(limits: ModelLimits, refused: frozenset[str]) -> bool:
    """Whether a model has Anthropic's search among deferred tools (contract §8.2, "tool search"). Of a model that the
    catalogue does not know nothing is assumed."""
    is_there = limits.tool_search or not limits.model or limits.model.startswith(_SEARCHING_MODELS)
    return is_there and forwarded([ADVANCED_TOOLS], refused)[0] == [ADVANCED_TOOLS]


def is_tool_search(tool: Mapping[str, Any]) -> bool:
    """Whether this is Anthropic's search among deferred tools (contract §8.2)."""
    return str(tool.get("type")).startswith("tool_search_tool_")


def _is_advanced(tool: Any) -> bool:
    return isinstance(tool, dict) and (is_tool_search(tool) or any(name in tool for name in ADVANCED_FIELDS))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_long_mark(body: Mapping[str, Any]) -> bool:
    """Whether something is to stay in the cache for longer than usual."""
    stack: list[Any] = [body.get("tools"), body.get("system"), body.get("messages")]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            mark = value.get("cache_control")
            if isinstance(mark, dict) and "ttl" in mark:
                return True
            stack.append(value.get("content"))
    return False


def headers_for(body: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a converted request: what ``request.encode_request`` made needs these betas."""
    return as_header(needed(body))


def as_header(betas: Iterable[str]) -> dict[str, str]:
    """The header of these betas; no header for none."""
    value = ",".join(betas)
    return {HEADER: value} if value else {}
