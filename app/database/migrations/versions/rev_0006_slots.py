"""As how many answers in progress a row counts: one that holds something ahead for as many as it may let in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("key_calls", sa.Column("slots", sa.Integer, nullable=False, server_default="1"))
