"""Imports follow the plan of layers (docs/architecture.md): every arrow is allowed below, or the build fails."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.support.rows import rows

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"

GROUND = {
    "app.copier",
    "app.tape",
    "app.errors",
    "app.settings",
    "app.logs",
    "app.outbound",
    "app.http_body",
    "app.http_connection",
    "app.masking",
    "app.memory",
    "app.route_settings",
    "app.github_hosts",
    "app.descriptors",
    "app.version",
}

NEUTRAL = {"app.errors", "app.converters.wire", "app.converters.neutral"}
DIALECT = NEUTRAL | {"app.converters.codec"}
# All of the converters but the dialects: what is here knows no protocol.
UNIVERSAL = NEUTRAL | {
    "app.converters.codec",
    "app.converters.exchange",
    "app.converters.listings.embeddings",
    "app.converters.listings.images",
    "app.converters.probe_answer",
    "app.converters.refusal",
    "app.converters.removable",
    "app.converters.request_purpose",
    "app.converters.stop_sequences",
}

# Room → what it may import of ours, and of others beside the standard library. The longest matching prefix counts.
LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "app.masking": (set(), set()),
    "app.errors": ({"app.masking"}, set()),
    "app.settings": ({"app.errors", "app.github_hosts", "app.masking"}, {"dotenv"}),
    "app.terminal": ({"app.errors", "app.settings"}, set()),
    "app.github_hosts": ({"app.errors"}, set()),
    "app.logs": ({"app.masking"}, set()),
    "app.version": (set(), set()),
    "app.commands": ({"app.settings"}, set()),
    "app.memory": ({"app.errors"}, set()),
    "app.descriptors": ({"app.errors"}, set()),
    "app.outbound": (
        {
            "app.descriptors",
            "app.errors",
            "app.http_body",
            "app.http_connection",
            "app.memory",
            "app.route_settings",
            "app.settings",
        },
        {"requests", "urllib3"},
    ),
    "app.route_settings": (
        {"app.descriptors", "app.errors", "app.http_connection", "app.settings"},
        {"requests", "urllib3"},
    ),
    "app.http_body": ({"app.http_connection"}, {"urllib3"}),
    "app.copier": ({"app.http_body"}, set()),
    "app.http_connection": (set(), {"gevent", "requests", "urllib3"}),
    "app.converters": ({"app.errors", "app.converters"}, {"orjson"}),
    "app.converters.wire": ({"app.errors", "app.converters.wire"}, {"orjson"}),
    "app.converters.neutral": (NEUTRAL, set()),
    "app.converters.listings": (NEUTRAL | {"app.converters.listings"}, {"orjson"}),
    "app.converters.codec": (NEUTRAL, set()),
    **dict.fromkeys(
        (f"app.converters.{name}" for name in ("exchange", "probe_answer", "removable", "stop_sequences")),
        (UNIVERSAL, {"orjson"}),
    ),
    # No dialect knows another.
    "app.converters.chat": (DIALECT | {"app.converters.chat"}, set()),
    "app.converters.messages": (DIALECT | {"app.converters.messages"}, set()),
    "app.converters.responses": (DIALECT | {"app.converters.responses"}, set()),
    "app.routing": ({"app.errors", "app.converters.neutral.model_limits"}, set()),
    "app.store": (GROUND | {"app.store"}, {"redis"}),
    "app.database": (GROUND | {"app.database", "app.store"}, {"alembic", "gevent", "pg8000", "sqlalchemy"}),
    "app.database.migrations": ({"app.database"}, {"alembic", "sqlalchemy"}),
    "app.keys": (
        GROUND
        | {"app.converters.neutral", "app.converters.request_size", "app.database", "app.keys", "app.reply"}
        | {"app.store"},
        {"limits", "sqlalchemy"},
    ),
    "app.keys.key": ({"app.errors"}, set()),
    "app.backup": (GROUND | {"app.database", "app.store"}, {"orjson"}),
    "app.auth": (GROUND | {"app.auth", "app.store"}, {"requests", "orjson", "jwt", "cryptography"}),
    "app.upstream": (
        GROUND | {"app.converters.neutral.notices", "app.upstream", "app.auth", "app.store", "app.routing"},
        {"requests", "urllib3", "orjson", "sseclient"},
    ),
    "app.governor": (
        GROUND | {"app.converters.wire", "app.governor", "app.reply", "app.store", "app.upstream"},
        set(),
    ),
    "app.ledger": (
        GROUND | NEUTRAL | {"app.database", "app.ledger", "app.reply"},
        {"gevent", "pg8000", "sqlalchemy"},
    ),
    "app.metrics": (GROUND | {"app.converters.wire", "app.ledger", "app.metrics", "app.reply"}, {"prometheus_client"}),
    "app.tracing": (
        GROUND | {"app.converters.wire.accounting", "app.ledger.booking", "app.reply"},
        {"opentelemetry"},
    ),
    "app.sealing": ({"app.errors", "app.settings"}, {"cryptography"}),
    "app.stored_responses": (
        GROUND | {"app.background_call", "app.converters.codec", "app.converters.wire", "app.database", "app.reply"},
        set(),
    ),
    "app.dry_run": ({"app.converters.neutral.prices", "app.errors", "app.routing", "app.store"}, set()),
    "app.background_call": ({"app.http_connection", "app.memory"}, set()),
    "app.tokens": ({"app.converters.neutral.vocabulary"}, {"rs_bpe"}),
    "app.reply": ({"app.caching.prefix", "app.converters.neutral.outcome", "app.copier", "app.tape"}, set()),
    "app.tape": (set(), set()),
    "app.caching": (GROUND | {"app.caching", "app.converters.neutral.prices", "app.store"}, {"orjson"}),
    "app.caching.prefix": (set(), {"orjson"}),
    "app.bundles": (
        GROUND
        | {"app.bundles", "app.converters.messages.upstream.betas", "app.ledger.booking", "app.reply", "app.store"},
        {"gevent"},
    ),
    "app.streaming": (
        GROUND
        | NEUTRAL
        | {"app.converters.codec", "app.converters.exchange", "app.background_call", "app.reply", "app.upstream"},
        set(),
    ),
    "app.relay": (
        GROUND
        | UNIVERSAL
        | {
            "app.caching",
            "app.background_call",
            "app.governor",
            "app.reply",
            "app.routing",
            "app.store",
            "app.stored_responses",
            "app.streaming",
            "app.tokens",
            "app.upstream",
            "app.web_search",
        },
        set(),
    ),
    "app.search_engines": (
        GROUND | {"app.auth", "app.converters", "app.governor", "app.routing", "app.store", "app.upstream"},
        set(),
    ),
    "app.web_search": (
        GROUND | {"app.background_call", "app.converters", "app.search_engines", "app.upstream"},
        set(),
    ),
    "app.schemas": (
        {
            "app.converters.request_purpose",
            "app.errors",
            "app.keys.key",
            "app.schemas",
            "app.store.rules",
            "app.version",
        },
        {"apispec", "marshmallow"},
    ),
    "app.blueprints": (
        GROUND
        | {
            "app.blueprints",
            "app.clients",
            "app.commands",
            "app.dry_run",
            "app.keys",
            "app.schemas",
            "app.store.mapping_history",
            "app.store.rules",
            "app.stored_responses",
            "app.gateway",
            "app.ledger",
            "app.metrics",
            "app.reply",
            "app.converters",
            "app.routing",
            "app.seats",
            "app.auth",
            "app.bundles",
            "app.caching",
        },
        {"flask", "flask_babel", "werkzeug", "orjson", "zstandard"},
    ),
    "app.cli.main": (GROUND | {"app.cli", "app.terminal"}, {"flask", "werkzeug", "click", "platformdirs"}),
    "app.cli.service": (
        GROUND | {"app.cli.command", "app.cli.words", "app.commands", "app.terminal"},
        {"click", "platformdirs"},
    ),
    "app.__main__": ({"app.cli.main"}, set()),
    "app.cli": (
        GROUND
        | {
            "app.backup",
            "app.bundles",
            "app.cli",
            "app.clients",
            "app.commands",
            "app.converters.registry",
            "app.dry_run",
            "app.gateway",
            "app.keys",
            "app.ledger",
            "app.reply",
            "app.schemas",
            "app.serving.address",
            "app.store",
            "app.terminal",
        },
        {"click", "flask", "requests", "rich", "sseclient", "werkzeug"},
    ),
    "app.clients": (
        {"app.clients", "app.converters.neutral.prices", "app.errors", "app.routing"},
        {"ruamel", "tomlkit"},
    ),
    "app.cli.doctor": (GROUND | {"app.cli", "app.doctor", "app.gateway", "app.terminal"}, {"flask", "click"}),
    "app.doctor": (
        GROUND
        | {
            "app.auth",
            "app.commands",
            "app.converters.listings.usage",
            "app.converters.registry",
            "app.converters.neutral.notices",
            "app.converters.neutral.price_list",
            "app.converters.neutral.prices",
            "app.converters.neutral.request_traits",
            "app.database",
            "app.doctor",
            "app.gateway",
            "app.governor",
            "app.relay",
            "app.reply",
            "app.routing",
            "app.serving.address",
            "app.store",
            "app.upstream",
        },
        {"requests", "urllib3", "orjson", "sseclient"},
    ),
    "app.bindings": (GROUND | {"app.auth", "app.keys", "app.sealing", "app.store"}, {"orjson"}),
    "app.seats": (
        GROUND
        | {
            "app.caching",
            "app.auth",
            "app.converters.registry",
            "app.governor",
            "app.keys",
            "app.relay",
            "app.reply",
            "app.search_engines",
            "app.store",
            "app.stored_responses",
            "app.tape",
            "app.upstream",
            "app.web_search",
        },
        set(),
    ),
    "app.doctor.finding": (set(), set()),
    "app.doctor.pace": (set(), set()),
    "app.gateway": (
        GROUND
        | {
            "app.caching",
            "app.auth",
            "app.bindings",
            "app.bundles",
            "app.converters.neutral.price_list",
            "app.converters.refusal",
            "app.converters.removable",
            "app.converters.wire.accounting",
            "app.database",
            "app.governor",
            "app.keys",
            "app.ledger",
            "app.metrics",
            "app.relay",
            "app.reply",
            "app.sealing",
            "app.search_engines",
            "app.seats",
            "app.stored_responses",
            "app.store",
            "app.tracing",
            "app.upstream",
        },
        {"flask"},
    ),
    "app.serving": (
        GROUND | {"app.auth.api_key", "app.commands", "app.metrics", "app.serving", "app.terminal"},
        {"gevent", "gunicorn"},
    ),
    "app": (GROUND | {"app.blueprints", "app.cli", "app.gateway"}, {"flask", "werkzeug"}),
}

STANDARD = set(sys.stdlib_module_names) | {"__future__"}
FORBIDDEN_IN_CONVERTERS = {"os", "time", "random", "secrets", "socket", "logging", "threading", "pathlib", "subprocess"}


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(APP.rglob("*.py"))}


def layer_of(module: str) -> str:
    return max((layer for layer in LAYERS if module == layer or module.startswith(layer + ".")), key=len)


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """All of a module's syntax tree, read once for all tests."""
    return tuple(ast.walk(ast.parse(file.read_text("utf-8"))))


