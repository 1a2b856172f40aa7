"""The assembled service: everything an endpoint needs, built once per process by the factory."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from app.auth.api_key import KeyRing
from app.auth.brake import Brake
from app.auth.copilot_token import CopilotTokens
from app.auth.device import DeviceSignIn, OwnAccount
from app.auth.github import GitHub
from app.auth.github_app import AppIdentity, GitHubApp
from app.auth.github_token import GitHubTokens
from app.bindings import Bindings
from app.bundles.recorder import Recorder
from app.caching.watch import CacheWatch
from app.converters.neutral.price_list import PriceList
from app.converters.removable import is_rememberable
from app.converters.wire.accounting import NANO
from app.database import Database
from app.database.stored_responses import StoredResponseRows
from app.errors import DatabaseError, GatewayError, NotFoundError, StoreError
from app.governor.governor import Governor
from app.governor.line import Rules
from app.keys.service import ClientKeys
from app.ledger.booking import Booking
from app.ledger.books import Books
from app.ledger.entries import LedgerEntries
from app.logs import logger
from app.memory import Budget
from app.metrics.worker import WorkerMetrics
from app.outbound import Outbound
from app.relay import Relay
from app.reply import Ended, Observer
from app.route_settings import check_bundle
from app.sealing import Seal, key_of
from app.search_engines import Engines
from app.seats import Seat, SeatMaker, Seats
from app.settings import Secret, Settings
from app.store import ModelMapping, open_store
from app.store.guarded import GuardedStore
from app.stored_responses import StoredResponses
from app.tracing import Tracing
from app.upstream.catalog import Catalog
from app.upstream.images.fetch import ImageFetcher
from app.upstream.refusals import Refusals

_PREPARE_PAUSE_S = 5.0
_IDLE_S = 60.0
"""How long a connection to GitHub or Copilot is kept for the next call."""

_TIDYING, _TIDYING_S = "stored-responses-tidying", 45.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """The services, wired. Building it opens nothing: connections are made on first use, after the workers forked."""

    settings: Settings
    keys: KeyRing
    store: GuardedStore
    database: Database
    ledger: LedgerEntries
    books: Books
    metrics: WorkerMetrics
    tracing: Tracing
    client_keys: ClientKeys
    mapping: ModelMapping
    github: GitHub
    github_tokens: GitHubTokens
    sign_in: DeviceSignIn
    bindings: Bindings
    seats: Seats
    refusals: Refusals
    stored_responses: StoredResponses
    governor: Governor
    outbounds: tuple[Outbound, ...]
    memory: Budget
    recorder: Recorder
    cache_watch: CacheWatch
    brake: Brake = field(default_factory=Brake)
    warming: threading.Lock = field(default_factory=threading.Lock)
    observers: list[Observer] = field(default_factory=list)

    @classmethod
    def build(cls, settings: Settings) -> Gateway:
        to_github, to_copilot = Outbound(pool_size=8), Outbound(pool_size=settings.worker_connections)
        redis_url = settings.redis_url.reveal() if settings.redis_url else None
        store = GuardedStore(open_store(data_dir=settings.data_dir, redis_url=redis_url))
        database_url = settings.database_url.reveal() if settings.database_url else None
        database = Database.at(data_dir=settings.data_dir, url=database_url, answer_s=settings.database_timeout_s)
        mapping = ModelMapping(store, settings.model_mapping)
        stored_responses = _stored_responses(settings, database)
        github = GitHub(settings, to_github)
        identity = None if settings.gh_copilot_token else AppIdentity.of(settings)
        app = GitHubApp(identity, github=github, store=store) if identity else None
        github_tokens = GitHubTokens(
            environment=settings.gh_copilot_token,
            data_dir=settings.data_dir,
            editor_config_dir=settings.editor_config_dir,
            github_base_url=settings.github_base_url,
            app=identity.fingerprint if identity else None,
        )
        verify = to_copilot.route(settings.github_base_url)[1]
        check_bundle(verify)
        images = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            max_total_bytes=settings.max_body_bytes,
            timeout_s=settings.image_timeout_s,
            proxies_for=to_copilot.proxies_for,
            verify=verify,
        )
        refusals = Refusals(store, ttl_s=settings.refusals_ttl_s, is_usable=is_rememberable)
        cache_watch = CacheWatch(store)
        recorder = Recorder(store, models=lambda: [model.id for model in own.catalog.known()])
        governor = _governor(settings, store)
        maker = SeatMaker(
            settings,
            store,
            github,
            to_copilot,
            mapping,
            images,
            refusals,
            stored_responses,
            governor,
            recorder.tape_for,
            cache_watch.prefix_of,
        )
        own = maker.make(github_tokens, app)
        prices = PriceList(settings.model_prices)
        client_keys = ClientKeys(database, store, redis_url=redis_url, workers=settings.web_concurrency, prices=prices)
        bindings = Bindings(
            registry=client_keys.registry,
            store=store,
            seal=_seal(settings, "account-tokens.key", settings.account_tokens_key),
            github=github,
            github_base_url=settings.github_base_url,
            own=github_tokens,
            forget=lambda token: maker.make(token).forget(),
        )
        seats = Seats(own, maker.make, bindings.token)
        keeper = OwnAccount(
            github=github,
            github_tokens=github_tokens,
            copilot_tokens=own.copilot_tokens,
            refuse=functools.partial(_refuse_account_of_key, bindings),
        )
        sign_in = DeviceSignIn(store=store, github=github, keeper=keeper, github_base_url=settings.github_base_url)
        ledger = LedgerEntries(
            database, keep_calls_days=settings.ledger_calls_days, keep_sums_days=settings.ledger_sums_days
        )
        memory, metrics = Budget(settings.memory_budget_bytes), WorkerMetrics()
        tracing = Tracing(settings.otel_traces_exporter)

        def observe(ended: Ended, booking: Booking | None) -> None:
            metrics.observe(ended, booking)
            tracing.observe(ended, booking)

        books = Books(
            ledger,
            account=functools.partial(_account_of, github_tokens),
            observe=observe,
            most=settings.ledger_queue,
            prices=prices,
        )
        metrics.watch(
            books,
            counters={
                "refusals_learned": lambda: refusals.learned,
                "token_exchanges": seats.exchanges,
                "upstream_connections": lambda: sum(it.connections()[0] for it in (to_github, to_copilot)),
            },
            gauges={
                "upstream_idle": lambda: sum(it.connections()[1] for it in (to_github, to_copilot)),
                "memory_held": lambda: memory.taken,
                "database_up": lambda: database.trouble() is None,
                "calls_waiting": lambda: governor.waiting,
                "limits_closed": lambda: governor.closed,
            },
        )
        return cls(
            settings=settings,
            keys=KeyRing(settings.api_keys),
            store=store,
            database=database,
            ledger=ledger,
            books=books,
            metrics=metrics,
            tracing=tracing,
            client_keys=client_keys,
            mapping=mapping,
            github=github,
            github_tokens=github_tokens,
            sign_in=sign_in,
            bindings=bindings,
            seats=seats,
            refusals=refusals,
            stored_responses=stored_responses,
            governor=governor,
            outbounds=(to_github, to_copilot),
            memory=memory,
            recorder=recorder,
            cache_watch=cache_watch,
            observers=[client_keys.settle, governor.note_end, books, recorder],
        )

    # Of the bridge's own account. What a request goes by is for `seats` to say.

    @property
    def copilot_tokens(self) -> CopilotTokens:
        return self.seats.own.copilot_tokens

    @property
    def catalog(self) -> Catalog:
        return self.seats.own.catalog

    @property
    def engines(self) -> Engines:
        return self.seats.own.engines

    @property
    def relay(self) -> Relay:
        return self.seats.own.relay

    def close_idle_connections(self) -> None:
        """Let go of connections that have not been used for a while."""
        for outbound in self.outbounds:
            outbound.close_idle(longer_than_s=_IDLE_S)

    def tidy(self) -> None:
        """What is due now and then. The worker calls this."""
        self.close_idle_connections()
        self.client_keys.tidy()
        with contextlib.suppress(DatabaseError):
            self.seats.keep_only(self.client_keys.known.bound)
        self.governor.renew()
        if self.stored_responses.is_tidying_due():
            threading.Thread(target=self._tidy, name="tidy", daemon=True).start()

    def _tidy(self) -> None:
        try:
            if not self.store.acquire(_TIDYING, owner=uuid.uuid4().hex, ttl_s=_TIDYING_S):
                return  # another worker does it
        except StoreError:
            return
        self.stored_responses.tidy()

    def warm_up(self) -> None:
        """Get the token and the model list if somebody is signed in. A failure is logged; requests will tell it too."""
        if self.github_tokens.current() is None:
            return
        try:
            self.catalog.models()
        except GatewayError as error:
            logger.warning("not ready yet", extra={"fields": {"why": error.message}})

    def migrate(self) -> None:
        """Migrate the database, if there is one. A failure is logged; whoever needs it tries again."""
        with contextlib.suppress(DatabaseError):
            if self.database.exists():
                self.database.prepare()

    def prepare(self) -> None:
        """`warm_up` in the background, for whoever asks whether we are ready; not more often than every few seconds,
        and not with ``WARM_UP=false``."""
        if self.settings.warm_up and self.warming.acquire(blocking=False):
            threading.Thread(target=self._prepare, name="warm-up", daemon=True).start()

    def _prepare(self) -> None:
        try:
            self.warm_up()
            time.sleep(_PREPARE_PAUSE_S)
        finally:
            self.warming.release()

    def account(self) -> tuple[str, bytes]:
        """The name of the bridge's own GitHub account, and what only its owner knows; empty if nobody is signed in."""
        return _account_of(self.github_tokens)

    def seat_of(self, key: str | None) -> Seat:
        """The account that calls of the key of this name go by. Raises: AccountError, StoreError."""
        if key is None:
            return self.seats.own
        try:
            return self.seats.of(self.client_keys.registry.find(key))
        except NotFoundError:  # one of API_KEY, or of nobody
            return self.seats.own

    def close_books(self) -> None:
        """Write down the calls that are not in the ledger yet, or not settled. The worker does so last of all."""
        self.client_keys.finish()
        self.books.close()
        self.metrics.tell()
        self.tracing.close()

    def close(self) -> None:
        """Close connections. For tests and the command line; a server process just ends."""
        self.store.close()
        self.database.close()
        for outbound in self.outbounds:
            outbound.close()


