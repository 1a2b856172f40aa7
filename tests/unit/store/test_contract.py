"""What every store must do, checked on each of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from app.store import Entry, Store

if TYPE_CHECKING:
    from tests.unit.store.conftest import Backend


def increment(old: str | None) -> str:
    return str(int(old or 0) + 1)


# --- values ---


def test_absent_key_is_none(store: Store) -> None:
    assert store.get("nothing") is None


@pytest.mark.parametrize(
    "value", ["", "plain", "zwölf 🐈 \u2028", '{"a": [1, 2]}', "line\nline", "nul\0nul", "x" * 300_000]
)
def test_value_comes_back_verbatim(store: Store, value: str) -> None:
    store.put("key", value)
    assert store.get("key") == value


def test_several_values_come_in_the_order_of_their_keys(store: Store, backend: Backend) -> None:
    store.put("a", "1")
    store.put("b", "2", ttl_s=5)
    store.put("c", "3")
    assert store.get_many(["c", "none", "a", "b", "a"]) == ["3", None, "1", "2", "1"]
    assert store.get_many(["none"]) == [None]
    backend.pass_time(6)
    assert store.get_many(["b", "a"]) == [None, "1"]


def test_put_replaces_value_and_ttl(store: Store, backend: Backend) -> None:
    store.put("key", "short-lived", ttl_s=10)
    store.put("key", "lasting")
    backend.pass_time(20)
    assert store.get("key") == "lasting"


def test_delete_tells_whether_there_was_something(store: Store) -> None:
    store.put("key", "value")
    assert store.delete("key") is True
    assert store.delete("key") is False
    assert store.get("key") is None


def test_values_survive_close_and_use_goes_on(store: Store) -> None:
    store.put("key", "value")
    store.close()
    store.close()
    assert store.get("key") == "value"


# --- time to live ---


def test_value_lives_until_its_ttl(store: Store, backend: Backend) -> None:
    store.put("key", "value", ttl_s=60)
    backend.pass_time(50)
    assert store.get("key") == "value"
    backend.pass_time(10)
    assert store.get("key") is None
    assert store.scan("") == {}
    assert store.delete("key") is False


@pytest.mark.parametrize("ttl_s", [0, -5.5])
def test_ttl_of_nothing_removes_at_once(store: Store, ttl_s: float) -> None:
    store.put("key", "old")
    store.put("key", "new", ttl_s=ttl_s)
    assert store.get("key") is None


def test_update_sees_expired_value_as_absent_and_inherits_no_ttl(store: Store, backend: Backend) -> None:
    store.put("key", "5", ttl_s=10)
    backend.pass_time(10)
    assert store.update("key", increment) == "1"
    backend.pass_time(1000)
    assert store.get("key") == "1"


def test_update_is_no_renewal(store: Store, backend: Backend) -> None:
    store.put("key", "5", ttl_s=10)
    backend.pass_time(6)
    assert store.update("key", increment) == "6"
    assert store.get("key") == "6"
    backend.pass_time(6)
    assert store.get("key") is None


# --- scan ---


def test_scan_is_sorted_and_bound_to_prefix(store: Store) -> None:
    for key in ("b:2", "a:1", "b:1", "b", "c:1", "b:ä", "b:Z"):
        store.put(key, f"value of {key}")
    assert list(store.scan("b:").items()) == [(key, f"value of {key}") for key in ("b:1", "b:2", "b:Z", "b:ä")]
    assert list(store.scan("")) == ["a:1", "b", "b:1", "b:2", "b:Z", "b:ä", "c:1"]


@pytest.mark.parametrize("prefix", ["a*", "a?", "a[b]", "a%", "a_", "a\\", "a[^b", "a'"])
def test_scan_takes_prefix_literally(store: Store, prefix: str) -> None:
    for key in ("ab", "abc", "a[", "A*1", prefix + "1"):
        store.put(key, "value")
    assert store.scan(prefix) == {prefix + "1": "value"}


def test_scan_reads_more_than_one_page(store: Store) -> None:
    expected = {f"k{number:04}": str(number) for number in range(1200)}
    for key, value in expected.items():
        store.put(key, value)
    assert list(store.scan("k").items()) == list(expected.items())


def test_scan_shows_no_leases(store: Store) -> None:
    store.acquire("name", owner="me", ttl_s=60)
    assert store.scan("") == {}
    assert store.get("name") is None


# --- update ---


def test_update_creates_changes_and_deletes(store: Store) -> None:
    assert store.update("key", increment) == "1"
    assert store.update("key", increment) == "2"
    assert store.get("key") == "2"
    assert store.update("key", lambda _: None) is None
    assert store.get("key") is None
    assert store.update("key", lambda _: None) is None


def test_update_that_raises_writes_nothing_and_blocks_nobody(store: Store, backend: Backend) -> None:
    def fail(_: str | None) -> NoReturn:
        raise LookupError("no")

    store.put("key", "value")
    with pytest.raises(LookupError):
        store.update("key", fail)
    assert store.get("key") == "value"
    assert backend.open().update("key", lambda _: "next") == "next"


def test_threads_lose_no_update(store: Store) -> None:
    def count() -> None:
        for _ in range(25):
            store.update("key", increment)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("key") == "200"


def test_eight_processes_lose_no_update(store: Store, backend: Backend) -> None:
    workers = backend.start_workers(8)
    for worker in workers:
        worker.ask("get", key="warm-up")
    for worker in workers:
        worker.send("count", key="key", times=100)
    for worker in workers:
        worker.receive()
    assert store.get("key") == "800"


def test_eight_processes_may_open_a_new_store_at_once(store: Store, backend: Backend) -> None:
    workers = backend.start_workers(8)
    for number, worker in enumerate(workers):
        worker.send("put", key=f"key{number}", value="value")
    for worker in workers:
        worker.receive()
    assert len(store.scan("key")) == 8


def test_other_process_sees_changes_at_once(store: Store, backend: Backend) -> None:
    worker = backend.start_worker()
    assert worker.ask("get", key="key") is None
    for value in ("one", "two", "three"):
        store.put("key", value)
        assert worker.ask("get", key="key") == value
    worker.ask("put", key="key", value="four")
    assert store.get("key") == "four"
    worker.ask("delete", key="key")
    assert store.get("key") is None


# --- leases ---


def test_lease_is_exclusive_until_released(store: Store) -> None:
    assert store.acquire("lease", owner="me", ttl_s=60) is True
    assert store.acquire("lease", owner="you", ttl_s=60) is False
    assert store.acquire("another", owner="you", ttl_s=60) is True
    store.release("lease", owner="me")
    assert store.acquire("lease", owner="you", ttl_s=60) is True


def test_lease_is_renewed_by_its_owner(store: Store, backend: Backend) -> None:
    store.acquire("lease", owner="me", ttl_s=60)
    backend.pass_time(50)
    assert store.acquire("lease", owner="me", ttl_s=60) is True
    backend.pass_time(50)
    assert store.acquire("lease", owner="you", ttl_s=60) is False


def test_refused_lease_is_not_prolonged(store: Store, backend: Backend) -> None:
    store.acquire("lease", owner="me", ttl_s=60)
    store.acquire("lease", owner="you", ttl_s=300)
    backend.pass_time(60)
    assert store.acquire("lease", owner="you", ttl_s=60) is True
    assert store.acquire("lease", owner="me", ttl_s=60) is False


def test_only_the_owner_can_release(store: Store) -> None:
    store.acquire("lease", owner="me", ttl_s=60)
    store.release("lease", owner="you")
    store.release("unknown", owner="you")
    assert store.acquire("lease", owner="you", ttl_s=60) is False


def test_late_release_does_not_take_the_lease_from_its_new_owner(store: Store, backend: Backend) -> None:
    store.acquire("lease", owner="slow", ttl_s=60)
    backend.pass_time(60)
    store.acquire("lease", owner="next", ttl_s=60)
    store.release("lease", owner="slow")
    assert store.acquire("lease", owner="third", ttl_s=60) is False


@pytest.mark.parametrize("ttl_s", [0, -1])
def test_lease_needs_a_lifetime(store: Store, ttl_s: float) -> None:
    with pytest.raises(ValueError, match="ttl_s"):
        store.acquire("lease", owner="me", ttl_s=ttl_s)


def test_each_lease_goes_to_one_of_eight_processes(backend: Backend) -> None:
    workers = backend.start_workers(8)
    names = [f"lease{number}" for number in range(50)]
    for worker in workers:
        worker.ask("get", key="warm-up")
    for number, worker in enumerate(workers):
        worker.send("acquire_each", names=names, owner=f"owner{number}")
    answers = [worker.receive() for worker in workers]
    assert [sum(wins) for wins in zip(*answers, strict=True)] == [1] * 50


# --- processes that end or fork ---


def test_killed_process_leaves_state_whole(store: Store, backend: Backend) -> None:
    worker = backend.start_worker()
    worker.ask("put", key="key", value="written")
    worker.send("count", key="counter", times=1_000_000)
    # Once the worker is at it, kill it in the middle, wherever that is.
    while store.get("counter") is None:
        pass
    worker.kill()
    assert store.get("key") == "written"
    before = int(store.get("counter") or 0)
    assert store.update("counter", increment) == str(before + 1)


FORK = """
import os, sys
from pathlib import Path
from app.store import open_store