@cache
def imports(file: Path) -> tuple[str, ...]:
    found: list[str] = []
    for node in nodes(file):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.append(full if full in MODULES else node.module)
    return tuple(found)


@rows()
@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_plan(module: str) -> None:
    ours, others = LAYERS[layer_of(module)]
    for imported in imports(MODULES[module]):
        top = imported.split(".")[0]
        if top == "app":
            assert any(imported == layer or imported.startswith(layer + ".") for layer in ours), (
                f"{module} → {imported}"
            )
        elif top not in STANDARD and top != "_typeshed":
            assert top in others, f"{module} → {imported}"


# Within a dialect's folder: side → the sides whose modules it may use. What both need stands in the folder itself.
SIDES = {"client": {"client"}, "upstream": {"upstream", "native"}, "native": {"client", "upstream", "native"}}


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses"])
def test_the_two_sides_of_a_dialect_know_nothing_of_each_other(dialect: str) -> None:
    folder = f"app.converters.{dialect}."
    for module, file in MODULES.items():
        side = module.removeprefix(folder).split(".")[0] if module.startswith(folder) else ""
        for imported in imports(file):
            if side in SIDES and imported.startswith(folder):
                used = imported.removeprefix(folder).split(".")[0]
                assert used not in SIDES or used in SIDES[side], f"{module} → {imported}"


