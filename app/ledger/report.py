"""What a report says, as JSON, as CSV, and in one line of each sum."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from app.converters.wire.accounting import NANO, credits_text
from app.ledger.sums import NAMES, Sums

_COUNTS: Final = (
    "calls",
    "failed_calls",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
COLUMNS: Final = (
    *_COUNTS,
    "credits",
    "credits_estimated",
    "calls_of_unknown_cost",
    "premium_requests",
    "first_byte_ms",
    "duration_ms",
)
"""Of a row, behind what it is grouped by. credits are the exact ones; the estimated ones come on top."""

_RISKY: Final = ("=", "+", "-", "@", "\t", "\r")


def told(sums: Sums) -> dict[str, Any]:
    """Sums as JSON tells them.

    ``{"calls", …, "credits", "nano_credits", "credits_estimated", "nano_credits_estimated", "calls_of_unknown_cost",
    "premium_requests", "first_byte_ms", "duration_ms"}``: credits are numbers for people, nano-credits whole and exact;
    both times are means, in milliseconds, None without a call that has one.
    """
    return {
        **{name: sums[name] for name in _COUNTS},
        "credits": sums["exact_nano"] / NANO,
        "nano_credits": sums["exact_nano"],
        "credits_estimated": sums["estimated_nano"] / NANO,
        "nano_credits_estimated": sums["estimated_nano"],
        "calls_of_unknown_cost": sums["calls_of_unknown_cost"],
        "premium_requests": sums["premium_milli"] / 1000,
        "first_byte_ms": _mean(sums["first_byte_ms"], sums["first_bytes"]),
        "duration_ms": _mean(sums["duration_ms"], sums["calls"]),
    }


def added_up(rows: Sequence[tuple[str, Sums]]) -> Sums:
    """The sum of all rows."""
    return {name: sum(sums[name] for _, sums in rows) for name in NAMES}


def as_json(first: date, last: date, group: str, rows: Sequence[tuple[str, Sums]]) -> dict[str, Any]:
    """``{"from", "to", "group", "rows": [{<group>: …, …}], "total": {…}}``."""
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "group": group,
        "rows": [{group: name, **told(sums)} for name, sums in rows],
        "total": told(added_up(rows)),
    }


def as_csv(group: str, rows: Sequence[tuple[str, Sums]]) -> str:
    """A line for each row, with a header (RFC 4180). Credits have all their decimals."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow((group, *COLUMNS))
    for name, sums in rows:
        exact = {
            "credits": credits_text(sums["exact_nano"]),
            "credits_estimated": credits_text(sums["estimated_nano"]),
        }
        writer.writerow((_harmless(name), *({**told(sums), **exact}[column] for column in COLUMNS)))
    return out.getvalue()


def _harmless(name: str) -> str:
    """A name that a spreadsheet does not take for a formula: names come from clients."""
    return f"'{name}" if name.startswith(_RISKY) else name


def _mean(total: int, count: int) -> int | None:
    return round(total / count) if count else None