def _account_of(tokens: GitHubTokens) -> tuple[str, bytes]:
    """The name of the account in use, and what only its owner knows."""
    token = tokens.current()
    if token is None:
        return "", b""
    return token.user or token.fingerprint[:8], (token.secret.reveal() or token.identity).encode()


def _refuse_account_of_key(bindings: Bindings, login: str) -> None:
    """Raises: ForbiddenError."""
    with contextlib.suppress(StoreError):  # the bridge can be signed in while the database is away
        bindings.refuse_own(login)


def _seal(settings: Settings, file: str, given: Secret | None) -> Seal:
    return Seal(settings.data_dir / file, key_of(given.reveal()) if given else None)


def _governor(settings: Settings, store: GuardedStore) -> Governor:
    return Governor(
        store,
        rules=Rules(settings.max_upstream_calls, settings.max_waiting_calls, settings.upstream_interval_ms / 1000),
        longest_wait_s=settings.longest_wait_s,
        longest_limit_s=settings.longest_limit_s,
        most_repeats=settings.runaway_repeats,
        most_nano=round(settings.runaway_credits * NANO),
        clock=time.time,
    )


def _stored_responses(settings: Settings, database: Database) -> StoredResponses:
    return StoredResponses(
        StoredResponseRows(database),
        _seal(settings, "stored-responses.key", settings.stored_responses_key),
        ttl_s=settings.stored_responses_ttl_s,
        most_bytes=settings.stored_response_max_bytes,
        total_bytes=settings.stored_responses_total_bytes,
        body_bytes=settings.max_body_bytes,
    )


def current_gateway() -> Gateway:
    """The gateway of the app that handles the current request or command."""
    return cast(Gateway, current_app.extensions["gateway"])
