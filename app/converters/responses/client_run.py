"""Tools of their own types that the *client* runs: upstream is offered a function, the client keeps its items.

Who runs a tool decides, not its type: ``tool_search`` with ``execution: client``, and the shells, patches and screens
that only the client has. Spec: OpenAI "Responses: tools"; contract §7.10. The function stands in a namespace of our
own, because upstream reserves some of the names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.converters.neutral.opaque_text import text_of
from app.converters.neutral.tools import CLIENT_SPACE, ToolNames, arguments_object, arguments_of
from app.converters.neutral.vocabulary import Tool, ToolCall, ToolChoice, ToolRef
from app.converters.responses.vocabulary import item_id

Json = dict[str, Any]

GIVEN: Final = "is_given_as"
"""Under it a tool's `extra` holds what the client wrote: a note to ourselves, which no upstream lacks."""
_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}


@dataclass(frozen=True, slots=True)
class ClientRun:
    """call, output: the types of its items. key: where the call has what the model wrote. more: what else it has."""

    call: str
    output: str
    key: str
    description: str
    schema: Json
    more: Json


def _object(properties: Json, *required: str) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


_SCREEN: Final = ClientRun(
    "computer_call",
    "computer_call_output",
    "action",
    "Looks at a screen and uses mouse and keyboard. Answers with a screenshot.",
    _object(
        {
            "type": {**_STRING, "description": "E.g. screenshot, click, double_click, move, drag, scroll, type, wait."},
            **dict.fromkeys(("x", "y", "scroll_x", "scroll_y"), _INTEGER),
            "button": {**_STRING, "enum": ["left", "right", "wheel", "back", "forward"]},
            "text": _STRING,
            "keys": {"type": "array", "items": _STRING},
            "path": {"type": "array", "items": _object({"x": _INTEGER, "y": _INTEGER}, "x", "y")},
        },
        "type",
    ),
    {"pending_safety_checks": []},
)
TOOLS: Final[dict[str, ClientRun]] = {
    "tool_search": ClientRun(
        "tool_search_call",
        "tool_search_output",
        "arguments",
        "Finds tools that can be called afterwards.",
        _object({"query": {**_STRING, "description": "What the tool should do."}}, "query"),
        {"execution": "client"},
    ),
    "local_shell": ClientRun(
        "local_shell_call",
        "local_shell_call_output",
        "action",
        "Runs a command on the machine of the user.",
        _object(
            {
                "type": {**_STRING, "enum": ["exec"]},
                "command": {"type": "array", "items": _STRING, "description": "The program and its arguments."},
                "env": {"type": "object", "properties": {}},
                "timeout_ms": _INTEGER,
                "working_directory": _STRING,
            },
            "type",
            "command",
        ),
        {},
    ),
    "shell": ClientRun(
        "shell_call",
        "shell_call_output",
        "action",
        "Runs commands in a shell on the machine of the user.",
        _object(
            {"commands": {"type": "array", "items": _STRING}, "timeout_ms": _INTEGER, "max_output_length": _INTEGER},
            "commands",
        ),
        {},
    ),
    "apply_patch": ClientRun(
        "apply_patch_call",
        "apply_patch_call_output",
        "operation",
        "Creates, changes or deletes one file.",
        _object(
            {
                "type": {**_STRING, "enum": ["create_file", "update_file", "delete_file"]},
                "path": _STRING,
                "diff": {**_STRING, "description": "In the V4A format; not for delete_file."},
            },
            "type",
            "path",
        ),
        {},
    ),
    "computer": _SCREEN,
    "computer_use_preview": _SCREEN,
}
CALLS: Final[dict[str, tuple[str, ClientRun]]] = {}
OUTPUTS: Final[dict[str, tuple[str, ClientRun]]] = {}
for _name, _tool in TOOLS.items():
    CALLS.setdefault(_tool.call, (_name, _tool))
    OUTPUTS.setdefault(_tool.output, (_name, _tool))


