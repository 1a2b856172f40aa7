"""A comment outlives what it speaks of, unless somebody looks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?!`)")
_FROM_OUTSIDE = {"SystemExit"}


def _texts_of(code: str) -> set[str]:
    """The docstrings of a module, and the strings that stand below what they explain."""
    statements = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Expr))
    return {
        one.value.value
        for one in statements
        if isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
    }


def named_and_nowhere(modules: dict[str, str], elsewhere: str = "") -> set[str]:
    """What texts and comments name in backticks that no code has. modules: path → code. elsewhere: templates."""
    names = set(re.findall(r"\w+", elsewhere)) | _FROM_OUTSIDE
    named: set[tuple[str, str]] = set()
    for path, code in modules.items():
        texts = _texts_of(code)
        for text in texts:
            named |= {(path, name) for name in _NAMED.findall(text)}
            code = code.replace(text, "")
        comments = re.findall(r"#.*", code)
        named |= {(path, name) for comment in comments for name in _NAMED.findall(comment)}
        names |= set(re.findall(r"\w+", re.sub(r"#.*", "", code)))
        names |= set(re.findall(r"\w+", path))
    return {f"{path}: {name}" for path, name in named if not names.issuperset(name.split("."))}


def test_what_comments_name_is_there() -> None:
    modules = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (ROOT / "app").rglob("*.py")}
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "app" / "templates").iterdir())
    assert named_and_nowhere(modules, pages) == set()


def test_a_name_that_is_gone_is_found() -> None:
    code = '''"""As `b.known` and `gone` do."""\nx = 1  # see `lost`; ``JSON`` is none of ours\n"""Of `x`."""\n'''
    assert named_and_nowhere({"a.py": code, "b.py": "def known(): ..."}) == {"a.py: gone", "a.py: lost"}
