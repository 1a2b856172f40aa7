"""What the dashboard and the documents show is there, and what is there is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

from app.metrics import exposition

ROOT = Path(__file__).parents[3]
COUNTERS = {f"{theirs}_total" for _, theirs, *_ in exposition._COUNTERS}
SPREADS = {theirs for _, theirs, *_ in exposition._SPREADS}
GAUGES = {theirs for _, theirs, *_ in exposition._GAUGES}
ALL = COUNTERS | SPREADS | GAUGES


def named_in(text: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bbridge_[a-z_]+", text)}


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    board = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text("utf-8"))
    asked = {target["expr"] for panel in board["panels"] for target in panel["targets"]}
    shown = set().union(*map(named_in, asked))
    assert shown <= ALL
    # The rest is for alerts and for whoever looks closer.
    assert ALL - shown <= {"bridge_quota_remaining", "bridge_calls_booked_total"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_documents_name_every_metric_and_no_other() -> None:
    for name in ("usage.md", "usage.zh-CN.md"):
        assert named_in((ROOT / "docs" / name).read_text("utf-8")) == ALL, name
