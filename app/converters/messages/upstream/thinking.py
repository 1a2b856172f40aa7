"""How a messages upstream is asked to think: adaptive, with a budget, or not at all (contract §8.2, §8.4).

refused names what this upstream has refused for this model before: ``thinking``, ``thinking.enabled``,
``thinking.adaptive``, ``thinking.disabled``, ``output_config.effort``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.converters.messages.upstream.betas import has
from app.converters.messages.upstream.claude import claude
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits, as_effort, budget_of, clamp_effort, effort_of_budget
from app.converters.neutral.vocabulary import Effort, ReasoningConfig

Json = dict[str, Any]

STILL: Final = "thinking.disabled"
"""The name for: it cannot be told not to think."""


def encode_thinking(
    config: ReasoningConfig | None, max_tokens: int, limits: ModelLimits, refused: frozenset[str], losses: Losses
) -> tuple[Json | None, Effort | None]:
    """``thinking`` and ``output_config.effort``; None: leave it out."""
    if config is None:
        return None, None
    if config.is_disabled:
        model = claude(limits)
        if not model.still:
            losses.note("thinking", "this model always thinks")
        takes_it = (limits.thinks or model.adaptive) and model.still and refused.isdisjoint(("thinking", STILL))
        return ({"type": "disabled"} if takes_it else None), None
    takes_adaptive, takes_budget = abilities(limits, refused)
    if takes_budget and (not takes_adaptive or (config.mode == "enabled" and config.budget_tokens is not None)):
        budget = budget_of(config, max_tokens, limits)
        if budget is None:
            losses.drop("thinking", "max_tokens leaves no room for it")
            return None, None
        return {"type": "enabled", "budget_tokens": budget}, _effort(config, limits, refused)
    if takes_adaptive:
        effort = config.effort
        if effort is None and config.budget_tokens is not None:
            effort = effort_of_budget(config.budget_tokens, max_tokens, limits)
        # The newest models hide their thoughts unless they are asked for.
        adaptive = {"type": "adaptive", "display": _shown(config.display)}
        return adaptive, _effort(ReasoningConfig(effort), limits, refused)
    losses.drop("thinking", "this model does not offer it")
    return None, None


def _shown(display: str | None) -> str:
    """How thoughts are shown, in the words that upstream has. Others come with betas that it refuses: Claude Code's
    ``updates``, say, wants to see them as well."""
    return display if display == "omitted" else "summarized"


def normalize_thinking(body: Json, limits: ModelLimits, refused: frozenset[str]) -> Json | None:
    """A native client's ``thinking`` as this model takes it: the same object if nothing has to change; None: without.

    Of a model that the catalogue does not know nothing is assumed.
    """
    given: Json = body["thinking"]
    kind = given.get("type")
    # How thoughts are shown is a matter of adaptive thinking alone.
    display = {"display": _shown(given["display"])} if isinstance(given.get("display"), str) else {}
    is_clean = "display" not in given or (kind == "adaptive" and display.get("display") == given["display"])
    plain = {key: value for key, value in given.items() if key != "display"}
    thinking = given if is_clean else {**plain, **display} if kind == "adaptive" else plain
    if "thinking" in refused or (kind == "disabled" and (STILL in refused or not claude(limits).still)):
        return None
    if kind not in ("enabled", "adaptive") or not limits.model:
        return thinking
    takes_adaptive, takes_budget = abilities(limits, refused)
    if kind == "adaptive" and takes_adaptive:
        return thinking
    max_tokens = body.get("max_tokens")
    room = max_tokens if isinstance(max_tokens, int) else limits.max_output_tokens or 32_000
    if takes_budget:
        return _with_budget(thinking if plain == thinking else plain, body, room, limits)
    return {"type": "adaptive", **display} if takes_adaptive else None


def _with_budget(thinking: Json, body: Json, room: int, limits: ModelLimits) -> Json | None:
    wanted = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    config = body.get("output_config")
    effort = as_effort(config.get("effort")) if isinstance(config, dict) else None
    budget = budget_of(ReasoningConfig(effort, wanted if isinstance(wanted, int) else None, "enabled"), room, limits)
    if budget is None:
        return None
    if budget == wanted:
        return thinking
    return {"type": "enabled", "budget_tokens": budget}


def abilities(limits: ModelLimits, refused: frozenset[str]) -> tuple[bool, bool]:
    """Whether it takes ``adaptive``, and whether it takes ``enabled`` with a budget."""
    if "thinking" in refused:
        return False, False
    model = claude(limits)
    # Models that refuse one form say that they want the other.
    adaptive = (model.adaptive or "thinking.enabled" in refused) and "thinking.adaptive" not in refused
    return adaptive, model.budget and "thinking.enabled" not in refused


def _effort(config: ReasoningConfig, limits: ModelLimits, refused: frozenset[str]) -> Effort | None:
    """Only where the catalogue lists it: some models refuse the field itself (contract §8.4)."""
    if config.effort is None or "output_config.effort" in refused:
        return None
    return clamp_effort(config.effort, limits)


def is_on(body: Json) -> bool:
    """Whether the model is asked to think."""
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive")


def is_forced(choice: Any) -> bool:
    """Whether a tool choice forces a call, which upstream refuses beside thinking."""
    return isinstance(choice, dict) and choice.get("type") in ("any", "tool")


def without_idle_edits(body: Json) -> Json:
    """Without ``clear_thinking_…`` edits where nobody thinks: upstream refuses them there."""
    management = body.get("context_management")
    edits = management.get("edits") if isinstance(management, dict) else None
    if not isinstance(management, dict) or not isinstance(edits, list) or is_on(body):
        return body
    kept = [edit for edit in edits if not (isinstance(edit, dict) and str(edit.get("type")).startswith("clear_think"))]
    if len(kept) == len(edits):
        return body
    rest = {name: value for name, value in body.items() if name != "context_management"}
    return {**rest, "context_management": {**management, "edits": kept}} if kept else rest


def without_compaction(body: Json, given_betas: Iterable[str], losses: Losses) -> Json:
    """Without edits that compact the conversation, unless their beta goes along: upstream refuses the one without the
    other, and no such beta is known to be taken."""
    management = body.get("context_management")
    edits = management.get("edits") if isinstance(management, dict) else None
    if not isinstance(management, dict) or not isinstance(edits, list) or has(given_betas, "compact-"):
        return body
    kept = [edit for edit in edits if not (isinstance(edit, dict) and str(edit.get("type")).startswith("compact"))]
    if len(kept) == len(edits):
        return body
    losses.drop("context_management.edits[].compact", "Copilot does not compact conversations")
    rest = {name: value for name, value in body.items() if name != "context_management"}
    return {**rest, "context_management": {**management, "edits": kept}} if kept else rest
