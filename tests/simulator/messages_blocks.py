"""The conversation in a ``/v1/messages`` body: roles, blocks, signatures, adjacency (contract §8.2, §8.4, §13.8)."""

import base64
import binascii
import re
import struct
from typing import Any, NoReturn

from . import claude
from .checks import Refused, bad
from .inference import Job, Json
from .prompts import image_size

_BLOCKS = {
    "text": {"text", "citations"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "tool_use": {"id", "name", "input"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_reference": {"tool_name"},
    "server_tool_use": {"id", "name", "input"},
    "tool_search_tool_result": {"tool_use_id", "content"},
}
_THOUGHTS = ("thinking", "redacted_thinking")
_ALLOWED = {
    "system": ("text",),
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "tool_search_tool_result"),
    "result": ("text", "image", "document", "tool_reference"),
}
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ID = re.compile(r"[a-zA-Z0-9_-]+\Z")


class Unfit(Refused):
    """The model's backend refuses (contract §8.8); its shape is put on where the answer is written."""

    def __init__(self, message: str, kind: str = "invalid_request_error", status: int = 400) -> None:
        super().__init__((status, message))
        self.message, self.kind, self.status = message, kind, status


def refuse(message: str) -> NoReturn:
    raise Unfit(message)


def only(value: Json, known: set[str], path: str) -> None:
    for name in value:
        if name not in known:
            refuse(f"{path}{name}: Extra inputs are not permitted")


def tag(value: Any, known: tuple[str, ...], path: str) -> str:
    """The ``type`` of a union, one of those known."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in known:
        names = ", ".join(repr(one) for one in sorted(known))
        refuse(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {names}")
    return str(kind)


def cache_point(job: Job, value: Json, path: str) -> int:
    """1 when a cache point is set, and set properly."""
    point = value.get("cache_control")
    if point is None:
        return 0
    tag(point, ("ephemeral",), f"{path}cache_control")
    takes_ttl = job.settings["cache_ttl"] and having_hour_price(job.entry)
    known = {"type"} | ({"ttl"} if takes_ttl else set())
    only(point, known, f"{path}cache_control.ephemeral.")
    if point.get("ttl") not in (None, "5m", "1h"):
        refuse(f"{path}cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    betas = job.request.header("anthropic-beta") or ""
    if point.get("ttl") == "1h" and "extended-cache-ttl-" not in betas:
        refuse(f"{path}cache_control.ephemeral.ttl: Extra inputs are not permitted")
    return 1


def having_hour_price(entry: Json) -> bool:
    """Contract §8.4: an hour in the cache is taken where there is a price for it."""
    prices = entry.get("billing", {}).get("token_prices", {})
    return any("cache_write_1h_price" in tier for tier in (prices, *prices.values()) if isinstance(tier, dict))


def content(job: Job, value: Any, place: str, path: str) -> int:
    """Check a text or a list of blocks; returns how many cache points it holds."""
    if isinstance(value, str):
        if value == "":
            refuse(
                "system: text content blocks must be non-empty"
                if place == "system"
                else "messages: text content blocks must be non-empty"
            )
        return 0
    if not isinstance(value, list):
        refuse(f"{path}: Input should be a valid string or a list of blocks")
    return sum(_block(job, block, place, f"{path}.{index}") for index, block in enumerate(value))


def _block(job: Job, block: Any, place: str, path: str) -> int:
    kind = tag(block, _ALLOWED[place], path)
    inner = path + "." if place == "system" else f"{path}.{kind}."
    known = _BLOCKS[kind] | {"type"} | (set() if kind in _THOUGHTS else {"cache_control"})
    only(block, known, inner)
    points = cache_point(job, block, inner)
    if kind == "text":
        if not isinstance(block.get("text"), str):
            refuse(f"{inner}text: Input should be a valid string")
        if not block["text"]:
            refuse(f"{'system' if place == 'system' else 'messages'}: text content blocks must be non-empty")
    elif kind in ("image", "document"):
        _source(job, block.get("source"), kind, inner)
    elif kind in ("tool_use", "server_tool_use"):
        if not _ID.match(str(block.get("id", ""))):
            refuse(f"{inner}id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if not re.match(r"[a-zA-Z0-9_-]{1,128}\Z", str(block.get("name", ""))):
            refuse(f"{inner}name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if not isinstance(block.get("input"), dict):
            refuse(f"{inner}input: Input should be a valid dictionary")
    elif kind == "tool_result":
        points += _result(job, block, inner)
    elif kind == "tool_reference":
        _reference(job, block)
    return points


def _result(job: Job, block: Json, path: str) -> int:
    if not isinstance(block.get("tool_use_id"), str):
        refuse(f"{path}tool_use_id: Field required")
    if block.get("is_error") is not None and not isinstance(block["is_error"], bool):
        refuse(f"{path}is_error: Input should be a valid boolean")
    inside = block.get("content")
    if inside is None or inside == "":
        return 0
    if (
        block.get("is_error")
        and isinstance(inside, list)
        and any(not isinstance(one, dict) or one.get("type") != "text" for one in inside)
    ):
        refuse(f"{path}content: all content must be type `text` if `is_error` is true")
    return content(job, inside, "result", f"{path}content")


def _reference(job: Job, block: Json) -> None:
    names = [tool.get("name") for tool in job.fields.get("tools") or []]
    if block.get("tool_name") not in names:
        refuse(f"Tool reference '{block.get('tool_name')}' not found in available tools")


def _source(job: Job, source: Any, kind: str, path: str) -> None:
    kinds: tuple[str, ...] = ("base64",)
    if kind == "document" and job.settings["text_documents"]:
        kinds += ("text", "content")
    if job.settings["source_urls"]:
        kinds += ("url",)
    chosen = tag(source, kinds, f"{path}source")
    if chosen == "url":
        return
    only(
        source,
        {"type", "content"} if chosen == "content" else {"type", "media_type", "data"},
        f"{path}source.{chosen}.",
    )
    allowed = _IMAGES if kind == "image" else {"base64": ("application/pdf",), "text": ("text/plain",)}.get(chosen)
    if allowed and source.get("media_type") not in allowed:
        names = ", ".join(repr(one) for one in allowed)
        refuse(f"{path}source.{chosen}.media_type: Input should be {names}")
    if chosen != "content" and not (isinstance(source.get("data"), str) and source["data"]):
        refuse(f"{path}source.{chosen}.data: Field required")


# -- the conversation ------------------------------------------------------------------------------------------------


def conversation(job: Job) -> int:
    """Check ``messages``; returns how many cache points they hold."""
    messages = job.fields.get("messages")
    if not isinstance(messages, list):
        refuse("messages: Field required" if messages is None else "messages: Input should be a valid list")
    if not messages:
        refuse("messages: at least one message is required")
    points = 0
    _images(job, messages)
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if not isinstance(message, dict):
            refuse(f"{path}: Input should be an object")
        is_system = message.get("role") == "system"
        if is_system and (index == 0 or not claude.row(job.entry).system):
            refuse(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        if not is_system and message.get("role") not in ("user", "assistant"):
            refuse(f"{path}.role: Input should be 'user' or 'assistant'")
        only(message, {"role", "content"}, path + ".")
        if message.get("content") == []:
            refuse(f"{path}: all messages must have non-empty content except for the optional final assistant message")
        points += content(job, message.get("content"), message["role"], f"{path}.content")
    turns = _turns(messages)
    if turns[0][0] != "user":
        refuse('messages: first message must use the "user" role')
    _prefill(job, turns)
    _adjacency(turns)
    _thoughts(job, turns)
    return points


def _images(job: Job, messages: list[Any]) -> None:
    """Contract §8.11: how many, and none that is hardly one."""
    count = 0
    stack: list[Any] = [messages]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            stack.append(value.get("content"))
            source = value.get("source")
            if value.get("type") == "image":
                count += 1
                if isinstance(source, dict) and source.get("type") == "base64":
                    _pixels(str(source.get("data")))
    if count > job.settings["most_images"]:
        raise Refused(bad(f"too many URL images in request (max {job.settings['most_images']})"))


def _pixels(data: str) -> None:
    try:
        size = image_size(base64.b64decode(data))
    except (binascii.Error, struct.error, IndexError):
        return
    if size is not None and max(size) <= 2:
        raise Refused(bad("the image could not be accessed", "vision_attachment_not_accessible"))


def _turns(messages: list[Json]) -> list[tuple[str, int, list[Json]]]:
    """Role, index and blocks, consecutive messages of one role taken together."""
    found: list[tuple[str, int, list[Json]]] = []
    for index, message in enumerate(messages):
        value = message["content"]
        blocks = [{"type": "text", "text": value}] if isinstance(value, str) else value
        if found and found[-1][0] == message["role"]:
            found[-1] = (found[-1][0], found[-1][1], found[-1][2] + blocks)
        else:
            found.append((message["role"], index, list(blocks)))
    return found


def _prefill(job: Job, turns: list[tuple[str, int, list[Json]]]) -> None:
    role, index, blocks = turns[-1]
    newer = job.entry["id"] not in ("claude-sonnet-4", "claude-3.7-sonnet", "claude-3.5-sonnet")
    if role == "assistant" and not job.settings.vendor("prefill", not newer):
        refuse("This model does not support assistant message prefill. The conversation must end with a user message.")
    for role, index, blocks in turns:
        if role == "assistant" and blocks[-1]["type"] in _THOUGHTS:
            refuse(f"messages.{index}: The final block in an assistant message cannot be `{blocks[-1]['type']}`.")


def _adjacency(turns: list[tuple[str, int, list[Json]]]) -> None:
    open_ids: list[str] = []
    opened = 0
    known: set[str] = set()
    for _role, index, blocks in turns:
        results = [str(block["tool_use_id"]) for block in blocks if block["type"] == "tool_result"]
        stray = [one for one in results if one not in open_ids]
        if stray:
            refuse(
                f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {stray[0]}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if len(set(results)) < len(results):
            refuse(
                f"messages.{index}.content: each tool_use must have a single result. Found multiple `tool_result` "
                f"blocks with id: {max(results, key=results.count)}"
            )
        first = [block["type"] for block in blocks[: len(results)]]
        missing = [one for one in open_ids if one not in results] or (
            open_ids if open_ids and first != ["tool_result"] * len(results) else []
        )
        if missing:
            refuse(
                f"messages.{opened}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        open_ids, opened = [str(block["id"]) for block in blocks if block["type"] == "tool_use"], index
        if len(set(open_ids)) < len(open_ids) or known & set(open_ids):
            refuse("messages: `tool_use` ids must be unique")
        known |= set(open_ids)
    if open_ids:
        refuse(
            f"messages.{opened}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )


def _thoughts(job: Job, turns: list[tuple[str, int, list[Json]]]) -> None:
    """Echoed thinking must be what this service handed out on this endpoint, word for word."""
    if job.settings["check_opaque"]:
        for _, index, blocks in turns:
            for place, block in enumerate(blocks):
                if block["type"] in _THOUGHTS:
                    _signature(job, block, f"messages.{index}.content.{place}")
    thinking = job.fields.get("thinking")
    enabled = isinstance(thinking, dict) and thinking.get("type") == "enabled"
    if not (enabled and job.settings["thinking_first"]) or len(turns) < 2 or turns[-1][0] != "user":
        return
    _, index, blocks = turns[-2]
    in_tool_round = any(block["type"] == "tool_result" for block in turns[-1][2])
    if in_tool_round and blocks[0]["type"] not in _THOUGHTS:
        refuse(
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). To avoid this "
            "requirement, disable `thinking`."
        )


def _signature(job: Job, block: Json, path: str) -> None:
    name = "signature" if block["type"] == "thinking" else "data"
    proof = block.get(name)
    if not isinstance(proof, str):
        refuse(f"{path}.{block['type']}.{name}: Field required")
    if job.world.opaques.get(proof) != "messages":
        refuse(f"{path}: Invalid `{name}` in `{block['type']}` block")
    if name == "signature" and block.get("thinking") not in ("", job.world.thoughts.get(proof)):
        refuse(
            f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
            "These blocks must remain as they were in the original response."
        )
