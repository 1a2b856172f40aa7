"""Stored answers of /v1/responses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "bridge_stored_responses",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("handle", sa.Text, primary_key=True),
        sa.Column("previous", sa.Text),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("bridge_stored_responses_expire", "bridge_stored_responses", ["expires_at"])
    op.create_index("bridge_stored_responses_age", "bridge_stored_responses", ["created_at"])
