"""Which modules begin first: those that take longest, so that processes that run them side by side end together."""

from __future__ import annotations

from typing import Final

LONGEST: Final = (
    # Of `make test`: they start, stop and damage services, some a dozen of them.
    "tests/integration/test_upgrade.py",
    "tests/integration/test_restart.py",
    "tests/integration/test_wheel.py",
    "tests/integration/test_state_faults.py",
    "tests/integration/test_ways_to_run.py",
    "tests/integration/test_run_client.py",
    "tests/integration/test_documents.py",
    "tests/e2e/test_browser.py",
    "tests/integration/test_ledger.py",
    "tests/integration/test_doctor.py",
    "tests/integration/test_workers.py",
    "tests/integration/test_team.py",
    "tests/integration/test_key_limits.py",
    "tests/integration/test_database_faults.py",
    # Of `make e2e`: their clients wait before they try again, or take long to start.
    "tests/clients/test_opencode.py",
    "tests/clients/test_aider.py",
    "tests/clients/test_library_troubles.py",
    "tests/clients/test_qwen_code.py",
    "tests/clients/test_libraries.py",
    "tests/clients/test_run.py",
    "tests/clients/test_silence.py",
    "tests/clients/test_stored_conversations.py",
)
"""Longest first; all others come behind them, in pytest's order. ``ARGS=--durations=200`` tells what takes how long."""

_PLACES: Final = {path: place for place, path in enumerate(LONGEST)}


def place_of(test: str) -> int:
    """Where a test of this id begins, compared with others; within a module all are alike."""
    return _PLACES.get(test.partition("::")[0], len(_PLACES))
