"""Answers of ``/v1/messages``: the whole message and the event stream (contract §8.5–§8.7, §13.8)."""

import json
import re
from typing import Any

from . import wire
from .dialects import argument_parts
from .inference import Job, Json
from .plan import Call, Plan
from .streams import copilot_usage

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_NOTE = {
    "IPCodeCitations": [
        {
            "id": 0,
            "start_offset": 0,
            "end_offset": 12,
            "citations": {
                "snippet": "print",
                "url": "https://github.com/octocat/hello",
                "license": "MIT",
                "ip_type": "LICENSE",
            },
        }
    ]
}


class Answer:
    """What both forms of the answer are made of."""

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job, self.plan, self.settings = job, plan, job.settings
        reason = _REASONS.get(plan.finish, plan.finish)
        if plan.stopped_at is not None and reason == "end_turn":
            reason = "stop_sequence"
        self.reason = "refusal" if plan.filtered is not None else reason
        asked = (job.fields.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        if not (asked or job.settings["think_unasked"]):  # who does not ask gets none
            plan.think, plan.opaque = [], None
        self.blocks = self._blocks()

    # -- content ---------------------------------------------------------------------------------------------------

    def _blocks(self) -> list[tuple[Json, list[Json]]]:
        """Every block as it is in the end, with the deltas that make it."""
        plan = self.plan
        if self.reason == "refusal" and plan.filtered is None:
            return []  # Contract §8.6: a refusal has no content at all
        found = self._thoughts()
        broken = plan.filtered is not None or plan.stream_error is not None
        calls = [] if broken else plan.calls
        searches = [call for call in calls if self._searcher(call)]
        for call in searches:
            found += self._search(call)
        pieces = plan.pieces[: max(1, len(plan.pieces) // 2)] if broken else plan.pieces
        if pieces:
            found.append(
                ({"type": "text", "text": "".join(pieces)}, [{"type": "text_delta", "text": piece} for piece in pieces])
            )
        found += [self._use(call, "tool_use", call.id) for call in calls if call not in searches]
        if searches and len(searches) == len(calls) and self.reason == "tool_use":
            self.reason = "end_turn"
        return found

    def _thoughts(self) -> list[tuple[Json, list[Json]]]:
        plan, form = self.plan, self.settings["thinking_form"]
        if not plan.opaque:
            return []
        if form == "redacted":
            return [({"type": "redacted_thinking", "data": plan.opaque}, [])]
        pieces = plan.think if form == "text" else []
        block = {"type": "thinking", "thinking": "".join(pieces), "signature": plan.opaque}
        return [
            (
                block,
                [
                    *({"type": "thinking_delta", "thinking": piece} for piece in pieces),
                    {"type": "signature_delta", "signature": plan.opaque},
                ],
            )
        ]

    def _use(self, call: Call, kind: str, call_id: str) -> tuple[Json, list[Json]]:
        block = {"type": kind, "id": call_id, "name": call.name, "input": json.loads(call.arguments)}
        parts = ["", *argument_parts(call.arguments)] if call.arguments.strip("{} \n") else [""]
        return block, [{"type": "input_json_delta", "partial_json": part} for part in parts]

    def _searcher(self, call: Call) -> bool:
        return any(
            tool.get("name") == call.name and str(tool.get("type")).startswith("tool_search")
            for tool in self.job.fields.get("tools") or []
        )

    def _search(self, call: Call) -> list[tuple[Json, list[Json]]]:
        """The server looks through the deferred tools by itself (contract §8.6)."""
        pattern = str(json.loads(call.arguments).get("pattern", ""))
        names = [str(tool["name"]) for tool in self.job.fields["tools"] if tool.get("defer_loading")]
        call_id = call.id.replace("toolu_", "srvtoolu_")
        try:
            found: Json = {
                "type": "tool_search_tool_search_result",
                "tool_references": [
                    {"type": "tool_reference", "tool_name": name} for name in names if re.search(pattern, name)
                ],
            }
        except re.error:
            found = {"type": "tool_search_tool_result_error", "error_code": "invalid_pattern"}
        result = {"type": "tool_search_tool_result", "tool_use_id": call_id, "content": found}
        return [self._use(call, "server_tool_use", call_id), (result, [])]

    # -- envelopes -------------------------------------------------------------------------------------------------

    def message(self, content: list[Json], usage: Json) -> Json:
        plan = self.plan
        return {
            "content": content,
            "id": plan.answer_id,
            "model": plan.model,
            "role": "assistant",
            "stop_reason": None,
            "stop_sequence": None,
            "type": "message",
            "usage": usage,
        }

    def usage(self, output: int | None = None) -> Json:
        """Contract §8.7: cached tokens stand beside ``input_tokens``, not in it."""
        plan = self.plan
        found: Json = {
            "cache_creation_input_tokens": plan.cache_write_tokens,
            "cache_read_input_tokens": plan.cached_tokens,
            "input_tokens": plan.prompt_tokens - plan.cached_tokens - plan.cache_write_tokens,
            "output_tokens": plan.completion_tokens + plan.reasoning_tokens if output is None else output,
        }
        if self.settings["newer_usage"]:
            found["cache_creation"] = {
                "ephemeral_1h_input_tokens": 0,
                "ephemeral_5m_input_tokens": plan.cache_write_tokens,
            }
            if output is None:
                found["output_tokens_details"] = {"thinking_tokens": plan.reasoning_tokens}
        searches = sum(block["type"] == "server_tool_use" for block, _ in self.blocks)
        return found | ({"server_tool_use": {"tool_search_requests": searches}} if searches and output is None else {})

    def ending(self) -> Json:
        """Why it stopped: the same keys in the message and in the last delta."""
        stopped = self.plan.stopped_at if self.reason == "stop_sequence" else None
        found: Json = {"stop_reason": self.reason, "stop_sequence": stopped}
        if self.reason == "refusal":
            found["stop_details"] = {
                "type": "refusal",
                "category": self.plan.filtered or "cyber",
                "explanation": "This request was declined.",
            }
        return found

    def extras(self) -> Json:
        found: Json = {"context_management": {"applied_edits": []}}
        if self.settings["native_copilot_usage"] != "off":
            found["copilot_usage"] = copilot_usage(self.plan)
        return found

    def whole(self) -> Json:
        blocks = [dict(sorted(block.items())) for block, _ in self.blocks]
        body = {**self.message(blocks, self.usage()), **self.ending(), **self.extras()}
        return dict(sorted(body.items()))


class Stream(Answer):
    """The events, in order and already framed."""

    def build(self) -> list[bytes]:
        self._frames: list[bytes] = []
        self._deltas = 0
        start = self.message([], self.usage(1))
        self._add("message_start", message=start)
        for index, (block, deltas) in enumerate(self.blocks):
            self._block(index, block, deltas)
        if self.plan.stream_error:
            self._error(*self.plan.stream_error)
            return wire.finished(self._frames, self.settings, done=False)
        self._add("message_delta", delta=self.ending(), usage=self.usage(), **self.extras())
        self._stop()
        return wire.finished(self._frames, self.settings, done=self.settings["messages_done"])

    def _add(self, kind: str, **fields: Any) -> None:
        text = wire.compact({"type": kind, **fields}, bool(self.settings.vendor("sorted_keys", True)))
        self._frames.append(wire.framed(text, self.settings, kind))

    def _block(self, index: int, block: Json, deltas: list[Json]) -> None:
        empty = {"text": "", "thinking": "", "signature": "", "input": {}}
        opening = {name: empty[name] if name in empty and deltas else value for name, value in block.items()}
        self._add("content_block_start", index=index, content_block=opening)
        if index == 0 and self.settings["ping"]:
            self._add("ping")
        for delta in deltas:
            self._deltas += 1
            note = {"copilot_annotations": _NOTE} if self.settings["annotations"] and self._deltas == 3 else {}
            self._add("content_block_delta", index=index, delta=delta, **note)
        if not (self.plan.stream_error and index == len(self.blocks) - 1):
            self._add("content_block_stop", index=index)

    def _stop(self) -> None:
        usage = self.usage()
        metrics = (
            {
                "amazon-bedrock-invocationMetrics": {
                    "firstByteLatency": 812,
                    "inputTokenCount": usage["input_tokens"],
                    "invocationLatency": 1520,
                    "outputTokenCount": usage["output_tokens"],
                }
            }
            if self.settings["bedrock_metrics"]
            else {}
        )
        self._add("message_stop", **metrics)

    def _error(self, kind: str, message: str) -> None:
        error = {"type": kind, "message": message}
        if self.plan.stream_error_bare:
            self._frames.append(wire.bare({"type": "error", "error": error}))
        else:
            self._add("error", error=error)
