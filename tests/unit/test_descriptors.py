"""Without a file descriptor everything fails in words that blame another; errors name the cause instead."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.database import Database
from app.descriptors import none_left
from app.errors import DatabaseError, GatewayError, StoreError
from app.outbound import Outbound, explain
from app.store.redis import RedisStore
from app.store.sqlite import SqliteStore
from app.upstream.images.fetch import ImageFetcher

WORDS = "no file descriptor left"


@contextlib.contextmanager
def used_up() -> Iterator[None]:
    """The limit is what is open at this moment, for this process."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_it_is_told_while_it_lasts() -> None:
    assert none_left() is None
    with used_up():
        found = none_left()
    assert found is not None
    assert (found.status, found.code) == (503, "out_of_descriptors")
    assert "LimitNOFILE" in found.message
    assert none_left() is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/models", "https://copilot.test/models"])
def test_a_call_names_it_and_not_the_network(url: str) -> None:
    outbound = Outbound()
    with used_up(), pytest.raises(GatewayError, match=WORDS):
        outbound.send("GET", url, headers={}, connect_timeout_s=5, read_timeout_s=5)


def test_another_cause_is_told_as_it_was() -> None:
    assert "127.0.0.1" in explain(requests.ConnectionError("connection refused"), "http://127.0.0.1:9/").message


def test_state_file_and_redis_name_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    with used_up(), pytest.raises(StoreError, match=WORDS):
        store.get("key")
    assert store.get("key") is None
    redis = RedisStore("redis://127.0.0.1:9/0")
    for _ in range(2):
        with used_up(), pytest.raises(StoreError, match=WORDS):
            redis.get("key")


@pytest.mark.parametrize("url", [None, "postgresql://b:p@127.0.0.1:9/b"])
def test_the_database_names_it(tmp_path: Path, url: str | None) -> None:
    database = Database.at(data_dir=tmp_path, url=url)
    with contextlib.suppress(DatabaseError):
        database.prepare()  # what it needs is imported now
    with used_up(), pytest.raises(DatabaseError, match=WORDS):
        Database.at(data_dir=tmp_path, url=url).prepare()
    database.close()


@pytest.mark.parametrize("host", ["93.184.216.34", "images.test"])
def test_an_image_names_it_and_not_its_host(host: str) -> None:
    fetcher = ImageFetcher(max_bytes=100, max_total_bytes=100, timeout_s=5, proxies_for=lambda _: {}, verify=True)
    with used_up(), pytest.raises(GatewayError, match=WORDS):
        fetcher.fetch(f"http://{host}/picture.png")
