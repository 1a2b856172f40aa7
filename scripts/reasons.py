"""Every reason for which a conversion leaves something out or carries it in another form, read from the code.

A reason is written out where it is given, ``losses.drop("top_k", "chat has no such parameter")``, or it is a constant,
a `Sentence`, or the note of a table of fields. Whatever else stands there is an error: no catalogue could hold it, and
a page would show it in English to everybody.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from app.converters.messages.upstream.refusals import Refusal
from app.converters.neutral.field_table import Field
from app.converters.responses.refusals import Rule

ROOT: Final = Path(__file__).resolve().parents[1]
CONVERTERS: Final = ROOT / "app" / "converters"
_METHODS: Final = frozenset({"drop", "note"})
_EITHER: Final = "tell"
"""What a variable is called that is one of the methods."""
_OF_A_TABLE: Final = frozenset({"note", "why"})


class NotWrittenOutError(Exception):
    """A reason that cannot be read from the code."""


def reasons() -> dict[str, str]:
    """Each reason, and where the first one who gives it stands. Raises: NotWrittenOutError."""
    found: dict[str, str] = {}
    for file in sorted(CONVERTERS.rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(name)
        for reason, line in given(file.read_text("utf-8"), module):
            found.setdefault(reason, f"{name}:{line}")
        for reason in in_tables(module):
            found.setdefault(reason, name)
    return found


def given(source: str, module: ModuleType) -> Iterator[tuple[str, int]]:
    """What is handed to `Losses` in this source, and in which line. module: holds its constants."""
    tree = ast.parse(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    either = {
        id(branch)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.IfExp)
        and ast.unparse(node.targets[0]) == _EITHER
        for branch in (node.value.body, node.value.orelse)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_of_losses(node) and id(node) not in called | either:
            raise NotWrittenOutError(f"{module.__name__}:{node.lineno}: call it `{_EITHER}`, so that it is seen")
        if isinstance(node, ast.Call) and _gives_reason(node):
            if len(node.args) != 2:
                raise NotWrittenOutError(f"{module.__name__}:{node.lineno}: a path and a reason, in this order")
            yield from ((text, node.lineno) for text in _texts(node.args[1], module))


def in_tables(module: ModuleType) -> Iterator[str]:
    """What the tables of this module say of what is left out."""
    for table in vars(module).values():
        for row in table.values() if isinstance(table, dict) else table if isinstance(table, tuple) else ():
            if isinstance(row, Refusal):
                yield row.why
            elif isinstance(row, Field | Rule) and row.verdict in ("dropped", "carried", "changed"):
                yield row.note


def _gives_reason(call: ast.Call) -> bool:
    """By the name of what is called, and by how much it is given: `Losses` may go by any name."""
    if isinstance(call.func, ast.Name):
        return call.func.id == _EITHER
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in _METHODS:
        return False
    return _is_of_losses(call.func) or len(call.args) + len(call.keywords) == 2


def _is_of_losses(node: ast.Attribute) -> bool:
    return node.attr in _METHODS and ast.unparse(node.value).endswith("losses")


def _texts(node: ast.expr, module: ModuleType) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one, module)
            yield from _texts(other, module)
        case ast.Call(func=ast.Name(id="Sentence"), args=[ast.Constant(value=str(template))]):
            yield template
        case ast.Attribute(attr=attribute) if attribute in _OF_A_TABLE:
            return
        case ast.Name(id=name) if isinstance(constant := getattr(module, name, None), str):
            yield constant
        case ast.Subscript(value=ast.Name(id=name)) if isinstance(table := getattr(module, name, None), dict):
            yield from table.values()
        case _:
            raise NotWrittenOutError(
                f"{module.__name__}:{node.lineno}: write the reason out: {ast.unparse(node)} cannot be translated"
            )
