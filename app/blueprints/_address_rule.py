"""The rule of an endpoint's address, as Flask keeps it."""

from __future__ import annotations

from collections.abc import Callable

from werkzeug.routing import Rule

Builder = Callable[..., tuple[str, str]]


class LazyRule(Rule):
    """Can build its address only from the first time on that somebody asks it to.

    werkzeug compiles two functions for that with each rule, which took most of the time in which an app is made; hardly
    any of them is ever called.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Builder:
        compile_now = super()._compile_builder
        compiled: Builder | None = None

        def build(rule: LazyRule, /, **values: object) -> tuple[str, str]:
            nonlocal compiled
            if compiled is None:
                compiled = compile_now(append_unknown)
            return compiled(rule, **values)

        return build
