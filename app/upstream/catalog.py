"""The live model catalogue (contract §4): fetched when needed, kept for a while, and used stale rather than not at all.

A fetched list goes into the store, so that the other workers and a restarted service have it without asking again. It
belongs to one account: after a sign-in with another one it is asked for anew.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from app.auth.github_token import GitHubTokens
from app.errors import GatewayError, UpstreamStatusError
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
# The list is short and comes at once or not at all.
_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalogue at one time. fetched_at: epoch seconds."""

    account: str
    fetched_at: float
    models: tuple[Model, ...]


class Catalog:
    """Gives out the model list. One per process; safe for threads and greenlets."""

    def __init__(
        self,
        *,
        store: Store,
        client: CopilotClient,
        github_tokens: GitHubTokens,
        ttl_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._client = client
        self._github_tokens = github_tokens
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._retry_at = 0.0
        self._failure: GatewayError | None = None

    def models(self) -> tuple[Model, ...]:
        """The models of the signed-in account.

        Raises: SignInRequiredError, AccountError, UpstreamError – the last only when there is no older list.
        """
        account = self._account()
        known = self._snapshot if self._snapshot is not None and self._snapshot.account == account else None
        if known is not None and (self._is_fresh(known) or self._clock() < self._retry_at):
            return known.models
        # With an old list at hand only one caller fetches; without one everybody waits for that one.
        if not self._lock.acquire(blocking=known is None):
            return known.models if known is not None else ()
        try:
            return self._load_or_fetch(account, known).models
        finally:
            self._lock.release()

    def is_known(self) -> bool:
        """Whether a list is at hand, in memory or in the store, without calling out."""
        account = self._account()
        mine = self._snapshot is not None and self._snapshot.account == account
        return mine or self._store.get(_key(account)) is not None

    def _account(self) -> str:
        token = self._github_tokens.current()
        return token.fingerprint if token is not None else ""

    def _is_fresh(self, snapshot: Snapshot) -> bool:
        return 0 <= self._clock() - snapshot.fetched_at < self._ttl_s

    def _load_or_fetch(self, account: str, known: Snapshot | None) -> Snapshot:
        stored = self._load(account)
        newest = max(filter(None, (stored, known, self._mine(account))), key=lambda s: s.fetched_at, default=None)
        if newest is not None and (self._is_fresh(newest) or self._clock() < self._retry_at):
            self._snapshot = newest
            return newest
        if newest is None and self._failure is not None and self._clock() < self._retry_at:
            raise self._failure  # a crowd of waiting requests does not ask one by one
        try:
            newest = self._fetch(account)
        except GatewayError as error:
            self._failure = error
            self._retry_at = self._clock() + (_RETRY_S if newest is not None else _FAILURE_MEMORY_S)
            if newest is None:
                raise
            logger.warning("model list is stale", extra={"fields": {"why": error.message}})
        self._snapshot = newest
        return newest

    def _mine(self, account: str) -> Snapshot | None:
        return self._snapshot if self._snapshot is not None and self._snapshot.account == account else None

    def _load(self, account: str) -> Snapshot | None:
        text = self._store.get(_key(account))
        if text is None:
            return None
        stored = orjson.loads(text)
        return Snapshot(account, stored["fetched_at"], _parse(stored["data"]))

    def _fetch(self, account: str) -> Snapshot:
        answer = self._client.send(
            Call(path="/models", request_id=str(uuid.uuid4()), intent="model-access", patience_s=_PATIENCE_S)
        )
        body = answer.read()
        if answer.status != 200:
            raise UpstreamStatusError(
                f"Copilot did not give its model list (HTTP {answer.status}: {_excerpt(body)}).{answer.hint}",
                status=502,
            )
        try:
            data = orjson.loads(body)["data"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise UpstreamStatusError("Copilot's model list is not JSON. A proxy or login page in between?") from None
        snapshot = Snapshot(account, self._clock(), _parse(data))
        stored = orjson.dumps({"fetched_at": snapshot.fetched_at, "data": data}).decode()
        self._store.put(_key(account), stored, ttl_s=_KEEP_S)
        return snapshot


def _key(account: str) -> str:
    return f"catalog:{account}"


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
