"""A crowd of streams at once through nginx, with the configuration that deploy/ ships, to two workers.

A thousand in ``make fuzz`` and in CI, and 200 in ``make test``.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.clients import Client, Heard
from tests.soak.plan import BY_NAME, Wanted
from tests.soak.upstream import Upstream
from tests.support import dialects
from tests.support.bridge import Bridge
from tests.support.effort import IS_THOROUGH
from tests.support.nginx import NGINX, Nginx
from tests.support.raw_upstream import environment

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CROWD = 1000 if IS_THOROUGH else 200
PIECES = 3


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    """Each stream takes two connections here, two in nginx and two in the bridge, which inherit the limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Gathering(Upstream):
    """Each stream waits after its first event until the whole crowd has come so far."""

    def __init__(self) -> None:
        super().__init__(pace_s=0.0)
        self._all_are_here = asyncio.Event()

    async def _paced(self, events: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(events[0])
        if len(self.answering) == CROWD:
            self._all_are_here.set()
        await self._all_are_here.wait()
        await super()._paced(events[1:], writer)


def test_a_crowd_of_streams_at_once(tmp_path: Path) -> None:
    pairs = itertools.cycle(itertools.product(dialects.PROTOCOLS, dialects.PROTOCOLS))
    finished = BY_NAME["stream, finished"]
    wanted = [
        Wanted(f"crowd-{number}", door, protocol, finished, PIECES, 1)
        for number, (door, protocol) in zip(range(CROWD), pairs, strict=False)
    ]
    heard = Heard()

    async def ask_all(upstream: Upstream, nginx: Nginx, key: str) -> None:
        async with upstream:
            await asyncio.gather(*(Client(nginx.port, key, heard).ask_all(iter([one])) for one in wanted))

    upstream = Gathering()
    (tmp_path / "nginx").mkdir()
    env = {**environment(upstream.url), "LOG_LEVEL": "INFO", "TRUSTED_PROXIES": "1"}
    with (
        Bridge(env, tmp_path, workers=2) as bridge,
        Nginx(bridge, tmp_path / "nginx", connections=4 * CROWD) as nginx,
    ):
        asyncio.run(ask_all(upstream, nginx, bridge.api_key))
    assert len(heard.answers) == CROWD
    assert [wrong for _, wrong in heard.answers.values() if wrong] == []
