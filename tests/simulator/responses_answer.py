"""Answers of ``/responses``: the items and the response object (contract §7.5–§7.7, §13.7)."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from . import responses_items, responses_search, responses_tools
from .dialects import argument_parts
from .inference import Job, Json
from .plan import Call, Plan
from .streams import copilot_usage

_ENDS = {
    "stop": "completed",
    "tool_calls": "completed",
    "length": "incomplete",
    "content_filter": "incomplete",
    "incomplete": "incomplete",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass
class Item:
    """One entry of the output: its kind, what it says in the end, and what identifies it."""

    kind: str
    body: Json
    key: str  # its id while ids are sane
    parts: list[str] = field(default_factory=list)  # text, arguments or summaries


class Answer:
    """What both forms of the answer are made of."""

    def __init__(self, job: Job, plan: Plan) -> None:
        self.job, self.plan, self.settings, self.world = job, plan, job.settings, job.world
        self.declared = responses_tools.declared(job.fields)
        responses_search.search_unasked(job, plan)
        self.response_key = "resp_" + self.world.hex("response", 48)
        self.items = self._items()
        self.status = _ENDS.get(plan.finish, "completed") if plan.filtered is None else "incomplete"

    # -- ids -------------------------------------------------------------------------------------------------------

    def id(self, key: str) -> str:
        """Contract §7.6: another string every time, unless ids are sane."""
        return key if self.settings["sane_ids"] else self.world.blob("id")

    def handed_out(self, item: Item, status: str, **changes: Any) -> Json:
        """An item as clients may send it back, with the id it has this time."""
        found = {"id": self.id(item.key), "type": item.kind, "status": status, **item.body, **changes}
        if item.kind in ("reasoning", "compaction"):
            found.pop("status")
        responses_items.issue(self.world, self.job.caller.account.token, found)
        return found

    # -- items -----------------------------------------------------------------------------------------------------

    def _items(self) -> list[Item]:
        plan, found = self.plan, []
        if plan.think or plan.reasoning_tokens:
            found.append(self._reasoning())
        if self._compacts():
            found.append(Item("compaction", {"encrypted_content": self._secret()}, "cmp_" + self.world.hex("item", 48)))
        calls = [self._call(call) for call in plan.calls]
        found += [item for item in calls if item.kind == "web_search_call"]
        calling = any(item.kind != "web_search_call" for item in calls)
        pieces = plan.pieces
        if plan.filtered is not None or plan.stream_error:
            pieces = pieces[: max(1, len(pieces) // 2)]
        if pieces or not plan.calls:
            found.append(self._message(pieces, "commentary" if calling else "final_answer"))
        if plan.filtered is None and not plan.stream_error:
            found += [item for item in calls if item.kind != "web_search_call"]
        return found

    def _secret(self) -> str:
        return "gAAAAAB" + self.world.blob("encrypted", 480).replace("+", "-").replace("/", "_")

    def _reasoning(self) -> Item:
        """The summary only when it was asked for (``done_only`` and ``none``: contract §7.5.2, no summary events)."""
        asked = (self.job.fields.get("reasoning") or {}).get("summary") or self.settings["think_unasked"]
        wanted = bool(asked) and self.settings["reasoning_summary"] != "none"
        parts = [part for part in "".join(self.plan.think).split("\n\n") if part] if wanted else []
        body: Json = {"summary": [{"type": "summary_text", "text": part} for part in parts]}
        if "reasoning.encrypted_content" in (self.job.fields.get("include") or []):
            body["encrypted_content"] = self._secret()
        return Item("reasoning", body, "rs_" + self.world.hex("item", 48), parts)

    def _compacts(self) -> bool:
        wanted = self.job.fields.get("context_management") or []
        return any(self.plan.prompt_tokens >= int(one.get("compact_threshold") or 10**9) for one in wanted)

    def _message(self, pieces: list[str], phase: str) -> Item:
        text = "".join(pieces)
        searched = any(responses_search.is_search(call, self.declared) for call in self.plan.calls)
        notes = responses_search.annotations(text) if searched else []
        part: Json = {"type": "output_text", "annotations": notes, "logprobs": [], "text": text}
        if self.settings["missing_logprobs"]:
            part.pop("logprobs")
        if self.plan.finish == "refusal":
            part = {"type": "refusal", "refusal": text}
        body = {"role": "assistant", "content": [part], **self._phase(phase, "message")}
        return Item("message", body, "msg_" + self.world.hex("item", 48), pieces)

    def _phase(self, phase: str, kind: str) -> Json:
        """Contract §7.5.1: newer models, and by default messages only."""
        older = self.job.entry["id"].startswith(("gpt-5-", "gpt-5.1"))
        wanted = self.settings.vendor("phase", not older and kind == "message")
        return {"phase": phase} if wanted else {}

    def _call(self, call: Call) -> Item:
        owner, tool = self._declaration(call.name)
        if str(tool.get("type")).startswith("web_search"):
            query = json.loads(call.arguments).get("query", "")
            return Item(
                "web_search_call", {"action": {"type": "search", "query": query}}, "ws_" + self.world.hex("item", 48)
            )
        if tool.get("type") == "tool_search":
            found = json.loads(call.arguments)
            body = {"execution": "client", "call_id": call.id, "arguments": found}
            return Item("tool_search_call", body, "tsc_" + self.world.hex("item", 48))
        owner = tool["name"] if tool.get("defer_loading") and owner is None else owner
        body = {"call_id": call.id, "name": call.name, **({"namespace": owner} if owner else {})}
        if tool.get("type") == "custom":
            given = json.loads(call.arguments)
            text = next(iter(given.values())) if len(given) == 1 else call.arguments
            return Item(
                "custom_tool_call",
                {**body, "input": str(text)},
                "ctc_" + self.world.hex("item", 48),
                argument_parts(str(text)),
            )
        return Item(
            "function_call",
            {"arguments": call.arguments, **body, **self._phase("commentary", "call")},
            "fc_" + self.world.hex("item", 48),
            argument_parts(call.arguments),
        )

    def _declaration(self, name: str) -> tuple[str | None, Json]:
        for tool in self.declared:
            if tool.get("name") == name and tool.get("type") != "namespace":
                return None, tool
            if str(tool.get("type")).startswith("web_search") and name.startswith("web_search"):
                return None, tool
            if tool.get("type") == name == "tool_search":
                return None, tool
            for inner in tool.get("tools") or []:
                if isinstance(inner, dict) and inner.get("name") == name:
                    return str(tool.get("name")), inner
        return None, {}

    # -- the response object ---------------------------------------------------------------------------------------

    def response(self, status: str, output: list[Json], whole: bool = False) -> Json:
        """Contract §7.5.1 and §7.7: the same object, with other keys missing when it is the whole answer."""
        plan, fields = self.plan, self.job.fields
        done = status not in ("in_progress", "failed")
        reasoning = fields.get("reasoning") or {}
        absent = "none" if self.job.entry["id"] == "gpt-5.1" else "medium"
        text = {"format": {"type": "text"}, "verbosity": "medium", **(fields.get("text") or {})}
        found: Json = {
            "id": self.id(self.response_key),
            "object": "response",
            "created_at": plan.created,
            "status": status,
            "model": plan.model,
            "output": output,
            "parallel_tool_calls": fields.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "reasoning": {"effort": reasoning.get("effort") or absent, "summary": reasoning.get("summary")},
            "temperature": 1,
            "text": text,
            "tool_choice": fields.get("tool_choice") or "auto",
            "tools": [_echoed(tool) for tool in fields.get("tools") or []],
            "top_p": 1,
            "truncation": fields.get("truncation") or "disabled",
            "usage": self._usage() if done else None,
            "incomplete_details": None,
            "instructions": fields.get("instructions"),
            "max_output_tokens": fields.get("max_output_tokens"),
        }
        if status == "incomplete":
            filtered = plan.filtered is not None or plan.finish == "content_filter"
            found["incomplete_details"] = {"reason": "content_filter" if filtered else "max_output_tokens"}
        error = {"code": "server_error", "message": "The server had an error while processing your request."}
        if plan.stream_error:
            error = {"code": plan.stream_error[0], "message": plan.stream_error[1]}
        if not whole:
            return {
                **found,
                "store": False,
                "metadata": fields.get("metadata") or {},
                "error": error if status == "failed" else None,
            }
        account = self.job.caller.account.token.encode()
        found |= {
            "output_text": None,
            "service_tier": "priority",
            "safety_identifier": hashlib.sha256(account).hexdigest(),
            **({"error": error} if status == "failed" else {}),
        }
        if self.settings["native_copilot_usage"] != "off":
            found["copilot_usage"] = copilot_usage(plan)
        return dict(sorted(found.items()))

    def _usage(self) -> Json:
        plan = self.plan
        output = plan.completion_tokens + plan.reasoning_tokens
        return {
            "input_tokens": plan.prompt_tokens,
            "input_tokens_details": {"cached_tokens": plan.cached_tokens},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": plan.reasoning_tokens},
            "total_tokens": plan.prompt_tokens + output,
        }

    def ended(self, item: Item) -> str:
        """The status of an item in the end."""
        return "incomplete" if self.status == "incomplete" and item is self.items[-1] else "completed"

    def whole(self) -> Json:
        output = [dict(sorted(self.handed_out(item, self.ended(item)).items())) for item in self.items]
        return self.response(self.status, output, whole=True)


def _echoed(tool: Json) -> Json:
    """Contract §7.4: what the service made of a function tool."""
    if tool.get("type") != "function" or tool.get("strict") is False:
        return tool
    return {**tool, "strict": True, "parameters": {**(tool.get("parameters") or {}), "additionalProperties": False}}
