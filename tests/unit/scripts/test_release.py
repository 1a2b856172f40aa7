"""A release is made only where tag, code and changelog name the same version."""

from __future__ import annotations

import pytest

from scripts.release import notes

LOG = """\
# Changelog

## [Unreleased]

## [0.2.0] – 2026-12-01

### Added

- This.

## [0.1.0] – 2026-11-22

- That.
"""


def test_the_notes_are_those_of_the_version() -> None:
    assert notes("v0.2.0", "0.2.0", LOG) == "### Added\n\n- This."


@pytest.mark.parametrize(
    ("tag", "version", "log", "words"),
    [
        ("v0.2.1", "0.2.0", LOG, "the tag is v0.2.1, and app/version.py says 0.2.0"),
        ("v0.2.0", "0.2.0.dev0", LOG, "says 0.2.0.dev0"),
        ("v0.3.0", "0.3.0", "## [Unreleased]\n", "has no heading [0.3.0]"),
        ("v0.1.0", "0.1.0", LOG, "has changes under [0.2.0], above those of 0.1.0"),
        ("v0.2.0", "0.2.0", LOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), "changes under [Unreleased]"),
    ],
)
def test_what_disagrees_is_named(tag: str, version: str, log: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as problem:
        notes(tag, version, log)
    assert words in str(problem.value)
