"""Every field of a messages request and what becomes of it in conversion (conversion rules §2, contract §8.2–§8.4).

Nested fields have a dotted name. What native requests are stripped of stands in ``upstream/refusals.py``.
"""

from __future__ import annotations

from typing import Final

from app.converters.neutral.field_table import Field

_TOOL_HINT = "how Anthropic loads or streams the tool; the tool itself is mapped"

FIELDS: Final[dict[str, Field]] = {
    "model": Field("mapped", "through the model mapping and the catalogue"),
    "messages": Field("mapped", "roles, blocks, calls and results in neutral terms; role system too"),
    "system": Field("mapped", "the first system message"),
    "max_tokens": Field("mapped", "the output limit, within what the model offers"),
    "stop_sequences": Field("mapped", "a list of strings; where upstream has none, the answer is cut here"),
    "stream": Field("mapped", "whether the answer is streamed"),
    "temperature": Field("mapped", "Anthropic's range 0 to 1 lies within the others'"),
    "top_p": Field("mapped", "left out for models that refuse it"),
    "top_k": Field("mapped", "left out where the target has no such field"),
    "tools": Field("mapped", "functions as they are; typed tools that the client runs become functions"),
    "tool_choice": Field("mapped", "auto, any, none, tool"),
    "tool_choice.disable_parallel_tool_use": Field("mapped", "the opposite of parallel_tool_calls"),
    "thinking": Field("mapped", "as effort or thinking budget, within what the model offers"),
    "thinking.budget_tokens": Field("mapped", "as effort by its share of max_tokens, where the target has no budget"),
    "thinking.display": Field("mapped", "whether a summary is worth asking for"),
    "output_config": Field("mapped", "effort and structured output"),
    "output_config.effort": Field("mapped", "the nearest effort that the model offers"),
    "output_config.format": Field("mapped", "structured output"),
    "output_config.task_budget": Field("dropped", "a budget that the model is told; only Anthropic has it"),
    "output_format": Field("mapped", "the older spelling of output_config.format"),
    "metadata": Field("mapped", "user_id is the end user"),
    "service_tier": Field("mapped", "Copilot has no tiers"),
    "cache_control": Field("mapped", "a cache mark on the last block that can carry one"),
    "context_management": Field("carried", "edits of old turns, which only messages models apply"),
    "thread": Field("refused", "the bridge stores no conversations; send all of it each time"),
    "container": Field("dropped", "Copilot runs no containers"),
    "mcp_servers": Field("dropped", "hosted tools, which Copilot does not run"),
    "safeguards": Field("dropped", "Anthropic's own classifiers, which Copilot does not offer"),
    "diagnostics": Field("dropped", "asks for remarks on the prompt cache"),
    "fallbacks": Field("dropped", "the model mapping decides which model answers"),
    "fallback_credit_token": Field("dropped", "billing at Anthropic"),
    "billing_policy": Field("dropped", "billing at Anthropic"),
    "compaction": Field(
        "dropped", "compaction at Anthropic; clients compact by themselves when the prompt is too long"
    ),
    "speed": Field("dropped", "Copilot has one speed"),
    "inference_geo": Field("dropped", "GitHub decides where inference runs"),
    "user_profile_id": Field("dropped", "accounts at Anthropic"),
    "workspace_id": Field("dropped", "accounts at Anthropic"),
    "anthropic_beta": Field("dropped", "betas are a header; in the body they belong to other clouds"),
    "anthropic_version": Field("dropped", "a header; in the body it belongs to other clouds"),
    "tools.type": Field("mapped", "custom is a function; hosted tools go unless forced (web_search: web-search.md)"),
    "tools.name": Field("mapped", "made valid for the target, and restored"),
    "tools.description": Field("mapped", "as it is"),
    "tools.input_schema": Field("mapped", "as it is"),
    "tools.strict": Field("mapped", "left out where OpenAI refuses the schema so, e.g. for an optional property"),
    "tools.cache_control": Field("mapped", "a cache mark"),
    "tools.defer_loading": Field("carried", _TOOL_HINT),
    "tools.eager_input_streaming": Field("carried", _TOOL_HINT),
    "tools.allowed_callers": Field("carried", _TOOL_HINT),
    "tools.input_examples": Field("carried", "examples of arguments; the schema and the description say enough"),
}
