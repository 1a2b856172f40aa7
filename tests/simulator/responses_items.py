"""The input items of ``/responses``: their fields, ids, encrypted content and pairing (contract §7.5–§7.7, §13.7)."""

from typing import TYPE_CHECKING, Any

from . import responses_tools
from .checks import Refused, bad
from .inference import Job, Json
from .responses_refusal import only, refuse

if TYPE_CHECKING:
    from .state import World

_KNOWN = {
    "message": {"role", "content", "phase"},
    "reasoning": {"summary", "encrypted_content", "content"},
    "function_call": {"call_id", "name", "arguments", "phase"},
    "function_call_output": {"call_id", "output"},
    "custom_tool_call": {"call_id", "name", "input"},
    "custom_tool_call_output": {"call_id", "output"},
    "compaction": {"encrypted_content"},
    "web_search_call": {"action"},
    "tool_search_call": {"execution", "call_id", "arguments"},
    "tool_search_output": {"execution", "call_id", "tools"},
    "additional_tools": {"role", "tools"},
}
# Types of items that only models with these tools know.
_OF_TOOL = {
    "web_search_call": "web_search",
    "custom_tool_call": "custom",
    "custom_tool_call_output": "custom",
    "tool_search_call": "tool_search",
    "tool_search_output": "tool_search",
    "additional_tools": "additional_tools",
}
# Who refuses a result without a call, a report of what happened outside (contract §7.10).
_WANTS_CALLS = ("gpt-5.6-sol", "gpt-5-mini")
_PARTS = {
    "input_text": {"text"},
    "input_image": {"image_url", "detail", "file_id"},
    "input_file": {"file_data", "filename", "file_url", "file_id"},
    "output_text": {"text", "annotations", "logprobs"},
    "refusal": {"refusal"},
}
_READ = ("input_text", "input_image", "input_file")
_BY_ROLE = {"user": _READ, "system": _READ, "developer": _READ, "assistant": ("output_text", "refusal")}
_UNVERIFIED = "The encrypted content for item {} could not be verified. Reason: Encrypted content {}."


def check(job: Job) -> None:
    given = job.fields.get("input")
    if isinstance(given, str) and given:
        return
    if not given:
        refuse(
            "Missing required parameter: 'input'."
            if given is None
            else "Invalid 'input': empty input. Expected at least one item.",
            "input",
        )
    if not isinstance(given, list):
        refuse("Invalid type for 'input': expected one of a string or array of input items.", "input")
    for index, item in enumerate(given):
        path = f"input[{index}]"
        if not isinstance(item, dict):
            refuse(f"Invalid type for '{path}': expected an object.", path)
        _item(job, item, path)
    _pairing(given)


def _item(job: Job, item: Json, path: str) -> None:
    kind = item.get("type", "message" if "role" in item else None)
    if kind is None:
        refuse(f"Missing required parameter: '{path}.type'.", f"{path}.type")
    if kind == "item_reference":
        refuse(
            f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false.", "input"
        )
    tool = _OF_TOOL.get(str(kind))
    if str(kind) not in _KNOWN or (tool is not None and responses_tools.taken(job, tool) is not True):
        refuse(
            f"Invalid value: '{kind}'. Supported values are: 'message', 'reasoning', 'function_call', "
            "'function_call_output', and 'compaction'.",
            f"{path}.type",
            "unknown_parameter",
        )
    known = _KNOWN[str(kind)] | {"type", "id", "status"}
    spaced = responses_tools.taken(job, "namespace") is True or responses_tools.taken(job, "tool_search") is True
    known |= {"namespace"} if spaced and str(kind) in ("function_call", "custom_tool_call") else set()
    if kind == "function_call_output" and item.get("call_id") is None and item.get("name"):
        if job.entry["id"] in _WANTS_CALLS or job.entry["id"].startswith("mai-"):
            refuse("Function call output requires call_id", path)
        return only(item, known | {"name", "namespace"}, path + ".")
    only(item, known, path + ".")
    if item.get("status") not in (None, "in_progress", "completed", "incomplete"):
        refuse(
            f"Invalid value: '{item['status']}'. Supported values are: 'in_progress', 'completed', and 'incomplete'.",
            f"{path}.status",
        )
    if item.get("phase") not in (None, "commentary", "final_answer"):
        refuse(
            f"Invalid value: '{item['phase']}'. Supported values are: 'commentary' and 'final_answer'.", f"{path}.phase"
        )
    if kind in ("reasoning", "compaction"):
        if kind == "reasoning" and not isinstance(item.get("summary"), list):
            refuse(f"Missing required parameter: '{path}.summary'.", f"{path}.summary")
        return _sealed(job, item, path)
    if kind == "additional_tools":
        return None
    _own_id(job, item, path)
    if kind == "message":
        return _message(item, path)
    _in_its_namespace(job, item, path)
    return _call(item, str(kind), path)


