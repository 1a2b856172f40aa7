"""Answers that clients rely on being kept: found again, kept when they end, shown, deleted, and gone in time.

What is kept is sealed; only the key that made an answer finds it. Keeping never delays an answer for longer than
`_PATIENCE_S` and never breaks one: what could not be kept is told so, and the next turn hears that it is not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from app.background_call import BackgroundCall
from app.converters.codec import ClientStorage, StoredAnswer, Wanted
from app.converters.wire import json_bytes
from app.converters.wire.replace_model import exact
from app.database.stored_responses import Row, StoredResponseRows
from app.errors import GatewayError, PayloadTooLargeError, Sentence, StoreError
from app.logs import logger
from app.memory import Share
from app.reply import Record

_PATIENCE_S: Final = 2.0
"""How long the end of an answer waits until the answer is kept."""
_AWAY_S: Final = 5.0
"""How long nothing is kept after that did not work in time."""

_TIDY_S: Final = 60.0
_TIDY_IDLE_S: Final = 600.0

Json = dict[str, Any]

AtEnd = Callable[[bytes], bytes]
"""Takes the bytes that end an answer, and gives those for the client."""


def owner_of(record: Record) -> str:
    """To whom answers belong: the key, by its name, which no other key ever gets. Where none is needed, everybody is
    one."""
    return record.key or ""


class Sealing(Protocol):
    """See `app.sealing.Seal`."""

    def close(self, content: bytes, context: str) -> bytes: ...
    def open(self, sealed: bytes, context: str) -> bytes | None: ...


class StoredResponses:
    """The answers that are kept, for all workers.

    ttl_s: how long an answer is kept after the last that went on from it. most_bytes: of one answer with the input of
    its request; total_bytes: of all. body_bytes: of a request with all that it goes on from.
    """

    def __init__(
        self,
        rows: StoredResponseRows,
        seal: Sealing,
        *,
        ttl_s: float,
        most_bytes: int,
        total_bytes: int,
        body_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rows, self._seal = rows, seal
        self._ttl_s, self._most_bytes, self._total_bytes = ttl_s, most_bytes, total_bytes
        self._body_bytes = body_bytes
        self._clock = clock
        self._away_until = 0.0
        self._tidied_at = clock()
        self._has_kept = False

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._ttl_s > 0

    def recall(self, storage: ClientStorage, raw: bytes, body: Json, *, owner: str) -> Recalled:
        """A request with all that it goes on from in its place, and who keeps its answer.

        Raises: GatewayError for what is not there, or would make the request too large.
        """
        wanted = storage.wanted(body)
        if wanted.previous is None and not wanted.items and not wanted.stores:
            return Recalled(raw, body, storage.told(body, wanted))
        chain = self._chain(storage, wanted.previous, owner) if wanted.previous is not None else []
        holders = self._holders(storage, wanted, owner)
        source = exact(raw, body) if chain or wanted.items else body
        whole, own = storage.expand(source, chain, holders)
        if whole is not body:
            raw = json_bytes.dumps(whole)
            if len(raw) > self._body_bytes:
                raise self._too_large()
        if wanted.stores and self._clock() < self._away_until:
            wanted = Wanted(wanted.previous, wanted.items)
        told = storage.told(body, wanted)
        if not wanted.stores:
            return Recalled(raw, whole, told)
        keeper = Keeper(self, storage, owner, own, wanted.previous, [storage.handle(one.id) for one in chain])
        return Recalled(raw, whole, told, keeper)

    def keep(self, storage: ClientStorage, owner: str, answer: StoredAnswer, before: list[str]) -> bool:
        """Keep one answer; False if it is too large or too deep, or could not be kept in time."""
        told = {"id": answer.id, "previous": answer.previous, "answer": answer.answer, "input": answer.own_input}
        try:
            content = json_bytes.dumps(told)
        except RecursionError:
            logger.info("an answer to such a deep input is not stored")
            return False
        if len(content) > self._most_bytes:
            logger.info("an answer is too large to be stored", extra={"fields": {"bytes": len(content)}})
            return False
        now, handle = self._clock(), storage.handle(answer.id)
        previous = storage.handle(answer.previous) if answer.previous is not None else None

        def save() -> bool:
            sealed = self._seal.close(content, _context(owner, handle))
            row = Row(owner, handle, previous, now, now + self._ttl_s, sealed)
            self._rows.save(row, before=before)
            self._has_kept = True
            return True

        saving = BackgroundCall(save, discard=lambda _: None)
        try:
            if saving.wait(_PATIENCE_S):
                return saving.result()
            why = "it took too long"
        except StoreError as error:
            why = error.message
        self._away_until = self._clock() + _AWAY_S
        logger.warning("an answer could not be stored", extra={"fields": {"why": why}})
        return False

    def read(self, storage: ClientStorage, id: str, *, owner: str) -> list[StoredAnswer] | None:
        """An answer and all that it went on from, oldest first; None if there is no such answer.

        What is no longer there of those before it is left out. Raises: StoreError, PayloadTooLargeError.
        """
        return self._opened_chain(storage, id, owner) or None

    def delete(self, storage: ClientStorage, id: str, *, owner: str) -> bool:
        """Forget an answer; False if there is none. Raises: StoreError."""
        return self._rows.delete(owner, storage.handle(id), now=self._clock())

    def is_tidying_due(self) -> bool:
        """Whether it is time for `tidy` again. A worker that has kept nothing leaves it to others for longer, and needs
        no database."""
        now = self._clock()
        if now - self._tidied_at < (_TIDY_S if self._has_kept else _TIDY_IDLE_S):
            return False
        self._tidied_at = now
        return True

    def tidy(self) -> None:
        """Remove what has expired, and what is too much. A failure is logged."""
        try:
            gone = self._rows.tidy(now=self._clock(), most_bytes=self._total_bytes)
        except StoreError as error:
            logger.warning("stored answers could not be tidied", extra={"fields": {"why": error.message}})
        else:
            if gone:
                logger.info("stored answers removed", extra={"fields": {"count": gone}})

    def _chain(self, storage: ClientStorage, id: str, owner: str) -> list[StoredAnswer]:
        """All of a conversation, oldest first. Raises: GatewayError if any of it is missing."""
        try:
            chain = self._opened_chain(storage, id, owner)
        except StoreError as error:
            logger.warning("stored answers cannot be read", extra={"fields": {"why": error.message}})
            chain = []
        if not chain or chain[0].previous is not None:
            raise storage.not_found(id)
        return chain

    def _opened_chain(self, storage: ClientStorage, id: str, owner: str) -> list[StoredAnswer]:
        handle = storage.handle(id)
        rows = self._rows.chain(owner, handle, now=self._clock(), most_bytes=self._body_bytes)
        if sum(len(row.sealed) for row in rows) > self._body_bytes:
            raise self._too_large()
        opened: list[StoredAnswer] = []
        for row in rows:
            answer = self._open(row)
            if answer is None:
                break
            opened.append(answer)
        return opened[::-1]

    def _holders(self, storage: ClientStorage, wanted: Wanted, owner: str) -> list[StoredAnswer]:
        handles = {handle for item in wanted.items if (handle := storage.holder(item)) is not None}
        if not handles:
            return []
        try:
            rows = self._rows.find(owner, sorted(handles), now=self._clock())
        except StoreError as error:
            logger.warning("stored answers cannot be read", extra={"fields": {"why": error.message}})
            return []
        if sum(len(row.sealed) for row in rows) > self._body_bytes:
            raise self._too_large()
        return [answer for row in rows if (answer := self._open(row)) is not None]

    def _open(self, row: Row) -> StoredAnswer | None:
        Share.current().take(len(row.sealed))
        content = self._seal.open(row.sealed, _context(row.owner, row.handle))
        if content is None:
            return None
        kept = json_bytes.loads_exact(content)
        return StoredAnswer(kept["id"], kept["answer"], kept["input"], kept["previous"])

    def _too_large(self) -> GatewayError:
        return PayloadTooLargeError(
            Sentence(
                "With all that it goes on from, the request is larger than %(limit)s bytes. Begin a new conversation, "
                "or raise MAX_BODY_BYTES.",
                limit=self._body_bytes,
            )
        )


class Keeper:
    """Keeps the answer of one request as soon as it ends.

    owner: the key. own: the items of its own input. previous: the id of the answer it goes on from; before: the handles
    of that and of all before it.
    """

    def __init__(
        self,
        stored: StoredResponses,
        storage: ClientStorage,
        owner: str,
        own: list[Any],
        previous: str | None,
        before: list[str],
    ) -> None:
        self._stored, self._storage = stored, storage
        self._owner, self._own, self._previous, self._before = owner, own, previous, before

    def __call__(self, given: bytes) -> bytes:
        """The bytes that end the answer, as the client is to have them: they tell whether it is kept. Never fails."""
        try:
            answer = self._storage.ended(given)
            if answer is None:
                return given
            kept = StoredAnswer(answer["id"], answer, self._own, self._previous)
            is_kept = self._stored.keep(self._storage, self._owner, kept, self._before)
            return given if is_kept else self._storage.unkept(given)
        except Exception:
            logger.exception("an answer could not be stored")
            return given


@dataclass(frozen=True, slots=True)
class Recalled:
    """A request as it is to be answered.

    raw, body: with all that it goes on from. told: what its answer says of that. keeper: None if nothing is kept.
    """

    raw: bytes
    body: Json
    told: Json = field(default_factory=dict)
    keeper: AtEnd | None = None


def _context(owner: str, handle: str) -> str:
    return f"{owner}\n{handle}"
