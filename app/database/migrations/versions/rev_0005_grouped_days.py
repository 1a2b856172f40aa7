"""The sums of a day by one word alone, made from those that are there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_SUMS = (
    *("calls", "failed_calls"),
    *("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("exact_nano", "estimated_nano", "calls_of_unknown_cost", "premium_milli"),
    *("first_bytes", "first_byte_ms", "duration_ms"),
)


def upgrade() -> None:
    op.create_table(
        "ledger_grouped_days",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("word", "day", "name")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sqlite_with_rowid=False,
    )
    for word in ("", "key", "account", "client", "model"):
        name = f"days.{word}" if word else "''"
        sums = ", ".join(f"sum(days.{column})" for column in _SUMS)
        grouped = f"days.day, {name}" if word else "days.day"
        op.execute(
            f"INSERT INTO ledger_grouped_days (word, day, name, {', '.join(_SUMS)})"  # noqa: S608 - our own names
            f" SELECT '{word}', days.day, {name}, {sums} FROM ledger_days AS days GROUP BY {grouped}"
        )
