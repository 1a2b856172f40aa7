"""The assembled service: everything a door needs, built once per process by the factory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.auth.api_key import KeyRing
from app.auth.copilot_token import CopilotTokens
from app.auth.device import DeviceSignIn
from app.auth.github import GitHub
from app.auth.github_token import GitHubTokens
from app.converters.registry import CODECS
from app.errors import GatewayError
from app.logs import logger
from app.outbound import Outbound
from app.relay import Relay
from app.settings import Settings
from app.store import ModelMapping, Store, open_store
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient
from app.upstream.images import ImageFetcher
from app.upstream.refusals import Refusals
from app.websearch import WebSearch


@dataclass(frozen=True, slots=True)
class Gateway:
    """The services, wired. Building it opens nothing: connections are made on first use, after the workers forked."""

    settings: Settings
    keys: KeyRing
    store: Store
    mapping: ModelMapping
    github: GitHub
    github_tokens: GitHubTokens
    copilot_tokens: CopilotTokens
    sign_in: DeviceSignIn
    catalog: Catalog
    relay: Relay
    outbounds: tuple[Outbound, ...]

    @classmethod
    def build(cls, settings: Settings) -> Gateway:
        to_github, to_copilot = Outbound(pool_size=8), Outbound(pool_size=settings.worker_connections)
        redis_url = settings.redis_url.reveal() if settings.redis_url else None
        store = open_store(data_dir=settings.data_dir, redis_url=redis_url)
        mapping = ModelMapping(store, settings.model_mapping)
        github = GitHub(settings, to_github)
        github_tokens = GitHubTokens(
            environment=settings.gh_copilot_token,
            data_dir=settings.data_dir,
            editor_config_dir=settings.editor_config_dir,
            github_base_url=settings.github_base_url,
        )
        copilot_tokens = CopilotTokens(store=store, github=github, github_tokens=github_tokens)
        sign_in = DeviceSignIn(store=store, github=github, github_tokens=github_tokens, copilot_tokens=copilot_tokens)
        client = CopilotClient(settings=settings, outbound=to_copilot, tokens=copilot_tokens)
        catalog = Catalog(store=store, client=client, github_tokens=github_tokens, ttl_s=settings.catalog_ttl_s)
        images = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_s=settings.image_timeout_s,
            proxies_for=to_copilot.proxies_for,
            verify=to_copilot.route(settings.github_base_url)[1],
        )
        search = None
        if settings.web_search_model:
            search = WebSearch(
                model=settings.web_search_model,
                codec=CODECS["responses"],
                mapping=mapping,
                catalog=catalog,
                client=client,
            )
        return cls(
            settings=settings,
            keys=KeyRing(settings.api_keys),
            store=store,
            mapping=mapping,
            github=github,
            github_tokens=github_tokens,
            copilot_tokens=copilot_tokens,
            sign_in=sign_in,
            catalog=catalog,
            relay=Relay(
                codecs=CODECS,
                mapping=mapping,
                catalog=catalog,
                client=client,
                images=images,
                refusals=Refusals(store),
                keep_alive_s=settings.keep_alive_s,
                search=search,
                answer_probes=settings.answer_probes,
            ),
            outbounds=(to_github, to_copilot),
        )

    def warm_up(self) -> None:
        """Get the token and the model list if somebody is signed in. A failure is logged; requests will tell it too."""
        if self.github_tokens.current() is None:
            return
        try:
            self.catalog.models()
        except GatewayError as error:
            logger.warning("not ready yet", extra={"fields": {"why": error.message}})

    def close(self) -> None:
        """Close connections. For tests and the command line; a server process just ends."""
        self.store.close()
        for outbound in self.outbounds:
            outbound.close()


def current_gateway() -> Gateway:
    """The gateway of the app that handles the current request or command."""
    return cast(Gateway, current_app.extensions["gateway"])
