"""scripts/structure.py measures what it says, on a small tree made for it and on this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import structure

ROOT = Path(__file__).parents[3]

TREE = {
    "app/__init__.py": "",
    "app/one.py": "from app import two\nTOP_K = 'top_k'\n",
    "app/two.py": "def late():\n    from app.room import inner\n",
    "app/room/__init__.py": "import app.one\n",
    "app/room/inner.py": "",
    "app/typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import app.other\n",
    "app/other.py": "import app.typed\nNAME = 'chat'\n",
    "app/converters/__init__.py": "def known(used, unused):\n    return used\n",
    "app/converters/chat/__init__.py": "NAME = 'chat'\n",
    "app/user.py": "from app.converters import chat\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_a_late_import_closes_a_circle_and_one_for_types_does_not(tree: Path) -> None:
    assert structure.circles(structure.modules(tree)) == [["app.one", "app.room", "app.two"]]


def test_a_field_counts_where_its_whole_word_stands(tree: Path) -> None:
    known = structure.modules(tree)
    assert structure.files_with(known, "top_k") == 1
    assert structure.files_with(known, "top") == 0


def test_a_dialect_counts_outside_of_its_folder_by_name_and_by_import(tree: Path) -> None:
    assert structure.files_naming(structure.modules(tree), "chat", "/v1/chat/completions") == 2


def test_unused_parameters_of_the_converters_are_counted(tree: Path) -> None:
    assert structure.unused_parameters(tree) == 1


def test_a_module_that_needs_another_first_is_found(tree: Path) -> None:
    (tree / "app/broken.py").write_text("import app.missing\n", "utf-8")
    assert structure.measured_inside(tree, "not_alone") == ["app.broken"]


def test_the_traced_request_passes_through_the_app() -> None:
    files, functions, pure_files, pure_functions = structure.measured_inside(ROOT, "one_request")
    assert 60 < files < functions
    assert 30 < pure_files < pure_functions < functions