store = open_store(data_dir=Path(sys.argv[1]), redis_url=sys.argv[2] or None)
store.put("parent", "before")
child_wrote, tell_parent = os.pipe()
parent_closed, tell_child = os.pipe()
child = os.fork()
if child == 0:
    assert store.get("parent") == "before"
    store.put("child", "while both are open")
    os.write(tell_parent, b"x")
    os.read(parent_closed, 1)
    store.put("child2", "after the parent closed")
    # Not closed: a last checkpoint would rescue what had gone to a deleted log.
    os._exit(0)
os.read(child_wrote, 1)
assert store.get("child") == "while both are open"
store.close()
os.write(tell_child, b"x")
assert os.waitpid(child, 0)[1] == 0
"""


def test_fork_with_an_open_store_loses_nothing(store: Store, backend: Backend) -> None:
    # The store of this process stays unopened until the end: it would keep SQLite's log alive and hide the fault.
    backend.run_script(FORK)
    assert list(store.scan("")) == ["child", "child2", "parent"]


# --- everything at once ---


def by_key(store: Store) -> dict[str, tuple[str, int | None]]:
    return {entry.key: (entry.value, None if entry.ttl_s is None else round(entry.ttl_s)) for entry in store.dump()}


def test_dump_has_every_value_with_what_is_left_of_its_life(store: Store, backend: Backend) -> None:
    assert store.dump() == []
    store.put("lasting", "zwölf 🐈\n\0")
    store.put("a*[token]", "short", ttl_s=100)
    store.put("gone", "soon", ttl_s=10)
    store.acquire("lease", owner="me", ttl_s=60)
    backend.pass_time(40)
    assert by_key(store) == {"a*[token]": ("short", 60), "lasting": ("zwölf 🐈\n\0", None)}
    assert [entry.key for entry in store.dump()] == ["a*[token]", "lasting"]


def test_dump_never_prints_a_value(store: Store) -> None:
    store.put("token", "a-secret")
    assert "a-secret" not in repr(store.dump())


def test_load_replaces_everything_but_leases(store: Store, backend: Backend) -> None:
    store.put("old", "value")
    store.put("kept", "old value", ttl_s=5)
    store.acquire("lease", owner="me", ttl_s=60)
    store.load([Entry("kept", "new"), Entry("short", "x" * 300_000, 30), Entry("spent", "nothing", 0)])
    assert by_key(store) == {"kept": ("new", None), "short": ("x" * 300_000, 30)}
    assert store.acquire("lease", owner="you", ttl_s=60) is False
    backend.pass_time(30)
    assert by_key(store) == {"kept": ("new", None)}
    store.load([])
    assert store.dump() == []


def test_load_takes_what_dump_gave(store: Store) -> None:
    for number in range(1200):
        store.put(f"k{number:04}", str(number), ttl_s=1000 + number if number % 2 else None)
    before = store.dump()
    assert len(before) == 1200
    store.load(before)
    after = store.dump()
    assert [(it.key, it.value, it.ttl_s is None) for it in after] == [
        (it.key, it.value, it.ttl_s is None) for it in before
    ]
    assert all(
        (then.ttl_s or 0) - 60 < (now.ttl_s or 0) <= (then.ttl_s or 0) for then, now in zip(before, after, strict=True)
    )


def test_others_see_all_of_a_load_or_nothing(store: Store, backend: Backend) -> None:
    """A pair of values that always change together never appears mixed in a dump."""
    other = backend.open()
    store.load([Entry("one", "0"), Entry("two", "0")])
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            other.load([Entry("one", str(number)), Entry("two", str(number))])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            values = [entry.value for entry in store.dump()]
            assert len(values) == 2
            assert values[0] == values[1]
    finally:
        stop.set()
        writer.join()
