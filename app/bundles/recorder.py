"""Recording of calls: switched on by the operator for one key and a limited time, redacted before anything is kept.

What was said is in memory until its call has ended, and nowhere else. What is kept, in the store and so for all
workers, is the bundle: redacted, packed, for an hour, and no more than a few.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.bundles.bundle import bundle_of
from app.errors import StoreError
from app.ledger.booking import outcome_of
from app.logs import logger
from app.reply import Ended, Record
from app.store.base import Store
from app.store.record import record, told_by
from app.tape import Tape

LONGEST_S: Final = 3600.0
KEPT_S: Final = 3600.0
MOST_KEPT: Final = 20
_MOST_AT_ONCE: Final = 4
_FRESH_S: Final = 1.0
_SWITCH: Final = "recording"
_HEAD: Final = "bundle-head:"
_BODY: Final = "bundle-body:"


@dataclass(frozen=True, slots=True)
class Switch:
    """Recording is on. key: whose calls, by the name of the key. until: epoch seconds. by: who switched it on."""

    key: str
    until: float
    by: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A bundle that can be fetched. made_at, gone_at: epoch seconds. size: bytes of the file."""

    id: str
    request_id: str
    model: str
    outcome: str
    error: str
    made_at: float
    gone_at: float
    size: int


class Recorder:
    """One per process. models: the names that are Copilot's own, which a bundle may tell."""

    def __init__(
        self,
        store: Store,
        *,
        models: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.time,
        run: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._store = store
        self._models = models
        self._clock = clock
        self._run = run or _in_background
        self._looked_at = -_FRESH_S
        self._known: Switch | None = None
        self._at_work = threading.Semaphore(_MOST_AT_ONCE)
        self.skipped = 0
        """How many calls were not recorded because they are too long, or too many at a time."""

    # ── the switch ──────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, key: str, *, for_s: float, by: str) -> Switch:
        """Record the calls of this key from now on (in other workers: from the next second on). Raises: StoreError."""
        for_s = min(max(for_s, 1.0), LONGEST_S)
        switch = Switch(key, self._clock() + for_s, by)
        told = json.dumps({"key": switch.key, "until": switch.until, "by": switch.by})
        self._store.put(_SWITCH, told, ttl_s=for_s)
        self._known, self._looked_at = switch, time.monotonic()
        return switch

    def stop(self) -> bool:
        """Whether it was on. Raises: StoreError."""
        self._known, self._looked_at = None, time.monotonic()
        return self._store.delete(_SWITCH)

    def switch(self) -> Switch | None:
        """What is recorded now, if anything. Raises: StoreError."""
        found = _switch_of(self._store.get(_SWITCH))
        self._known, self._looked_at = found, time.monotonic()
        return found if found is not None and found.until > self._clock() else None

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def tape_for(self, record: Record, request: bytes, headers: Mapping[str, str]) -> Tape | None:
        """A tape for a call that is to be recorded. Nothing is looked up more than once a second."""
        if time.monotonic() - self._looked_at > _FRESH_S:
            try:
                self.switch()
            except StoreError:
                self._known = None
                self._looked_at = time.monotonic()
        switch = self._known
        if switch is None or switch.key != (record.key or "") or switch.until <= self._clock():
            return None
        return Tape(request, headers)

    def __call__(self, ended: Ended) -> None:
        """An observer: a call has ended."""
        tape = ended.record.tape
        if tape is None:
            return
        if tape.is_full or not self._at_work.acquire(blocking=False):
            self.skipped += 1
            return
        self._run(lambda: self._keep(ended, tape))

    def _keep(self, ended: Ended, tape: Tape) -> None:
        try:
            models = frozenset(self._models())
            content = _beside_others(lambda: bundle_of(ended, tape, models=models))
            self._put(ended, content, models)
        except StoreError as error:
            logger.warning("bundle not kept", extra={"fields": {"why": error.message}})
        except Exception:
            logger.exception("bundle not made", extra={"fields": {"request_id": ended.record.request_id}})
        finally:
            self._at_work.release()

    def _put(self, ended: Ended, content: bytes, models: frozenset[str]) -> None:
        id, now = secrets.token_hex(8), self._clock()
        head = {
            "request_id": ended.record.request_id,
            "model": ended.record.served_model if ended.record.served_model in models else "",
            "outcome": outcome_of(ended.record.error, ended.status),
            "error": ended.record.error or "",
            "made_at": now,
            "gone_at": now + KEPT_S,
            "size": len(content),
        }
        for old in self.kept()[MOST_KEPT - 1 :]:
            self.forget(old.id)
        packed = base64.b85encode(zlib.compress(content, 6)).decode()
        self._store.put(_BODY + id, packed, ttl_s=KEPT_S)
        self._store.put(_HEAD + id, json.dumps(head), ttl_s=KEPT_S)

    # ── what is kept ────────────────────────────────────────────────────────────────────────────────────────────────

    def kept(self) -> list[Kept]:
        """The bundles that can be fetched, the newest first. Raises: StoreError."""
        found = []
        for key, text in self._store.scan(_HEAD).items():
            try:
                found.append(record(Kept, told_by(text), id=key.removeprefix(_HEAD)))
            except ValueError:
                continue
        return sorted(found, key=lambda kept: kept.made_at, reverse=True)

    def content(self, id: str) -> bytes | None:
        """The file; None if it is gone. Raises: StoreError."""
        packed = self._store.get(_BODY + id)
        try:
            return zlib.decompress(base64.b85decode(packed)) if packed is not None else None
        except (ValueError, zlib.error):
            return None  # it is damaged

    def forget(self, id: str) -> bool:
        """Whether it was there. Raises: StoreError."""
        self._store.delete(_BODY + id)
        return self._store.delete(_HEAD + id)


def _switch_of(text: str | None) -> Switch | None:
    try:
        return record(Switch, told_by(text)) if text else None
    except ValueError:
        return None


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="bundle", daemon=True).start()


def _beside_others(work: Callable[[], bytes]) -> bytes:
    """On a real thread where there are greenlets: it takes up to a second, and the others of the worker go on."""
    from gevent import get_hub, monkey

    if not monkey.is_module_patched("threading"):
        return work()
    made: bytes = get_hub().threadpool.apply(work)
    return made
