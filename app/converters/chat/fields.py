"""Every field of a chat request and what becomes of it (conversion rules §2, contract §6.1). The code decides by these.

Natively (``request.prepare``) all but ``REFUSED_FIELDS`` pass untouched; this table is about conversion.
"""

from __future__ import annotations

from typing import Final

from app.converters.neutral.field_table import Field

_SAMPLING = "sampling that chat alone has"
_COPILOT = "Copilot's own, for its chat endpoint"
_COPILOT_SETTING = "an internal setting of Copilot's chat endpoint"
_NO_AUDIO = "no model behind the bridge speaks."
_TOOLS = "as tools and tool calls; the answer calls in the legacy form"

FIELDS: Final[dict[str, Field]] = {
    "model": Field("mapped", "through the model mapping and the catalogue"),
    "messages": Field("mapped", "roles, parts, calls and results in neutral terms"),
    "input": Field("mapped", "in place of messages: a body as Responses has it, which Cursor sends; its tables count"),
    "stream": Field("mapped", "whether the answer is streamed"),
    "stream_options": Field("mapped", "include_usage decides on the usage chunk; upstream is always asked for usage"),
    "tools": Field("mapped", "functions as they are, custom tools as functions with one string argument"),
    "tool_choice": Field("mapped", "all forms, allowed_tools too"),
    "parallel_tool_calls": Field("mapped", "whether one turn may hold several calls"),
    "functions": Field("mapped", _TOOLS),
    "function_call": Field("mapped", _TOOLS),
    "max_completion_tokens": Field("mapped", "the output limit, within what the model offers"),
    "max_tokens": Field("mapped", "the output limit, where max_completion_tokens says nothing"),
    "temperature": Field("mapped", "within the target's range; left out for models that refuse it"),
    "top_p": Field("mapped", "left out for models that refuse it"),
    "top_k": Field("mapped", "no OpenAI field, but some chat clients send it; messages has it"),
    "stop": Field("mapped", "a string or a list; where upstream has none, the answer is cut here"),
    "reasoning_effort": Field("mapped", "as effort or thinking budget, within what the model offers"),
    "thinking_budget": Field("mapped", "Copilot's thinking budget in tokens"),
    "thinking": Field("mapped", "Anthropic's form, which some chat clients send for Claude"),
    "response_format": Field("mapped", "structured output"),
    "verbosity": Field("mapped", "advice on length"),
    "logprobs": Field("mapped", "asked for with top_logprobs; a converted answer has none"),
    "top_logprobs": Field("mapped", "a converted answer has none"),
    "user": Field("mapped", "the end user"),
    "safety_identifier": Field("mapped", "the end user, hashed"),
    "metadata": Field("mapped", "labels"),
    "prompt_cache_key": Field("mapped", "advice for the prompt cache"),
    "prompt_cache_retention": Field("mapped", "advice for the prompt cache"),
    "service_tier": Field("mapped", "Copilot has no tiers"),
    "store": Field("mapped", "nothing is stored"),
    "seed": Field("carried", _SAMPLING),
    "logit_bias": Field("carried", _SAMPLING),
    "frequency_penalty": Field("carried", _SAMPLING),
    "presence_penalty": Field("carried", _SAMPLING),
    "prediction": Field("carried", "a predicted output, which makes the answer faster and no different"),
    "prompt_cache_options": Field("carried", "advice for the prompt cache that chat alone words like this"),
    "intent": Field("carried", _COPILOT),
    "intent_threshold": Field("carried", _COPILOT),
    "snippy": Field("carried", _COPILOT),
    "copilot_thread_id": Field("carried", _COPILOT_SETTING),
    "copilot_skills": Field("carried", _COPILOT_SETTING),
    "state": Field("carried", _COPILOT_SETTING),
    "web_search_options": Field("dropped", "a hosted search: the bridge runs it, else it goes (web-search.md)"),
    "moderation": Field("dropped", "a hosted check of the answer, which Copilot does not run"),
    "n": Field("refused", "a converted answer has exactly one choice.", harmless=(1,)),
    "audio": Field("refused", _NO_AUDIO),
    "modalities": Field("refused", _NO_AUDIO, harmless=(["text"], [])),
    "stream_options.include_usage": Field("mapped", "exactly when it is true, the client gets the usage chunk"),
    "stream_options.include_obfuscation": Field("dropped", "the bridge pads nothing"),
    "messages[].name": Field("mapped", "the participant; only chat has it"),
    "messages[].copilot_cache_control": Field("mapped", "the prompt cache may end here"),
    "messages[].cache_control": Field("mapped", "the same, as some clients write it for Claude"),
    "messages[].reasoning_content": Field("mapped", "thought, as clients know it"),
    "messages[].reasoning_text": Field("mapped", "thought, as Copilot has it"),
    "messages[].reasoning_opaque": Field("mapped", "the proof of the thought; sealed, if foreign"),
    "messages[].cot_summary": Field("mapped", "thought, Azure's form"),
    "messages[].cot_id": Field("mapped", "the proof of the thought, Azure's form"),
    "messages[].refusal": Field("mapped", "the model's words of refusal"),
    "messages[].audio": Field("refused", _NO_AUDIO),
    "messages[].function_call": Field("mapped", _TOOLS),
    "messages[].content[].text": Field("mapped", "text"),
    "messages[].content[].image_url": Field("mapped", "address or data URL, and detail"),
    "messages[].content[].file": Field("mapped", "a document; a chat upstream takes it as text only"),
    "messages[].content[].input_audio": Field("mapped", "refused by every target so far"),
    "messages[].content[].tool_use": Field("mapped", "Anthropic's block, which Cursor writes for Claude: a call"),
    "messages[].content[].tool_result": Field("mapped", "the same: the result of a call"),
    "messages[].content[].thinking": Field("mapped", "the same: thought and its proof"),
    "messages[].content[].source": Field("mapped", "an image in Anthropic's form"),
    "tools[].input_schema": Field("mapped", "a function in Anthropic's form"),
    "tools[].name": Field("mapped", "the flat form of Responses; a free-text tool's calls go as functions then"),
    "tools[].function.strict": Field("mapped", "kept as it was given"),
    "tools[].custom.format": Field("mapped", "in the description where the target has no grammars"),
}

ANSWER_ONLY: Final = frozenset(
    {
        "annotations",
        "padding",
        "obfuscation",
        "copilot_annotations",
        "copilot_usage",
        "copilot_errors",
        "content_filter_results",
        "content_filter_offsets",
        "prompt_filter_results",
        "provider_specific_fields",
    }
)
"""What an assistant message may carry that upstream said, or LiteLLM added, but that upstream will not hear again
(contract §6.2, §12.3.8)."""