def test_converters_are_pure() -> None:
    for module, file in MODULES.items():
        if module.startswith("app.converters"):
            assert not FORBIDDEN_IN_CONVERTERS & {name.split(".")[0] for name in imports(file)}, module


def test_setups_are_pure_but_for_what_writes() -> None:
    for module, file in MODULES.items():
        if module.startswith("app.clients") and module not in ("app.clients.files.write", "app.clients.files.once"):
            assert not FORBIDDEN_IN_CONVERTERS & {name.split(".")[0] for name in imports(file)}, module


def test_no_module_level_state() -> None:
    """State lives in the store or in an object that the factory built (a reload, a test or a worker starts afresh)."""
    for module, file in MODULES.items():
        module_itself = nodes(file)[0]
        assert isinstance(module_itself, ast.Module)
        for node in module_itself.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List | ast.Dict | ast.Set):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                assert all(name.isupper() or name == "__all__" for name in names), f"{module}: {names}"
            assert not any(isinstance(inner, ast.Global) for inner in ast.walk(node)), module


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        module
        for module, file in MODULES.items()
        for node in nodes(file)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and isinstance(node.value, ast.Name)
        if node.value.id == "os"
    }
    assert readers == {"app.settings"}


WITH_A_GUARD = [
    "app.auth.device",
    "app.blueprints._request_log",
    "app.bundles.recorder",
    *["app.database.database"] * 3,
    "app.doctor.examination",
    "app.keys.rates",
    "app.ledger.books",
    "app.ledger.books",
    "app.stored_responses",
    "app.streaming",
]


