"""Answers are kept when they end, found by the next turn, and never in the way of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import TIMEOUT_MAX, Event
from typing import Any, cast

import pytest

from app.converters.codec import ClientStorage
from app.converters.registry import CLIENTS
from app.converters.responses.errors import frame_of
from app.converters.responses.stored import page_of
from app.converters.responses.vocabulary import item_id
from app.database import Database
from app.database.stored_responses import StoredResponseRows
from app.errors import ClientError, DatabaseError, NotFoundError, PayloadTooLargeError
from app.sealing import Seal
from app.stored_responses import Recalled, StoredResponses
from tests.support.clock import Clock

STORAGE = cast(ClientStorage, CLIENTS["responses"].storage)
START = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _no_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is: what is not kept in time would be told as not stored."""
    monkeypatch.setattr("app.stored_responses._PATIENCE_S", TIMEOUT_MAX)


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.at(data_dir=tmp_path, url=None)
    yield database
    database.close()


def service(rows: Any, tmp_path: Path, clock: Clock, **limits: Any) -> StoredResponses:
    given = {"ttl_s": 100.0, "most_bytes": 10_000, "total_bytes": 1_000_000, "body_bytes": 20_000, **limits}
    return StoredResponses(rows, Seal(tmp_path / "seal.key"), clock=clock, **given)


@pytest.fixture
def stored(database: Database, tmp_path: Path, clock: Clock) -> StoredResponses:
    return service(StoredResponseRows(database), tmp_path, clock)


def recall(stored: StoredResponses, input: Any, *, owner: str = "k", **fields: Any) -> Recalled:
    body = {"model": "m", "input": input, **fields}
    return stored.recall(STORAGE, json.dumps(body).encode(), body, owner=owner)


def said(id: str, text: str) -> dict[str, Any]:
    return {"type": "message", "id": item_id(id, "message", 0), "role": "assistant", "content": text}


def answered(recalled: Recalled, id: str, *, stream: bool = False, status: str = "completed", text: str = "") -> bytes:
    """What the client gets at the end of an answer with this id."""
    output = [said(id, text or f"answer {id}")]
    answer = {"id": id, "object": "response", "status": status, "output": output, **recalled.told}
    given = (
        frame_of(f"response.{status}", {"type": f"response.{status}", "response": answer})
        if stream
        else json.dumps(answer).encode()
    )
    return recalled.keeper(given) if recalled.keeper is not None else given


def texts(recalled: Recalled) -> list[Any]:
    assert json.loads(recalled.raw) == recalled.body
    return [item["content"] for item in recalled.body["input"]]


@pytest.mark.parametrize("stream", [False, True])
def test_each_turn_finds_all_before_it(stored: StoredResponses, stream: bool) -> None:
    previous = None
    for turn in range(10):
        recalled = recall(stored, f"question {turn}", previous_response_id=previous)
        if turn:
            expected = [text for n in range(turn) for text in (f"question {n}", f"answer resp_{n}")]
            assert texts(recalled) == [*expected, f"question {turn}"]
            assert "previous_response_id" not in recalled.body
        assert recalled.told == {"store": True, "previous_response_id": previous}
        given = answered(recalled, f"resp_{turn}", stream=stream)
        assert b'"store":true' in given or b'"store": true' in given
        previous = f"resp_{turn}"
    assert stored.read(STORAGE, "resp_9", owner="other") is None
    chain = stored.read(STORAGE, "resp_9", owner="k")
    assert chain is not None
    assert (len(chain), chain[-1].answer["previous_response_id"]) == (10, "resp_8")
    assert len(page_of(chain, {"limit": "100"})["data"]) == 19


def test_a_conversation_can_be_gone_on_from_at_any_place(stored: StoredResponses) -> None:
    answered(recall(stored, "one"), "resp_1")
    for id in ("resp_a", "resp_b"):
        answered(recall(stored, id, previous_response_id="resp_1"), id)
    assert texts(recall(stored, "x", previous_response_id="resp_b"))[2] == "resp_b"


