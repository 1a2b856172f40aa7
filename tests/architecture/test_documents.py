"""Every pointer leads somewhere: the § of comments, the links and anchors of Markdown, the files that are named."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from scripts import pointers

ROOT = Path(__file__).parents[2]


def test_every_section_that_is_pointed_at_is_there() -> None:
    found = list(pointers.section_pointers(ROOT))
    assert len(found) > 300
    assert not [str(pointer) for pointer in found if pointer.fault]


def test_every_link_and_every_named_file_is_there() -> None:
    found = list(pointers.link_pointers(ROOT))
    assert len(found) > 100
    assert not [str(pointer) for pointer in found if pointer.fault]


REFERENCE = "## 6. Chat\n### 6.5 Frames\n1. first\n2. second\n```\n## 9. an example\n```\n#### 6.5.4 Claude\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for file in pointers.DOCUMENTS.values():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(REFERENCE, "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("comment", "faults"),
    [
        ("# contract §6, §6.5 and §6.5.4\n", ["", "", ""]),
        ("# as the contract\n#     §6.5.2, §6.5.4 (Claude), §6 say\n", ["", "", ""]),
        ("# client\n# notes §6.5–§6.5.4\n", ["", ""]),
        ("# contract §6.5.3\n", ["no such section"]),
        ("# contract §6.5; §6.5.4\n", ["", "does not name its document"]),
        ("# contract §9\n", ["no such section"]),
        ("# RFC 9112 §7.1\n", [""]),
        ("# see §6\n", ["does not name its document"]),
        ("# clients.md 0.8\n", ["a section without its §"]),
        ("# contract 6.5\n", ["a section without its §"]),
    ],
)
def test_a_section_is_found_by_the_name_and_the_number(tree: Path, comment: str, faults: list[str]) -> None:
    (tree / "module.py").write_text(comment, "utf-8")
    assert [pointer.fault for pointer in pointers.section_pointers(tree)] == faults


def test_within_a_reference_document_the_number_is_enough(tree: Path) -> None:
    (tree / pointers.DOCUMENTS["contract"]).write_text(REFERENCE + "As in §6.5, not in §7.\n", "utf-8")
    assert [pointer.fault for pointer in pointers.section_pointers(tree)] == ["", "no such section"]


@pytest.mark.parametrize(
    ("markdown", "faults"),
    [
        ("[a](docs/b.md#two-words--more) [b](docs/b.md) [c](#here)\n# Here\n", ["", "", ""]),
        (
            "[a](docs/b.md#three)\n[b](docs/c.md)\n[c]: docs/b.md#two-words--more-1\n",
            ["no such heading", "no such file", ""],
        ),
        ("[a](https://example.com/x.md) `[b](none.md)`\n```\n[c](none.md)\n```\n", []),
        ('<a href="docs/none.md">x</a> ![](docs/none.png "t")\n', ["no such file", "no such file"]),
        (
            "`docs/b.md`, `docs/*.md`, `docs/c.md`, `docs/<name>.md`, `docs/*.txt`\n",
            ["", "", "no such file", "no such file"],
        ),
    ],
)
def test_a_link_is_followed_to_the_heading(tmp_path: Path, markdown: str, faults: list[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/b.md").write_text("## Two words, `–` more\n## Two words, `–` more\n", "utf-8")
    (tmp_path / "a.md").write_text(markdown, "utf-8")
    found = [pointer.fault for pointer in pointers.link_pointers(tmp_path) if pointer.file == "a.md"]
    assert sorted(found) == sorted(faults)


def test_a_comment_that_names_a_document_is_followed(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text('"""See docs/none.md."""\n', "utf-8")
    assert [pointer.fault for pointer in pointers.link_pointers(tmp_path)] == ["no such file"]


PROMISE = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_promise_of_security_has_tests_that_exist() -> None:
    page = (ROOT / "docs/security.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| Promise"))]
    assert len(rows) > 25
    assert not [row for row in rows if not PROMISE.search(row)]
    named = PROMISE.findall(page)
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text("utf-8")]
    assert not missing
    assert page.count("::test_") == len(named)  # those that `make attack` finds


def test_the_changelog_says_nothing_twice() -> None:
    # It is merged by union (.gitattributes): what two branches have moved or changed stands there twice.
    entries = re.findall(r"^- .*(?:\n  .*)*", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert len(entries) > 50
    assert not [entry for entry, times in Counter(entries).items() if times > 1], "remove one of each"
