"""The files in .github have the form that GitHub reads, and workflows run nothing that others can change."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [
    *(("github-workflows", file) for file in WORKFLOWS),
    ("dependabot", GITHUB / "dependabot.yml"),
    ("github-issue-config", GITHUB / "ISSUE_TEMPLATE/config.yml"),
    *(("github-issue-forms", GITHUB / "ISSUE_TEMPLATE" / name) for name in ("bug.yml", "idea.yml")),
]


def checked(program: str, *words: str) -> str:
    """What a tool found; empty if all is well."""
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(("form", "file"), FORMS, ids=[file.name for _, file in FORMS])
def test_each_file_has_its_form(form: str, file: Path) -> None:
    assert not checked("check-jsonschema", "--builtin-schema", f"vendor.{form}", str(file))


def test_the_workflows_have_no_known_hole() -> None:
    assert not checked("zizmor", "--offline", "--no-progress", "--color=never", str(GITHUB))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_action_is_pinned_to_a_commit_and_says_which_version_that_is(file: Path) -> None:
    used = re.findall(r"^ *-? *uses: (.*)$", file.read_text("utf-8"), re.MULTILINE)
    assert used
    assert not [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)]


def test_an_action_has_one_commit_in_all_workflows() -> None:
    used = {line for file in WORKFLOWS for line in re.findall(r"uses: (\S+)", file.read_text("utf-8"))}
    assert len(used) == len({line.partition("@")[0] for line in used})


def test_workflows_call_what_the_makefile_has() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for file in WORKFLOWS:
        called = set(re.findall(r"run: make ([a-z-]+)", file.read_text("utf-8")))
        assert called <= targets, file.name
