"""Every request field of the Responses API, and what becomes of it in a conversion.

Spec: OpenAI "Create a model response"; conversion rules §2; contract §7.2. The native path decides by ``refusals``.
"""

from __future__ import annotations

from typing import Final

from app.converters.neutral.field_table import Field

_STATE: Final = "nothing is stored upstream: send the whole conversation in `input`"

FIELDS: Final[dict[str, Field]] = {
    "model": Field("mapped", "the model"),
    "input": Field("mapped", "the messages, calls, results and thoughts of the conversation"),
    "instructions": Field("mapped", "a system message that stands first"),
    "tools": Field("mapped", "as they are at /responses, until a model refuses a type; elsewhere as functions"),
    "tool_choice": Field("mapped", "all forms; forcing a tool that nobody runs is refused"),
    "parallel_tool_calls": Field("mapped", "whether one turn may hold several calls"),
    "max_output_tokens": Field("mapped", "within the limits of the model, at least 16"),
    "temperature": Field("mapped", "left out for models that reason"),
    "top_p": Field("mapped", "left out for models that reason"),
    "reasoning": Field("mapped", "see its parts"),
    "reasoning.effort": Field("mapped", "the nearest effort that the model takes"),
    "reasoning.summary": Field("mapped", "whether thoughts are shown"),
    "reasoning.generate_summary": Field("mapped", "the old name of reasoning.summary"),
    "reasoning.context": Field("carried", "only a responses upstream knows it"),
    "reasoning.mode": Field("dropped", "upstream does not know it"),
    "text": Field("mapped", "see its parts"),
    "text.format": Field("mapped", "structured output"),
    "text.verbosity": Field("mapped", "advisory; only where the target has it"),
    "stream": Field("mapped", "whether the answer is streamed"),
    "top_logprobs": Field("dropped", "log probabilities do not survive a conversion"),
    "user": Field("mapped", "advisory"),
    "safety_identifier": Field("mapped", "advisory"),
    "metadata": Field("mapped", "advisory; echoed in the answer"),
    "prompt_cache_key": Field("mapped", "only where the target has it"),
    "prompt_cache_retention": Field("mapped", "only where the target has it"),
    "service_tier": Field("mapped", "Copilot has no tiers"),
    "store": Field("mapped", "whether the bridge stores the answer; Copilot keeps nothing"),
    "include": Field("carried", "encrypted reasoning is always asked for"),
    "truncation": Field("carried", "only a responses upstream truncates"),
    "context_management": Field("carried", "only a responses upstream compacts"),
    "max_tool_calls": Field("carried", "counts calls of hosted tools only"),
    "stream_options": Field("dropped", "the stream is never obfuscated"),
    "client_metadata": Field("dropped", "for OpenAI's own statistics"),
    "access_programs": Field("dropped", "OpenAI's own programmes"),
    "background_options": Field("dropped", "there is no background mode"),
    "image": Field("dropped", "a hint on compressing images"),
    "moderation": Field("dropped", "Copilot filters by its own rules"),
    "prompt_cache_options": Field("dropped", "Copilot caches by its own rules"),
    "previous_response_id": Field(
        "refused", "a stored answer is put into `input`; any other is not known: send the whole conversation"
    ),
    "conversation": Field("refused", _STATE),
    "prompt": Field("refused", "stored prompts are not known to the bridge: write the prompt into `input`"),
    "background": Field("refused", "nothing runs in the background: use `stream`"),
}
"""Top-level fields and, with a dot, those inside. A field that is missing here is unknown: dropped and recorded."""


def is_said(name: str, value: object) -> bool:
    """Whether a field asks for anything at all: null never does, nor does ``background: false``."""
    return value is not None and not (name == "background" and value is False)
