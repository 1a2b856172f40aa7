"""What must be true of the whole table of clients."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients import install
from tests.clients.programs import CLIENTS
from tests.clients.troubles import NAMES

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_meets_every_trouble(name: str) -> None:
    text = (HERE / f"test_{name.replace('-', '_')}.py").read_text("utf-8")
    missing = [trouble for trouble in NAMES[:-1] if not re.search(rf"^def test_{trouble}", text, re.MULTILINE)]
    assert missing == []


def test_all_libraries_meet_every_trouble() -> None:
    text = (HERE / "test_library_troubles.py").read_text("utf-8")
    missing = [trouble for trouble in NAMES if not re.search(rf"^def test_{trouble}", text, re.MULTILINE)]
    assert missing == []


@pytest.mark.parametrize("lock", sorted(install.NPM.glob("*/package-lock.json")), ids=lambda lock: lock.parent.name)
def test_npm_packages_are_pinned(lock: Path) -> None:
    wanted = json.loads(lock.with_name("package.json").read_text("utf-8"))["dependencies"]
    packages = json.loads(lock.read_text("utf-8"))["packages"]
    assert packages.pop("")["dependencies"] == wanted
    assert all(re.fullmatch(r"[0-9][\w.-]*", version) for version in wanted.values())
    for name, package in packages.items():
        assert package.get("integrity"), name
        assert package.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/"), name


def test_python_packages_are_pinned() -> None:
    for pins in install.PIP.glob("*.txt"):
        lines = [line.split("#")[0].strip() for line in pins.read_text("utf-8").splitlines()]
        assert all(re.fullmatch(r"[\w.,\[\]-]+==[\w.]+", line) for line in lines if line), pins
