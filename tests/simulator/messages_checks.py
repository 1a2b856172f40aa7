"""What ``/v1/messages`` refuses besides its messages: betas, fields, thinking, tools (contract §8.2–§8.4, §13.8)."""

from typing import Any

from . import checks, claude, messages_tools, schemas
from .checks import Problem, Refused, bad
from .inference import Job, Json
from .messages_blocks import Unfit, content, conversation, only, refuse, tag
from .messages_tools import having

_FIELDS = {
    "model",
    "messages",
    "system",
    "max_tokens",
    "metadata",
    "stop_sequences",
    "stream",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "output_config",
}
#: what counting tokens knows of them (contract §8.9: the same body minus `max_tokens` and `stream`)
_COUNTED = {"model", "messages", "system", "thinking", "tool_choice", "tools", "output_config"}


#: the names of the strictest level, each seen to be sent by an official client (contract §8.3)
_EXACT_BETAS = {
    "claude-code-20250219",
    "oauth-2025-04-20",
    "effort-2025-11-24",
    "interleaved-thinking-2025-05-14",
    "context-management-2025-06-27",
    "advanced-tool-use-2025-11-20",
    "extended-cache-ttl-2025-04-11",
    "structured-outputs-2025-11-13",
}


def backend_error(job: Job, unfit: Unfit) -> Problem:
    """Contract §8.8, and the bare form some reports show."""
    from .state import dumps

    body: Json = {"type": "error", "error": {"type": unfit.kind, "message": unfit.message}}
    if job.settings["backend_error_form"] == "message":
        body = {"message": unfit.message}
    elif job.settings["backend_error_form"] == "with_request_id":
        body["request_id"] = "req_vrtx_011" + job.world.alnum("req", 21)
    return unfit.status, dumps(body).decode()


def problem(job: Job, counting: bool = False) -> Problem | None:
    try:
        betas = _betas(job)
        _fields(job, betas, counting)
        if not counting:
            _limits(job)
            _sampling(job)
        _thinking(job, counting)
        _output(job, betas)
        _context_management(job)
        points = messages_tools.check(job, betas) + conversation(job)
        if job.fields.get("system") is not None:
            points += content(job, job.fields["system"], "system", "system")
        if points > 4:
            refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {points}.")
        if job.settings["too_long_form"] == "backend":
            count, limit = checks.prompt_tokens(job.chat), checks.prompt_limit(job.entry)
            if count > limit:
                refuse(f"prompt is too long: {count} tokens > {limit} maximum")
    except Unfit as unfit:
        return backend_error(job, unfit)
    except Refused as refused:
        return refused.problem
    return checks.length(job.chat, job.entry)


def _betas(job: Job) -> list[str]:
    """Contract §8.3: the gateway in front refuses what it does not know, in its own style."""
    given = [one.strip() for one in (job.request.header("anthropic-beta") or "").split(",") if one.strip()]
    strictness = job.settings["beta_strictness"]
    accepted = tuple(job.settings["accepted_betas"])
    unknown = [one for one in given if not one.startswith(accepted)]
    if strictness == "exact":
        unknown = [one for one in given if one not in _EXACT_BETAS]
    elif strictness == "ignore":
        return [one for one in given if one not in unknown]
    if unknown:
        raise Refused(bad(f"unsupported beta header(s): {', '.join(unknown)}"))
    return given


def _fields(job: Job, betas: list[str], counting: bool) -> None:
    fields = job.fields
    known = set(_COUNTED if counting else _FIELDS)
    if having(betas, "context-management"):
        known.add("context_management")
    if job.settings["output_format"] and having(betas, "structured-outputs"):
        known.add("output_format")
    only(fields, known | set(job.settings["messages_extra_fields"]), "")
    metadata = fields.get("metadata")
    if metadata is not None:
        if not isinstance(metadata, dict):
            refuse("metadata: Input should be an object")
        only(metadata, {"user_id"}, "metadata.")
    if fields.get("stream") is not None and not isinstance(fields["stream"], bool):
        refuse("stream: Input should be a valid boolean")
    stops = fields.get("stop_sequences")
    if stops is not None:
        if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
            refuse("stop_sequences: Input should be a valid list of strings")
        if not all(one.strip() for one in stops):
            refuse("stop_sequences: each stop sequence must contain non-whitespace")


def _limits(job: Job) -> None:
    limit, limits = job.fields.get("max_tokens"), job.entry["capabilities"].get("limits", {})
    if limit is None:
        refuse("max_tokens: Field required")
    if not isinstance(limit, int) or isinstance(limit, bool):
        refuse("max_tokens: Input should be a valid integer")
    if limit < 1:
        refuse("max_tokens: Input should be greater than or equal to 1")
    top = limits.get("max_output_tokens")
    if top and limit > top and job.settings["check_output_limit"]:
        refuse(
            f"max_tokens: {limit} > {top}, which is the maximum allowed number of output tokens for {job.entry['id']}"
        )
    whole = limits.get("max_non_streaming_output_tokens")
    if whole and limit > whole and not job.fields.get("stream") and job.settings["check_non_stream_limit"]:
        refuse(
            f"max_tokens: {limit} > {whole}, which is the maximum allowed number of output tokens without streaming "
            f"for {job.entry['id']}"
        )


