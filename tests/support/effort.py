"""How much is tried by tests that try many things at random: a share in `make test`, all of it in `make fuzz`.

CI runs both, so that each change meets all of it; no law is left out of either.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import Final

THOROUGH: Final = "THOROUGH"
"""The variable that asks for all; ``make fuzz`` sets it for every test that imports this module, or has `@given`."""

IS_THOROUGH: Final = os.environ.get(THOROUGH) == "1"
_SHARE: Final = 3


def tries(all_of_them: int) -> int:
    """So many examples, of as many as `make fuzz` looks at."""
    return all_of_them if IS_THOROUGH else -(-all_of_them // _SHARE)


def places_to_cut(raw: bytes, all_of_them: int | None = None, *, seed: str) -> Iterable[int]:
    """Places to cut a stream at: so many (None: each byte), and all places within a character; the same each time."""
    if all_of_them is None:
        wanted = len(raw) if IS_THOROUGH else 200
    else:
        wanted = tries(all_of_them)
    if len(raw) <= wanted:
        return range(len(raw))
    inside = [at for at in range(len(raw)) if 0x80 <= raw[at] < 0xC0]
    return sorted({*random.Random(seed).sample(range(len(raw)), wanted), *inside})