def is_client_run(tool: Json) -> bool:
    """Whether the client itself runs a tool that is neither function nor custom."""
    kind = tool.get("type")
    if kind == "tool_search":
        return tool.get("execution") == "client"
    environment = tool.get("environment")
    is_local = not isinstance(environment, dict) or environment.get("type") in (None, "local")
    return isinstance(kind, str) and kind in TOOLS and is_local


def as_tool(tool: Json, origin: str) -> Tool:
    """The function that upstream is offered. What the client wrote stands in `extra`, for the echo."""
    kind = str(tool["type"])
    known = TOOLS[kind]
    schema, about = tool.get("parameters"), tool.get("description")
    return Tool(
        kind,
        about if isinstance(about, str) and about else known.description,
        schema if isinstance(schema, dict) else known.schema,
        namespace=CLIENT_SPACE,
        extra={origin: {GIVEN: tool}},
    )


def chosen(choice: ToolChoice | None, tools: tuple[Tool, ...]) -> ToolChoice | None:
    """The choice, where it names such a tool by its type."""
    if choice is None:
        return None
    known = {tool.name for tool in tools if tool.namespace == CLIENT_SPACE}

    def own(ref: ToolRef) -> ToolRef:
        return ToolRef(ref.name, "function", CLIENT_SPACE) if ref.kind == "hosted" and ref.name in known else ref

    return ToolChoice(
        choice.mode,
        own(choice.tool) if choice.tool is not None else None,
        tuple(map(own, choice.allowed)),
        is_required=choice.is_required,
    )


def call_of(item: Json) -> ToolCall | None:
    """A call in the history; None if it was not the client's to run."""
    known = CALLS.get(str(item.get("type")))
    call_id = item.get("call_id") or (item.get("id") if known and known[0] == "local_shell" else None)
    if known is None or not isinstance(call_id, str) or item.get("execution") == "server":
        return None
    name, tool = known
    given = item.get(tool.key, item.get("actions"))
    return ToolCall(call_id, name, given if isinstance(given, str) else arguments_of(given), namespace=CLIENT_SPACE)


def result_of(item: Json) -> tuple[str, Any] | None:
    """The id of the call that an item answers, and what it says: text, or content parts. None as for `call_of`."""
    known = OUTPUTS.get(str(item.get("type")))
    call_id = item.get("call_id") or (item.get("id") if known and known[0] == "local_shell" else None)
    if known is None or not isinstance(call_id, str) or item.get("execution") == "server":
        return None
    if known[0] == "tool_search":
        return call_id, _found(item.get("tools"))
    output = item.get("output")
    if isinstance(output, dict) and "image_url" in output:
        return call_id, [{"type": "input_image", "image_url": output["image_url"]}]
    if isinstance(output, str):
        return call_id, output
    return call_id, arguments_of(output) if output else str(item.get("status") or "")


def item_of(call: ToolCall, response: str, index: int, status: str) -> Json:
    """A call of such a tool as its client knows it."""
    known = TOOLS[call.name]
    given = arguments_object(call.arguments)
    return {
        "id": item_id(response, known.call, index),
        "type": known.call,
        "status": status,
        "call_id": call.call_id,
        known.key: {} if given is None else given,
        **known.more,
    }


def _found(tools: Any) -> str:
    """What a search has found, by the names that the model has to call; what nobody here can run, in words."""
    lines: list[str] = []
    for tool in tools if isinstance(tools, list) else []:
        inner = tool.get("tools") if isinstance(tool, dict) and tool.get("type") == "namespace" else None
        space = str(tool.get("name")) if inner else None
        if space and (about := tool.get("description")):
            lines.append(f"{space}: {about}")
        for one in inner if isinstance(inner, list) else [tool]:
            if not isinstance(one, dict):
                continue
            if isinstance(one.get("name"), str):
                about = one.get("description")
                lines.append(f"{ToolNames(()).wire(one['name'], space)}{f': {about}' if about else ''}")
            else:
                lines.append(text_of(one) or f"[{one.get('type')}]")
    return "\n".join(["These tools are available now:", *lines]) if lines else "No tool was found."
