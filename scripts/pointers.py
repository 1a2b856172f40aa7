"""Where comments and documents point: "contract §6.5", Markdown links, anchors, names of files in the documents.

``python scripts/pointers.py [DIR]`` prints those that lead nowhere, as ``file:line: what``; the tests hold that there
are none. A § names its document (``contract §6.5.4``, ``conversion rules §2``, ``client notes §0.8``,
``RFC 9112 §7.1``); in ``docs/reference/`` a bare § means the same document. A number leads to the heading that begins
with it, or to that item of the numbered list under the heading before it: ``contract §12.3.8`` is item 8 there.
"""

# ruff: noqa: T201

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REFERENCE: Final = "docs/reference"
DOCUMENTS: Final = {
    "contract": f"{REFERENCE}/copilot-wire-contract.md",
    "conversion rules": f"{REFERENCE}/conversion-rules.md",
    "client notes": f"{REFERENCE}/client-notes.md",
}
TEXT: Final = {
    ".py",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".sh",
    ".html",
    ".js",
    ".mjs",
    ".ts",
    ".txt",
    ".conf",
    ".service",
}
EXAMPLES: Final = "tests/architecture/test_documents.py"
"""Points nowhere on purpose."""
MADE_UP: Final = ("tests/architecture/", "tests/unit/")
"""Tests that may name files of trees that they make themselves."""
NOT_OURS: Final = {
    ".git",
    ".venv",
    ".venvs",
    "site-packages",
    "node_modules",
    "__pycache__",
    "build",
    "dist",
    "fixtures",
    "data",
}

_GAP: Final = r"(?:[\s#*]|//)*"
_NUMBER: Final = r"\d+(?:\.\d+)*"
_SECTION: Final = re.compile(rf"§ ?({_NUMBER})")
_WITHOUT_SIGN: Final = re.compile(r"\b(?:[\w-]+\.md \d+\.\d|(?:contract|conversion rules|client notes) \d)[\d.]*")
_CHAIN: Final = re.compile(
    rf"\b(?P<name>contract|conversion{_GAP}rules|client{_GAP}notes|RFC \d+)\b"
    rf"(?:{_GAP}(?:[,–/-]|and|or|to)?{_GAP}§ ?{_NUMBER}(?:{_GAP}\([^()§]*\))?)+",
    re.IGNORECASE,
)
_HEADING: Final = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_NUMBERED: Final = re.compile(rf"^({_NUMBER})\.?(?=\s|$)")
_ITEM: Final = re.compile(r"^(\d+)\. ")
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`[^`\n]+`")
_LINK: Final = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\[[^\]]+\]:\s*(\S+)|(?:href|src)=\"([^\"]+)\"", re.M
)
_PATH: Final = re.compile(r"`((?:app|deploy|docs|scripts|tests|\.ci|\.github)/[\w./*-]*)`")
_FILE: Final = re.compile(r"(?<![\w/.-])(?:app|deploy|docs|scripts|tests)/[\w./-]+\.(?:md|py)\b")


@dataclass(frozen=True, slots=True)
class Pointer:
    """One place that points somewhere. what: as it is written. fault: why it leads nowhere; empty if it does not."""

    file: str
    line: int
    what: str
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.fault}"


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """(path within `root`, text) of every file of ours that people read."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - NOT_OURS)
        for name in sorted(names):
            file = Path(folder, name)
            inner = file.relative_to(root).as_posix()
            if (file.suffix in TEXT or name in ("Makefile", "Dockerfile")) and inner != EXAMPLES:
                yield inner, file.read_text("utf-8")


def sections(document: str) -> set[str]:
    """The numbers that a § can lead to in this Markdown text."""
    found: set[str] = set()
    current = ""
    for line in _blanked(_FENCE, document).splitlines():
        if heading := _HEADING.match(line):
            numbered = _NUMBERED.match(heading[2])
            current = numbered[1] if numbered else ""
            found.add(current)
        elif current and (item := _ITEM.match(line)):
            found.add(f"{current}.{item[1]}")
    return found - {""}


def section_pointers(root: Path) -> Iterator[Pointer]:
    """Every § of the files under `root`."""
    known = {name: sections(_read(root / file)) for name, file in DOCUMENTS.items()}
    for file, text in texts(root):
        own = next((name for name, document in DOCUMENTS.items() if document == file), None)
        named = {
            chain.start() + found.start(): " ".join(re.findall(r"\w+", chain["name"].lower()))
            for chain in _CHAIN.finditer(text)
            for found in _SECTION.finditer(chain[0])
        }
        for found in _SECTION.finditer(text):
            name = named.get(found.start(), own)
            number = found[1]
            fault = ""
            if name is None:
                fault = "does not name its document"
            elif not name.startswith("rfc") and number not in known[name]:
                fault = "no such section"
            yield Pointer(file, _line(text, found.start()), f"{name or ''} §{number}".strip(), fault)
        for found in _WITHOUT_SIGN.finditer(text):
            yield Pointer(file, _line(text, found.start()), found[0], "a section without its §")


def link_pointers(root: Path) -> Iterator[Pointer]:
    """Every relative link and anchor in the Markdown files under `root`, and every file that is named anywhere."""
    markdown = {file: text for file, text in texts(root) if file.endswith(".md")}
    for file, text in markdown.items():
        prose = _blanked(_CODE, _blanked(_FENCE, text))
        for found in _LINK.finditer(prose):
            target = next(group for group in found.groups() if group)
            if not re.match(r"[a-z][a-z0-9+.-]*:|//", target):
                yield Pointer(file, _line(text, found.start()), target, _fault_of_link(root, file, target))
        if not file.startswith(REFERENCE):
            for found in _PATH.finditer(_blanked(_FENCE, text)):
                there = list(root.glob(found[1])) if "*" in found[1] else (root / found[1]).exists()
                yield Pointer(file, _line(text, found.start()), found[1], "" if there else "no such file")
    for file, text in texts(root):
        if not file.endswith(".md") and not file.startswith(MADE_UP):
            for found in _FILE.finditer(text):
                there = (root / found[0]).exists()
                yield Pointer(file, _line(text, found.start()), found[0], "" if there else "no such file")


def anchors(document: str) -> set[str]:
    """The anchors that GitHub gives the headings of this Markdown text, and those set by hand."""
    found: dict[str, int] = {}
    result = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", document))
    for line in _blanked(_FENCE, document).splitlines():
        if heading := _HEADING.match(line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2])
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            count = found.get(slug, 0)
            found[slug] = count + 1
            result.add(f"{slug}-{count}" if count else slug)
    return result


def _fault_of_link(root: Path, file: str, target: str) -> str:
    path, _, anchor = target.partition("#")
    there = (root / file).parent / path if path else root / file
    if not there.exists():
        return "no such file"
    if anchor and there.suffix == ".md" and anchor not in anchors(_read(there)):
        return "no such heading"
    return ""


def _read(file: Path) -> str:
    return file.read_text("utf-8") if file.exists() else ""


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """`text` with what matches made blank, every line and column where it was."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])
    for found in (*section_pointers(root), *link_pointers(root)):
        if found.fault:
            print(found)


if __name__ == "__main__":
    main()
