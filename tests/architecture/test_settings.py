"""A setting that nobody reads has no effect, and one that no document names does not exist for anybody."""

from __future__ import annotations

import ast
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.settings import Settings, differences
from tests.support.rows import rows
from tests.support.shipped import Image, compose, unit, unit_environment

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
FIELDS = {field.name: field.metadata["env"] for field in dataclasses.fields(Settings)}


def _last_name(of: ast.expr) -> str:
    """``settings`` of ``self._settings`` and ``gateway.settings`` and ``settings`` alike."""
    found = of.attr if isinstance(of, ast.Attribute) else of.id if isinstance(of, ast.Name) else ""
    return found.lstrip("_")


def read_names(code: str) -> set[str]:
    """The names that a module reads of settings: of whatever is called so, or is said to be `Settings`."""
    tree = ast.parse(code)
    arguments = [node for node in ast.walk(tree) if isinstance(node, ast.arg) and node.annotation is not None]
    called = {"settings", *(one.arg for one in arguments if ast.unparse(one.annotation or one) == "Settings")}
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _last_name(node.value) in called
    }


def methods_of_settings(code: str) -> Iterator[tuple[str, set[str]]]:
    """What each property and method of `Settings` reads of its fields."""
    (owner,) = (
        node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    for method in owner.body:
        if isinstance(method, ast.FunctionDef):
            yield (
                method.name,
                {
                    node.attr
                    for node in ast.walk(method)
                    if isinstance(node, ast.Attribute) and _last_name(node.value) == "self"
                },
            )


def unread(modules: dict[str, str]) -> set[str]:
    """The fields that no module reads, neither itself nor by a method of `Settings`. modules: path → code."""
    found = set().union(*(read_names(code) for path, code in modules.items() if path != "app/settings.py"))
    methods = dict(methods_of_settings(modules["app/settings.py"]))
    while more := set().union(*(reads for name, reads in methods.items() if name in found)) - found:
        found |= more
    return FIELDS.keys() - found


def test_each_setting_is_read_by_somebody() -> None:
    modules = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "app").rglob("*.py")}
    assert unread(modules) == set(), "nobody reads these fields of Settings"


def test_one_that_nobody_reads_is_noticed() -> None:
    settings = "class Settings:\n def used(self): return self.a and self.inner()\n def inner(self): return self.port\n"
    others = "".join(f"settings.{name}\n" for name in FIELDS if name not in ("host", "port", "log_level"))
    modules = {"app/settings.py": settings, "app/x.py": others + "request.host\nlogs.log_level\n"}
    assert unread(modules) == {"host", "port", "log_level"}
    modules["app/y.py"] = "def start(given: Settings): return given.used()\nself._settings.log_level\n"
    assert unread(modules) == {"host"}


@rows()
@pytest.mark.parametrize("name", FIELDS.values())
def test_each_setting_is_documented(name: str) -> None:
    """In the table, which `make docs` writes, and with words of its own where people copy it from."""
    assert f"| `{name}` |" in (ROOT / "docs" / "configuration.md").read_text("utf-8"), "run: make docs"
    above, found, _ = EXAMPLE.partition(f"\n# {name}=")
    assert found, "it needs a line in .env.example"
    assert re.search(r"^# (?![A-Z_]+=)\S", above.rpartition("\n\n")[2], re.M), "what is it? A line above it there"


def test_the_example_file_shows_the_defaults_and_nothing_else() -> None:
    lines = re.findall(r"^# ([A-Z_]+=.*)$", EXAMPLE, re.M)
    values = {name: value or "" for name, value in dotenv_values(stream=io.StringIO("\n".join(lines))).items()}
    assert values.keys() - FIELDS.values() == set()
    assert differences(Settings.from_env({}), Settings.from_env(values)) == []


@pytest.mark.parametrize(
    "environment",
    [
        Image.read().environment,
        compose("docker-compose.yml", "deploy/docker-compose.redis.yml")["bridge"]["environment"],
        unit_environment(unit("copilot-bridge.service")),
    ],
    ids=["Dockerfile", "compose", "unit"],
)
def test_shipped_files_set_nothing_that_has_no_effect(environment: dict[str, str]) -> None:
    # Where settings are, what requests reads, and what systemd tells each service.
    others = {"ENV_FILE", "HTTPS_PROXY", "NO_PROXY", "PATH", "HOME", "USER", "LOGNAME", "STATE_DIRECTORY"}
    assert {name for name in environment if not name.startswith(("PYTHON", "PIP_"))} - others <= set(FIELDS.values())
