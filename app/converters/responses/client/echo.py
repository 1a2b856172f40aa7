"""The response object around an answer: what it says, and what it echoes of the request.

Spec: OpenAI "The response object". Every key that the official SDKs' models require is there, and all that clients read
without asking. Pure: times and ids come from the answer.
"""

from __future__ import annotations

from typing import Any

from app.converters.neutral.vocabulary import Request
from app.converters.responses.client.tools import echo_tool_choice, echo_tools
from app.converters.responses.parts import ORIGIN
from app.converters.responses.vocabulary import INSTRUCTIONS


def echo_of(request: Request, model: str) -> dict[str, Any]:
    """The part of the response object that the request alone decides."""
    mine = request.extra.get(ORIGIN, {})
    return {
        "background": False,
        "instructions": _instructions(request),
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": mine.get("max_tool_calls"),
        "metadata": request.metadata or {},
        "model": model,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": _reasoning(request),
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": _text(request),
        "tool_choice": echo_tool_choice(request.tool_choice),
        "tools": echo_tools(request.tools),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": mine.get("truncation") or "disabled",
        "user": request.user,
    }


def _instructions(request: Request) -> str | None:
    first = request.messages[0] if request.messages else None
    return first.text if first is not None and first.extra.get(ORIGIN, {}).get(INSTRUCTIONS) else None


def _reasoning(request: Request) -> dict[str, Any]:
    config = request.reasoning
    return {"effort": config.effort if config else None, "summary": config.summary if config else None}


def _text(request: Request) -> dict[str, Any]:
    form = request.output_format
    wire: dict[str, Any] = {"type": "text"}
    if form is not None and form.kind == "json_object":
        wire = {"type": "json_object"}
    elif form is not None:
        wire = {
            "type": "json_schema",
            "name": form.name or "response",
            "description": form.description,
            "schema": form.schema or {},
            "strict": bool(form.strict),
        }
    return {"format": wire, "verbosity": request.verbosity or "medium"}
