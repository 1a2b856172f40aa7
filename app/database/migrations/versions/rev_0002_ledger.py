"""The ledger: single calls, the sums of each day, and what GitHub said at first of a billing period."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "ledger_calls",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("ended_at", sa.Float, nullable=False),
        *_texts("request_id", "upstream_request_id", "key", "account", "client", "dialect", "model", "served_model"),
        *_texts("upstream", "initiator", "purpose", "conversation"),
        sa.Column("streamed", sa.Boolean, nullable=False),
        *_counts("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
        *_counts("nano_credits"),
        sa.Column("is_estimated", sa.Boolean, nullable=False),
        *_counts("premium_milli", "first_byte_ms"),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        *_texts("outcome"),
        sa.Column("status", sa.Integer, nullable=False),
        *_texts("error"),
    )
    op.create_index("ledger_calls_by_time", "ledger_calls", ["ended_at"])
    op.create_table(
        "ledger_days",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("day", "key", "account", "client", "model")),
        *_sums("calls", "failed_calls"),
        *_sums("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
        *_sums("exact_nano", "estimated_nano", "calls_of_unknown_cost", "premium_milli"),
        *_sums("first_bytes", "first_byte_ms", "duration_ms"),
    )
    op.create_index("ledger_days_by_key", "ledger_days", ["key", "day"])
    op.create_index("ledger_days_by_account", "ledger_days", ["account", "day"])
    op.create_table(
        "ledger_baselines",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.Float, nullable=False),
        *_sums("used_nano", "booked_nano"),
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger) for name in names]


def _sums(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]
