"""Every module can be imported first, in whatever order the others come: no circles, late imports included."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(APP.rglob("*.py"))}


def packages_above(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """All of a module's syntax tree, read once for all tests."""
    return tuple(ast.walk(ast.parse(file.read_text("utf-8"))))


def needs(module: str) -> set[str]:
    """The modules of ours that its import statements run, wherever they stand: those named and the packages above."""
    found: set[str] = set()
    for node in nodes(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in full}
    ours = {name for name in found if name in MODULES}
    ours |= {package for name in ours for package in packages_above(name)}
    return ours - {module, *packages_above(module)}


def test_no_import_goes_in_a_circle() -> None:
    left = {module: needs(module) for module in MODULES}
    while free := {module for module, needed in left.items() if not needed & left.keys()}:
        left = {module: needed for module, needed in left.items() if module not in free}
    assert not left, f"a circle, or behind one: {sorted(left)}"


def test_no_module_takes_a_name_from_a_package_it_is_in() -> None:
    """Such a package is still being imported then; with the test above this means that each module imports alone."""
    for module, file in MODULES.items():
        for node in nodes(file):
            if isinstance(node, ast.ImportFrom) and node.module in packages_above(module):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                assert names <= MODULES.keys(), f"{module} takes {names - MODULES.keys()}"


# The other modules are covered by the two tests above; to import each of them afresh takes ten seconds.
ENTRANCES = [name for name, file in MODULES.items() if name.count(".") < 2 or file.name == "__init__.py"]


def test_a_fresh_interpreter_can_begin_anywhere() -> None:
    script = """
import importlib, sys
for name in sys.argv[1:]:
    for known in [known for known in sys.modules if known == "app" or known.startswith("app.")]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as problem:
        print(name, problem)
"""
    told = subprocess.run(
        [sys.executable, "-c", script, *ENTRANCES], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert told.stdout == ""


NOT_FOR_WORKERS = [
    "app.backup",
    "app.cli.",
    "app.clients.files.merge",
    "app.clients.files.write",
    "app.doctor",
    "platformdirs",
    "redis",
    "ruamel",
    "tiktoken",
    "tomlkit",
]


def test_a_worker_imports_nothing_that_only_commands_need() -> None:
    script = """
import sys
from app import create_app
from app.settings import Settings
create_app(Settings())
print(*sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = told.stdout.split()
    assert [name for name in loaded if name.startswith(tuple(NOT_FOR_WORKERS))] == []
    assert "app.relay" in loaded


def test_the_master_imports_nothing_that_greenlets_share_by_thread() -> None:
    """What it imports before its workers patch `threading` goes on to mean threads there, of which there is one."""
    script = """
import sys
import app.serving.master, app.serving.options, app.serving.worker
print(*(name for name in sys.modules if name.startswith("app.")))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    known = [name for name in told.stdout.split() if "threading.local()" in MODULES[name].read_text("utf-8")]
    assert "app.serving.worker" in told.stdout
    assert known == []
