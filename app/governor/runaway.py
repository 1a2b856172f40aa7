"""A brake for agents that have run away: the same call again and again, or a conversation that costs too much.

Off unless the operator says how much is too much. What is remembered is the same however many conversations there are:
a fixed number of rows in the store, each with a few conversations, of which nothing but digests and figures is kept.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Final

from app.converters.wire.accounting import NANO
from app.errors import ClientError, Sentence, StoreError
from app.logs import logger
from app.store.base import Store
from app.store.record import record, told_by

QUIET_S: Final = 600.0
"""After so long without a call, what was counted of the same call is over."""
KEPT_S: Final = 24 * 3600.0
"""After so long without a call, a conversation is forgotten."""
_PREFIX: Final = "runaway:"
_ROWS: Final = 1024
_MOST: Final = 8
"""Conversations of a row, and different calls of a conversation; the one that was used last stays."""


class RunawayError(ClientError):
    """The operator's brake holds this conversation. A status that no SDK takes for a reason to try again."""

    quotes = False
    code = "runaway_conversation"


@dataclass(slots=True)
class _Talk:
    """What is remembered of a conversation. counts: of calls by their digest, since the person's last turn. nano: what
    it has cost since it was last allowed to go on. held: the digest of the call at which it was held for its cost."""

    counts: dict[str, int] = field(default_factory=dict)
    nano: int = 0
    held: str = ""
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """Names a conversation without being readable. Empty: nobody knows which one it is."""

    id: str = ""

    @classmethod
    def of(cls, key: bytes, *, asker: str, secret: bytes) -> Conversation:
        """key: what `conversation_key` says. secret: what only this bridge knows."""
        if not key:
            return cls()
        return cls(hashlib.blake2b(key + asker.encode("utf-8", "replace"), key=secret[:64], digest_size=12).hexdigest())


class RunawayBrake:
    """One per process; all of them count together. most_repeats, most_nano: 0 is off. clock: epoch seconds."""

    def __init__(
        self, store: Store, *, most_repeats: int, most_nano: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._most_repeats = most_repeats
        self._most_nano = most_nano
        self._clock = clock

    @property
    def is_on(self) -> bool:
        return bool(self._most_repeats or self._most_nano)

    def admit(self, conversation: Conversation, body: bytes, *, is_persons: bool) -> None:
        """A call that is about to be made. is_persons: it begins with a turn of the person. Raises: RunawayError."""
        if not conversation.id:
            return
        digest = hashlib.blake2b(body, digest_size=8).hexdigest()
        found = ("", 0)

        def change(talk: _Talk, now: float) -> None:
            nonlocal found
            if now - talk.last_at > QUIET_S or (is_persons and digest not in talk.counts):
                talk.counts = {}
            count = talk.counts.pop(digest, 0) + 1
            talk.counts[digest] = count
            talk.counts = dict(list(talk.counts.items())[-_MOST:])
            found = ("", 0)
            if self._most_repeats and count > self._most_repeats:
                found = ("repeats", count)
            elif self._most_nano and talk.nano > self._most_nano:
                if is_persons and talk.held and talk.held != digest:
                    talk.nano, talk.held = 0, ""  # they have been told, and go on
                else:
                    talk.held, found = digest, ("cost", talk.nano)

        self._change(conversation, change)
        if found[0]:
            raise self._error(*found)

    def note_cost(self, conversation: Conversation, nano: int) -> None:
        """A call has ended, and has cost so many nano-credits."""
        if not conversation.id or not self._most_nano or nano <= 0:
            return

        def change(talk: _Talk, _now: float) -> None:
            talk.nano += nano

        self._change(conversation, change)

    def _error(self, what: str, amount: int) -> RunawayError:
        if what == "repeats":
            return RunawayError(
                Sentence(
                    "The same request has come %(amount)s times in this conversation without a turn of the person "
                    "between, and RUNAWAY_REPEATS allows %(most)s: it is held, for its client may have run away. To go "
                    "on, send another message in it yourself, or wait %(minutes)s minutes.",
                    amount=amount,
                    most=self._most_repeats,
                    minutes=f"{QUIET_S / 60:g}",
                )
            )
        return RunawayError(
            Sentence(
                "This conversation has cost %(amount)s AI credits, and RUNAWAY_CREDITS allows %(most)s: it is held. To "
                "go on, send another message in it yourself, which allows as much again, or begin a new one.",
                amount=f"{amount / NANO:.2f}",
                most=f"{self._most_nano / NANO:g}",
            )
        )

    def _change(self, conversation: Conversation, change: Callable[[_Talk, float], None]) -> None:
        """Where the store is away nothing is counted, and nothing held."""

        def changed(text: str | None) -> str:
            now = self._clock()
            talks = _read(text, now)
            talk = talks.pop(conversation.id, None) or _Talk()
            change(talk, now)
            talk.last_at = now
            talks[conversation.id] = talk
            return json.dumps({id: asdict(one) for id, one in list(talks.items())[-_MOST:]})

        row = int(conversation.id[:8], 16) % _ROWS
        try:
            self._store.update(f"{_PREFIX}{row}", changed)
        except StoreError as error:
            logger.warning("runaway calls are not counted", extra={"fields": {"why": error.message}})


def _read(text: str | None, now: float) -> dict[str, _Talk]:
    """Those that are not over, the one that was used last at the end."""
    try:
        talks = {str(id): record(_Talk, told) for id, told in (told_by(text) or {}).items()}
        return {id: talk for id, talk in talks.items() if abs(now - talk.last_at) <= KEPT_S}
    except (ValueError, AttributeError):
        return {}
