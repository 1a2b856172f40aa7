"""Recording: for one key, for a time, redacted before anything is kept, and bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.bundles.recorder import KEPT_S, LONGEST_S, MOST_KEPT, Recorder
from app.errors import StoreError
from app.reply import Ended, Record
from app.store.sqlite import SqliteStore
from app.tape import Tape

WORD = "ghjkmnpq"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def recorder(store: SqliteStore, clock: Clock) -> Recorder:
    return Recorder(store, models=lambda: ["gpt-4.1"], clock=clock, run=lambda work: work())


def recorded(recorder: Recorder, key: str = "laptop", **facts: Any) -> Ended:
    record = Record("r-1", key=key, protocol="chat", model="gpt-4.1", served_model="gpt-4.1")
    for name, value in facts.items():
        setattr(record, name, value)
    record.tape = recorder.tape_for(record, json.dumps({"messages": [{"content": WORD}]}).encode(), {})
    if record.tape is not None:
        reel = record.tape.reel("/chat/completions", b'{"messages": []}')
        reel.status, reel.headers = 200, {"content-type": "text/event-stream", "x-secret": WORD}
        reel.add(f'data: {{"x": "{WORD}"}}\n\n'.encode())
        reel.ended("cut")
    ended = Ended(record, "POST", "/v1/chat/completions", 200, None, "curl", 0.0, 1500)
    recorder(ended)
    return ended


def test_it_is_off_until_somebody_switches_it_on(recorder: Recorder) -> None:
    assert recorder.switch() is None
    assert recorded(recorder).record.tape is None
    assert recorder.kept() == []


def test_calls_of_that_key_alone_are_recorded_and_nothing_that_was_said(recorder: Recorder) -> None:
    recorder.start("laptop", for_s=60, by="admin")
    recorded(recorder, key="phone")
    assert recorder.kept() == []
    recorded(recorder)
    [kept] = recorder.kept()
    content = recorder.content(kept.id)
    assert content is not None
    assert WORD.encode() not in content
    assert kept.size == len(content)
    bundle = json.loads(content)
    assert bundle["answers"][0]["end"] == "cut"
    assert bundle["answers"][0]["headers"] == {"content-type": "text/event-stream"}
    assert len(bundle["answers"][0]["pieces"]) == 1


def test_nothing_that_was_said_is_in_the_store(recorder: Recorder, store: SqliteStore) -> None:
    recorder.start("laptop", for_s=60, by="admin")
    recorded(recorder)
    assert WORD not in json.dumps([entry.value for entry in store.dump()])


def test_it_ends_by_itself_and_lasts_an_hour_at_most(recorder: Recorder, clock: Clock) -> None:
    switch = recorder.start("laptop", for_s=10 * LONGEST_S, by="admin")
    assert switch.until == clock.now + LONGEST_S
    clock.now += LONGEST_S + 1
    assert recorder.switch() is None
    assert recorded(recorder).record.tape is None


def test_another_worker_learns_of_it(store: SqliteStore, recorder: Recorder, clock: Clock) -> None:
    other = Recorder(store, models=list, clock=clock)
    other.start("laptop", for_s=60, by="admin")
    assert recorded(recorder).record.tape is not None
    assert recorder.stop()
    assert recorder.switch() is None
    assert not recorder.stop()


def test_what_is_kept_is_bounded_and_can_be_forgotten(recorder: Recorder, clock: Clock) -> None:
    recorder.start("laptop", for_s=60, by="admin")
    for _ in range(MOST_KEPT + 3):
        recorded(recorder)
        clock.now += 1
    kept = recorder.kept()
    assert len(kept) == MOST_KEPT
    assert all(it.gone_at == it.made_at + KEPT_S for it in kept)
    assert [it.made_at for it in kept] == sorted((it.made_at for it in kept), reverse=True)
    assert recorder.forget(kept[0].id)
    assert not recorder.forget(kept[0].id)
    assert recorder.content(kept[0].id) is None


def test_a_call_that_is_too_long_is_not_kept_at_all() -> None:
    tape = Tape(b"x" * 50, {}, most=100)
    reel = tape.reel("/responses", b"y" * 40)
    reel.add(b"z" * 11)
    reel.add(b"z")
    assert tape.is_full
    assert (tape.request, reel.request, reel.pieces) == (b"", b"", [])


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"key": 1}', '{"key": "a", "until": "x", "by": "b"}'])
def test_a_switch_that_cannot_be_read_is_off(recorder: Recorder, store: SqliteStore, torn: str) -> None:
    store.put("recording", torn)
    assert recorder.switch() is None


class Away:
    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("away")

        return fail


def test_calls_go_on_while_the_store_is_away() -> None:
    recorder = Recorder(Away(), models=list)
    assert recorded(recorder).record.tape is None


def test_a_recorded_call_goes_on_while_the_store_is_away(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.start("laptop", for_s=60, by="admin")
    monkeypatch.setattr(recorder, "_store", Away())
    for _ in range(6):  # each gives its place back
        recorded(recorder)
