"""Waiting for what happens in another process or thread, where nobody tells when."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.02


def until(is_so: Callable[[], bool], *, within_s: float = PATIENCE_S) -> None:
    """Look again and again until it is so. It passes as soon as it is; the limit is for what never comes to be."""
    give_up_at = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < give_up_at, f"it did not come to that in {within_s:g} s"
        time.sleep(_LOOK_S)
