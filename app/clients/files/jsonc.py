"""Changing a JSON text with comments without touching the rest of it: comments, order and layout stay. Pure.

A parser that remembers where everything stands, and edits at those places. Libraries that read JSON with comments lose
the comments when they write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import Sentence

# Nothing here can be read in two ways, so a long file costs no more than its length. Only sets of characters are
# repeated possessively: over a group, Python before 3.11.5 matches wrongly (python/cpython#106052).
_SPACE = re.compile(r"[ \t\r\n]*+(?:(?://[^\n]*+|/\*.*?\*/)[ \t\r\n]*+)*", re.DOTALL)
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*"')
_WORD = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


class NotJsonError(ValueError):
    """Not JSON. The message says where (line and column, counted from 1)."""


@dataclass(slots=True)
class Node:
    """A value and where it stands: text[start:end]. members: an object's, by name. items: an array's."""

    start: int
    end: int
    value: Any
    members: dict[str, Node] | None = None
    items: list[Node] | None = None
    trailing_comma: bool = False


def parse(text: str) -> Node:
    """Raises: NotJsonError. Comments and trailing commas are allowed, as editors and clients do."""
    reader = _Reader(text)
    root = reader.value(reader.skip(0))
    end = reader.skip(root.end)
    if end != len(text):
        raise reader.problem(end)
    return root


@dataclass
class _Reader:
    text: str
    depth: int = field(default=0)

    def skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def problem(self, at: int) -> NotJsonError:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        return NotJsonError(Sentence("line %(line)s, column %(column)s", line=line, column=column))

    def value(self, at: int) -> Node:
        opening = self.text[at : at + 1]
        if opening in ("{", "["):
            self.depth += 1
            if self.depth > 200:
                raise self.problem(at)
            node = self._object(at) if opening == "{" else self._array(at)
            self.depth -= 1
            return node
        found = (_STRING if opening == '"' else _WORD).match(self.text, at)
        if found is None:
            raise self.problem(at)
        return Node(at, found.end(), self._read(found))

    def _read(self, found: re.Match[str]) -> Any:
        try:
            return json.loads(found.group())
        except ValueError:
            raise self.problem(found.start()) from None

    def _object(self, start: int) -> Node:
        members: dict[str, Node] = {}
        at, comma = self.skip(start + 1), False
        while self.text[at : at + 1] != "}":
            if members and not comma:
                raise self.problem(at)
            name = _STRING.match(self.text, at)
            if name is None:
                raise self.problem(at)
            colon = self.skip(name.end())
            if self.text[colon : colon + 1] != ":":
                raise self.problem(colon)
            node = self.value(self.skip(colon + 1))
            members[self._read(name)] = node  # of equal names the last one counts, here as for clients
            at, comma = self._comma(node.end)
        value = {key: node.value for key, node in members.items()}
        return Node(start, at + 1, value, members=members, trailing_comma=comma)

    def _array(self, start: int) -> Node:
        items: list[Node] = []
        at, comma = self.skip(start + 1), False
        while self.text[at : at + 1] != "]":
            if items and not comma:
                raise self.problem(at)
            items.append(self.value(at))
            at, comma = self._comma(items[-1].end)
        return Node(start, at + 1, [node.value for node in items], items=items, trailing_comma=comma)

    def _comma(self, at: int) -> tuple[int, bool]:
        at = self.skip(at)
        if self.text[at : at + 1] == ",":
            return self.skip(at + 1), True
        return at, False


def rewrite(text: str, wanted: Any) -> str:
    """`text` changed where needed so that it says `wanted`; what already says so keeps its form.

    Only members that are missing or different are touched; a member that `wanted` lacks stays.
    Raises: NotJsonError.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    root = parse(text)
    edits: list[tuple[int, int, str]] = []
    _Editor(text, _indent_of(text), newline, edits).change(root, wanted)
    for start, end, new in sorted(edits, key=lambda edit: edit[:2], reverse=True):
        text = text[:start] + new + text[end:]
    return text


def same(left: Any, right: Any) -> bool:
    """Equality as JSON has it: true is not 1, and 1 is not 1.0 in a file that people read."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right or (left != left and right != right))  # YAML has NaN


def _indent_of(text: str) -> str:
    found = re.search(r"[{\[][ \t]*(?://[^\n]*)?\r?\n([ \t]+)", text)
    return found.group(1) if found else "  "


@dataclass
class _Editor:
    text: str
    indent: str
    newline: str
    edits: list[tuple[int, int, str]]

    def change(self, node: Node, wanted: Any) -> None:
        if same(node.value, wanted):
            return
        if node.members is not None and isinstance(wanted, Mapping):
            for name, value in wanted.items():
                if name in node.members:
                    self.change(node.members[name], value)
            added = [(name, value) for name, value in wanted.items() if name not in node.members]
            last = max((member.end for member in node.members.values()), default=None)
            self._append(node, last, [(f"{dump(name)}: ", value) for name, value in added])
        elif node.items is not None and isinstance(wanted, list) and len(wanted) >= len(node.items):
            for item, value in zip(node.items, wanted, strict=False):
                self.change(item, value)
            last = node.items[-1].end if node.items else None
            self._append(node, last, [("", value) for value in wanted[len(node.items) :]])
        else:
            self.edits.append((node.start, node.end, self._layout(wanted, self._margin(node.start))))

    def _append(self, node: Node, last: int | None, added: list[tuple[str, Any]]) -> None:
        """Put new members behind the last one, and behind a comment that follows it."""
        if not added:
            return
        closing = node.end - 1
        outer = self._margin(node.start)
        inner = self._margin(last - 1, inside=node) if last is not None else outer + self.indent
        behind = len(self.text[:closing].rstrip())
        one_line = last is not None and "\n" not in self.text[node.start : node.end]
        gap = " " if one_line else self.newline + inner
        pieces = [gap + name + self._layout(value, inner) for name, value in added]
        text = ",".join(pieces)
        if not one_line and "\n" not in self.text[behind:closing]:
            text += self.newline + outer
        if last is None or node.trailing_comma:
            self.edits.append((behind, behind, text))
        elif behind == last:
            self.edits.append((last, last, "," + text))
        else:  # a comment stands between the last member and the end; the comma belongs before it
            self.edits += [(last, last, ","), (behind, behind, text)]

    def _margin(self, at: int, inside: Node | None = None) -> str:
        """The white space at the beginning of the line that `at` is in; of the first member's line for an object."""
        if inside is not None:
            first = min(inside.members.values(), key=lambda m: m.start).start if inside.members else inside.start
            if inside.items:
                first = inside.items[0].start
            if "\n" not in self.text[inside.start : first]:
                return self._margin(inside.start) + self.indent
            at = first
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def _layout(self, value: Any, margin: str) -> str:
        text = dump(value, self.indent)
        return text.replace("\n", self.newline + margin)


def dump(value: Any, indent: str | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
