"""What Copilot's ``/responses`` refuses, or is not known to take, and what the bridge does about it: the one table.

Contract §7.2 (fields), §7.3 (effort), §7.4, §7.10 (tools), §7.6 (items); client notes §0.3, §0.8, §0.11.
Both paths to upstream decide by it: ``native/request.py`` and ``upstream/request.py``.

What is not in it goes as it is. A type of tool or item that a model refuses all the same is learned from its refusal
(``type:custom``, `app.converters.refusal`), and then said in another way: see `Taken`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from app.converters.neutral.model_limits import ModelLimits
from app.converters.wire.refusal_words import TYPE


@dataclass(frozen=True, slots=True)
class Rule:
    """Something upstream refuses. name: of a field (dotted inside another), an item type or a tool type.

    dropped: left out and recorded. refused: 400, because the meaning would change. changed: sent in another form.
    """

    what: Literal["field", "item", "tool"]
    name: str
    verdict: Literal["dropped", "refused", "changed"]
    note: str


_STATE: Final = "nothing is stored upstream, so send the whole conversation in `input`"
_REFERENCE: Final = "nothing is stored upstream, so send the item itself (the AI SDK does with `store: false`)"
_HOSTED: Final = "this hosted tool does not run behind GitHub Copilot"
_BY_CLIENT: Final = "a function, whose calls come back as its own"

TABLE: Final[tuple[Rule, ...]] = (
    Rule("field", "previous_response_id", "refused", _STATE),
    Rule("field", "conversation", "refused", _STATE),
    Rule("field", "prompt", "refused", "stored prompts are not known here, so write the prompt into `input`"),
    Rule("field", "background", "refused", "nothing runs in the background, so use `stream`"),
    Rule("field", "store", "changed", "always sent as false"),
    Rule("field", "service_tier", "dropped", "Copilot has no tiers"),
    Rule("field", "stream_options", "dropped", "the stream is never obfuscated"),
    Rule("field", "client_metadata", "dropped", "for OpenAI's own statistics"),
    Rule("field", "background_options", "dropped", "there is no background mode"),
    Rule("field", "access_programs", "dropped", "OpenAI's own programmes"),
    Rule("field", "image", "dropped", "not known upstream"),
    Rule("field", "moderation", "dropped", "Copilot filters by its own rules"),
    Rule("field", "prompt_cache_options", "dropped", "Copilot caches by its own rules"),
    Rule("field", "reasoning.mode", "dropped", "not known upstream"),
    Rule("field", "tools[].output_schema", "dropped", "not known upstream"),
    Rule("field", "tools[].allowed_callers", "dropped", "not known upstream"),
    Rule("field", "tools[].async", "dropped", "not known upstream"),
    Rule("field", "reasoning.generate_summary", "changed", "under its new name, reasoning.summary"),
    Rule("item", "item_reference", "refused", _REFERENCE),
    Rule("item", "compaction_trigger", "refused", "upstream does not compact on demand"),
    Rule("tool", "image_generation", "dropped", _HOSTED),
    Rule("tool", "code_interpreter", "dropped", _HOSTED),
    Rule("tool", "file_search", "dropped", _HOSTED),
    Rule("tool", "mcp", "dropped", _HOSTED),
    Rule("tool", "programmatic_tool_calling", "dropped", _HOSTED),
    Rule("tool", "local_shell", "changed", _BY_CLIENT),
    Rule("tool", "computer", "changed", _BY_CLIENT),
    Rule("tool", "computer_use_preview", "changed", _BY_CLIENT),
)


def _rules(what: str) -> dict[str, Rule]:
    return {rule.name: rule for rule in TABLE if rule.what == what}


FIELDS: Final = _rules("field")
ITEMS: Final = _rules("item")
TOOLS: Final = _rules("tool")

TAKEN_INCLUDES: Final = frozenset(
    {"reasoning.encrypted_content", "message.output_text.logprobs", "message.input_image.image_url"}
)
ENCRYPTED: Final = "reasoning.encrypted_content"

LEAST_OUTPUT: Final = 16
"""``max_output_tokens`` below this is refused (contract §7.2)."""

LONGEST_CALL_ID: Final = 64
LONGEST_NAME: Final = 64
LONGEST_STRINGS: Final = ("user", "safety_identifier", "prompt_cache_key")
"""Strings of at most 64 characters."""


# -- what a model takes as it is -------------------------------------------------------------------------------------

# A tool and the items of its calls: who refuses one of them has no use for the others.
_FAMILIES: Final = (
    ("custom", "custom_tool_call", "custom_tool_call_output"),
    ("tool_search", "tool_search_call", "tool_search_output"),
    ("shell", "shell_call", "shell_call_output"),
    ("apply_patch", "apply_patch_call", "apply_patch_call_output"),
)
_FAMILY_OF: Final = {kind: family for family in _FAMILIES for kind in family} | {
    "web_search_call": ("web_search_call", "web_search", "web_search_preview")
}

# Items of tools that never run at this upstream: told as text.
_FOREIGN_ITEMS: Final = frozenset(
    {"image_generation_call", "code_interpreter_call", "file_search_call", "program", "program_output"}
    | {"mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"}
    | {"local_shell_call", "local_shell_call_output", "computer_call", "computer_call_output"}
)


# Models that are known not to take the newer forms (contract §7.4, §7.10, Appendix C); of others a refusal is learned.
_BEFORE_NAMESPACES: Final = re.compile(r"gpt-(?:[1-4]|5(?:\.[0-4])?(?![.\d]))")
_BEFORE_TOOL_ITEMS: Final = re.compile(r"gpt-(?:[1-4]|5(?:\.[0-5])?(?![.\d]))|grok|mai-")


def beyond(limits: ModelLimits) -> frozenset[str]:
    """The types that a model is known not to take; the catalogue tells of the search for tools."""
    found = {"namespace"} if _BEFORE_NAMESPACES.match(limits.model) else set()
    found |= {"additional_tools"} if _BEFORE_TOOL_ITEMS.match(limits.model) else set()
    if not limits.tool_search and _BEFORE_NAMESPACES.match(limits.model):
        found.add("tool_search")
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Taken:
    """Which types of tools and items a model takes as they are: all but those of the table and those it has refused.

    refused: names as of ``payload(refused)``; those of types begin with ``type:``. unknown: types that are beyond it.
    """

    refused: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()

    def takes(self, kind: str) -> bool:
        """Whether a tool or an item of this type may go as it is."""
        is_known = kind not in TOOLS and kind not in _FOREIGN_ITEMS and self.unknown.isdisjoint(_family(kind))
        return is_known and not self.has_refused(kind)

    def has_refused(self, kind: str) -> bool:
        """Whether the model itself has refused it, so that this is worth telling."""
        return any(f"{TYPE}{one}" in self.refused for one in _family(kind))


def _family(kind: str) -> tuple[str, ...]:
    return _FAMILY_OF.get(kind, (kind,))


FUNCTIONS_ALONE: Final = Taken(
    frozenset(f"{TYPE}{kind}" for kind in (*_FAMILY_OF, "namespace", "additional_tools", "configuration_update"))
)
"""An upstream that knows functions and nothing else."""
