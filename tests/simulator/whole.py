"""Non-stream answers of ``/chat/completions`` (contract §6.3)."""

from typing import TYPE_CHECKING, Any

from . import dialects
from .dialects import Json, safe
from .knobs import Settings
from .plan import Call, Plan
from .streams import copilot_usage

if TYPE_CHECKING:
    from .state import World


def build(world: "World", plan: Plan, settings: Settings) -> Json:
    """The whole body."""
    if settings["leak"] == "anthropic_body":
        return _anthropic(world, plan)
    usage = _usage(plan, settings)
    if plan.dialect.startswith("openai"):
        body = _openai(world, plan, settings, usage)
    else:
        body = {
            "choices": _spread(plan, settings, _message(plan, settings)),
            "created": plan.created,
            "id": plan.answer_id,
            "model": plan.model,
            "usage": usage,
        }
        if plan.dialect == "claude":
            body["id"] = "msg_bdrk_01" + world.alnum("message", 22)
    if settings["leak"] == "empty_choices":
        body["choices"] = []
    if settings["usage_mode"] == "none":
        body.pop("usage")
    if settings["copilot_usage"] != "off" or settings["usage_mode"] == "own_frame_copilot_usage":
        body["copilot_usage"] = copilot_usage(plan)
    if settings["with_object_and_created"]:
        body |= {"object": "chat.completion", "created": plan.created}
    return body


def _call(call: Call, settings: Settings) -> Json:
    entry: Json = {"function": {"arguments": call.arguments, "name": call.name}, "id": call.id, "type": "function"}
    if settings["missing_tool_ids"] == "empty":
        entry["id"] = ""
    elif settings["missing_tool_ids"]:
        entry.pop("id")
    return entry


def _message(plan: Plan, settings: Settings) -> Json:
    message: Json = {}
    if plan.text or not plan.calls:
        message["content"] = plan.text
    if plan.think and plan.reasoning == "azure_cot":
        message |= {"cot_id": plan.opaque, "cot_summary": "".join(plan.think)}
    elif plan.think or plan.opaque:
        message["reasoning_opaque"] = plan.opaque
        if plan.think:
            message["reasoning_text"] = "".join(plan.think)
    if plan.filtered is not None:
        message["content"] = "".join(plan.pieces[: max(1, len(plan.pieces) // 2)])
    message["role"] = "assistant"
    if plan.legacy_function:
        message["function_call"] = {"arguments": plan.calls[0].arguments, "name": plan.calls[0].name}
    elif plan.calls:
        message["tool_calls"] = [_call(call, settings) for call in plan.calls]
        if plan.dialect == "gemini" and plan.opaque and settings["gemini_thought_signature"]:
            for entry in message["tool_calls"]:
                entry["function"]["thought_signature"] = plan.opaque
    return message


def _openai(world: "World", plan: Plan, settings: Settings, usage: Json) -> Json:
    """Contract §6.3.1, §6.3.2: no ``object``, no ``created``; a tool call has no ``content`` key at all."""
    message = _message(plan, settings)
    if settings["padding"]:
        digest = world.digest("padding")
        message["padding"] = "abcdefghijklmnopqrstuvwxyz0123456789"[: 4 + digest[0] % 33]
    if settings["annotations"]:
        message["copilot_annotations"] = {"TextCopyright": []}
    message = dict(sorted(message.items()))
    finish = "content_filter" if plan.filtered is not None else plan.finish
    category = plan.filtered if plan.filtered in ("hate", "self_harm", "sexual", "violence") else None
    filters = safe(filtered=category) if message.get("content") else {}
    message_choices = _spread(plan, settings, message)
    if len(message_choices) == 1:
        message_choices = [
            {"finish_reason": finish, "index": index, "content_filter_results": filters, "message": message}
            for index in range(plan.n)
        ]
    return {
        "choices": message_choices,
        "id": plan.answer_id,
        "usage": usage,
        "model": plan.model,
        "prompt_filter_results": [{"content_filter_results": safe(), "prompt_index": 0}],
        "system_fingerprint": "fp_a4f8e7c905",
    }


def _spread(plan: Plan, settings: Settings, message: Json) -> list[Json]:
    """Contract §6.3.3: Claude puts the text and each tool call into entries of their own, all with index 0."""
    finish = "content_filter" if plan.filtered is not None else plan.finish
    mode = settings.vendor("multi_choice", "same_index" if plan.dialect == "claude" else "off")
    calls = message.get("tool_calls", [])
    if mode == "off" or not calls or plan.filtered is not None:
        return [{"finish_reason": finish, "index": 0, "message": message}]
    first = {name: value for name, value in message.items() if name != "tool_calls"}
    entries = [first] if first.keys() - {"role", "padding"} else []
    entries += [{"role": "assistant", "tool_calls": [call]} for call in calls]
    return [
        {"finish_reason": finish, "index": number if mode == "other_index" else 0, "message": entry}
        for number, entry in enumerate(entries)
    ]


def _usage(plan: Plan, settings: Settings) -> Json:
    if plan.dialect.startswith("openai"):
        completion = plan.completion_tokens + plan.reasoning_tokens
        details: dict[str, Any] = {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
        if plan.reasoning_tokens:
            details["reasoning_tokens"] = plan.reasoning_tokens
        return {
            "completion_tokens": completion,
            "completion_tokens_details": details,
            "prompt_tokens": plan.prompt_tokens,
            "prompt_tokens_details": {"cached_tokens": plan.cached_tokens},
            "total_tokens": plan.prompt_tokens + completion,
        }
    usage = {"prompt_tokens_details": {"cached_tokens": plan.cached_tokens}, **dialects.of(plan, settings).usage()}
    return dict(sorted(usage.items()))


def _anthropic(world: "World", plan: Plan) -> Json:
    """Contract §6.3.4: a native message body where a chat completion should be."""
    import json

    content: list[Json] = [{"type": "text", "text": plan.text}] if plan.text else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in plan.calls
    ]
    return {
        "content": content,
        "id": "msg_bdrk_01" + world.alnum("message", 22),
        "model": plan.model,
        "role": "assistant",
        "stop_reason": "tool_use" if plan.calls else "end_turn",
        "stop_sequence": None,
        "type": "message",
        "usage": {"input_tokens": plan.prompt_tokens, "output_tokens": plan.completion_tokens},
    }
