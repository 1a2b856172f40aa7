"""Checks at the boundary: one schema per request, for the fields that the bridge itself reads."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any


class _CompiledLater:
    """A pattern that nobody may ever use, compiled when somebody does."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        return getattr(re.compile(*self._given), name)


@contextlib.contextmanager
def _patterns_of(module: str) -> Iterator[None]:
    """Within, the patterns of this module are compiled later."""
    compile_now = re.compile

    def compile_maybe(pattern: Any, flags: int = 0) -> Any:
        is_its = sys._getframe(1).f_globals.get("__name__") == module
        return (_CompiledLater if is_its else compile_now)(pattern, flags)

    re.compile = compile_maybe
    try:
        yield
    finally:
        re.compile = compile_now


# One of its patterns, for addresses of mail, took a twentieth of a worker's start.
with _patterns_of("marshmallow.validate"):
    import marshmallow.validate  # noqa: F401
