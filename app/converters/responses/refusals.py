"""What Copilot's ``/responses`` refuses, or is not known to take, and what the bridge does about it: the one table.

Contract §7.2 (fields), §7.3 (effort), §7.4 (tools), §7.6 (items); clients.md 0.3, 0.8, 0.11 and section 2 (Codex).
Both roads to upstream decide by it: the native one (``native.py``) and the converted one (``request_encoder.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from app.converters.fields import Field
from app.converters.limits import Limits


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
    Rule("field", "reasoning.context", "dropped", "not known upstream"),
    Rule("field", "reasoning.mode", "dropped", "not known upstream"),
    Rule("field", "tools[].defer_loading", "dropped", "there is no tool search that could load it"),
    Rule("field", "tools[].output_schema", "dropped", "not known upstream"),
    Rule("field", "tools[].allowed_callers", "dropped", "not known upstream"),
    Rule("field", "tools[].async", "dropped", "not known upstream"),
    Rule("field", "reasoning.generate_summary", "changed", "under its new name, reasoning.summary"),
    Rule("item", "item_reference", "refused", _REFERENCE),
    Rule("item", "compaction_trigger", "refused", "upstream does not compact on demand"),
    Rule("item", "additional_tools", "changed", "its tools join `tools`"),
    Rule("item", "custom_tool_call", "changed", "a function call with one string argument"),
    Rule("item", "custom_tool_call_output", "changed", "a function call output"),
    Rule("tool", "custom", "changed", "a function with one string argument"),
    Rule("tool", "namespace", "changed", "its tools stand alone, under longer names"),
    Rule("tool", "web_search", "dropped", _HOSTED),
    Rule("tool", "tool_search", "dropped", _HOSTED),
    Rule("tool", "image_generation", "dropped", _HOSTED),
    Rule("tool", "code_interpreter", "dropped", _HOSTED),
    Rule("tool", "file_search", "dropped", _HOSTED),
    Rule("tool", "mcp", "dropped", _HOSTED),
    Rule("tool", "computer", "dropped", _HOSTED),
    Rule("tool", "local_shell", "dropped", _HOSTED),
    Rule("tool", "shell", "dropped", _HOSTED),
    Rule("tool", "apply_patch", "dropped", _HOSTED),
    Rule("tool", "programmatic_tool_calling", "dropped", _HOSTED),
)


def _rules(what: str) -> dict[str, Rule]:
    return {rule.name: rule for rule in TABLE if rule.what == what}


FIELDS: Final = _rules("field")
ITEMS: Final = _rules("item")
TOOLS: Final = _rules("tool")

TAKEN_ITEMS: Final = frozenset({"message", "reasoning", "function_call", "function_call_output", "compaction"})
"""All that upstream takes as input. What is neither here nor in the table is left out and recorded."""

TAKEN_INCLUDES: Final = frozenset(
    {"reasoning.encrypted_content", "message.output_text.logprobs", "message.input_image.image_url"}
)
ENCRYPTED: Final = "reasoning.encrypted_content"

LEAST_OUTPUT: Final = 16
"""``max_output_tokens`` below this is refused (§7.2)."""

LONGEST_CALL_ID: Final = 64
LONGEST_NAME: Final = 64
LONGEST_STRINGS: Final = ("user", "safety_identifier", "prompt_cache_key")
"""Strings of at most 64 characters."""

_REASONS: Final = re.compile(r"gpt-([5-9]|\d\d)|o\d|codex", re.IGNORECASE)


def refuses_sampling(limits: Limits, model: str) -> bool:
    """Whether the model takes no ``temperature`` and ``top_p``: those that reason (contract §7.1, clients.md 0.8).

    By the catalogue where it says something, for it knows models that this table has never heard of.
    """
    return bool(limits.reasoning_effort) or bool(_REASONS.match(limits.family or model))


def table_of_fields() -> dict[str, Field]:
    """The table in the form of the protocols' field tables, for the docs."""
    verdicts: dict[str, Literal["mapped", "dropped", "refused"]] = {
        "changed": "mapped",
        "dropped": "dropped",
        "refused": "refused",
    }
    return {f"{rule.what} {rule.name}": Field(verdicts[rule.verdict], rule.note) for rule in TABLE}
