"""How each vendor's chunks look on ``/chat/completions`` streams (contract §6.5.1–§6.5.8, §6.5.14)."""

from typing import Any

from .knobs import Settings
from .plan import Call, Plan

Json = dict[str, Any]
_CATEGORIES = ("hate", "self_harm", "sexual", "violence")
FINGERPRINT = "fp_da3e2947cd"


def safe(severity: str = "safe", error: bool = False, filtered: str | None = None) -> Json:
    """``content_filter_results``: nothing found, or one category filtered."""
    found: Json = {"error": {"code": "", "message": ""}} if error else {}
    for name in _CATEGORIES:
        hit = name == filtered
        found[name] = {"filtered": hit, "severity": "medium" if hit else severity}
    return found


class Dialect:
    """The current OpenAI form (contract §6.5.2, §6.5.5); the other vendors override what they do differently."""

    sort = True
    leads = True
    usage_place = "separate"
    same_index = False
    no_arguments_key = False
    repeats_role = False

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self.plan = plan
        self.settings = settings

    # -- envelopes -------------------------------------------------------------------------------------------------

    def chunk(self, choices: list[Json], usage: Json | None = None) -> Json:
        plan = self.plan
        return {
            "choices": choices,
            "created": plan.created,
            "id": plan.answer_id,
            "model": plan.model,
            "object": "chat.completion.chunk",
            "system_fingerprint": FINGERPRINT,
            "usage": usage,
        }

    def choice(self, delta: Json, index: int = 0, finish: str | None = None) -> Json:
        filters = safe() if delta.get("content") else {}
        return {
            "content_filter_results": filters,
            "delta": delta,
            "finish_reason": finish,
            "index": index,
            "logprobs": None,
        }

    def usage(self) -> Json:
        plan = self.plan
        completion = plan.completion_tokens + plan.reasoning_tokens
        return {
            "completion_tokens": completion,
            "completion_tokens_details": {
                "accepted_prediction_tokens": 0,
                "audio_tokens": 0,
                "reasoning_tokens": plan.reasoning_tokens,
                "rejected_prediction_tokens": 0,
            },
            "prompt_tokens": plan.prompt_tokens,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": plan.cached_tokens},
            "total_tokens": plan.prompt_tokens + completion,
        }

    # -- deltas ----------------------------------------------------------------------------------------------------

    def opening(self) -> Json | None:
        return {"content": "", "refusal": None, "role": "assistant"}

    def text(self, piece: str) -> Json:
        return {"content": piece}

    def plain(self, **extra: Any) -> Json:
        """A delta without text (reasoning)."""
        return {"content": None, **extra, "role": "assistant"}

    def call(self, call: Call, index: int) -> list[Json]:
        first = {
            "content": None,
            "refusal": None,
            "role": "assistant",
            "tool_calls": [self._entry(index, {"function": self._function("", call.name), "id": call.id}, True)],
        }
        return [first] + [
            {"tool_calls": [self._entry(index, {"function": {"arguments": part}}, False)]}
            for part in argument_parts(call.arguments)
        ]

    def _function(self, arguments: str, name: str) -> Json:
        if self.settings.vendor("missing_arguments_key", self.no_arguments_key):
            return {"name": name}
        return {"arguments": arguments, "name": name}

    def _entry(self, index: int, entry: Json, typed: bool) -> Json:
        missing = self.settings["missing_tool_ids"]
        if missing and "id" in entry:
            entry = (
                {**entry, "id": ""}
                if missing == "empty"
                else {name: value for name, value in entry.items() if name != "id"}
            )
        if not self.settings["missing_tool_index"]:
            entry = {**entry, "index": index}
        return {**entry, "type": "function"} if typed else entry

    def legacy_call(self, call: Call) -> list[Json]:
        """Contract §6.5.14."""
        first = {"content": None, "role": "assistant", "function_call": {"arguments": "", "name": call.name}}
        return [first] + [
            {"content": None, "role": None, "function_call": {"arguments": part}}
            for part in argument_parts(call.arguments)
        ]

    def finish_delta(self) -> Json:
        return {}


class OpenAI2024(Dialect):
    """Contract §6.5.3: offsets, ``role: null``, neither model nor object, usage only after tool calls."""

    sort = False
    usage_place = "none"

    def chunk(self, choices: list[Json], usage: Json | None = None) -> Json:
        found: Json = {"choices": choices, "created": self.plan.created, "id": self.plan.answer_id}
        if usage:
            found |= {"usage": usage, "model": self.plan.model, "system_fingerprint": FINGERPRINT}
        return found

    def choice(self, delta: Json, index: int = 0, finish: str | None = None) -> Json:
        found: Json = {"finish_reason": finish} if finish else {}
        found["index"] = index
        if "tool_calls" not in delta and "function_call" not in delta:
            found["content_filter_offsets"] = {"check_offset": 2257, "start_offset": 2257, "end_offset": 2312}
            found["content_filter_results"] = safe(error=True)
        found["delta"] = delta
        return found

    def usage(self) -> Json:
        plan = self.plan
        return {
            "completion_tokens": plan.completion_tokens,
            "prompt_tokens": plan.prompt_tokens,
            "total_tokens": plan.prompt_tokens + plan.completion_tokens,
        }

    def opening(self) -> Json | None:
        return {"content": "", "role": "assistant"}

    def text(self, piece: str) -> Json:
        return {"content": piece, "role": None}

    def call(self, call: Call, index: int) -> list[Json]:
        found = super().call(call, index)
        found[0].pop("refusal")
        return [found[0], *({"content": None, **delta} for delta in found[1:])]

    def finish_delta(self) -> Json:
        return {"content": None, "role": None}


