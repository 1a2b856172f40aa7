"""The model list in the form that Codex reads: ``GET /v1/models?client_version=0.169.0``. Pure.

Codex asks where its provider has an ``auth`` command, and reads the same form from a file that ``model_catalog_json``
names. The form is that of ``ModelInfo`` in its ``protocol`` crate: one required field that is missing, or one unknown
word, and Codex rejects the whole list. Required by 0.169.0 are slug, display_name, supported_reasoning_levels,
shell_type, visibility, supported_in_api, priority, support_verbosity, truncation_policy, experimental_supported_tools
and base_instructions; older versions want the others too that stand here even if they say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from app.converters.listings.models import Entry, display_name
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import Effort

_RESPONSES: Final = "/responses"
_DESCRIPTIONS: Final[dict[Effort, str]] = {
    "none": "No reasoning",
    "minimal": "The least reasoning",
    "low": "Quick, with little reasoning",
    "medium": "Balanced, for everyday work",
    "high": "More reasoning, for hard problems",
    "xhigh": "Much more reasoning, for the hardest problems",
    "max": "As much reasoning as the model can do",
}
# Versions before this one know no effort "max", and would reject the list.
_KNOWS_MAX: Final = (0, 144)
# Codex shows its built-in models beside these, and begins with the one of the lowest number. Ours come before all of
# them: what Copilot does not have would be a bad start.
_AHEAD: Final = 1000
# Thinking by budget: the bridge makes one of an effort.
_BUDGET_EFFORTS: Final[tuple[Effort, ...]] = ("low", "medium", "high")

INSTRUCTIONS: Final = """\
You are a coding agent in the Codex CLI. You work in a terminal on the user's own machine, in the folder that the \
conversation names, and you go on until what was asked for is done.

How to work
- Look before you change: read the code that matters and follow its style, its libraries and its conventions. Search \
with `rg` and `rg --files` where they are installed.
- Do what was asked, all of it and no more. Mend the cause, not the symptom. Leave alone what has nothing to do with it.
- Files named AGENTS.md hold rules for the folder they stand in and all below it; a deeper one wins, and the user wins \
over both.
- The user may have uncommitted work. Never undo changes that you did not make, and use nothing like `git reset \
--hard` or `git checkout --` unless you were told to. Do not commit or make branches unless you were asked.
- Some commands run in a sandbox or need the user's approval; other messages say which. If one is refused, find \
another way, or say what you need and why.
- For work of several steps keep a short plan with the planning tool, if there is one, and keep it up to date.
- When you have changed something, check it: run the narrowest test, build or linter that would show a mistake.

Editing files
Use the `apply_patch` tool, if there is one. A patch looks like this:
*** Begin Patch
*** Update File: path/to/file.py
@@ def greet():
 unchanged line
-old line
+new line
*** Add File: path/to/new.txt
+first line
*** Delete File: path/to/gone.txt
*** End Patch
Paths are relative. Each line of a change begins with a space, a minus or a plus; give about three unchanged lines \
around a change, and `@@` with the class or function where that is not enough to find the place.

Answers
While you work, say in a sentence what you are about to do. At the end tell in a few plain words what you did, where \
(`path/to/file.py:12`) and how you checked it, and say so if something does not work or was left out. Do not repeat \
whole files; the user sees them."""


def codex_list(models: Sequence[tuple[Entry, str | None]], *, client_version: str) -> dict[str, Any]:
    """All models that can hold a conversation, best to start with first.

    models: entries, and the mapped name that leads there or None. client_version: of Codex, e.g. "0.169.0".
    """
    usable = [(entry, alias) for entry, alias in models if entry.type == "chat" and entry.endpoints]
    usable.sort(key=lambda listed: _rank(*listed))
    with_max = _version(client_version) >= _KNOWS_MAX
    return {
        "models": [
            _model(entry, alias, priority=place, with_max=with_max) for place, (entry, alias) in enumerate(usable, 1)
        ]
    }


def _rank(entry: Entry, alias: str | None) -> tuple[bool, bool, bool]:
    """Codex begins with the first one that it may show: GitHub's own default, then those that speak its protocol."""
    return alias is not None, entry.raw.get("is_chat_default") is not True, _RESPONSES not in entry.endpoints


def _model(entry: Entry, alias: str | None, *, priority: int, with_max: bool) -> dict[str, Any]:
    limits = ModelLimits.of(entry.raw)
    efforts = [effort for effort in _efforts(limits) if with_max or effort != "max"]
    name = display_name(entry)
    # Copilot refuses a prompt beyond its own limit, however much the model's window holds.
    window = min(filter(None, (limits.max_context_window_tokens, limits.max_prompt_tokens)), default=None)
    is_shown = alias is None and entry.raw.get("model_picker_enabled") is not False
    return {
        "slug": alias or entry.id,
        "display_name": alias or name,
        "description": f"{name} by {entry.vendor or 'an unknown vendor'}, through GitHub Copilot",
        "default_reasoning_level": "medium" if "medium" in efforts else efforts[0] if efforts else None,
        "supported_reasoning_levels": [{"effort": effort, "description": _DESCRIPTIONS[effort]} for effort in efforts],
        "shell_type": "shell_command",
        "visibility": "list" if is_shown else "hide",
        "supported_in_api": True,
        "priority": priority - _AHEAD,
        "upgrade": None,
        "base_instructions": INSTRUCTIONS,
        "supports_reasoning_summaries": bool(efforts),
        "supports_reasoning_summary_parameter": bool(efforts),
        "support_verbosity": _RESPONSES in entry.endpoints,
        "default_verbosity": None,
        # The bridge turns a free-text tool into a function, and its calls back, for every model.
        "apply_patch_tool_type": "freeform" if limits.tool_calls else None,
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "supports_parallel_tool_calls": limits.parallel_tool_calls,
        "context_window": window,
        "experimental_supported_tools": [],
        "input_modalities": ["text", "image"] if limits.vision else ["text"],
    }


def _efforts(limits: ModelLimits) -> tuple[Effort, ...]:
    return limits.reasoning_effort or (_BUDGET_EFFORTS if limits.thinks else ())


def _version(text: str) -> tuple[int, ...]:
    found = re.match(r"(\d{1,6})\.(\d{1,6})", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
