"""What single Claude models take at ``/v1/messages`` beside what the catalogue tells of them (contract §8.10).

The catalogue counts first; the generations of models say what it is silent about. Of a model without a name nothing is
assumed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import Effort
from app.errors import InvalidRequestError

Json = dict[str, Any]

MOST_IMAGES: Final = 20

_NAME: Final = re.compile(r"claude-(?P<family>[a-z]+)-(?P<major>\d{1,3})(?:[.-](?P<minor>\d{1,2})(?!\d))?")
_Version = tuple[int, int]

_ADAPTIVE_SINCE: Final[_Version] = (4, 7)
"""From here on a model thinks adaptively, and takes no budget."""
_SYSTEM_SINCE: Final[_Version] = (4, 8)
_NEVER_STILL_SINCE: Final[_Version] = (5, 5)
"""From here on a model always thinks, and calls a tool only if it wants to."""
_LESS_WHEN_STILL: Final = frozenset({("opus", (5, 0))})


@dataclass(frozen=True, slots=True)
class Claude:
    """adaptive, budget, still: the forms of ``thinking`` (``adaptive``, ``enabled``, ``disabled``).

    system: whether a system message may stand in the midst of the conversation. forced: whether ``tool_choice`` may
    force a call. still_effort: the most effort that is taken while thinking is disabled; None: any.
    """

    adaptive: bool = False
    budget: bool = False
    still: bool = True
    system: bool = False
    forced: bool = True
    still_effort: Effort | None = None


def claude(limits: ModelLimits) -> Claude:
    """What the model of this entry takes."""
    version = _version(limits.model)
    family, number = version or ("", (0, 0))
    is_never_still = limits.must_think or (family == "opus" and number >= _NEVER_STILL_SINCE)
    is_adaptive = limits.adaptive_thinking or is_never_still or number >= _ADAPTIVE_SINCE
    return Claude(
        adaptive=is_adaptive,
        budget=limits.max_thinking_budget is not None and not is_never_still and number < _ADAPTIVE_SINCE,
        still=not is_never_still,
        system=number >= _SYSTEM_SINCE,
        forced=not (family == "opus" and number >= _NEVER_STILL_SINCE),
        still_effort="high" if version in _LESS_WHEN_STILL else None,
    )


def _version(name: str) -> tuple[str, _Version] | None:
    found = _NAME.match(name.lower())
    if found is None:
        return None
    return found["family"], (int(found["major"]), int(found["minor"] or 0))


def unforced(body: Json, limits: ModelLimits, losses: Losses) -> Json:
    """The body with words in place of a ``tool_choice`` that forces a call, for a model that takes none."""
    choice = body.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") not in ("any", "tool") or claude(limits).forced:
        return body
    losses.note("tool_choice", "asked for in words: this model cannot be forced to call a tool")
    wanted = f"the tool {choice.get('name')}" if choice["type"] == "tool" else "one of the tools"
    words = {"type": "text", "text": f"Begin your answer with a call of {wanted}: this is required."}
    system = body.get("system")
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) and system else system or []
    rest = {name: value for name, value in choice.items() if name not in ("type", "name")}
    told = {"system": [*blocks, words]} if isinstance(blocks, list) else {}
    return {**body, **told, "tool_choice": {"type": "auto", **rest}}


def refuse_too_many_images(messages: Any, limits: ModelLimits) -> None:
    """Raise InvalidRequestError for more images than upstream takes (contract §8.11): it says so in fewer words."""
    count, stack = 0, [messages]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            count += value.get("type") == "image"
            stack.append(value.get("content"))
    if count > MOST_IMAGES:
        raise InvalidRequestError(
            f"The conversation holds {count} images, and GitHub Copilot takes {MOST_IMAGES} at most for "
            f"{limits.model or 'this model'}: leave out the oldest.",
            param="messages",
            code="too_many_images",
        )
