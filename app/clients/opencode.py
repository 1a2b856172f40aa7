"""opencode (``opencode-ai``): one provider per protocol, each model where Copilot serves it itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.clients.models import Offer
from app.clients.record import PROVIDER, ConfigFile, Facts, Once, Setup

# Protocol → provider id, npm package inside opencode, name in its list.
_PROVIDERS = {
    "messages": (f"{PROVIDER}-messages", "@ai-sdk/anthropic", "Copilot · Claude"),
    "responses": (f"{PROVIDER}-responses", "@ai-sdk/openai", "Copilot · GPT"),
    "chat": (PROVIDER, "@ai-sdk/openai-compatible", "Copilot"),
}


def setup(facts: Facts) -> Setup:
    models = facts.models
    providers: dict[str, Any] = {}
    for protocol, (provider, package, name) in _PROVIDERS.items():
        mine = [model for model in models.listed if model.protocol == protocol]
        if mine:
            providers[provider] = {
                "npm": package,
                "name": name,
                "options": {"baseURL": facts.v1, "apiKey": facts.key},
                "models": {model.id: _model(model) for model in mine},
            }
    tree = {
        "$schema": "https://opencode.ai/config.json",
        "model": _reference(models.main),
        "small_model": _reference(models.small),
        "provider": providers,
    }
    return Setup(
        name="opencode",
        title="opencode",
        home_page="https://opencode.ai/docs",
        files=(
            ConfigFile(".config/opencode/opencode.json", "json", tree, instead=(".config/opencode/opencode.jsonc",)),
        ),
        run="opencode",
        once=Once("opencode", named={"OPENCODE_CONFIG": ".config/opencode/opencode.json"}),
    )


def _reference(model: Offer) -> str:
    return f"{_PROVIDERS[model.protocol][0]}/{model.id}"


def _model(model: Offer) -> Mapping[str, Any]:
    return {
        "name": model.name,
        "tool_call": model.tools,
        "attachment": model.vision,
        "reasoning": model.thinks,
        "modalities": {"input": ["text", "image"] if model.vision else ["text"], "output": ["text"]},
        **_limit(model),
    }


def _limit(model: Offer) -> Mapping[str, Any]:
    """A session is compacted when it comes near to `input`; without it, near to `context` less the answer."""
    if not (model.window and model.output):
        return {}
    context = model.context or model.window
    return {"limit": {"context": context, "input": model.window, "output": model.output}}