def test_what_is_not_to_be_stored_is_not(stored: StoredResponses, database: Database) -> None:
    recalled = recall(stored, "one", store=False)
    assert (recalled.keeper, recalled.raw) == (None, json.dumps(recalled.body).encode())
    for status in ("failed", "cancelled", "in_progress"):
        answered(recall(stored, "one"), "resp_1", status=status)
        answered(recall(stored, "one"), "resp_1", status=status, stream=True)
    assert not database.exists()
    answered(recall(stored, "one"), "resp_1", status="incomplete")
    assert stored.read(STORAGE, "resp_1", owner="k") is not None


@pytest.mark.parametrize("store", [True, False])
def test_an_answer_has_the_labels_of_its_request(stored: StoredResponses, store: bool) -> None:
    assert recall(stored, "one", store=store, metadata={"run": "7"}).told["metadata"] == {"run": "7"}
    others: tuple[Any, ...] = (None, "run 7", [])
    for labels in others:
        assert "metadata" not in recall(stored, "one", store=store, metadata=labels).told


def test_a_turn_that_is_not_stored_goes_on_all_the_same(stored: StoredResponses) -> None:
    answered(recall(stored, "one"), "resp_1")
    recalled = recall(stored, "two", previous_response_id="resp_1", store=False)
    assert texts(recalled) == ["one", "answer resp_1", "two"]
    assert recalled.told == {"store": False, "previous_response_id": "resp_1"}
    assert recalled.keeper is None


@pytest.mark.parametrize("store", [True, False])
def test_an_unknown_answer_is_told_with_the_code_that_clients_know(stored: StoredResponses, store: bool) -> None:
    answered(recall(stored, "one"), "resp_1")
    for id, owner in (("resp_2", "k"), ("resp_1", "other"), ("", "k"), ("x" * 5000, "k")):
        with pytest.raises(ClientError) as refused:
            recall(stored, "two", previous_response_id=id, owner=owner, store=store)
        assert (refused.value.status, refused.value.code) == (400, "previous_response_not_found")
        assert refused.value.param == "previous_response_id"


def test_items_are_found_by_their_ids_for_their_key_alone(stored: StoredResponses) -> None:
    answered(recall(stored, "one"), "resp_1")
    named = {"type": "item_reference", "id": item_id("resp_1", "message", 0)}
    assert texts(recall(stored, [{"role": "user", "content": "one"}, named]))[1] == "answer resp_1"
    with pytest.raises(NotFoundError) as refused:
        recall(stored, [named], owner="other")
    assert (refused.value.code, refused.value.param) == ("item_not_found", "input")


def test_a_deleted_answer_is_gone_and_so_is_what_goes_on_from_it(stored: StoredResponses) -> None:
    answered(recall(stored, "one"), "resp_1")
    answered(recall(stored, "two", previous_response_id="resp_1"), "resp_2")
    assert stored.delete(STORAGE, "resp_1", owner="other") is False
    assert stored.delete(STORAGE, "resp_1", owner="k") is True
    assert stored.delete(STORAGE, "resp_1", owner="k") is False
    assert stored.read(STORAGE, "resp_1", owner="k") is None
    rest = stored.read(STORAGE, "resp_2", owner="k")
    assert rest is not None
    assert [one.id for one in rest] == ["resp_2"]
    with pytest.raises(ClientError, match="not found"):
        recall(stored, "three", previous_response_id="resp_2")


def test_an_answer_lives_until_some_time_after_the_last_turn(stored: StoredResponses, clock: Clock) -> None:
    answered(recall(stored, "one"), "resp_1")
    clock.now += 60
    answered(recall(stored, "two", previous_response_id="resp_1"), "resp_2")
    clock.now += 60
    assert len(texts(recall(stored, "three", previous_response_id="resp_2"))) == 5
    clock.now += 41
    assert stored.read(STORAGE, "resp_2", owner="k") is None
    stored.tidy()
    clock.now -= 100
    assert stored.read(STORAGE, "resp_1", owner="k") is None


def test_it_is_tidied_often_where_something_was_stored_and_seldom_elsewhere(
    stored: StoredResponses, clock: Clock
) -> None:
    assert not stored.is_tidying_due()
    clock.now += 70
    assert not stored.is_tidying_due()
    answered(recall(stored, "one"), "resp_1")
    assert stored.is_tidying_due()
    assert not stored.is_tidying_due()
    clock.now += 70
    assert stored.is_tidying_due()


