"""Which form of the tables this program knows. Not asked of Alembic, which takes a second to import."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

MIGRATIONS: Final = Path(__file__).parent / "migrations"
TABLE: Final = "bridge_revision"
"""Where the database keeps its own revision; Alembic's usual name may be another program's."""

_FILE = re.compile(r"rev_(\d{4})_\w+\.py")


@functools.cache
def head() -> str:
    """The newest revision, as four digits: the revisions are one chain, numbered in their order."""
    found = (_FILE.fullmatch(file.name) for file in (MIGRATIONS / "versions").iterdir())
    return max(match[1] for match in found if match)
