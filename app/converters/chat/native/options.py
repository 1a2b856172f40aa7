"""Options of a native chat request that upstream takes within limits only (contract §6.1; client notes §0.8)."""

from __future__ import annotations

from typing import Any

from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits, as_effort, clamp_effort

_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens")


def _idle(body: dict[str, Any], losses: Losses) -> set[str]:
    """The fields that ask for nothing, and that some upstreams refuse for it."""
    idle: set[str] = set()
    if body.get("stream_options") is not None and body.get("stream") is not True:
        idle.add("stream_options")
        losses.drop("stream_options", "only for a stream")
    alone: tuple[str, ...] = () if body.get("tools") else ("tools", "tool_choice", "parallel_tool_calls")
    alone += ("functions", "function_call") if body.get("functions") == [] else ()
    for name in (name for name in alone if body.get(name) is not None):
        idle.add(name)
        losses.drop(name, "there are no tools")
    stop = body.get("stop")
    if stop == "" or (isinstance(stop, list) and not _real_stops(stop)):
        idle.add("stop")
        losses.drop("stop", "a stop sequence of white space alone is refused")
    return idle


def _real_stops(given: list[Any]) -> list[Any]:
    """Stop sequences without those of no character at all, which stand nowhere."""
    return [stop for stop in given if stop != ""]


def normalize_options(body: dict[str, Any], limits: ModelLimits, losses: Losses) -> dict[str, Any]:
    """The body with these options as the model takes them; the same object if all is well.

    ``max_tokens`` within what the model offers, the nearest ``reasoning_effort`` that it lists, none for a model that
    does not think, no ``stream_options`` without a stream, nothing about tools without any.
    Of a model that is not in the catalogue nothing is known, and nothing guessed.
    """
    dropped = _idle(body, losses)
    changes: dict[str, Any] = {}
    stop = body.get("stop")
    if isinstance(stop, list) and "" in stop and "stop" not in dropped:
        changes["stop"] = _real_stops(stop)
    if limits.vendor:
        for name in _OUTPUT_LIMITS:
            wanted = body.get(name)
            if type(wanted) is int and wanted > 0 and (clamped := limits.clamp_output(wanted)) != wanted:
                changes[name] = clamped
        effort = as_effort(body.get("reasoning_effort"))
        offered = clamp_effort(effort, limits) if effort is not None else None
        if offered is not None and offered != effort:
            changes["reasoning_effort"] = offered
        elif effort is not None and offered is None and not limits.thinks:
            dropped.add("reasoning_effort")
            losses.drop("reasoning_effort", "the model does not think")
    if not (changes or dropped):
        return body
    for name in changes:
        losses.note(name, "the nearest that the model takes")
    return {name: changes.get(name, value) for name, value in body.items() if name not in dropped}
