"""A report as JSON and as CSV."""

from __future__ import annotations

import csv
from datetime import date

from app.ledger.report import COLUMNS, as_csv, as_json
from app.ledger.sums import NAMES

SUMS = dict.fromkeys(NAMES, 0) | {
    "calls": 3,
    "exact_nano": 9_007_199_254_740_993,
    "estimated_nano": 500_000_000,
    "premium_milli": 330,
    "first_bytes": 2,
    "first_byte_ms": 301,
    "duration_ms": 900,
}
ROWS = [("gpt-x", SUMS), ("=cmd", dict.fromkeys(NAMES, 0) | {"calls": 1, "exact_nano": 1})]


def test_json_has_rows_and_their_total() -> None:
    told = as_json(date(2026, 11, 1), date(2026, 11, 30), "model", ROWS)
    assert (told["from"], told["to"], told["group"]) == ("2026-11-01", "2026-11-30", "model")
    assert told["rows"][0]["model"] == "gpt-x"
    assert told["rows"][0]["nano_credits"] == 9_007_199_254_740_993
    assert (told["rows"][0]["first_byte_ms"], told["rows"][0]["duration_ms"]) == (150, 300)
    assert told["rows"][1]["first_byte_ms"] is None
    assert told["total"]["nano_credits"] == 9_007_199_254_740_994
    assert told["total"]["calls"] == 4


def test_csv_has_a_header_exact_credits_and_no_formulas() -> None:
    rows = list(csv.reader(as_csv("model", ROWS).splitlines()))
    assert rows[0] == ["model", *COLUMNS]
    first = dict(zip(rows[0], rows[1], strict=True))
    assert first["credits"] == "9007199.254740993"
    assert first["credits_estimated"] == "0.5"
    assert first["premium_requests"] == "0.33"
    assert rows[2][0] == "'=cmd"
