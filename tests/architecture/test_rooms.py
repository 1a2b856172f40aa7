"""Imports follow the house plan (docs/architecture.md): every arrow is allowed below, or the build fails."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"

GROUND = {"app.errors", "app.settings", "app.logs", "app.outbound"}

# Room → what it may import of ours, and of others beside the standard library. The longest matching prefix counts.
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "app.errors": (set(), set()),
    "app.settings": (set(), {"dotenv"}),
    "app.logs": (set(), set()),
    "app.commands": (set(), set()),
    "app.outbound": ({"app.errors"}, {"requests", "urllib3"}),
    "app.converters": ({"app.errors", "app.converters"}, {"orjson"}),
    "app.routing": ({"app.errors"}, set()),
    "app.store": (GROUND | {"app.store"}, {"redis"}),
    "app.auth": (GROUND | {"app.auth", "app.store"}, {"requests", "orjson"}),
    "app.upstream": (
        GROUND | {"app.upstream", "app.auth", "app.store", "app.routing"},
        {"requests", "urllib3", "orjson", "sseclient"},
    ),
    "app.opening": (set(), set()),
    "app.tokens": ({"app.converters.ir"}, {"rs_bpe"}),
    "app.reply": (set(), set()),
    "app.streaming": (
        GROUND | {"app.converters.codec", "app.converters.crossing", "app.opening", "app.reply", "app.upstream"},
        set(),
    ),
    "app.relay": (
        GROUND
        | {
            "app.converters",
            "app.opening",
            "app.reply",
            "app.routing",
            "app.store",
            "app.streaming",
            "app.tokens",
            "app.upstream",
            "app.websearch",
        },
        set(),
    ),
    "app.websearch": (
        GROUND | {"app.converters", "app.opening", "app.routing", "app.store", "app.upstream"},
        set(),
    ),
    "app.schemas": ({"app.errors", "app.schemas"}, {"marshmallow"}),
    "app.blueprints": (
        GROUND
        | {
            "app.blueprints",
            "app.clients",
            "app.commands",
            "app.schemas",
            "app.gateway",
            "app.reply",
            "app.converters",
            "app.routing",
            "app.auth",
        },
        {"flask", "werkzeug", "orjson"},
    ),
    "app.cli": (
        GROUND | {"app.cli", "app.clients", "app.commands", "app.converters.registry", "app.gateway"},
        {"flask", "click"},
    ),
    "app.clients": ({"app.clients", "app.errors", "app.routing"}, {"ruamel", "tomlkit"}),
    "app.cli.doctor": (GROUND | {"app.doctor", "app.gateway"}, {"flask", "click"}),
    "app.doctor": (
        GROUND
        | {
            "app.auth",
            "app.commands",
            "app.converters.account",
            "app.converters.registry",
            "app.converters.traits",
            "app.doctor",
            "app.gateway",
            "app.relay",
            "app.reply",
            "app.routing",
            "app.store",
            "app.upstream",
        },
        {"requests", "urllib3", "orjson", "sseclient"},
    ),
    "app.doctor.finding": (set(), set()),
    "app.doctor.pace": (set(), set()),
    "app.gateway": (
        GROUND | {"app.auth", "app.converters.registry", "app.relay", "app.store", "app.upstream", "app.websearch"},
        {"flask"},
    ),
    "app": (GROUND | {"app.blueprints", "app.cli", "app.gateway"}, {"flask", "werkzeug"}),
}

STANDARD = set(sys.stdlib_module_names) | {"__future__"}
FORBIDDEN_IN_CONVERTERS = {"os", "time", "random", "secrets", "socket", "logging", "threading", "pathlib", "subprocess"}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(APP.rglob("*.py"))}


def room_of(module: str) -> str:
    return max((room for room in ROOMS if module == room or module.startswith(room + ".")), key=len)


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_plan(module: str) -> None:
    ours, others = ROOMS[room_of(module)]
    for imported in imports(MODULES[module]):
        top = imported.split(".")[0]
        if top == "app":
            assert any(imported == room or imported.startswith(room + ".") for room in ours), f"{module} → {imported}"
        elif top not in STANDARD and top != "_typeshed":
            assert top in others, f"{module} → {imported}"


def test_converters_are_pure() -> None:
    for module, file in MODULES.items():
        if module.startswith("app.converters"):
            assert not FORBIDDEN_IN_CONVERTERS & {name.split(".")[0] for name in imports(file)}, module


def test_setups_are_pure_but_for_the_one_that_writes() -> None:
    for module, file in MODULES.items():
        if module.startswith("app.clients") and module != "app.clients.write":
            assert not FORBIDDEN_IN_CONVERTERS & {name.split(".")[0] for name in imports(file)}, module


def test_no_module_level_state() -> None:
    """State lives in the store or in an object that the factory built (a reload, a test or a worker starts afresh)."""
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List | ast.Dict | ast.Set):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                assert all(name.isupper() or name == "__all__" for name in names), f"{module}: {names}"
            assert not any(isinstance(inner, ast.Global) for inner in ast.walk(node)), module


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        module
        for module, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and isinstance(node.value, ast.Name)
        if node.value.id == "os"
    }
    assert readers == {"app.settings"}


def test_broad_excepts_are_the_known_guards() -> None:
    broad = [
        f"{module}:{node.lineno}"
        for module, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert [place.split(":")[0] for place in broad] == ["app.auth.device", "app.doctor.examination", "app.streaming"]
