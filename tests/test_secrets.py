"""The last test of a run: nothing that the service logged or answered holds a secret (logs, errors, pages, streams)."""

from __future__ import annotations

import re

import pytest

from tests.support import evidence
from tests.support.secrets import PATTERNS


def test_no_secret_in_any_log_or_response_of_this_run() -> None:
    files = sorted(evidence.folder().glob("*.txt"))
    if not files:
        pytest.skip("no other test ran in this process, so there is nothing to look at")
    found = [
        f"{file.name}: {match.group()[:12]!r}… in {content[max(0, match.start() - 60) : match.start()]!r}"
        for file in files
        for content in [file.read_bytes()]
        for pattern in PATTERNS
        for match in re.finditer(pattern, content)
    ]
    assert found == []


def test_the_scan_would_see_a_leak() -> None:
    for leak in (b"ghu_test_individual", b"tid=0f1e2d3c4b5a;exp=1", b"key-test-planted-4f1c9d", b"gho_test_direct"):
        assert any(re.search(pattern, b"x" + leak) for pattern in PATTERNS)
