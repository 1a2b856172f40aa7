"""Addresses are built as werkzeug's own rules build them, but what builds them is compiled when it is needed."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.routing import BuildError, Map, MapAdapter, Rule

from app import create_app
from app.settings import Settings

VALUES = {"name": "a b/ü?", "id": "resp_1"}


def adapter(app: Flask, kind: type[Rule]) -> MapAdapter:
    known = app.url_map.iter_rules()
    rules = [kind(it.rule, endpoint=it.endpoint, methods=it.methods, defaults=it.defaults) for it in known]
    return Map(rules, strict_slashes=False, merge_slashes=False).bind("bridge.test")


def test_nothing_is_compiled_before_an_address_is_built(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    plain = Rule._compile_builder

    def counted(self: Rule, append_unknown: bool = True):
        compiled.append(self.rule)
        return plain(self, append_unknown)

    monkeypatch.setattr(Rule, "_compile_builder", counted)
    app = create_app(settings)
    assert compiled == []
    with app.test_request_context():
        assert app.url_for("chat.create_chat_completion") == app.url_for("chat.create_chat_completion")
    assert len(compiled) == 1
    app.extensions["gateway"].close()


def built(rules: MapAdapter, endpoint: str, values: dict[str, str]) -> str | None:
    """The address; None if it cannot be built of these values."""
    try:
        return rules.build(endpoint, values)
    except BuildError:
        return None


@pytest.mark.parametrize("more", [{}, {"and": "more", "rule": "1", "self": "2"}], ids=["as it is", "with a query"])
def test_every_address_is_what_a_plain_rule_makes_of_it(app: Flask, more: dict[str, str]) -> None:
    ours, plain = (adapter(app, kind) for kind in (app.url_rule_class, Rule))
    assert app.url_rule_class is not Rule
    for rule in app.url_map.iter_rules():
        values = {name: VALUES.get(name, f"the {name}") for name in rule.arguments} | more
        address = built(ours, rule.endpoint, values)
        assert address is not None
        assert address == built(plain, rule.endpoint, values)
        assert built(ours, rule.endpoint, more) == built(plain, rule.endpoint, more)
    assert built(ours, "responses.show", more) is None
