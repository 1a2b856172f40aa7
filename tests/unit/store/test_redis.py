"""What only the Redis store must do: name its keys, expire them on the server, keep the password to itself."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from app.errors import StoreError
from app.store import open_store, redis
from app.store.redis import RedisStore

if TYPE_CHECKING:
    from tests.unit.store.conftest import Backend

SECRET = "correct-horse-battery"


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    with closing(RedisStore(redis_url)) as store:
        yield store


@pytest.fixture
def server(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def test_all_keys_carry_the_prefix_and_leases_collide_with_no_value(store: RedisStore, server: Redis) -> None:
    store.put("name", "value")
    store.update("other", lambda _: "value")
    store.acquire("name", owner="me", ttl_s=60)
    assert sorted(server.keys()) == [
        "copilot-bridge:entry:name",
        "copilot-bridge:entry:other",
        "copilot-bridge:lease:name",
    ]


def test_scan_ignores_what_others_keep_there(store: RedisStore, server: Redis) -> None:
    server.set("foreign", "value")
    server.set("xcopilot-bridge:entry:a", "value")
    server.hset("copilot-bridge:entry:not-a-string", "field", "value")
    store.put("a", "ours")
    assert store.scan("") == {"a": "ours"}


def test_expiry_is_left_to_the_server(store: RedisStore, server: Redis) -> None:
    store.put("lasting", "value")
    store.put("key", "1", ttl_s=60)
    store.update("key", lambda _: "2")
    store.acquire("lease", owner="me", ttl_s=1.5)
    assert server.pttl("copilot-bridge:entry:lasting") == -1
    assert 50_000 < server.pttl("copilot-bridge:entry:key") <= 60_000
    assert 0 < server.pttl("copilot-bridge:lease:lease") <= 1_500


def test_shortest_ttl_is_one_the_server_takes(store: RedisStore) -> None:
    store.put("key", "value", ttl_s=0.000_001)
    assert store.acquire("lease", owner="me", ttl_s=0.000_001)


def test_update_starts_over_when_another_was_faster(store: RedisStore, server: Redis) -> None:
    seen: list[str | None] = []

    def change(old: str | None) -> str:
        seen.append(old)
        if len(seen) == 1:
            server.set("copilot-bridge:entry:key", "theirs")
        return f"{old}, then ours"

    assert store.update("key", change) == "theirs, then ours"
    assert seen == [None, "theirs"]


def test_update_gives_up_in_the_end(store: RedisStore, server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "BUSY_LIMIT_S", 0.0)
    with pytest.raises(StoreError, match="kept changing"):
        store.update("key", lambda old: str(server.incr("copilot-bridge:entry:key")) + "x")


def test_dead_server_is_an_error_with_the_place_but_without_the_password(unused_port: int) -> None:
    with closing(RedisStore(f"redis://user:{SECRET}@127.0.0.1:{unused_port}/3")) as store:
        for call in (
            lambda: store.get("key"),
            lambda: store.put("key", "value"),
            lambda: store.delete("key"),
            lambda: store.scan(""),
            lambda: store.update("key", lambda old: old),
            lambda: store.acquire("name", owner="me", ttl_s=1),
            lambda: store.release("name", owner="me"),
        ):
            with pytest.raises(StoreError, match=rf"Redis at 127\.0\.0\.1:{unused_port}/3 ") as caught:
                call()
            assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_wrong_password_is_told_but_not_shown(redis_port: int) -> None:
    with closing(RedisStore(f"redis://:{SECRET}@127.0.0.1:{redis_port}/0")) as store:
        with pytest.raises(StoreError, match="password") as caught:
            store.get("key")
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_password_quoted_by_the_server_is_masked(store: RedisStore, server: Redis) -> None:
    server.lpush("copilot-bridge:entry:list", "value")
    # A word that this refusal is known to hold stands in for a secret that a refusal might hold.
    store._password = "WRONGTYPE"
    with pytest.raises(StoreError, match=r"\(\*\*\* Operation against") as caught:
        store.get("list")
    assert "WRONGTYPE" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("url", [f"redis://:{SECRET[:4]}/{SECRET}@host", f"http://:{SECRET}@host", f"{SECRET}@host"])
def test_malformed_url_is_told_but_not_shown(url: str) -> None:
    with pytest.raises(StoreError, match="REDIS_URL is malformed") as caught:
        RedisStore(url)
    text = "".join(traceback.format_exception_only(caught.value))
    assert SECRET[:4] not in text


def test_wrong_kind_of_value_is_an_error(store: RedisStore, server: Redis) -> None:
    server.lpush("copilot-bridge:entry:list", "value")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        store.get("list")


def test_missing_package_is_told(redis_backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StoreError, match="package 'redis'"):
        redis_backend.open()


def test_package_is_not_needed_without_an_address() -> None:
    script = (
        "import sys; sys.modules['redis'] = None; from pathlib import Path; from app.store import open_store;"
        "open_store(data_dir=Path('unused'), redis_url='')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, sys
from pathlib import Path
from app.store import open_store

store = open_store(data_dir=Path(sys.argv[1]), redis_url=sys.argv[2])
store.put("key", "value")
readers = [gevent.spawn(store.get, "key") for _ in range(300)]
gevent.joinall(readers, raise_error=True)
print({reader.value for reader in readers})
store.close()
"""


def test_more_greenlets_than_connections_wait_their_turn(redis_backend: Backend) -> None:
    assert redis_backend.run_script(GREENLETS) == "{'value'}\n"


def test_store_is_chosen_by_the_address(redis_backend: Backend) -> None:
    store = open_store(data_dir=redis_backend.data_dir, redis_url=redis_backend.redis_url)
    store.put("key", "value")
    store.close()
    assert isinstance(store, RedisStore)
    assert not redis_backend.data_dir.exists()


@pytest.fixture
def unused_port() -> Iterator[int]:
    import socket

    # Bound but not listening: connecting is refused, and nobody else can take it meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_error_quotes_nothing_of_what_was_to_be_written(store: RedisStore, server: Redis) -> None:
    server.config_set("maxmemory", 1)
    try:
        for write in (lambda: store.update("key", lambda _: "a-secret"), lambda: store.put("key", "a-secret")):
            with pytest.raises(StoreError, match="is full") as caught:
                write()
            assert "secret" not in caught.value.message
    finally:
        server.config_set("maxmemory", 0)