def test_broad_excepts_are_the_known_guards() -> None:
    broad = [
        f"{module}:{node.lineno}"
        for module, file in MODULES.items()
        for node in nodes(file)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert [place.split(":")[0] for place in broad] == WITH_A_GUARD


# An unescaped bracket that ends a group, then a repeat with the plus that makes it possessive.
POSSESSIVE_OVER_A_GROUP = re.compile(r"(?<!\\)(?:\\\\)*\)(?:[*+?]|\{\d*,?\d*\})\+")


@pytest.mark.parametrize(
    ("pattern", "is_one"),
    [
        (r"(?:a|b)*+", True),
        (r"(a)++b", True),
        (r"(?:ab?c){2,}+", True),
        (r"\\(?:a)?+", True),
        (r"[ab]*+", False),
        (r"(?:a[bc]*+)*", False),
        (r"\)*+", False),
    ],
)
def test_a_possessive_repeat_over_a_group_is_recognised(pattern: str, is_one: bool) -> None:
    assert bool(POSSESSIVE_OVER_A_GROUP.search(pattern)) is is_one


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python 3.11.0 to 3.11.4, which Debian 12 has, matches such patterns wrongly (python/cpython#106052)."""
    found = []
    for module, file in MODULES.items():
        for node in nodes(file):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                if POSSESSIVE_OVER_A_GROUP.search(text):
                    found.append(f"{module}:{node.lineno}")
    assert not found