def _in_its_namespace(job: Job, item: Json, path: str) -> None:
    """Contract §7.10: the history has to say the namespace again."""
    if item.get("type") != "function_call" or item.get("namespace"):
        return
    tools = responses_tools.declared(job.fields)
    spaces = [tool for tool in tools if tool.get("type") == "namespace" and isinstance(tool.get("tools"), list)]
    grouped = {one.get("name") for space in spaces for one in space["tools"] if isinstance(one, dict)}
    if item.get("name") in grouped - {tool.get("name") for tool in tools if tool.get("type") == "function"}:
        refuse(f"Missing namespace for function_call '{item['name']}'.", path)


def _message(item: Json, path: str) -> None:
    role, content = item.get("role"), item.get("content")
    if str(role) not in _BY_ROLE:
        refuse(
            f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
            f"{path}.role",
        )
    if not isinstance(content, str | list):
        refuse(f"Invalid type for '{path}.content': expected one of an array of objects or string.", f"{path}.content")
    if isinstance(content, list):
        _content(content, _BY_ROLE[str(role)], f"{path}.content")


def _content(content: list[Any], allowed: tuple[str, ...], path: str) -> None:
    for index, part in enumerate(content):
        where = f"{path}[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            names = ", ".join(repr(one) for one in allowed)
            refuse(f"Invalid value: '{kind}'. Supported values are: {names}.", f"{where}.type", "invalid_value")
        only(part, _PARTS[kind] | {"type"}, where + ".")
        name = {"refusal": "refusal", "input_text": "text", "output_text": "text", "input_image": "image_url"}.get(kind)
        if part.get("file_id"):
            refuse(f"Invalid '{where}.file_id': files are not supported.", f"{where}.file_id")
        if name and not isinstance(part.get(name), str):
            refuse(f"Invalid type for '{where}.{name}': expected a string.", f"{where}.{name}")
        if kind == "input_image" and not part["image_url"].startswith(("data:image/", "https://", "http://")):
            refuse(f"Invalid '{where}.image_url'. Expected a valid URL or a base64 data URL.", f"{where}.image_url")
        if kind == "input_image" and part.get("detail") not in (None, "auto", "low", "high", "original"):
            refuse(
                f"Invalid value: '{part['detail']}'. Supported values are: 'low', 'high', 'auto', and 'original'.",
                f"{where}.detail",
            )


