"""Values of the SDKs' own parameter types, so that a new release of one brings its own cases.

Deterministic: what `typing` remembers of an equal union decides in which order it tells its members; they are sorted.
"""

from __future__ import annotations

import itertools
import json
import re
import types
import typing
from typing import Any, NotRequired, Required

from tests.support.exchanges import PIXEL

Json = dict[str, Any]
Sample = tuple[str, Any]
"""What is chosen where a type leaves a choice ("" in the plainest), and the value."""

MARK = "pears-7f3a"
PDF = "data:application/pdf;base64,JVBERi0xLjQK"
# What stands where only certain words or forms make sense, or nobody's words: ids, keys and their kin.
KNOWN: Json = {
    "media_type": "image/png",
    "call_id": "call_1",
    "tool_use_id": "call_1",
    "tool_call_id": "call_1",
    "id": "call_1",
    "name": "t",
    "signature": "c2ln",
    "encrypted_content": "ZW5j",
    "image_url": PIXEL,
    "file_data": PDF,
    "arguments": json.dumps({"q": MARK}),
    "url": f"https://{MARK}.example/a.png",
    "data": PIXEL.split(",")[1],
    "file_id": "file_1",
    "approval_request_id": "call_1",
    "status": "completed",
    "execution": "client",
    "role": "user",
}
_ALWAYS = ("type", "output", "content", "text")
"""Fields that every value has, required or not: an item without them is none."""


_DEFINED = frozenset({"definition", "tool_changes"})
"""Fields of definitions of tools, which are no content: one of each kind is enough."""


def samples(kind: Any, name: str = "", within: tuple[Any, ...] = ()) -> list[Sample]:
    """A value for each choice that a parameter type leaves, the plainest first.

    One for each member of a union, each word of a `Literal`, and each field that may be left out, wherever in the type
    they stand; all else in it is as in the plainest. Every free text is the mark.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Required, NotRequired, typing.Annotated):
        return samples(arguments[0], name, within)
    if origin is typing.Literal:
        words = sorted(arguments, key=lambda word: word != KNOWN.get(name))
        return [("" if at == 0 else str(word), word) for at, word in enumerate(words)]
    if origin in (typing.Union, types.UnionType):
        return _of_union(arguments, name, within)
    if is_typeddict(kind):
        return _of_struct(kind, within)
    if kind is str:
        return [("", KNOWN.get(name, MARK))]
    if kind is bool:
        return [("", False), ("true", True)]
    if kind in (int, float):
        return [("", 1)]
    if isinstance(origin, type) and not issubclass(origin, dict) and arguments:
        return [(chosen, [value]) for chosen, value in samples(arguments[0], name, within)]
    return [("", {"q": MARK})]


def is_typeddict(kind: Any) -> bool:
    """The SDKs' TypedDict is that of typing_extensions, which `typing` does not know as one."""
    return isinstance(kind, type) and hasattr(kind, "__required_keys__")


def members(union: Any) -> list[Any]:
    """The parameter types that a union holds, those inside it too."""
    if is_typeddict(union):
        return [union]
    return [member for argument in sorted(typing.get_args(union), key=_plainness) for member in members(argument)]


def numbered(value: Any) -> Any:
    """The value with a number behind each mark, so that each can be found again."""
    count = itertools.count()
    return json.loads(re.sub(MARK, lambda found: f"{found[0]}-{next(count):03}", json.dumps(value)))


def _of_union(arguments: tuple[Any, ...], name: str, within: tuple[Any, ...]) -> list[Sample]:
    choices = sorted((one for one in arguments if one is not type(None)), key=_plainness)
    # A type that may hold itself ends in another one.
    choices = [one for one in choices if one not in within] or choices[:1]
    found: list[Sample] = []
    for choice in choices:
        called = "" if not found else _name_of(choice)
        found += [(_joined(called, chosen), value) for chosen, value in samples(choice, name, within)]
    return found


def _of_struct(kind: Any, within: tuple[Any, ...]) -> list[Sample]:
    if kind in within:
        return [("", {})]
    hints = typing.get_type_hints(kind, include_extras=True)
    choices = {name: samples(hint, name, (*within, kind)) for name, hint in hints.items()}
    choices |= {name: [one for one in choices[name] if _is_kind(one)] for name in _DEFINED & choices.keys()}
    always = [name for name, hint in hints.items() if _is_required(hint, name, kind) or name in _ALWAYS]
    plainest = {name: choices[name][0][1] for name in always}
    found: list[Sample] = [("", plainest)]
    for name, given in choices.items():
        others = given[1:] if name in always else given
        found += [(f"{name}{f'={chosen}' if chosen else ''}", {**plainest, name: value}) for chosen, value in others]
    return found


def _is_required(hint: Any, name: str, kind: Any) -> bool:
    """The SDKs' annotations are strings, in which a TypedDict itself does not see the word."""
    origin = typing.get_origin(hint)
    return origin is Required or (origin is not NotRequired and name in kind.__required_keys__)


def _is_kind(sample: Sample) -> bool:
    """Whether nothing is chosen but a type, or not even that."""
    chosen, _ = sample
    return not chosen or (chosen[0].isupper() and "." not in chosen)


def _plainness(kind: Any) -> tuple[bool, str]:
    """Plain text first, all else by its name."""
    return kind is not str, repr(kind)


def _name_of(kind: Any) -> str:
    return kind.__name__.removesuffix("Param") if is_typeddict(kind) else ""


def _joined(*words: str) -> str:
    return ".".join(filter(None, words))
