"""What is imported is declared, what is declared is locked with hashes, and the version stands in one place."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import app
from app.version import VERSION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SERVICE = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
EXTRAS = [Requirement(line) for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
TOOLS = [Requirement(line) for line in PROJECT["dependency-groups"]["dev"]]
LOCKS = {"requirements.txt": SERVICE, "requirements-dev.txt": SERVICE + TOOLS}
OF_THE_HOUSE = {"app", "tests", "scripts", "wsgi", "conftest", "_typeshed"}


def imported(*files: Path) -> set[str]:
    """The top-level packages that these import, but for the standard library's and ours."""
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - OF_THE_HOUSE


# To look through everything that is installed takes a second or two.
providers_of = cache(metadata.packages_distributions)


def not_declared(packages: set[str], *declared: Requirement) -> set[str]:
    """Those of the imported packages that no declared distribution brings."""
    names = {canonicalize_name(requirement.name) for requirement in declared}
    providers = providers_of()
    # One that is not installed here is taken to be called as it is imported.
    return {name for name in packages if not names & {canonicalize_name(it) for it in providers.get(name, [name])}}


def test_an_import_that_nobody_declared_is_found() -> None:
    assert not_declared({"flask", "pytest"}, Requirement("Flask>=3")) == {"pytest"}


def test_what_the_service_imports_is_declared() -> None:
    files = [*(ROOT / "app").rglob("*.py"), *(ROOT / "tests/simulator").rglob("*.py"), *ROOT.glob("*.py")]
    assert not not_declared(imported(*files), *SERVICE, *EXTRAS)


def test_what_tests_and_tools_import_is_declared() -> None:
    # The clients under tests/clients have environments of their own, and so have the scripts that run in them.
    files = [*(ROOT / "scripts").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    files = [
        file for file in files if not file.is_relative_to(ROOT / "tests/clients") and "node_modules" not in file.parts
    ]
    assert not not_declared(imported(*files), *SERVICE, *TOOLS)


def locked(name: str) -> dict[str, tuple[str, int]]:
    """A lock's packages: version and number of hashes."""
    text = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)(.*)$", text, re.MULTILINE)
    return {canonicalize_name(package): (version, rest.count("--hash=sha256:")) for package, version, rest in pins}


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_all_that_is_declared_and_hashes_for_it(name: str) -> None:
    pins = locked(name)
    for requirement in LOCKS[name]:
        version, _ = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is locked; run: make lock"
    assert all(hashes for _, hashes in pins.values())


def test_both_locks_have_the_same_versions() -> None:
    tools = locked("requirements-dev.txt")
    assert locked("requirements.txt").items() <= tools.items()


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_no_index(name: str) -> None:
    assert not re.search(r"https?://|^-|^\s*--(?!hash=)", (ROOT / name).read_text("utf-8"), re.MULTILINE)


def test_the_version_is_the_newest_of_the_changelog_or_on_its_way_to_the_next() -> None:
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = Version(re.findall(r"^## \[(\d[^\]]*)\]", log, re.MULTILINE)[0])
    version = Version(VERSION)
    assert version == newest or (version.is_devrelease and version > newest)
    assert app.__version__ == VERSION