def _sampling(job: Job) -> None:
    fields = job.fields
    for name in ("temperature", "top_p"):
        value = fields.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
            refuse(f"{name}: range: 0..1")
    if fields.get("top_k") is not None and (not isinstance(fields["top_k"], int) or fields["top_k"] < 0):
        refuse("top_k: Input should be a valid integer")
    if (
        fields.get("temperature") is not None
        and fields.get("top_p") is not None
        and job.entry["id"] != ("claude-sonnet-4")
    ):
        refuse("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def _thinking(job: Job, counting: bool) -> None:
    thinking, fields = job.fields.get("thinking"), job.fields
    if thinking is None:
        return
    kind = tag(thinking, ("adaptive", "disabled", "enabled"), "thinking")
    fields_of = {"enabled": {"type", "budget_tokens"}, "adaptive": {"type", "display"}, "disabled": {"type"}}
    only(thinking, fields_of[kind], f"thinking.{kind}.")
    if thinking.get("display") not in (None, "summarized", "omitted"):
        refuse("thinking.adaptive.display: Input should be 'summarized' or 'omitted'")
    taken = claude.row(job.entry).thinking
    if kind == "disabled":
        if kind not in taken:
            refuse('"thinking.type.disabled" is not supported for this model.')
        return
    if kind == "adaptive" and kind not in taken:
        refuse("adaptive thinking is not supported on this model")
    if kind == "enabled":
        if kind not in taken:
            refuse(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or isinstance(budget, bool):
            refuse(
                "thinking.enabled.budget_tokens: Field required"
                if budget is None
                else "thinking.enabled.budget_tokens: Input should be a valid integer"
            )
        if budget < 1024:
            refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if not counting and budget >= fields["max_tokens"]:
            refuse(
                "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
                "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-"
                "size"
            )
    if fields.get("temperature") not in (None, 1):
        refuse("`temperature` may only be set to 1 when thinking is enabled.")
    if fields.get("top_p") is not None and fields["top_p"] < 0.95:
        refuse("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
    if fields.get("top_k") is not None:
        refuse("`top_k` must be unset when thinking is enabled.")
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") in ("any", "tool"):
        refuse("Thinking may not be enabled when tool_choice forces tool use.")


def _output(job: Job, betas: list[str]) -> None:
    config, supports = job.fields.get("output_config"), job.entry["capabilities"].get("supports", {})
    form = job.fields.get("output_format")
    if config is not None:
        if not isinstance(config, dict):
            refuse("output_config: Input should be an object")
        known = {"effort"} | ({"format"} if having(betas, "structured-outputs") else set())
        only(config, known | ({"task_budget"} if having(betas, "task-budgets") else set()), "output_config.")
        _effort(job, config.get("effort"))
        form = config.get("format", form)
    if form is None:
        return
    tag(form, ("json_schema",), "output_config.format")
    only(form, {"type", "schema"}, "output_config.format.")
    if not isinstance(form.get("schema"), dict) or schemas.fault(form["schema"]):
        refuse("output_config.format.schema: JSON schema is invalid.")
    if not supports.get("structured_outputs"):
        refuse(f"'{job.entry['id']}' does not support output format.")


def _effort(job: Job, effort: Any) -> None:
    """Contract §8.4, §8.10: nothing at all on Haiku; without a list only `medium`."""
    if effort is None:
        return
    row = claude.row(job.entry)
    if not row.efforts:
        refuse("This model does not support the effort parameter.")
    if effort not in row.efforts:
        refuse(f"output_config.effort: Input should be {', '.join(repr(one) for one in row.efforts)}")
    thinking = job.fields.get("thinking")
    if effort in row.not_still and isinstance(thinking, dict) and thinking.get("type") == "disabled":
        refuse(f"output_config.effort: '{effort}' is not supported while thinking is disabled")


def _context_management(job: Job) -> None:
    wanted = job.fields.get("context_management")
    if wanted is None:
        return
    if not isinstance(wanted, dict):
        refuse("context_management: Input should be an object")
    only(wanted, {"edits"}, "context_management.")
    for index, edit in enumerate(wanted.get("edits") or []):
        path = f"context_management.edits.{index}"
        kind = tag(edit, ("clear_thinking_20251015", "clear_tool_uses_20250919"), path)
        options = (
            {"type", "keep"}
            if kind.startswith("clear_thinking")
            else {"type", "trigger", "keep", "clear_at_least", "exclude_tools", "clear_tool_inputs"}
        )
        only(edit, options, f"{path}.{kind}.")
        thinking = job.fields.get("thinking") or {}
        if kind.startswith("clear_thinking") and thinking.get("type") not in ("enabled", "adaptive"):
            refuse(f"`{kind}` strategy requires `thinking` to be enabled or adaptive")
