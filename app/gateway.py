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
from app.auth.device import DeviceSignIn
from app.auth.github import GitHub
from app.auth.github_app import AppIdentity, GitHubApp
from app.auth.github_token import GitHubTokens
from app.bundles.recorder import Recorder
from app.converters.registry import UPSTREAMS
from app.converters.removable import is_rememberable
from app.database import Database
from app.database.stored_responses import StoredResponseRows
from app.errors import DatabaseError, GatewayError, StoreError
from app.keys.service import ClientKeys
from app.ledger.books import Books
from app.ledger.entries import LedgerEntries
from app.logs import logger
from app.memory import Budget
from app.metrics.worker import WorkerMetrics
from app.outbound import Outbound
from app.relay import Relay
from app.reply import Observer
from app.route_settings import check_bundle
from app.sealing import Seal, key_of
from app.search_engines import TOOLSET, Absences, CopilotSearch, Engines, ModelSearch
from app.settings import Settings
from app.store import ModelMapping, open_store
from app.store.guarded import GuardedStore
from app.stored_responses import StoredResponses
from app.upstream.auto import AutoMode
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient
from app.upstream.images.fetch import ImageFetcher
from app.upstream.mcp import McpEndpoint
from app.upstream.refusals import Refusals
from app.web_search import WebSearch

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
    client_keys: ClientKeys
    mapping: ModelMapping
    github: GitHub
    github_tokens: GitHubTokens
    copilot_tokens: CopilotTokens
    sign_in: DeviceSignIn
    catalog: Catalog
    refusals: Refusals
    stored_responses: StoredResponses
    engines: Engines
    auto: AutoMode
    relay: Relay
    outbounds: tuple[Outbound, ...]
    memory: Budget
    recorder: Recorder
    brake: Brake = field(default_factory=Brake)
    warming: threading.Lock = field(default_factory=threading.Lock)
    observers: list[Observer] = field(default_factory=list)

    @classmethod
    def build(cls, settings: Settings) -> Gateway:
        to_github, to_copilot = Outbound(pool_size=8), Outbound(pool_size=settings.worker_connections)
        redis_url = settings.redis_url.reveal() if settings.redis_url else None
        store = GuardedStore(open_store(data_dir=settings.data_dir, redis_url=redis_url))
        database_url = settings.database_url.reveal() if settings.database_url else None
        database = Database.at(data_dir=settings.data_dir, url=database_url)
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
        copilot_tokens = CopilotTokens(
            store=store,
            github=github,
            github_tokens=github_tokens,
            app=app,
            is_copilot_address=settings.is_copilot_address,
        )
        sign_in = DeviceSignIn(
            store=store,
            github=github,
            github_tokens=github_tokens,
            copilot_tokens=copilot_tokens,
            github_base_url=settings.github_base_url,
        )
        client = CopilotClient(settings=settings, outbound=to_copilot, tokens=copilot_tokens)
        catalog = Catalog(store=store, client=client, github_tokens=github_tokens, ttl_s=settings.catalog_ttl_s)
        verify = to_copilot.route(settings.github_base_url)[1]
        check_bundle(verify)
        images = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            max_total_bytes=settings.max_body_bytes,
            timeout_s=settings.image_timeout_s,
            proxies_for=to_copilot.proxies_for,
            verify=verify,
        )
        auto = AutoMode(
            store=store, client=client, catalog=catalog, github_tokens=github_tokens, tier=settings.auto_tier or None
        )
        refusals = Refusals(store, ttl_s=settings.refusals_ttl_s, is_usable=is_rememberable)
        absences = Absences(store, github_tokens)
        mcp = McpEndpoint(settings=settings, outbound=to_copilot, tokens=copilot_tokens, toolset=TOOLSET)
        own = CopilotSearch(mcp, absences=absences, github_tokens=github_tokens)
        by_model = ModelSearch(
            settings.web_search_model or None,
            codec=UPSTREAMS["responses"],
            mapping=mapping,
            catalog=catalog,
            client=client,
            absences=absences,
        )
        engines = Engines((by_model,) if settings.web_search_model else (own, by_model))
        database = Database.at(data_dir=settings.data_dir, url=database_url)
        ledger = LedgerEntries(
            database, keep_calls_days=settings.ledger_calls_days, keep_sums_days=settings.ledger_sums_days
        )
        memory, metrics = Budget(settings.memory_budget_bytes), WorkerMetrics()
        books = Books(
            ledger,
            account=functools.partial(_account_of, github_tokens),
            observe=metrics.observe,
            most=settings.ledger_queue,
        )
        metrics.watch(
            books,
            counters={
                "refusals_learned": lambda: refusals.learned,
                "token_exchanges": lambda: copilot_tokens.exchanges,
                "upstream_connections": lambda: sum(it.connections()[0] for it in (to_github, to_copilot)),
            },
            gauges={
                "upstream_idle": lambda: sum(it.connections()[1] for it in (to_github, to_copilot)),
                "memory_held": lambda: memory.taken,
                "database_up": lambda: database.trouble() is None,
            },
        )
        recorder = Recorder(store, models=lambda: [model.id for model in catalog.known()])
        client_keys = ClientKeys(database, store, redis_url=redis_url, workers=settings.web_concurrency)
        return cls(
            settings=settings,
            keys=KeyRing(settings.api_keys),
            store=store,
            database=database,
            ledger=ledger,
            books=books,
            metrics=metrics,
            client_keys=client_keys,
            mapping=mapping,
            github=github,
            github_tokens=github_tokens,
            copilot_tokens=copilot_tokens,
            sign_in=sign_in,
            catalog=catalog,
            refusals=refusals,
            stored_responses=stored_responses,
            engines=engines,
            auto=auto,
            relay=Relay(
                upstreams=UPSTREAMS,
                mapping=mapping,
                catalog=catalog,
                client=client,
                images=images,
                refusals=refusals,
                keep_alive_s=settings.keep_alive_s,
                search=WebSearch(engines) if settings.searches_the_web else None,
                answer_probes=settings.answer_probes,
                auto=auto,
                stored=stored_responses if stored_responses.is_on else None,
                tape_for=recorder.tape_for,
            ),
            outbounds=(to_github, to_copilot),
            memory=memory,
            recorder=recorder,
            observers=[client_keys.settle, books, recorder],
        )

    def close_idle_connections(self) -> None:
        """Let go of connections that have not been used for a while."""
        for outbound in self.outbounds:
            outbound.close_idle(longer_than_s=_IDLE_S)

    def tidy(self) -> None:
        """What is due now and then. The worker calls this."""
        self.close_idle_connections()
        self.client_keys.tidy()
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
        """The name of the GitHub account in use, and what only its owner knows; empty if nobody is signed in."""
        return _account_of(self.github_tokens)

    def close_books(self) -> None:
        """Write down the calls that are not in the ledger yet, or not settled. The worker does so last of all."""
        self.client_keys.finish()
        self.books.close()
        self.metrics.tell()

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


def _stored_responses(settings: Settings, database: Database) -> StoredResponses:
    given = settings.stored_responses_key
    return StoredResponses(
        StoredResponseRows(database),
        Seal(settings.data_dir / "stored-responses.key", key_of(given.reveal()) if given else None),
        ttl_s=settings.stored_responses_ttl_s,
        most_bytes=settings.stored_response_max_bytes,
        total_bytes=settings.stored_responses_total_bytes,
        body_bytes=settings.max_body_bytes,
    )


def current_gateway() -> Gateway:
    """The gateway of the app that handles the current request or command."""
    return cast(Gateway, current_app.extensions["gateway"])
