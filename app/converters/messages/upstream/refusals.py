"""The one table of what Copilot's ``/v1/messages`` is known to refuse (contract §8.4, client notes §0.4).

Paths are those of Anthropic's own complaints without indexes and tags: ``tools.defer_loading``,
``system.cache_control.scope``. ``*`` stands for any place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a field is refused. beta: the family of betas that, when forwarded, brings it."""

    why: str
    beta: str | None = None


_NOT_OFFERED: Final = "Copilot does not offer it"

TOP_LEVEL: Final[dict[str, Refusal]] = {
    "context_management": Refusal("Extra inputs are not permitted without its beta", "context-management-"),
    "cache_control": Refusal("moved to the last block"),
    "output_format": Refusal("moved to output_config.format"),
    "safeguards": Refusal(_NOT_OFFERED),
    "diagnostics": Refusal(_NOT_OFFERED),
    "fallbacks": Refusal(_NOT_OFFERED),
    "fallback_credit_token": Refusal(_NOT_OFFERED),
    "billing_policy": Refusal(_NOT_OFFERED),
    "compaction": Refusal(_NOT_OFFERED),
    "speed": Refusal(_NOT_OFFERED),
    "container": Refusal(_NOT_OFFERED),
    "mcp_servers": Refusal(_NOT_OFFERED),
    "inference_geo": Refusal(_NOT_OFFERED),
    "service_tier": Refusal(_NOT_OFFERED),
    "user_profile_id": Refusal(_NOT_OFFERED),
    "workspace_id": Refusal(_NOT_OFFERED),
    "anthropic_beta": Refusal("a header"),
    "anthropic_version": Refusal("a header"),
}

OUTPUT_CONFIG: Final[dict[str, Refusal]] = {
    "task_budget": Refusal("Extra inputs are not permitted without its beta", "task-budgets-"),
}

TOOL: Final[dict[str, Refusal]] = {
    "defer_loading": Refusal("Extra inputs are not permitted without its beta", "advanced-tool-use-"),
    "input_examples": Refusal("Extra inputs are not permitted without its beta", "advanced-tool-use-"),
    "eager_input_streaming": Refusal("Extra inputs are not permitted without its beta", "fine-grained-tool-streaming-"),
    "strict": Refusal("Extra inputs are not permitted without its beta", "structured-outputs-"),
    "allowed_callers": Refusal("only hosted tools could call it"),
}

CACHE_CONTROL: Final = ("type",)
"""All that a cache mark may hold: ``scope`` is refused, and so is ``ttl`` but by models that have a price for it."""

METADATA: Final = ("user_id",)
"""All that ``metadata`` may hold."""

INPUT_SCHEMA: Final[dict[str, Refusal]] = {"$schema": Refusal("Extra inputs are not permitted")}
