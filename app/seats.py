"""A GitHub account with all that is made of it: its tokens, its way to Copilot, its models, what answers by it.

The bridge has one of its own. A key that is bound to another account has that one, and nothing of any other: a call
never changes from one to another, whatever fails.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.auth.copilot_token import CopilotTokens
from app.auth.github import GitHub
from app.auth.github_app import GitHubApp
from app.auth.github_token import BoundToken, TokenSource
from app.caching.prefix import Prefix
from app.converters.registry import UPSTREAMS
from app.governor.governor import Account, AccountGovernor, Governor
from app.keys.key import Binding, Key
from app.outbound import Outbound
from app.relay import Relay
from app.reply import Record
from app.search_engines import TOOLSET, Absences, CopilotSearch, Engines, ModelSearch
from app.settings import Settings
from app.store import ModelMapping, Store
from app.stored_responses import StoredResponses
from app.tape import Tape
from app.upstream.auto import AutoMode
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient
from app.upstream.images.fetch import ImageFetcher
from app.upstream.mcp import McpEndpoint
from app.upstream.refusals import Refusals
from app.web_search import WebSearch

MOST: Final = 64
"""Accounts of keys that a worker keeps at hand, each with its list of models. Others are made anew when they call."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One account. github_tokens: where its sign-in comes from."""

    github_tokens: TokenSource
    copilot_tokens: CopilotTokens
    catalog: Catalog
    auto: AutoMode
    engines: Engines
    governor: AccountGovernor
    relay: Relay

    def forget(self) -> None:
        """Drop what the store has of it. Raises: StoreError."""
        # The list and the picks first: they are found by the token.
        self.catalog.forget()
        self.auto.forget()
        self.governor.forget_limits()
        self.copilot_tokens.forget()


@dataclass(frozen=True, slots=True)
class SeatMaker:
    """What all accounts have in common."""

    settings: Settings
    store: Store
    github: GitHub
    to_copilot: Outbound
    mapping: ModelMapping
    images: ImageFetcher
    refusals: Refusals
    stored_responses: StoredResponses
    governor: Governor
    tape_for: Callable[[Record, bytes, Mapping[str, str]], Tape | None]
    prefix_of: Callable[[Mapping[str, Any]], Prefix | None]

    def make(self, github_tokens: TokenSource, app: GitHubApp | None = None) -> Seat:
        """Opens nothing. app: the one that the bridge signs in as."""
        settings, store = self.settings, self.store
        copilot_tokens = CopilotTokens(
            store=store,
            github=self.github,
            github_tokens=github_tokens,
            app=app,
            is_copilot_address=settings.is_copilot_address,
        )
        client = CopilotClient(settings=settings, outbound=self.to_copilot, tokens=copilot_tokens)
        catalog = Catalog(store=store, client=client, github_tokens=github_tokens, ttl_s=settings.catalog_ttl_s)
        auto = AutoMode(
            store=store, client=client, catalog=catalog, github_tokens=github_tokens, tier=settings.auto_tier or None
        )
        governor = AccountGovernor(self.governor, functools.partial(_account, github_tokens))
        absences = Absences(store, github_tokens)
        mcp = McpEndpoint(settings=settings, outbound=self.to_copilot, tokens=copilot_tokens, toolset=TOOLSET)
        own = CopilotSearch(mcp, absences=absences, github_tokens=github_tokens)
        by_model = ModelSearch(
            settings.web_search_model or None,
            codec=UPSTREAMS["responses"],
            mapping=self.mapping,
            catalog=catalog,
            client=client,
            absences=absences,
            governor=governor,
        )
        engines = Engines((by_model,) if settings.web_search_model else (own, by_model))
        relay = Relay(
            upstreams=UPSTREAMS,
            mapping=self.mapping,
            catalog=catalog,
            client=client,
            images=self.images,
            refusals=self.refusals,
            keep_alive_s=settings.keep_alive_s,
            search=WebSearch(engines) if settings.searches_the_web else None,
            answer_probes=settings.answer_probes,
            auto=auto,
            stored=self.stored_responses if self.stored_responses.is_on else None,
            governor=governor,
            tape_for=self.tape_for,
            prefix_of=self.prefix_of,
        )
        return Seat(github_tokens, copilot_tokens, catalog, auto, engines, governor, relay)


def _account(tokens: TokenSource) -> Account:
    token = tokens.current()
    if token is None:
        return Account("", b"")
    return Account(token.fingerprint, (token.secret.reveal() or token.identity).encode())


class Seats:
    """The bridge's own account, and those of keys: made when their key calls, and a bounded number of them.

    token: opens the sign-in of a key's account; raises a GatewayError if it cannot.
    """

    def __init__(
        self,
        own: Seat,
        make: Callable[[TokenSource], Seat],
        token: Callable[[str, Binding], BoundToken],
        *,
        most: int = MOST,
    ) -> None:
        self.own = own
        self._make = make
        self._token = token
        self._most = most
        self._bound: OrderedDict[str, tuple[Binding, Seat]] = OrderedDict()
        self._lock = threading.Lock()
        self._exchanges_of_others = 0

    def of(self, key: Key | None) -> Seat:
        """The account that calls of this key go by; without one the bridge's own. Raises: AccountError, StoreError."""
        if key is None or key.binding is None:
            return self.own
        with self._lock:
            known = self._bound.get(key.id)
            if known is not None and known[0] == key.binding:
                self._bound.move_to_end(key.id)
                return known[1]
            self._drop(key.id)
            seat = self._make(self._token(key.id, key.binding))
            self._bound[key.id] = key.binding, seat
            while len(self._bound) > self._most:
                self._drop(next(iter(self._bound)))
            return seat

    def keep_only(self, bound: Callable[[], Mapping[str, Binding]]) -> None:
        """Forget the tokens of accounts that serve a key no longer. Raises: DatabaseError."""
        if not self._bound:
            return
        still = bound()
        with self._lock:
            for key_id in [one for one, (binding, _) in self._bound.items() if still.get(one) != binding]:
                self._drop(key_id)

    def exchanges(self) -> int:
        """How often this process has asked GitHub for a Copilot token, for whichever account."""
        with self._lock:
            bound = sum(seat.copilot_tokens.exchanges for _, seat in self._bound.values())
            return self.own.copilot_tokens.exchanges + bound + self._exchanges_of_others

    def __len__(self) -> int:
        """How many accounts of keys are at hand."""
        return len(self._bound)

    def _drop(self, key_id: str) -> None:
        gone = self._bound.pop(key_id, None)
        if gone is not None:
            self._exchanges_of_others += gone[1].copilot_tokens.exchanges
