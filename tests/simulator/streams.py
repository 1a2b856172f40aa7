"""From a plan to the frames of a chat stream (contract §6.5.9–§6.5.18)."""

from . import billing, dialects
from .dialects import Dialect, Json, safe
from .knobs import Settings
from .plan import Plan
from .wire import bare, compact, finished, framed

_NOTE = {
    "CodeVulnerability": [
        {"id": 0, "start_offset": 0, "end_offset": 12, "details": {"type": "general"}, "citations": {}}
    ]
}


class Assembler:
    """Collects the frames of one stream, already serialised."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self.plan = plan
        self.settings = settings
        self.dialect: Dialect = dialects.of(plan, settings)
        self.sort = settings.vendor("sorted_keys", self.dialect.sort)
        usage = settings.vendor("usage_mode", self.dialect.usage_place)
        self.copilot_usage_place = settings["copilot_usage"]
        if usage == "own_frame_copilot_usage":
            usage, self.copilot_usage_place = self.dialect.usage_place, "own_frame"
        if usage == "none" and settings["usage_mode"] == "vendor" and plan.calls:
            usage = "on_finish"  # Contract §6.5.5: older captures have usage after tool calls
        self.usage_place = usage
        self.frames: list[bytes] = []
        self._deltas = 0

    def build(self) -> list[bytes]:
        plan, settings = self.plan, self.settings
        if settings.vendor("leading_filter_chunk", self.dialect.leads):
            self._leading()
        if settings["side_channel"]:
            self._side_channel()
        after_finish = self._reasoning()
        for index in range(plan.n):
            if not self._one(index):
                return self.frames  # ended by an error inside the stream
        for delta in after_finish:  # Contract §6.5.10, Azure form: empty outer id and model
            self._add(
                {
                    **self.dialect.chunk([{"content_filter_results": {}, "delta": delta, "index": 0}]),
                    "id": "",
                    "model": "",
                }
            )
        if self.usage_place == "separate":
            chunk = self.dialect.chunk([], self.dialect.usage())
            if self.copilot_usage_place == "usage":
                chunk["copilot_usage"] = copilot_usage(plan)
            self._add(chunk)
        if self.copilot_usage_place == "own_frame":
            self._add({**self.dialect.chunk([]), "copilot_usage": copilot_usage(plan)})
        return finished(self.frames, settings)

    # -- frames ----------------------------------------------------------------------------------------------------

    def _add(self, chunk: Json, sort: bool | None = None) -> None:
        self.frames.append(framed(compact(chunk, bool(self.sort if sort is None else sort)), self.settings))

    def _choice(self, delta: Json, index: int = 0, finish: str | None = None) -> Json:
        choice = self.dialect.choice(self._twist(delta, finish), index, finish)
        if self.settings["message_instead_of_delta"]:
            choice = {"message" if name == "delta" else name: value for name, value in choice.items()}
        return choice

    def _twist(self, delta: Json, finish: str | None) -> Json:
        """The variations of one delta that were seen in the wild (contract §6.5.3, §6.5.11, §13.6)."""
        settings, delta = self.settings, dict(delta)
        later = self._deltas > 0
        self._deltas += 1
        if later and settings["role_null"]:
            delta["role"] = None
        if later and settings["role_empty"]:
            delta["role"] = ""
        if settings["content_null"]:
            delta.setdefault("content", None)
        if settings["missing_content"] and delta.get("content") in (None, ""):
            delta.pop("content", None)
        if settings["annotations"] and self._deltas == 3 and finish is None:
            delta |= {"annotations": _NOTE, "copilot_annotations": _NOTE}
        return delta

    def _leading(self) -> None:
        older = self.settings["older_filter_chunk"] or self.plan.dialect == "openai-2024"
        if older:
            self._add(
                {
                    "choices": [],
                    "created": 0,
                    "id": "",
                    "prompt_filter_results": [{"content_filter_results": safe(error=True), "prompt_index": 0}],
                },
                sort=False,
            )
        else:
            self._add(
                {
                    "choices": [],
                    "created": 0,
                    "id": "",
                    "model": "",
                    "object": "",
                    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": safe()}],
                },
                sort=False,
            )

    def _side_channel(self) -> None:
        """Contract §6.5.13: frames for remote agents, not for the chat."""
        self._add(
            {
                "choices": None,
                "copilot_references": [
                    {
                        "type": "github.web-search",
                        "id": "ref-1",
                        "data": {},
                        "metadata": {"display_name": "Web search", "display_icon": ""},
                    }
                ],
                "id": None,
            },
            sort=False,
        )
        self._add(
            {
                "choices": None,
                "copilot_confirmation": {
                    "type": "action",
                    "title": "Run?",
                    "message": "Shall I?",
                    "confirmation": {"id": "c1"},
                },
                "id": None,
            },
            sort=False,
        )
        self._add(
            {
                "copilot_errors": [
                    {
                        "type": "function",
                        "code": "recoverable_error",
                        "message": "search failed",
                        "identifier": "search",
                    }
                ]
            },
            sort=False,
        )

    # -- reasoning (contract §6.5.10) ----------------------------------------------------------------------------------

    def _reasoning(self) -> list[Json]:
        """Emit the reasoning; returns the deltas that belong after the finish chunk."""
        plan, mode = self.plan, self.plan.reasoning
        if not plan.think:
            return []
        if mode == "azure_cot":
            for piece in plan.think:
                self._add(
                    {
                        **self.dialect.chunk(
                            [{"content_filter_results": {}, "delta": {"cot_summary": piece}, "index": 0}]
                        ),
                        "id": "",
                        "model": "",
                    }
                )
            return [{"cot_id": plan.opaque}]
        text_key, id_key = (
            ("thinking", "signature") if mode == "anthropic_form" else ("reasoning_text", "reasoning_opaque")
        )
        together = mode == "with_last_text"
        for number, piece in enumerate(plan.think, 1):
            extra = {id_key: plan.opaque} if together and number == len(plan.think) else {}
            self._delta(self.dialect.plain(**extra, **{text_key: piece}))
        if together or (mode == "with_tool" and plan.calls):
            return []
        opaque = plan.opaque or ""
        third = -(-len(opaque) // 3)
        parts = [opaque[i : i + third] for i in range(0, len(opaque), third)] if mode == "split" else [opaque]
        for part in parts:
            self._delta({**self.dialect.plain(**{id_key: part}), "content": ""})
        return []

    def _delta(self, delta: Json, index: int = 0) -> None:
        self._add(self.dialect.chunk([self._choice(delta, index)]))

    # -- one answer ------------------------------------------------------------------------------------------------

    def _one(self, index: int) -> bool:
        plan, dialect = self.plan, self.dialect
        texts = [dialect.text(piece) for piece in plan.pieces]
        half = max(1, len(texts) // 2)
        opening = dialect.opening() if texts or not plan.calls else None
        if opening is not None:
            self._delta(opening, index)
        withdrawn = plan.filtered is not None
        pairs = texts[:half] if withdrawn or plan.stream_error else texts
        spread = self.settings["multi_choice"] if self.settings["multi_choice"] in ("same_index", "other_index") else ""
        held = pairs.pop() if spread and plan.calls and pairs else None
        for number, delta in enumerate(pairs):
            self._delta(delta, index)
            if self.settings["empty_deltas"] and number % 2 == 0:
                self._delta(dialect.text(""), index)
        if plan.stream_error:
            self._error()
            return False
        if withdrawn:
            self._filter(index)
            return True
        self._calls(index, held, spread)
        usage = dialect.usage() if self.usage_place == "on_finish" and index == plan.n - 1 else None
        chunk = dialect.chunk([self._choice(dialect.finish_delta(), index, plan.finish)], usage)
        # Where the usage is, also of vendors that tell it with the finish.
        if self.copilot_usage_place == "finish" or (usage is not None and self.copilot_usage_place == "usage"):
            chunk["copilot_usage"] = copilot_usage(plan)
        if self.settings["annotations"]:
            chunk["code_references"] = [{"url": "https://github.com/octocat/hello", "license": "MIT"}]
        self._add(chunk)
        return True

    def _calls(self, index: int, held: Json | None, spread: str) -> None:
        plan, dialect = self.plan, self.dialect
        same = self.settings.vendor("parallel_same_index", dialect.same_index)
        for number, call in enumerate(plan.calls):
            deltas = dialect.legacy_call(call) if plan.legacy_function else dialect.call(call, 0 if same else number)
            if number == 0 and plan.opaque and plan.reasoning == "with_tool":
                first = dict(deltas[0])  # next to the call, in front of it like in the captures
                deltas[0] = {"content": first.pop("content", None), "reasoning_opaque": plan.opaque, **first}
            place = number + 1 if spread == "other_index" else index
            for position, delta in enumerate(deltas):
                choices = [self._choice(delta, place)]
                if held is not None and number == 0 and position == 0:  # Contract §6.5.9: text and tool in one chunk
                    choices.insert(0, self._choice(held, index))
                self._add(dialect.chunk(choices))

    def _filter(self, index: int) -> None:
        """Contract §6.5.15: the answer is withdrawn half way."""
        plan = self.plan
        category = plan.filtered if plan.filtered in ("hate", "self_harm", "sexual", "violence") else None
        delta: Json = {"content": "…", "role": "assistant"}
        if category is None:
            delta = {
                "content": "…",
                "copilot_annotations": {plan.filtered or "TextCopyright": [{"id": 0, "citations": {}, "details": {}}]},
                "role": "assistant",
            }
        choice = self._choice(delta, index, "content_filter")
        choice["content_filter_results"] = safe(
            "0" if plan.dialect == "claude" else "safe", plan.dialect != "openai-current", category
        )
        usage = self.dialect.usage() if self.usage_place == "on_finish" else None
        self._add(self.dialect.chunk([choice], usage))

    def _error(self) -> None:
        """Contract §6.5.16."""
        code, message = self.plan.stream_error or ["internal_error", ""]
        error = {"error": {"code": code, "message": message}}
        if self.plan.stream_error_bare:
            self.frames.append(bare(error))
        else:
            self._add(error)


def copilot_usage(plan: Plan) -> Json:
    """Contract §6.3.6. On ``/chat/completions`` the prompt's tokens include those written to the cache."""
    tokens = {
        "input": plan.prompt_tokens - plan.cached_tokens - plan.cache_write_tokens,
        "cache_read": plan.cached_tokens,
        "cache_write": plan.cache_write_tokens,
        "output": plan.completion_tokens + plan.reasoning_tokens,
    }
    return billing.account_of(plan.entry, plan.model, tokens)
