"""What the simulated model is going to answer, before it is cast into a vendor's dialect (contract §6.3–§6.5)."""

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import checks, prompts, schemas
from .knobs import Settings
from .prompts import Directives

if TYPE_CHECKING:
    from .state import World

#: deployments whose dated name is not in the catalogue (contract §6.3.1: the answer names the deployment)
_DATED = {"gpt-5-mini": "gpt-5-mini-2025-08-07", "gpt-5.1": "gpt-5.1-2025-11-13", "gpt-5.2": "gpt-5.2-2025-12-11"}
_DATED_CLAUDE = {
    "claude-sonnet-4": "claude-sonnet-4-20250514",
    "claude-sonnet-4.5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4.5": "claude-haiku-4-5-20251001",
    "claude-opus-4.5": "claude-opus-4-5-20251101",
}


@dataclass
class Call:
    id: str
    name: str
    arguments: str


@dataclass
class Plan:
    """One answer. ``opaque`` goes with reasoning, and with every Gemini tool call."""

    dialect: str
    answer_id: str
    model: str  # as the answer names it
    created: int
    pieces: list[str]
    calls: list[Call]
    finish: str
    prompt_tokens: int
    think: list[str] = field(default_factory=list)
    opaque: str | None = None
    reasoning: str = "own_chunk"
    n: int = 1
    legacy_function: bool = False
    filtered: str | None = None
    stream_error: list[str] | None = None
    stream_error_bare: bool = False
    stopped_at: str | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_override: int | None = None
    entry: dict[str, Any] = field(default_factory=dict)  # of the catalogue

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning_tokens(self) -> int:
        if self.reasoning_override is not None:
            return self.reasoning_override
        return checks.tokens("".join(self.think))

    @property
    def completion_tokens(self) -> int:
        calls = sum(checks.tokens(call.name + call.arguments) for call in self.calls)
        return self.n * (checks.tokens(self.text) + calls)


def dialect_of(entry: dict[str, Any], settings: Settings) -> str:
    """Vendors decide the dialect; unknown ones look like OpenAI."""
    if settings["dialect"]:
        return str(settings["dialect"])
    return {"Anthropic": "claude", "Google": "gemini"}.get(entry["vendor"], "openai-current")


def make(
    world: "World",
    fields: dict[str, Any],
    entry: dict[str, Any],
    dialect: str,
    settings: Settings,
    directives: Directives,
    fresh: bool,
) -> Plan:
    """Decide on text, tool calls, reasoning and finish reason."""
    messages = fields["messages"]
    calls = _calls(world, fields, dialect, directives, fresh)
    text = _text(fields, entry, directives, fresh, bool(calls))
    text, stopped_at = _stop_at(text, fields.get("stop"))
    pieces = prompts.pieces(text, directives.chunks)
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    finish = "stop"
    if limit and len(pieces) > limit:  # one chunk counts as one token here
        pieces, finish, stopped_at = pieces[:limit], "length", None
    legacy = bool(fields.get("functions")) and not fields.get("tools")
    if calls and finish == "stop":
        finish = "function_call" if legacy else "tool_calls"
        if settings["finish_stop_with_tools"]:
            finish = "stop"
    plan = Plan(
        dialect,
        _answer_id(world, dialect),
        answer_model(entry, dialect),
        int(world.now()),
        pieces,
        calls,
        directives.finish or finish,
        checks.prompt_tokens(fields),
        legacy_function=legacy and bool(calls),
        filtered=directives.filter,
        stream_error=directives.stream_error,
        stream_error_bare=directives.stream_error_bare,
        stopped_at=stopped_at,
        reasoning_override=settings["reasoning_tokens"],
        entry=entry,
    )
    plan.cached_tokens = min(int(settings["cached_tokens"]), plan.prompt_tokens)
    plan.cache_write_tokens = min(int(settings["cache_write_tokens"]), plan.prompt_tokens - plan.cached_tokens)
    if dialect.startswith("openai"):  # the others ignore n
        plan.n = int(fields.get("n") or 1)
    _reason(world, plan, messages, settings, directives)
    return plan