def _call(item: Json, kind: str, path: str) -> None:
    if kind == "web_search_call":
        return
    call_id = item.get("call_id")
    if not isinstance(call_id, str) or not call_id:
        refuse(f"Missing required parameter: '{path}.call_id'.", f"{path}.call_id")
    if len(call_id) > 64:
        refuse(
            f"Invalid '{path}.call_id': string too long. Expected a string with maximum length 64, but got a "
            f"string with length {len(call_id)} instead.",
            f"{path}.call_id",
        )
    if kind.startswith("tool_search_"):
        name, form = ("tools", list) if kind.endswith("_output") else ("arguments", dict)
        if not isinstance(item.get(name), form) or item.get("execution") not in ("client", "server"):
            refuse(f"Missing required parameter: '{path}.{name}'.", f"{path}.{name}")
        return
    if kind.endswith("_output"):
        if isinstance(item.get("output"), list):
            _content(item["output"], _READ, f"{path}.output")
        elif not isinstance(item.get("output"), str):
            refuse(f"Invalid type for '{path}.output': expected one of a string or array.", f"{path}.output")
        return
    for name in ("name", "input" if kind.startswith("custom") else "arguments"):
        if not isinstance(item.get(name), str):
            refuse(f"Missing required parameter: '{path}.{name}'.", f"{path}.{name}")


def _pairing(items: list[Json]) -> None:
    """Results may stand apart from their calls, but neither without the other."""
    open_calls: dict[str, None] = {}
    seen: set[str] = set()
    for item in items:
        kind, call_id = str(item.get("type")), str(item.get("call_id"))
        if kind.endswith("_call_output") or kind == "tool_search_output":
            if item.get("call_id") is None:
                continue
            if call_id not in seen:
                refuse(f"No tool call found for function call output with call_id {call_id}.", "input")
            open_calls.pop(call_id, None)
        elif kind in ("function_call", "custom_tool_call", "tool_search_call"):
            seen.add(call_id)
            open_calls[call_id] = None
    for call_id in open_calls:
        refuse(f"No tool output found for function call {call_id}.", "input")


# -- ids and encrypted content ---------------------------------------------------------------------------------------


def _own_id(job: Job, item: Json, path: str) -> None:
    """Contract §7.6: ids of before cost nothing when left out, and everything when they are not ours."""
    item_id = item.get("id")
    if item_id is None or not job.settings["check_item_ids"] or item_id == "msg_123":  # the official client's constant
        return
    owner = job.world.item_ids.get(str(item_id))
    if owner is None and len(str(item_id)) > 64:
        refuse(
            f"Invalid '{path}.id': string too long. Expected a string with maximum length 64, but got a string "
            f"with length {len(str(item_id))} instead.",
            f"{path}.id",
        )
    if owner != job.caller.account.token or job.settings["stale_item_ids"]:
        raise Refused(
            (
                job.settings["stale_item_status"],
                {
                    "code": "bad_request",
                    "type": "websocket_error",
                    "message": "input item ID does not belong to this connection",
                },
            )
        )


def _sealed(job: Job, item: Json, path: str) -> None:
    """Encrypted content belongs to one account, and to the id it was handed out with; without an id it is fine."""
    if not job.settings["check_encrypted_content"]:
        return
    secret, item_id = item.get("encrypted_content"), item.get("id")
    if not secret:
        if item_id is None:
            refuse(f"Missing required parameter: '{path}.id'.", f"{path}.id")
        refuse(f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false.", "input")
    owner, issued_with = job.world.encrypted.get(str(secret), (None, None))
    if owner is not None and owner != job.caller.account.token:
        raise Refused((401, "unauthorized"))  # opaque, and nothing to do with the token
    if item_id is not None and len(str(item_id)) > 64 and str(item_id) not in job.world.item_ids:
        refuse(
            f"Invalid '{path}.id': string too long. Expected a string with maximum length 64, but got a string "
            f"with length {len(str(item_id))} instead.",
            f"{path}.id",
        )
    reason = "could not be decrypted or parsed" if owner is None else "item_id did not match the target item id"
    if owner is None or item_id not in (None, issued_with):
        raise Refused(bad(_UNVERIFIED.format(item_id or "", reason), job.settings["encrypted_content_code"]))


def issue(world: "World", account: str, item: Json) -> None:
    """Remember what an item was handed out with; encrypted content stays bound to the first id (contract §7.5.2)."""
    with world.cond:
        world.item_ids[item["id"]] = account
        if item.get("encrypted_content"):
            world.encrypted.setdefault(item["encrypted_content"], (account, item["id"]))
