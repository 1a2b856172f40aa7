"""What a model takes, by its catalogue entry, and reasoning effort against thinking budget (conversion rules §2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from app.converters.neutral.vocabulary import Effort, ReasoningConfig

EFFORTS: Final[tuple[Effort, ...]] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""From least to most."""

LEAST_BUDGET: Final = 1024
"""Less than this no messages model takes (contract §8.4)."""

_SHARES: Final[dict[Effort, float]] = {
    "minimal": 0.0,
    "low": 0.15,
    "medium": 0.5,
    "high": 0.8,
    "xhigh": 0.9,
    "max": 1.0,
}
_HOUR_PRICES: Final = ("cache_write_1h_price", "cache_write1h_price", "cache_write_price_1h")
"""Upstream's name is known in camel case alone (contract §4.3)."""
_OPENAI_NAMES: Final = re.compile(r"(?:chat)?gpt-|o\d|codex", re.IGNORECASE)
_REASONERS: Final = re.compile(r"gpt-(?:[5-9]|\d\d)|o\d|codex", re.IGNORECASE)
_UNKNOWN_LIMIT: Final = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """The advertised limits and abilities of one model (contract §4.3). None, or (): not advertised.

    reasoning_effort: the efforts it takes, from least to most; () means: leave effort out.
    must_think: takes adaptive thinking and nothing else. caches_for_an_hour: there is a price for it.
    tool_calls, streaming: true unless the entry denies them, all other abilities only if it claims them.
    """

    model: str = ""
    vendor: str = ""
    family: str = ""
    max_context_window_tokens: int | None = None
    max_prompt_tokens: int | None = None
    max_output_tokens: int | None = None
    max_non_streaming_output_tokens: int | None = None
    min_thinking_budget: int | None = None
    max_thinking_budget: int | None = None
    reasoning_effort: tuple[Effort, ...] = ()
    adaptive_thinking: bool = False
    must_think: bool = False
    caches_for_an_hour: bool = False
    vision: bool = False
    max_prompt_images: int | None = None
    structured_outputs: bool = False
    parallel_tool_calls: bool = False
    tool_calls: bool = True
    streaming: bool = True
    tool_search: bool = False

    @classmethod
    def of(cls, raw: Any) -> ModelLimits:
        """Read a catalogue entry. The schema drifts: whatever is missing or odd counts as not advertised."""
        entry = _dict(raw)
        capabilities = _dict(entry.get("capabilities"))
        limits, supports = _dict(capabilities.get("limits")), _dict(capabilities.get("supports"))
        vision = _dict(limits.get("vision"))
        listed = supports.get("reasoning_effort")
        efforts = listed if isinstance(listed, list) else []
        adaptive = supports.get("adaptive_thinking")
        return cls(
            model=_str(entry.get("id")),
            vendor=_str(entry.get("vendor")),
            family=_str(capabilities.get("family")),
            max_context_window_tokens=_count(limits.get("max_context_window_tokens")),
            max_prompt_tokens=_count(limits.get("max_prompt_tokens")),
            max_output_tokens=_count(limits.get("max_output_tokens")),
            max_non_streaming_output_tokens=_count(limits.get("max_non_streaming_output_tokens")),
            min_thinking_budget=_count(supports.get("min_thinking_budget")),
            max_thinking_budget=_count(supports.get("max_thinking_budget")),
            reasoning_effort=tuple(effort for effort in EFFORTS if effort in efforts),
            adaptive_thinking=adaptive is True or adaptive in ("optional", "required"),
            must_think=adaptive == "required",
            caches_for_an_hour=_has_hour_price(_dict(_dict(entry.get("billing")).get("token_prices"))),
            vision=supports.get("vision") is True or bool(vision),
            max_prompt_images=_count(vision.get("max_prompt_images")),
            structured_outputs=supports.get("structured_outputs") is True,
            parallel_tool_calls=supports.get("parallel_tool_calls") is True,
            tool_calls=supports.get("tool_calls") is not False,
            streaming=supports.get("streaming") is not False,
            tool_search=supports.get("tool_search") is True,
        )

    @property
    def is_openai(self) -> bool:
        """Whether the model is OpenAI's, which alone knows the role ``developer`` and the finer fields of chat."""
        return is_openai(self.vendor, self.family or self.model)

    def reasons(self, name: str = "") -> bool:
        """Whether it is a model that reasons, and so refuses sampling. name: of a model without catalogue entry.

        By the catalogue where it says something, for it knows models that this table has never heard of.
        """
        return bool(self.reasoning_effort) or any(map(_REASONERS.match, (self.family, self.model, name)))

    @property
    def thinks(self) -> bool:
        """Whether a messages upstream may be asked to think at all."""
        return self.adaptive_thinking or self.max_thinking_budget is not None

    def clamp_output(self, wanted: int | None, *, least: int = 1) -> int | None:
        """The output limit to send: the wanted one, within what is advertised and at least `least`; None stays None."""
        if wanted is None:
            return None
        return max(min(wanted, self.max_output_tokens or wanted), least)