@pytest.mark.parametrize("stream", [False, True])
def test_a_large_answer_is_told_as_not_stored(stored: StoredResponses, stream: bool, database: Database) -> None:
    given = answered(recall(stored, "one"), "resp_1", stream=stream, text="x" * 10_000)
    assert b'"store":false' in given
    assert b"x" * 10_000 in given
    assert not database.exists()


def test_a_conversation_that_is_too_large_is_refused(stored: StoredResponses) -> None:
    answered(recall(stored, "x" * 9000), "resp_1")
    answered(recall(stored, "y" * 9000, previous_response_id="resp_1"), "resp_2")
    with pytest.raises(PayloadTooLargeError, match="MAX_BODY_BYTES"):
        recall(stored, "z" * 9000, previous_response_id="resp_2")


def test_nothing_of_a_conversation_lies_in_the_clear(stored: StoredResponses, tmp_path: Path) -> None:
    answered(recall(stored, "a very secret question"), "resp_1", text="a very secret answer")
    for file in tmp_path.iterdir():
        assert b"very secret" not in file.read_bytes()


def test_without_the_key_that_sealed_it_an_answer_is_not_there(
    stored: StoredResponses, database: Database, tmp_path: Path, clock: Clock
) -> None:
    answered(recall(stored, "one"), "resp_1")
    (tmp_path / "seal.key").unlink()
    later = service(StoredResponseRows(database), tmp_path, clock)
    assert later.read(STORAGE, "resp_1", owner="k") is None
    with pytest.raises(ClientError, match="not found"):
        recall(later, "two", previous_response_id="resp_1")


def test_integers_of_any_size_come_through(stored: StoredResponses) -> None:
    big = 123456789012345678901234567890
    answered(recall(stored, "one", tools=[{"default": big}]), "resp_1")
    body = b'{"input": "two", "previous_response_id": "resp_1", "tools": [{"default": %d}]}' % big
    recalled = stored.recall(STORAGE, body, json.loads(body, parse_int=float), owner="k")
    assert b"%d" % big in recalled.raw


# ── when the database is away ───────────────────────────────────────────────────────────────────────────────────────


class Away:
    """Rows that cannot be had; `hangs` until the test ends."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.asked = 0
        self.hangs = hangs
        self.released = Event()

    def save(self, *_: Any, **__: Any) -> None:
        self.asked += 1
        if self.hangs:
            self.released.wait()
        raise DatabaseError("away")

    def chain(self, *_: Any, **__: Any) -> Any:
        raise DatabaseError("away")

    find = delete = tidy = chain


def test_an_answer_comes_without_a_database_and_the_next_turn_is_told(tmp_path: Path, clock: Clock) -> None:
    rows = Away()
    stored = service(rows, tmp_path, clock)
    assert b'"store":false' in answered(recall(stored, "one"), "resp_1")
    with pytest.raises(ClientError) as refused:
        recall(stored, "two", previous_response_id="resp_1")
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(NotFoundError):
        recall(stored, [{"type": "item_reference", "id": item_id("resp_1", "message", 0)}])
    with pytest.raises(DatabaseError):
        stored.read(STORAGE, "resp_1", owner="k")
    stored.tidy()
    # It is not asked again at once, and the answer says from its beginning that it is not stored.
    assert recall(stored, "two").told == {"store": False, "previous_response_id": None}
    assert rows.asked == 1
    clock.now += 10
    assert recall(stored, "two").told["store"] is True


def test_a_database_that_hangs_holds_an_answer_up_for_a_moment_only(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stored_responses._PATIENCE_S", 0.01)
    rows = Away(hangs=True)
    stored = service(rows, tmp_path, clock)
    assert b'"store":false' in answered(recall(stored, "one"), "resp_1")
    rows.released.set()


def test_whatever_goes_wrong_the_client_gets_its_answer(
    stored: StoredResponses, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalled = recall(stored, "one")
    monkeypatch.setattr(stored, "keep", lambda *_: 1 / 0)
    assert b"answer resp_1" in answered(recalled, "resp_1")
