"""The short form of ``make soak``: a few hundred requests, some cut and some left, all of them accounted for."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.soak.plan import KINDS
from tests.soak.run import APP, Load, broken, soak, table
from tests.soak.upstream import Upstream
from tests.support.bridge import Bridge
from tests.support.raw_upstream import environment

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc to see what is left")


def test_after_many_streams_all_is_accounted_for_and_nothing_is_left(tmp_path: Path) -> None:
    load = Load(streams=40, wholes=8, pace_s=0.02, pieces=(4, 10), answers=160)
    upstream = Upstream(load.pace_s)
    with Bridge({**environment(upstream.url), "LOG_LEVEL": "INFO"}, tmp_path, workers=2, app=APP) as bridge:
        seen = asyncio.run(soak(bridge, upstream, load))
    print(table(seen))
    assert Counter(one.kind.name for one, _ in seen.heard.answers.values()).keys() == {kind.name for kind in KINDS}
    assert broken(seen) == []
