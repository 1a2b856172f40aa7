"""What ``/responses`` refuses besides its input items: fields, effort, formats, tools (contract §7.2–§7.4, §13.7)."""

import re
from typing import Any

from . import checks, responses_items, responses_tools
from .checks import Problem, Refused
from .inference import Job, Json
from .responses_refusal import only, refuse
from .responses_tools import NAME, check_schema

_FIELDS = {
    "model",
    "input",
    "instructions",
    "stream",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "text",
    "truncation",
    "reasoning",
    "include",
    "prompt_cache_key",
    "prompt_cache_retention",
    "context_management",
    "temperature",
    "top_p",
    "top_logprobs",
    "user",
    "metadata",
    "safety_identifier",
}
_INCLUDES = {"reasoning.encrypted_content", "message.output_text.logprobs", "message.input_image.image_url"}
_BOOLEANS = ("stream", "parallel_tool_calls", "store", "background")
_STRINGS = {"instructions": None, "user": 64, "safety_identifier": 64, "prompt_cache_key": 64}


def problem(job: Job) -> Problem | None:
    fields, settings = job.fields, job.settings
    if found := checks.unsupported(fields, settings["responses_reject"]):
        return found
    try:
        if settings["strict_responses"]:
            only(fields, _FIELDS | set(settings["responses_reject"]))
        _plain_options(fields)
        _numbers(job)
        _reasoning(job)
        _text(job)
        responses_tools.check(job)
        _context_management(job)
        responses_items.check(job)
    except Refused as refused:
        return refused.problem
    return checks.length(job.chat, job.entry)


def _plain_options(fields: Json) -> None:
    for name in _BOOLEANS:
        if fields.get(name) is not None and not isinstance(fields[name], bool):
            refuse(f"Invalid type for '{name}': expected a boolean.", name)
    for name, limit in _STRINGS.items():
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            refuse(f"Invalid type for '{name}': expected a string.", name)
        if value and limit and len(value) > limit:
            refuse(
                f"Invalid '{name}': string too long. Expected a string with maximum length {limit}, but got a "
                f"string with length {len(value)} instead.",
                name,
            )
    include = fields.get("include")
    if include is not None and not isinstance(include, list):
        refuse("Invalid type for 'include': expected an array.", "include")
    for one in include or []:
        if str(one) not in _INCLUDES:
            refuse(
                f"Invalid value: '{one}'. Supported values are: {', '.join(repr(name) for name in sorted(_INCLUDES))}.",
                "include",
            )
    if fields.get("truncation") not in (None, "auto", "disabled"):
        refuse(f"Invalid value: '{fields['truncation']}'. Supported values are: 'auto' and 'disabled'.", "truncation")
    metadata = fields.get("metadata")
    if metadata is not None and (
        not isinstance(metadata, dict)
        or len(metadata) > 16
        or not all(isinstance(one, str) for one in metadata.values())
    ):
        refuse("Invalid 'metadata': expected an object with at most 16 string values.", "metadata")


def _numbers(job: Job) -> None:
    fields, settings = job.fields, job.settings
    limit = fields.get("max_output_tokens")
    if limit is not None:
        top = job.entry["capabilities"].get("limits", {}).get("max_output_tokens")
        if not isinstance(limit, int) or isinstance(limit, bool):
            refuse("Invalid type for 'max_output_tokens': expected an integer.", "max_output_tokens")
        if limit < 16:
            refuse(
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got "
                f"{limit} instead.",
                "max_output_tokens",
            )
        if top and limit > top and settings["check_output_limit"]:
            refuse(
                f"Invalid 'max_output_tokens': integer above maximum value. Expected a value <= {top}, but got "
                f"{limit} instead.",
                "max_output_tokens",
            )
    for name in ("temperature", "top_p"):
        value = fields.get(name)
        if value is not None and value != 1 and not settings["responses_sampling"]:
            refuse(f"Unsupported parameter: '{name}' is not supported with this model.", name)


def _reasoning(job: Job) -> None:
    reasoning = job.fields.get("reasoning")
    if reasoning is None:
        return
    if not isinstance(reasoning, dict):
        refuse("Invalid type for 'reasoning': expected an object.", "reasoning")
    if job.settings["strict_responses"]:
        only(reasoning, {"effort", "summary", "context"}, "reasoning.")
    if reasoning.get("context") not in (None, "auto", "current_turn", "all_turns"):
        refuse(f"Invalid value: '{reasoning['context']}'. Supported values are: 'all_turns'.", "reasoning.context")
    known = checks.efforts(job.entry) or ["low", "medium", "high"]
    if found := checks.wrong_effort(reasoning.get("effort"), job.entry, known):
        raise Refused(found)
    if reasoning.get("summary") not in (None, "auto", "concise", "detailed"):
        refuse(
            f"Invalid value: '{reasoning['summary']}'. Supported values are: 'concise', 'detailed', and 'auto'.",
            "reasoning.summary",
        )


def _text(job: Job) -> None:
    text = job.fields.get("text")
    if text is None:
        return
    if not isinstance(text, dict):
        refuse("Invalid type for 'text': expected an object.", "text")
    only(text, {"format", "verbosity"}, "text.")
    verbosity = text.get("verbosity")
    allowed = ["medium"] if job.entry["id"] in job.settings["medium_verbosity_only"] else ["low", "medium", "high"]
    if verbosity is not None and verbosity not in allowed:
        refuse(
            f"Unsupported value: '{verbosity}' is not supported with the '{job.entry['id']}' model. Supported "
            f"values are: {', '.join(repr(one) for one in allowed)}.",
            "text.verbosity",
        )
    form = text.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") not in ("text", "json_object", "json_schema"):
        refuse(
            "Invalid value for 'text.format'. Supported types are: 'text', 'json_object', and 'json_schema'.",
            "text.format",
        )
    if form["type"] == "json_schema":
        only(form, {"type", "name", "schema", "strict", "description"}, "text.format.")
        for name in ("name", "schema"):
            if not form.get(name):
                refuse(f"Missing required parameter: 'text.format.{name}'.", f"text.format.{name}")
        if not NAME.match(str(form["name"])):
            refuse(
                "Invalid 'text.format.name': string does not match pattern. Expected a string that matches the "
                "pattern '^[a-zA-Z0-9_-]+$'.",
                "text.format.name",
            )
        if job.settings["strict_schemas"]:
            what = f"response_format '{form['name']}'"
            check_schema(form["schema"], bool(form.get("strict")), what, "text.format.schema")


def _context_management(job: Job) -> None:
    """Contract §7.1, §7.2: newer models only."""
    wanted = job.fields.get("context_management")
    if wanted is None:
        return
    if re.match(r"gpt-5(\.[12])?(-|\Z)", job.entry["id"]):
        refuse("context_management is not supported", "context_management", "unsupported_value")
    if not isinstance(wanted, list) or not all(_compaction(one) for one in wanted):
        refuse("Invalid value for 'context_management': expected an array of compactions.", "context_management")


def _compaction(one: Any) -> bool:
    threshold = one.get("compact_threshold", 1) if isinstance(one, dict) else None
    return isinstance(threshold, int) and threshold > 0 and one.get("type") == "compaction"
