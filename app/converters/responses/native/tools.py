"""Tools on their way to a native upstream: as they are where the model takes them, else in a form that it does.

Contract §7.4, §7.10. A free-text tool becomes a function with one string argument, a namespace is taken apart, what the
client runs becomes a function, what the provider would run is left out (`refusals.Taken`). `ClientTools` knows the way
back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from app.converters.neutral.losses import Losses
from app.converters.neutral.tool_schema import fits, fitting
from app.converters.neutral.tools import CLIENT_SPACE, RESERVED, ToolNames
from app.converters.neutral.vocabulary import Tool, ToolRef
from app.converters.responses import refusals as table
from app.converters.responses.client.tools import MODES, decode_tool, decode_tool_choice, decode_tools
from app.converters.responses.refusals import Taken
from app.converters.responses.upstream.request import encode_tool, named
from app.converters.wire import reading
from app.errors import UnsupportedFeatureError

Json = dict[str, Any]

LOADERS: Final = ("additional_tools", "tool_search_output")

_NAMES: Final = ToolNames(())
"""What a tool is called upstream depends on the tool alone."""


@dataclass(slots=True)
class ToolNormalizer:
    """The tools of one request. translated: those that upstream knows in another form, as the client knows them.

    loads: whether a search at upstream can load tools, so that some may be deferred.
    """

    taken: Taken
    losses: Losses
    loads: bool = False
    translated: list[Tool] = field(default_factory=list)

    @property
    def names(self) -> ToolNames:
        return ToolNames(self.translated)

    def normalize(self, tools: list[Any], path: str) -> list[Any]:
        """The tools for upstream; the same list if nothing had to change. Raises: InvalidRequestError."""
        given = [reading.obj(tool, f"{path}[{at}]") for at, tool in enumerate(tools)]
        kept = [wire for at, tool in enumerate(given) for wire in self._tool(tool, f"{path}[{at}]")]
        is_same = len(kept) == len(tools) and all(new is old for new, old in zip(kept, tools, strict=True))
        return tools if is_same else kept

    def _tool(self, raw: Json, path: str) -> list[Json]:
        kind = raw.get("type")
        if kind in ("function", None):
            return [self._function(raw, path)]
        if kind == "namespace":
            return self._namespace(raw, path)
        tool = decode_tool(raw, path)  # refuses what is no tool at all
        if self.taken.takes(str(kind)):
            return [raw]
        if self.taken.has_refused(str(kind)):
            self.losses.drop(
                f"tools[].{kind}",
                "this model refuses it: left out"
                if tool.kind == "hosted"
                else "this model refuses it: a function in its place",
            )
        elif tool.kind == "hosted":
            rule = table.TOOLS.get(str(kind))
            self.losses.drop(f"tools[].{kind}", rule.note if rule else "this model does not take it")
        return [self._translated(tool)] if tool.kind != "hosted" else []

    def _function(self, raw: Json, path: str) -> Json:
        if "name" not in raw or "type" not in raw:
            return self._translated(decode_tool(raw, path))
        tool = raw
        if tool["name"] in tuple(RESERVED):
            known = decode_tool(raw, path)
            self.translated.append(known)
            tool = {**raw, "name": _NAMES.wire_of(known)}
        if "defer_loading" in tool and not self.loads:
            tool = {key: value for key, value in tool.items() if key != "defer_loading"}
            self.losses.drop("tools[].defer_loading", "there is no tool search that could load it")
        if raw.get("parameters") is None or fits(raw["parameters"]):
            return tool
        schema, says_less = fitting(raw["parameters"])
        if says_less:
            self.losses.note("tools[].parameters", "a union at the top of the schema was flattened")
        if says_less and raw.get("strict"):
            self.losses.drop("tools[].strict", "the schema was flattened")
        return {**tool, "parameters": schema} | ({"strict": False} if says_less else {})

    def _namespace(self, raw: Json, path: str) -> list[Json]:
        inner = decode_tools([raw], path)
        if not self.taken.takes("namespace"):
            tell = self.losses.drop if self.taken.has_refused("namespace") else self.losses.note
            tell("tools[].namespace", "this model does not take it: its tools stand alone, under longer names")
            return [self._translated(tool) for tool in inner if tool.kind != "hosted"]
        tools = raw.get("tools")
        listed = tools if isinstance(tools, list) else []
        kept = [
            wire
            for one, tool in zip(listed, inner, strict=True)
            for wire in ([self._in_its_space(tool)] if self._is_refused_custom(tool) else self._tool(one, path))
        ]
        if len(kept) == len(listed) and all(new is old for new, old in zip(kept, listed, strict=True)):
            return [raw]
        return [{**raw, "tools": kept}]

    def _is_refused_custom(self, tool: Tool) -> bool:
        return tool.kind == "custom" and not self.taken.takes("custom")

    def _in_its_space(self, tool: Tool) -> Json:
        """A free-text tool as a function of the same namespace, whose name stays."""
        self.losses.drop("tools[].custom", "this model refuses it: a function in its place")
        self.translated.append(tool)
        return {**encode_tool(tool, _NAMES, self.losses), "name": tool.name}

    def _translated(self, tool: Tool) -> Json:
        self.translated.append(tool)
        return encode_tool(tool, _NAMES, self.losses, takes_custom=self.taken.takes("custom"))

    # -- the choice --------------------------------------------------------------------------------------------------

    def choice(self, raw: Any, *, is_offered: bool) -> Any:
        """The choice among the tools that are left; None if there is nothing to choose.

        Raises: UnsupportedFeatureError where the model would have to call a tool that nobody here runs.
        """
        choice = decode_tool_choice(raw)
        if choice is None:
            return None
        if choice.mode == "named" and choice.tool is not None:
            chosen = self._ref(raw, choice.tool)
            if chosen is None:
                raise _forced(choice.tool.name)
            return chosen
        if choice.mode == "allowed":
            inner = raw.get("allowed_tools")
            listed = (inner if isinstance(inner, dict) else raw).get("tools") or []
            pairs = zip(listed, choice.allowed, strict=True)
            allowed = [wire for one, ref in pairs if (wire := self._ref(one, ref)) is not None]
            if not allowed and choice.is_required:
                raise _forced(choice.allowed[0].name if choice.allowed else "")
            mode = "required" if choice.is_required else "auto"
            return {"type": "allowed_tools", "mode": mode, "tools": allowed} if allowed else "none"
        if not is_offered and choice.mode == "required":
            raise _forced("")
        if not is_offered:
            return None
        return raw if raw in MODES else choice.mode

    def _ref(self, raw: Any, ref: ToolRef) -> Any:
        """How upstream knows the tool that is chosen; None if it is not offered there."""
        if ref.kind == "hosted":
            if self.taken.takes(ref.name):
                return raw
            own = ToolRef(ref.name, "function", CLIENT_SPACE)
            return named(own, self.translated, self.names) if self.names.tool(self.names.wire_of(own)) else None
        if self.names.tool(self.names.wire_of(ref)) is not None or any(
            tool.name == ref.name and ref.namespace is None for tool in self.translated
        ):
            return named(ref, self.translated, self.names, takes_custom=self.taken.takes("custom"))
        is_plain = isinstance(raw, dict) and "name" in raw and raw.get("type") == ref.kind
        return raw if is_plain else {"type": ref.kind, "name": ref.name}


def has_search(tools: list[Any], taken: Taken) -> bool:
    """Whether there is a search that loads tools, and upstream knows it for what it is."""
    kinds = (tool.get("type") for tool in tools if isinstance(tool, dict))
    return taken.takes("tool_search") and "tool_search" in kinds


def loaders(items: Any) -> list[tuple[str, list[Any]]]:
    """The items that bring tools, by type: ``additional_tools``, and what a search has found."""
    listed = items if isinstance(items, list) else []
    return [
        (str(item["type"]), item["tools"])
        for item in listed
        if isinstance(item, dict) and item.get("type") in LOADERS and isinstance(item.get("tools"), list)
    ]


def unlisted(items: Any, listed: list[Any], taken: Taken) -> list[Any]:
    """The tools of items that upstream does not take, each once: they have to stand among the others."""
    known = {(tool.name, tool.namespace) for tool in decode_tools(listed)} if loaders(items) else set()
    found: list[Any] = []
    for kind, tools in loaders(items):
        if taken.takes(kind):
            continue
        for raw in tools:
            inner = decode_tools([raw], "input[].tools")
            fresh = [(tool.name, tool.namespace) not in known for tool in inner]
            known |= {(tool.name, tool.namespace) for tool in inner}
            if raw.get("type") == "namespace" and not all(fresh):
                raw = {**raw, "tools": [one for one, is_new in zip(raw["tools"], fresh, strict=True) if is_new]}
            found += [raw] if any(fresh) else []
    return found


def _forced(name: str) -> UnsupportedFeatureError:
    which = f"The tool `{name}`" if name else "None of the tools that are offered"
    runs = "is not run by GitHub Copilot" if name else "is run by GitHub Copilot"
    return UnsupportedFeatureError(f"{which} {runs} for this model, so it cannot be forced.", param="tool_choice")