def answer_model(entry: dict[str, Any], dialect: str) -> str:
    if dialect.startswith("openai") or dialect == "responses":
        return str(_DATED.get(entry["id"], entry["version"]))
    if dialect == "messages":
        return _DATED_CLAUDE.get(entry["id"], str(entry["id"]).replace(".", "-"))
    return str(entry["id"])


def _text(fields: dict[str, Any], entry: dict[str, Any], directives: Directives, fresh: bool, calling: bool) -> str:
    messages = fields["messages"]
    if directives.problem:
        return f"Simulator: I did not understand {directives.problem}"
    if directives.say is not None:
        return directives.say
    if directives.chunks:
        return "".join(f"chunk {number} " for number in range(1, directives.chunks + 1))
    if calling:
        return ""
    if not fresh and prompts.last_results(messages):
        return prompts.after_tools(messages)
    wanted = fields.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return json.dumps(schemas.sample(wanted.get("json_schema", {}).get("schema", {})), ensure_ascii=False)
    if wanted.get("type") == "json_object":
        return json.dumps({"answer": prompts.small_talk(entry["id"], messages)}, ensure_ascii=False)
    return prompts.small_talk(entry["id"], messages)


def _stop_at(text: str, stop: Any) -> tuple[str, str | None]:
    """The text up to the first stop sequence, and which one that was."""
    ends = [(text.find(one), one) for one in ([stop] if isinstance(stop, str) else stop or []) if one and one in text]
    return (text[: min(ends)[0]], min(ends)[1]) if ends else (text, None)


def _calls(world: "World", fields: dict[str, Any], dialect: str, directives: Directives, fresh: bool) -> list[Call]:
    wanted = list(directives.tools)
    choice = fields.get("tool_choice")
    if not wanted and fresh and fields.get("tools") and (choice == "required" or isinstance(choice, dict)):
        name = choice["function"]["name"] if isinstance(choice, dict) else fields["tools"][0]["function"]["name"]
        schema = next(
            tool["function"].get("parameters") for tool in fields["tools"] if tool["function"]["name"] == name
        )
        sample = schemas.sample(schema or {})
        if name == "web_search" and isinstance(sample, dict) and "query" in sample:
            sample["query"] = prompts.query(fields["messages"])
        wanted.append((name, json.dumps(sample, ensure_ascii=False)))
    if choice == "none":
        return []
    if fields.get("parallel_tool_calls") is False:
        wanted = wanted[:1]
    return [Call(_call_id(world, dialect), name, arguments) for name, arguments in wanted]


def _call_id(world: "World", dialect: str) -> str:
    if dialect in ("claude", "messages"):
        return "toolu_bdrk_01" + world.alnum("call", 22)
    return "call_" + world.alnum("call", 16 if dialect == "gemini" else 24)


def _answer_id(world: "World", dialect: str) -> str:
    if dialect == "messages":
        return "msg_bdrk_01" + world.alnum("message", 22)
    if dialect == "claude":
        return world.uuid("answer")
    if dialect == "gemini":
        return world.alnum("answer", 22)
    return "chatcmpl-" + world.alnum("answer", 29)


def _reason(
    world: "World", plan: Plan, messages: list[dict[str, Any]], settings: Settings, directives: Directives
) -> None:
    """Reasoning text and its opaque companion; both are remembered so that the echo can be verified (contract §6.6)."""
    mode = settings["reasoning"]
    if mode == "off":
        return
    plan.reasoning = settings.vendor("reasoning", "with_tool" if plan.dialect == "gemini" else "own_chunk")
    thought = directives.think
    if thought is None and mode != "vendor":
        thought = "Let me think about this carefully, step by step."
    if thought:
        plan.think = re.findall(r"\s*\S+", thought) or [thought]
    if plan.think or (plan.dialect == "gemini" and plan.calls):
        start = "CqsBCkgIBxAC" if plan.dialect == "gemini" else "EqoBCkgIBxABGAIiQL"
        raw = b"".join(world.digest("opaque") for _ in range(4))
        plan.opaque = start + base64.b64encode(raw).decode()
        if plan.reasoning == "azure_cot":
            plan.opaque = "cot_" + world.uuid("cot")
        with world.cond:
            world.opaques[plan.opaque] = plan.dialect
            world.thoughts[plan.opaque] = "".join(plan.think)
            world.call_opaques.update({call.id: plan.opaque for call in plan.calls})
