"""The documents for users, taken apart: their blocks of commands, and the commands within their sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = frozenset({"bash", "sh", "console", "powershell", "python"})
"""Languages of blocks that people run; all others are there to be looked at."""

_BLOCK = re.compile(
    r"(?:^(?P<indent> *)<!-- not run: (?P<why>[^\n]*?) *-->\n(?: *\n)*)?"
    r"^(?P<margin> *)(?P<fence>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=margin)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. why_not: the reason why no test runs it, from the comment above it; None: a test does."""

    document: str
    line: int
    language: str
    text: str
    why_not: str | None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def script(self) -> str:
        """What a person types."""
        if self.language != "console":
            return self.text
        return "\n".join(line.removeprefix("$ ") for line in self._lines(typed=True)) + "\n"

    @property
    def output(self) -> list[str]:
        """What the document shows in answer, line by line."""
        return [line for line in self._lines(typed=False) if line.strip()] if self.language == "console" else []

    def _lines(self, *, typed: bool) -> Iterator[str]:
        goes_on = False
        for line in self.text.splitlines():
            is_typed = goes_on or line.startswith("$ ")
            if is_typed is typed:
                yield line
            goes_on = is_typed and line.endswith("\\")


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks_in(document: str, text: str) -> list[Block]:
    return [
        Block(
            document,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"].strip(),
            re.sub(rf"^{found['margin']}", "", found["text"], flags=re.MULTILINE),
            found["why"],
        )
        for found in _BLOCK.finditer(text)
    ]


def all_blocks() -> list[Block]:
    return [
        block for path in documents() for block in blocks_in(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
    ]


def spans_in(text: str) -> list[str]:
    """The code within sentences and tables."""
    return _SPAN.findall(_BLOCK.sub("", text))
