"""Tools in a target's terms: names that it takes, custom tools as functions, arguments as objects; and all of it back.

The request goes to upstream with ``ToolNames(request.tools)`` and ``as_function``; the answer comes back through
``ToolNames.restore``. Nothing is remembered between the two but the client's own request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from app.converters.neutral.conversation import valid_name
from app.converters.neutral.vocabulary import Request, Tool, ToolCall, ToolRef
from app.converters.wire import json_bytes
from app.errors import Sentence, UnsupportedFeatureError

INPUT: Final = "input"
"""The one argument of a custom tool that travels as a function."""

CLIENT_SPACE: Final = "client_side"
"""The namespace of tools that have a type of their own in one protocol, and that the client runs."""

RAW_ARGUMENTS: Final = "_raw_arguments"
"""The key under which arguments that are no JSON object travel where an object is demanded."""


UNNAMED: Final = "unnamed"
"""What a call of the history is called that has no name: models make such calls at times."""

RESERVED: Final = frozenset({"tool_search"})
"""Names of functions that Responses keeps for itself (contract §7.10)."""

_NEVER_STRICT: Final = frozenset(
    {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"}
    | {"patternProperties", "default", "uniqueItems"}
)
"""What a schema may not say under OpenAI's ``strict``, but elsewhere."""

_NAMED_SCHEMAS: Final = frozenset({"properties", "$defs", "definitions"})
_PLAIN_VALUES: Final = frozenset({"enum", "const", "required", "examples"})


class ToolNames:
    """Names on the wire, both ways. The wire name depends on name and namespace alone: it is stable from turn to turn.

    A tool of a namespace is called ``namespace__name``. At most `limit` characters, ``[A-Za-z0-9_-]``; a name that
    Responses keeps for itself (contract §7.4) gets a ``_`` behind it, wherever it goes.
    """

    __slots__ = ("_by_wire", "_limit")

    def __init__(self, tools: Iterable[Tool], limit: int = 64) -> None:
        self._limit = limit
        self._by_wire: dict[str, Tool] = {}
        for tool in tools:
            if tool.kind != "hosted":
                self._by_wire.setdefault(self.wire(tool.name, tool.namespace), tool)

    def wire(self, name: str, namespace: str | None = None) -> str:
        """The name to write. A call without one is told as what it was, for somebody has answered it: no such tool."""
        name = name or UNNAMED
        if namespace:
            name = f"{namespace}{'' if namespace.endswith('__') else '__'}{name}"
        return valid_name(f"{name}_" if name in RESERVED else name, self._limit)

    def wire_of(self, named: Tool | ToolCall | ToolRef) -> str:
        """The name to write for a tool, a call or a choice."""
        return self.wire(named.name, named.namespace)

    def tool(self, wire: str) -> Tool | None:
        """The client's tool of that wire name; None if the model made it up."""
        return self._by_wire.get(wire)

    def restore(self, call: ToolCall) -> ToolCall:
        """A call from upstream in the client's terms: its name, its namespace, custom again if the tool is custom.

        Serves the opened call of a PartStart as well as the finished one. The deltas of a call that changes kind are
        JSON and mean nothing to the client: tell the text when the call is finished (`changes_kind`).
        """
        tool = self._by_wire.get(self.wire(call.name, call.namespace))
        if tool is None:
            return call
        is_unwrapped = tool.kind == "custom" and call.kind == "function"
        if not is_unwrapped and tool.name == call.name and tool.namespace == call.namespace:
            return call
        return dataclasses.replace(
            call,
            name=tool.name,
            namespace=tool.namespace,
            kind="custom" if is_unwrapped else call.kind,
            arguments=input_text(call.arguments) if is_unwrapped and call.arguments else call.arguments,
        )

    def changes_kind(self, call: ToolCall) -> bool:
        """Whether a function call from upstream is a call of another kind to the client."""
        tool = self._by_wire.get(self.wire(call.name, call.namespace))
        return (
            tool is not None and call.kind == "function" and (tool.kind == "custom" or tool.namespace == CLIENT_SPACE)
        )


