"""Every block of commands in the READMEs and in docs/ is run here, beside a real service, or says why not.

What would need another machine has a stand-in (tests/support/stand_ins): ``make`` names the steps without taking them,
``docker compose exec`` runs the command here, ``curl`` fails where the answer is an error. See docs/contributing.md.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

from app.cli.main import main
from app.settings import DEFAULT_API_KEY
from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, Bridge
from tests.support.documents import COMMANDS, Block, all_blocks, blocks_in, documents, spans_in

STAND_INS = ROOT / "tests" / "support" / "stand_ins"
BLOCKS = all_blocks()
RUN = [block for block in BLOCKS if block.language in COMMANDS and block.why_not is None]
# What is this machine's own, and what is the repository's and must not be changed.
NOT_COPIED = {".venv", ".git", ".env", "data"}


@pytest.fixture(scope="module")
def service(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """As the READMEs assume it: the default key, somebody signed in."""
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "WEB_SEARCH_MODEL": "gpt-5.4"}
    with Bridge(env, tmp_path_factory.mktemp("service"), api_key=DEFAULT_API_KEY) as running:
        yield running


@pytest.fixture
def checkout(tmp_path: Path, flask_command: list[str]) -> Path:
    """A folder that looks like a checkout in which ``make`` was run before."""
    folder = tmp_path / "copilot-bridge"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in NOT_COPIED:
            (folder / entry.name).symlink_to(entry)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)  # not ours itself: no command of a document is to install anything there
    for name, start in {"flask": shlex.join(flask_command), "python": sys.executable}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        (programs / name).chmod(0o755)
    (tmp_path / "etc.env").touch()
    return folder


def here(text: str, service: Bridge, checkout: Path) -> str:
    """The same with the addresses and folders of this test."""
    for theirs, ours in {
        "localhost:8000": f"127.0.0.1:{service.port}",
        "localhost:43953": f"127.0.0.1:{service.port}",
        "/opt/copilot-bridge": str(checkout),
        "/etc/copilot-bridge.env": str(checkout.parent / "etc.env"),
        "/var/lib/copilot-bridge": str(service.data_dir),
    }.items():
        text = text.replace(theirs, ours)
    return text


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_of_commands_works_as_it_stands(
    block: Block, service: Bridge, checkout: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    script = here(block.script, service, checkout)
    home = tmp_path / "home"
    home.mkdir()
    env = {
        **service.env,
        "HOME": str(home),
        "PATH": f"{STAND_INS}:{os.environ['PATH']}",
        "REAL_PATH": os.environ["PATH"],
        "LOG_LEVEL": "WARNING",
        "COPILOT_BRIDGE_KEY": DEFAULT_API_KEY,
        "KEY": DEFAULT_API_KEY,
    }
    if "redis" in script:
        env["REDIS_URL"] = request.getfixturevalue("redis_url")
    command = [sys.executable, "-"] if block.language == "python" else ["bash", "-euo", "pipefail", "-s"]
    done = subprocess.run(
        command,
        input=script,
        cwd=checkout,
        env=env,
        text=True,
        timeout=100,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}"
    rest = done.stdout.replace(str(home), "/home/you")
    for line in block.output:
        assert line in rest, f"{block} promises {line!r}; it said:\n{done.stdout}"
        rest = rest.partition(line)[2]


def test_the_documents_have_commands_to_run() -> None:
    """Else the test above would be content with anything."""
    assert {block.document for block in RUN} >= {"README.md", "README.zh-CN.md", "docs/clients.md", "docs/operating.md"}


def test_what_is_not_run_says_why() -> None:
    for block in BLOCKS:
        if block.why_not is None:
            continue
        assert block.language in COMMANDS, f"{block}: it is no block of commands; the comment above it can go"
        assert len(block.why_not) >= 10, f"{block}: why is it not run?"
        for path in re.findall(r"\b(?:tests|scripts)/[\w./-]*\w", block.why_not):
            assert (ROOT / path).exists(), f"{block}: there is no {path}"


def test_commands_stand_in_blocks_that_say_so() -> None:
    looks_like_one = re.compile(r"^(\$ |(sudo|curl|make|docker|pip|pipx|uvx|git|copilot-bridge) |\.venv/bin/)", re.M)
    for block in BLOCKS:
        if block.language not in COMMANDS | {"markdown"}:
            assert not looks_like_one.search(block.text), f"{block}: name its language, e.g. bash"


def command_of(root: click.Group, words: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command that these words call, and the words after its name."""
    found: click.Command = root
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        inner = found.get_command(click.Context(found), words[0])
        if inner is None:
            return None
        found, words = inner, words[1:]
    return found, words


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_commands_within_sentences_exist(path: Path, app: Flask) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    for span in spans_in(path.read_text("utf-8")):
        if "…" in span:  # any command
            continue
        if found := re.search(r"(flask --app wsgi|^copilot-bridge) (.*)", span):
            words = shlex.split(found[2].partition(" > ")[0].partition(" < ")[0].rstrip(")"))
            called = command_of(main if found[1] == "copilot-bridge" else app.cli, words)
            assert called is not None, f"{path.name}: {span}"
            command, rest = called
            known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
            assert {word for word in rest if word.startswith("--")} <= known, f"{path.name}: {span}"
        elif found := re.match(r"make ([a-z0-9-]+)", span):
            assert found[1] in targets, f"{path.name}: {span}"


def test_blocks_are_found_with_their_marks() -> None:
    text = """\
Words.

```bash
one
```

<!-- not run: it needs the moon -->
```bash
two \\
  three
```

1. In a list:

   <!-- not run:  and a space  -->

   ```console
   $ four \\
       five
   said

   $ six
   ```
```
no language
```
"""
    found = blocks_in("x.md", text)
    assert [(one.line, one.language, one.why_not) for one in found] == [
        (3, "bash", None),
        (8, "bash", "it needs the moon"),
        (17, "console", " and a space"),
        (24, "", None),
    ]
    assert found[1].script == "two \\\n  three\n"
    assert (found[2].script, found[2].output) == ("four \\\n    five\nsix\n", ["said"])
