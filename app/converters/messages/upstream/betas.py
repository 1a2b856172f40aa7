"""The ``anthropic-beta`` header: what Copilot takes of it, and what a body needs (contract §8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

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
)
"""Prefixes of the values that upstream takes. It refuses the whole request for any other (probed, contract §8.3)."""

STRUCTURED_OUTPUTS: Final = "structured-outputs-2025-11-13"
CONTEXT_MANAGEMENT: Final = "context-management-2025-06-27"
INTERLEAVED: Final = "interleaved-thinking-2025-05-14"

REFUSED_PREFIX: Final = "beta:"
"""Names of betas among what upstream refused before: ``beta:context-1m-2025-08-07``; several with commas."""


def given(headers: Mapping[str, str]) -> list[str]:
    """The client's betas, in their order, each once."""
    value = next((value for name, value in headers.items() if name.lower() == HEADER), "")
    return list(dict.fromkeys(one for one in (part.strip() for part in value.split(",")) if one))


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
    return found


def headers_for(body: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a converted request: what ``request_encoder.encode_request`` made needs these betas."""
    return as_header(needed(body))


def as_header(betas: Iterable[str]) -> dict[str, str]:
    """The header of these betas; no header for none."""
    value = ",".join(betas)
    return {HEADER: value} if value else {}
