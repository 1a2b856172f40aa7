"""Apps of one test process share compiled templates, and no template that says something else by now."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, render_template
from flask.templating import Environment


def said(folder: Path) -> str:
    app = Flask("any", template_folder=str(folder))
    with app.app_context():
        return render_template("page.html", name="<you>")


def test_a_template_is_compiled_once_for_all_apps_and_again_when_it_changes(tmp_path: Path, monkeypatch) -> None:
    compiled: list[str] = []
    plain = Environment._generate

    def counted(self: Environment, source, name, filename, defer_init=False):
        compiled.append(filename)
        return plain(self, source, name, filename, defer_init)

    monkeypatch.setattr(Environment, "_generate", counted)
    page = tmp_path / "page.html"
    page.write_text("Hello {{ name }}")
    assert [said(tmp_path), said(tmp_path)] == ["Hello &lt;you&gt;"] * 2
    assert compiled == [str(page)]
    page.write_text("Bye {{ name }}")
    assert said(tmp_path) == "Bye &lt;you&gt;"
    assert compiled == [str(page)] * 2
