"""What the admin door reads."""

from __future__ import annotations

from app.schemas.base import Boundary, Name


class MappingTarget(Boundary):
    """``PUT /admin/mapping/{from}``."""

    to = Name(required=True)
