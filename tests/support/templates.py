"""Templates of the pages are compiled once for a test process, and not anew for the app of each test.

That was more than half of what tests of pages did. A template whose text has changed is compiled again.
"""

from __future__ import annotations

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket


class Compiled(BytecodeCache):
    """Code of templates by their name, place and text. All apps compile alike, so it is good for each of them."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if (code := self._code.get(bucket.key)) is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


def compile_once() -> None:
    """For all apps that are made from now on in this process."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": Compiled()}
