"""Templates of the pages are compiled once for a test process, and not anew for the app of each test.

That was more than half of what tests of pages did. A template whose text has changed is compiled again.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.templating import Environment

_compiled: dict[tuple[Any, ...], Any] = {}
"""Code of templates by their text, name and file. All apps compile alike, so it is good for each of them."""


class CompilesOnce(Environment):
    def compile(self, source: Any, name: Any = None, filename: Any = None, *how: Any, **more: Any) -> Any:
        key = (source, name, filename)
        if how or more or not isinstance(source, str):  # not as a loader asks
            return super().compile(source, name, filename, *how, **more)
        if key not in _compiled:
            _compiled[key] = super().compile(source, name, filename)
        return _compiled[key]


def compile_once() -> None:
    """For all apps that are made from now on in this process."""
    Flask.jinja_environment = CompilesOnce