class Claude(Dialect):
    """Contract §6.5.4, §6.5.6, §6.5.7: role in every delta, severity "0", usage on the finish chunk, equal indices."""

    sort = False
    leads = False
    usage_place = "on_finish"
    same_index = True
    no_arguments_key = True
    _seen_text = False

    def chunk(self, choices: list[Json], usage: Json | None = None) -> Json:
        found: Json = {"choices": choices, "created": self.plan.created, "id": self.plan.answer_id}
        if usage:
            found["usage"] = usage
        return {**found, "model": self.plan.model}

    def choice(self, delta: Json, index: int = 0, finish: str | None = None) -> Json:
        found: Json = {"finish_reason": finish} if finish else {}
        found["index"] = index
        if delta.get("content") and self._seen_text:  # the first text chunk carries no filter results
            found["content_filter_offsets"] = {"check_offset": 0, "start_offset": 0, "end_offset": 132}
            found["content_filter_results"] = safe("0", error=True)
        self._seen_text = self._seen_text or bool(delta.get("content"))
        return {**found, "delta": delta}

    def usage(self) -> Json:
        plan = self.plan
        found: Json = {
            "completion_tokens": plan.completion_tokens,
            "prompt_tokens": plan.prompt_tokens,
            "total_tokens": plan.prompt_tokens + plan.completion_tokens + plan.reasoning_tokens,
        }
        if plan.cached_tokens:
            found["prompt_tokens_details"] = {"cached_tokens": plan.cached_tokens}
        return found | ({"reasoning_tokens": plan.reasoning_tokens} if plan.reasoning_tokens else {})

    def opening(self) -> Json | None:
        return None

    def text(self, piece: str) -> Json:
        return {"content": piece, "role": "assistant"}

    def call(self, call: Call, index: int) -> list[Json]:
        function = self._function("", call.name)
        found = [{"content": None, "tool_calls": [self._entry(index, {"function": function, "id": call.id}, True)]}]
        rest = argument_parts(call.arguments)
        if "arguments" not in function:
            rest.insert(0, "")
        return found + [
            {"content": None, "tool_calls": [self._entry(index, {"function": {"arguments": part}}, True)]}
            for part in rest
        ]

    def finish_delta(self) -> Json:
        return {"content": None}


class Gemini(Claude):
    """Contract §6.5.8: each call whole in one delta, with its signature; ``reasoning_tokens`` beside the totals."""

    same_index = False
    no_arguments_key = False

    def choice(self, delta: Json, index: int = 0, finish: str | None = None) -> Json:
        found: Json = {"finish_reason": finish} if finish else {}
        return {**found, "index": index, "delta": delta}

    def usage(self) -> Json:
        plan = self.plan
        return {
            "completion_tokens": plan.completion_tokens,
            "prompt_tokens": plan.prompt_tokens,
            "prompt_tokens_details": {"cached_tokens": plan.cached_tokens},
            "total_tokens": plan.prompt_tokens + plan.completion_tokens + plan.reasoning_tokens,
            "reasoning_tokens": plan.reasoning_tokens,
        }

    def call(self, call: Call, index: int) -> list[Json]:
        function = self._function(call.arguments, call.name)
        function = {"arguments": call.arguments, **function}
        if self.plan.opaque and self.settings["gemini_thought_signature"]:
            function["thought_signature"] = self.plan.opaque
        return [
            {
                "content": None,
                "role": "assistant",
                "tool_calls": [self._entry(index, {"function": function, "id": call.id}, True)],
            }
        ]

    def finish_delta(self) -> Json:
        return {"content": None, "role": "assistant"}


DIALECTS: dict[str, type[Dialect]] = {
    "openai-current": Dialect,
    "openai-2024": OpenAI2024,
    "claude": Claude,
    "gemini": Gemini,
}


def argument_parts(arguments: str) -> list[str]:
    """Arguments arrive in pieces that are not JSON by themselves."""
    third = max(1, -(-len(arguments) // 3))
    return [arguments[start : start + third] for start in range(0, len(arguments), third)]


def of(plan: Plan, settings: Settings) -> Dialect:
    return DIALECTS[plan.dialect](plan, settings)
