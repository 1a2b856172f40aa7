"""pi (``@mariozechner/pi-coding-agent``): one provider per protocol in ``~/.pi/agent/models.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.clients.models import Offer
from app.clients.record import PROVIDER, ConfigFile, Entries, Facts, Once, Setup

# Protocol → provider id, pi's name of the protocol, what follows the bridge's address (the SDKs inside add the rest).
_PROVIDERS = {
    "messages": (f"{PROVIDER}-messages", "anthropic-messages", ""),
    "responses": (f"{PROVIDER}-responses", "openai-responses", "/v1"),
    "chat": (PROVIDER, "openai-completions", "/v1"),
}


def setup(facts: Facts) -> Setup:
    providers: dict[str, Any] = {}
    for protocol, (provider, api, path) in _PROVIDERS.items():
        mine = [model for model in facts.models.listed if model.protocol == protocol]
        if mine:
            providers[provider] = {
                "baseUrl": facts.url + path,
                "api": api,
                "apiKey": facts.key,
                "models": Entries(("id",), tuple(_model(model) for model in mine)),
            }
    main = facts.models.main
    return Setup(
        name="pi",
        title="pi",
        home_page="https://www.npmjs.com/package/@mariozechner/pi-coding-agent",
        files=(
            ConfigFile(".pi/agent/models.json", "json", {"providers": providers}),
            ConfigFile(
                ".pi/agent/settings.json",
                "json",
                {"defaultProvider": _PROVIDERS[main.protocol][0], "defaultModel": main.id},
                secret=False,
            ),
        ),
        run="pi",
        once=Once("pi", moved=("PI_CODING_AGENT_DIR", ".pi/agent")),
    )


def _model(model: Offer) -> Mapping[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "reasoning": model.thinks,
        "input": ["text", "image"] if model.vision else ["text"],
        **({"contextWindow": model.window} if model.window else {}),
        **({"maxTokens": model.output} if model.output else {}),
    }
