"""The live model catalogue (contract §4): fetched when needed, kept for a while, and used stale rather than not at all.

A fetched list goes into the store, so that the other workers and a restarted service have it without asking again. It
belongs to one account: after a sign-in with another one it is asked for anew. Where somebody changes what is listed, a
mark in the store tells the other workers, which look at it now and then.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import orjson

from app.auth.github_token import TokenSource
from app.converters.neutral.notices import notices_of
from app.errors import AccountError, GatewayError, Sentence, StoreError, UpstreamStatusError
from app.logs import logger
from app.routing import Model
from app.store.base import Store
from app.upstream.client import CopilotClient
from app.upstream.headers import Call

# How long a list is worth keeping for the day that Copilot is down.
_KEEP_S = 7 * 24 * 3600.0
# After a failed fetch the stale list serves for this long before the next try.
_RETRY_S = 30.0
# Without an older list the failure is told again for so long, without asking.
_FAILURE_MEMORY_S = 3.0
# How long after a change, made in another worker, an older list may serve.
_LOOK_EACH_S = 0.5
# The list is short and comes at once or not at all.
_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalogue at one time. fetched_at: epoch seconds."""

    account: str
    fetched_at: float
    models: tuple[Model, ...]


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="model-list", daemon=True).start()


class Catalog:
    """Gives out the model list. One per process; safe for threads and greenlets."""

    def __init__(
        self,
        *,
        store: Store,
        client: CopilotClient,
        github_tokens: TokenSource,
        ttl_s: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], None]], None] = _in_background,
    ) -> None:
        self._store = store
        self._client = client
        self._github_tokens = github_tokens
        self._ttl_s = ttl_s
        self._clock = clock
        self._monotonic = monotonic
        self._spawn = spawn
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._mark: str | None = None
        self._looked_at = float("-inf")
        self._retry_at = 0.0
        self._failure: GatewayError | None = None
        self._failed_at = -1.0  # monotonic

    def models(self) -> tuple[Model, ...]:
        """The models of the signed-in account.

        Raises: SignInRequiredError, AccountError, UpstreamError – the last only when there is no older list.
        """
        account = self._account()
        known = self._mine(account) or self._remembered(account)
        if known is None:
            came_at = self._monotonic()
            with self._lock:  # everybody waits for the one that fetches
                if self._failure is not None and came_at <= self._failed_at:
                    raise self._failure  # and shares its failure
                return self._load_or_fetch(account, None).models
        if self._is_fresh(known) or self._is_too_early() or not self._lock.acquire(blocking=False):
            return known.models

        def renew() -> None:
            try:
                self._load_or_fetch(account, known)
            except GatewayError as error:  # nobody is signed in any more, say: whoever asks next will hear
                logger.warning("model list is stale", extra={"fields": {"why": error.own_words}})
            finally:
                self._lock.release()

        self._spawn(renew)  # an old list serves at once
        return (self._mine(account) or known).models

    def is_known(self) -> bool:
        """Whether a list is at hand, in memory or in the store, without calling out."""
        account = self._account()
        return self._mine(account) is not None or self._load(account) is not None

    def known(self) -> tuple[Model, ...]:
        """The models of the list at hand, without calling out; () if there is none."""
        account = self._account()
        found = self._mine(account) or self._load(account)
        return found.models if found is not None else ()

    def enable(self, id: str) -> None:
        """Accept the terms of a model for this account (contract §4.6), and ask for the list anew. Other workers see it
        within a second. Ask the person first.

        Raises: SignInRequiredError, AccountError, UpstreamError.
        """
        answer = self._client.send(
            Call(
                path=f"/models/{quote(id, safe='')}/policy",
                request_id=str(uuid.uuid4()),
                body=orjson.dumps({"state": "enabled"}),
                intent="model-access",
                patience_s=_PATIENCE_S,
            )
        )
        body = answer.read()
        if answer.status == 403:
            raise AccountError(
                Sentence("Copilot does not let this account enable the model: its organisation decides about it."),
                code="model_not_enabled",
            )
        if not 200 <= answer.status < 300:
            raise UpstreamStatusError(
                Sentence(
                    "Copilot did not enable the model (HTTP %(status)s: %(said)s).%(hint)s",
                    status=answer.status,
                    said=_excerpt(body),
                    hint=answer.hint,
                ),
                status=502,
            )
        account = self._account()
        with self._lock:
            self._snapshot = self._fetch(account)
        with contextlib.suppress(StoreError):  # the others see it when their list is due
            self._store.put(_mark(account), uuid.uuid4().hex, ttl_s=_KEEP_S)

    def look(self) -> None:
        """Notice at once what was changed in another worker: for whoever wants to see what they have just changed."""
        self._looked_at = float("-inf")

    def forget(self) -> None:
        """Drop the stored list: nobody calls for this account any more. Raises: StoreError."""
        self._store.delete(_key(self._account()))
        self._snapshot = None

    def _account(self) -> str:
        token = self._github_tokens.current()
        return token.fingerprint if token is not None else ""

    def _is_too_early(self) -> bool:
        # A clock that was set back must not make it last.
        return 0 < self._retry_at - self._clock() <= _RETRY_S

    def _is_fresh(self, snapshot: Snapshot) -> bool:
        return 0 <= self._clock() - snapshot.fetched_at < self._ttl_s

    def _load_or_fetch(self, account: str, known: Snapshot | None) -> Snapshot:
        stored = self._load(account)
        newest = max(filter(None, (stored, known, self._mine(account))), key=lambda s: s.fetched_at, default=None)
        if newest is not None and (self._is_fresh(newest) or self._is_too_early()):
            self._snapshot = newest
            return newest
        if newest is None and self._failure is not None and self._is_too_early():
            raise self._failure  # what fails slowly would be waited for by each request
        try:
            newest = self._fetch(account)
        except GatewayError as error:
            self._failure, self._failed_at = error, self._monotonic()
            self._retry_at = self._clock() + (_RETRY_S if newest is not None else _FAILURE_MEMORY_S)
            if newest is None:
                if isinstance(error, AccountError):
                    self._retry_at = 0.0  # no list was asked for, and the account may be well again by now
                raise
            logger.warning("model list is stale", extra={"fields": {"why": error.message}})
        self._snapshot = newest
        return newest

    def _mine(self, account: str) -> Snapshot | None:
        """This worker's copy; after a change in another one what that has stored."""
        mine = self._snapshot
        if mine is None or mine.account != account:
            return None
        if not self._has_changed(account):
            return mine
        self._snapshot = self._load(account) or mine
        return self._snapshot

    def _has_changed(self, account: str) -> bool:
        """Whether somebody has left another mark since the last look."""
        now = self._clock()
        if 0 <= now - self._looked_at < _LOOK_EACH_S:
            return False
        self._looked_at = now
        try:
            mark = self._store.get(_mark(account))
        except StoreError:
            return False
        before, self._mark = self._mark, mark
        return mark != before

    def _remembered(self, account: str) -> Snapshot | None:
        """What a worker that has just started finds in the store, kept from then on."""
        stored = self._load(account)
        if stored is not None:
            self._snapshot = stored
        return stored

    def _load(self, account: str) -> Snapshot | None:
        """The stored list; None if there is none, or none that can be read, or the store is away."""
        try:
            text = self._store.get(_key(account))
            stored = orjson.loads(text) if text else None
            return Snapshot(account, float(stored["fetched_at"]), _parse(stored["data"])) if stored else None
        except (StoreError, ValueError, TypeError, KeyError):
            return None

    def _fetch(self, account: str) -> Snapshot:
        answer = self._client.send(
            Call(path="/models", request_id=str(uuid.uuid4()), intent="model-access", patience_s=_PATIENCE_S)
        )
        body = answer.read()
        if answer.status != 200:
            raise UpstreamStatusError(
                Sentence(
                    "Copilot did not give its model list (HTTP %(status)s: %(said)s).%(hint)s",
                    status=answer.status,
                    said=_excerpt(body),
                    hint=answer.hint,
                ),
                status=502,
            )
        try:
            data = orjson.loads(body)["data"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise UpstreamStatusError(
                Sentence("Copilot's model list is not JSON. A proxy or login page in between?")
            ) from None
        snapshot = Snapshot(account, self._clock(), _parse(data))
        self._tell_notices(account, snapshot)
        stored = orjson.dumps({"fetched_at": snapshot.fetched_at, "data": data}).decode()
        try:
            self._store.put(_key(account), stored, ttl_s=_KEEP_S)
        except StoreError as error:  # it serves this worker all the same
            logger.warning("model list not stored", extra={"fields": {"why": error.message}})
        return snapshot

    def _tell_notices(self, account: str, fetched: Snapshot) -> None:
        """What the list warns of, in the log: once, which is when the list before did not say so."""
        before = self._mine(account) or self._load(account)
        known = notices_of(model.raw for model in before.models) if before is not None else {}
        for notice, names in notices_of(model.raw for model in fetched.models).items():
            if notice not in known:
                fields = {"code": notice.code, "said": notice.message, "models": names[:20]}
                logger.warning("Copilot's model list warns", extra={"fields": fields})


def _key(account: str) -> str:
    return f"catalog:{account}"


def _mark(account: str) -> str:
    """Another word after each change of what is listed."""
    return f"catalog_changed:{account}"


def _parse(data: object) -> tuple[Model, ...]:
    """All usable entries, duplicates merged: the first of an id wins, later ones complete what it lacks."""
    merged: dict[str, dict[str, object]] = {}
    for entry in data if isinstance(data, list) else []:
        if (model := Model.parse(entry)) is not None:
            merged[model.id] = {**entry, **merged.get(model.id, {})}
    return tuple(model for entry in merged.values() if (model := Model.parse(entry)) is not None)


def _excerpt(body: bytes) -> str:
    text = " ".join(body[:200].decode("utf-8", "replace").split())
    return "an HTML page" if text.lower().startswith(("<!doctype", "<html")) else text or "no text"
