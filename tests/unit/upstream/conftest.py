from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dialects import MODELS
from tests.support.raw_upstream import RawUpstream


@pytest.fixture
def raw() -> Iterator[RawUpstream]:
    """An upstream on a real socket, with a model for each protocol."""
    with RawUpstream(MODELS) as running:
        yield running