def refuse_absent(request: Request) -> None:
    """Upstream refuses the choice of a tool that it is not offered. Raises: UnsupportedFeatureError, which names it."""
    choice = request.tool_choice
    ref = choice.tool if choice is not None and choice.mode == "named" else None
    if ref is None or ref.kind == "hosted":  # who runs those, and whether it is offered, each upstream judges
        return
    others = [tool for tool in request.tools if tool.name == ref.name]
    if any(tool.kind != "hosted" and ref.namespace in (None, tool.namespace) for tool in others):
        return
    raise absent(ref.name, is_hosted=any(tool.kind == "hosted" for tool in others))


def absent(name: str, *, is_hosted: bool = False) -> UnsupportedFeatureError:
    """The refusal of a forced call of a tool that the model is not offered."""
    why = (
        Sentence("GitHub Copilot does not run this tool")
        if is_hosted
        else Sentence("it is not among the tools, or the conversation has removed it")
    )
    return UnsupportedFeatureError(
        Sentence(
            "tool_choice forces the tool %(name)s, but %(why)s. Offer it in tools, or choose another.",
            name=repr(name),
            why=why,
        ),
        param="tool_choice",
    )


def as_function(tool: Tool) -> Tool:
    """A custom tool as a function with one string argument, its grammar in the description (conversion rules §2)."""
    if tool.kind != "custom":
        return tool
    notes = [tool.description] if tool.description else []
    if tool.format and tool.format.get("type") == "grammar":
        grammar = flat_format(tool.format)
        syntax, definition = grammar.get("syntax") or "formal", grammar.get("definition") or ""
        notes.append(f"The {INPUT} must match this {syntax} grammar exactly:\n{definition}")
    schema = {
        "type": "object",
        "properties": {INPUT: {"type": "string", "description": "The whole input of the tool, as plain text."}},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return dataclasses.replace(
        tool, kind="function", description="\n\n".join(notes) or None, schema=schema, format=None, strict=None
    )


def flat_format(given: dict[str, Any]) -> dict[str, Any]:
    """The format of a custom tool as `/responses` words it: chat nests a grammar one deeper."""
    nested = given.get("grammar")
    return {"type": given.get("type"), **nested} if isinstance(nested, dict) else given


def call_as_function(call: ToolCall) -> ToolCall:
    """A custom call, e.g. in the history, as the call of that function."""
    if call.kind != "custom":
        return call
    return dataclasses.replace(call, kind="function", arguments=json_bytes.dumps({INPUT: call.arguments}).decode())


def input_text(arguments: str) -> str:
    """The text of a custom call that came back as a function call; what is not of that form is given as it is."""
    value = arguments_object(arguments)
    if value is not None and isinstance(value.get(INPUT), str):
        text: str = value[INPUT]
        return text
    return arguments


def arguments_object(arguments: str) -> dict[str, Any] | None:
    """Arguments as an object; {} for none at all, None if they are no JSON object."""
    if not arguments.strip():
        return {}
    try:
        value = json_bytes.loads_exact(arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def input_of(arguments: str) -> tuple[dict[str, Any], bool]:
    """Arguments for a target that demands an object, and whether they were one (if not: note it).

    What cannot be parsed is kept under one key, and found again by `arguments_of`.
    """
    value = arguments_object(arguments)
    return ({RAW_ARGUMENTS: arguments}, False) if value is None else (value, True)


def result_text(content: Any) -> Any:
    """The content of a result. An object, which no protocol has there, is what a program that forgot to serialise its
    result sends; its meaning is plain."""
    return json_bytes.dumps(content).decode() if isinstance(content, dict) else content


def arguments_of(value: Any) -> str:
    """An object as arguments: compact JSON, keys in their order."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get(RAW_ARGUMENTS), str):
        text: str = value[RAW_ARGUMENTS]
        return text
    return json_bytes.dumps({} if value is None else value).decode()


def fits_strict(schema: Any) -> bool:
    """Whether OpenAI's ``strict`` would take a schema: every object in it is closed and requires all its properties,
    and it says nothing that OpenAI does not know there."""
    stack = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            if not _NEVER_STRICT.isdisjoint(value):
                return False
            properties = value.get("properties")
            if "object" in _as_list(value.get("type")) or isinstance(properties, dict):
                required = _as_list(value.get("required"))
                names = properties if isinstance(properties, dict) else {}
                if value.get("additionalProperties") is not False or any(name not in required for name in names):
                    return False
            for keyword, inner in value.items():
                if keyword in _NAMED_SCHEMAS and isinstance(inner, dict):
                    stack += inner.values()
                elif keyword not in _PLAIN_VALUES:
                    stack.append(inner)
    return True


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
