"""What the admin door reads."""

from __future__ import annotations

from app.schemas.base import Boundary, Text


class MappingTarget(Boundary):
    """``PUT /admin/mapping/{from}``."""

    to = Text(required=True)