def is_openai(vendor: str, name: str) -> bool:
    """Whether a model is OpenAI's: by the catalogue's vendor (``OpenAI``, ``Azure OpenAI …``), else by its name."""
    return "openai" in vendor.lower() if vendor else _OPENAI_NAMES.match(name) is not None


def effort_of(config: ReasoningConfig, max_output_tokens: int | None, limits: ModelLimits) -> Effort | None:
    """The effort to ask an OpenAI-style upstream for; None: say nothing.

    The client's own word first, then what its budget amounts to, then "medium" for thinking without a measure; thinking
    that is switched off becomes the lowest effort the model takes. Always one of the advertised efforts.
    """
    if config.is_disabled:
        return limits.reasoning_effort[0] if limits.reasoning_effort else None
    if config.effort is not None:
        return clamp_effort(config.effort, limits)
    if config.budget_tokens is not None:
        return clamp_effort(effort_of_budget(config.budget_tokens, max_output_tokens, limits), limits)
    # Adaptive thinking leaves the measure to the model; so does an OpenAI model that is told nothing.
    return clamp_effort("medium", limits) if config.mode == "enabled" else None


def effort_of_budget(budget_tokens: int, max_output_tokens: int | None, limits: ModelLimits) -> Effort:
    """A thinking budget as effort, by its share of the output limit: ≤ 15 % low, ≤ 50 % medium, above high."""
    share = budget_tokens / max(max_output_tokens or limits.max_output_tokens or _UNKNOWN_LIMIT, 1)
    return "low" if share <= 0.15 else "medium" if share <= 0.5 else "high"


def clamp_effort(effort: Effort, limits: ModelLimits) -> Effort | None:
    """The most of the advertised efforts that is not above this one, else the least; None if there are none."""
    rank = EFFORTS.index(effort)
    lesser = [offered for offered in limits.reasoning_effort if EFFORTS.index(offered) <= rank]
    return lesser[-1] if lesser else next(iter(limits.reasoning_effort), None)


def budget_of(config: ReasoningConfig, max_output_tokens: int, limits: ModelLimits) -> int | None:
    """The thinking budget to ask a messages upstream for: the client's own, or what its effort amounts to.

    Within the model's advertised range and below max_output_tokens; None if thinking is off or there is no room for it.
    """
    if config.is_disabled or limits.max_thinking_budget is None:
        return None
    if config.budget_tokens is not None:
        return _fit(config.budget_tokens, max_output_tokens, limits)
    return budget_of_effort(config.effort or "medium", max_output_tokens, limits)


def budget_of_effort(effort: Effort, max_output_tokens: int, limits: ModelLimits) -> int | None:
    """An effort as thinking budget, by its share of the output limit; None for "none", or if there is no room."""
    if effort == "none":
        return None
    return _fit(int(max_output_tokens * _SHARES[effort]), max_output_tokens, limits)


def _fit(budget_tokens: int, max_output_tokens: int, limits: ModelLimits) -> int | None:
    least = max(limits.min_thinking_budget or LEAST_BUDGET, LEAST_BUDGET)
    most = min(limits.max_thinking_budget or budget_tokens, max_output_tokens - 1)
    return max(min(budget_tokens, most), least) if most >= least else None


def as_effort(value: Any) -> Effort | None:
    """A wire value as Effort; None if it is none of the known words."""
    return next((effort for effort in EFFORTS if effort == value), None)


def _has_hour_price(prices: dict[str, Any]) -> bool:
    tiers = (prices, *(tier for tier in prices.values() if isinstance(tier, dict)))
    return any(_is_price(tier.get(name)) for tier in tiers for name in _HOUR_PRICES)


def _is_price(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
