"""``--update-golden`` writes the golden files anew: read the difference before you commit it.

The option is known where this folder, or a file in it, is named: ``pytest tests/unit/converters --update-golden``.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/fixtures/golden anew")


@pytest.fixture(scope="session")
def updates_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden", default=False))
