from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.machine import NEEDS, report

ROOT = Path(__file__).resolve().parents[2]


def test_ci_installs_everything_that_the_tests_use() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    for need in NEEDS:
        assert re.search(rf"missing\+=\([^)]*\b{need.package}\b", script), need.package


def test_what_is_missing_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name == "nginx" else f"/usr/bin/{name}")
    first, second, *missing = report()
    assert "minutes" in first
    assert "chromium" in second
    assert "nginx" not in second
    assert missing == [
        "missing: nginx-light, so the way through a proxy will be skipped or fail (bash .ci/run installs it)"
    ]
