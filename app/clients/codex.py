"""Codex CLI (``@openai/codex``): a provider in ``~/.codex/config.toml``, the key in ``~/.codex/.env``."""

from __future__ import annotations

from app.clients.record import KEY_VARIABLE, PROVIDER, ConfigFile, Facts, Once, Setup, Words


def setup(facts: Facts) -> Setup:
    model = facts.models.responses
    config = {
        "model": model.id,
        "model_provider": PROVIDER,
        "model_providers": {
            PROVIDER: {
                "name": PROVIDER,
                "base_url": facts.v1,
                "wire_api": "responses",
                "env_key": KEY_VARIABLE,
                "env_key_instructions": f"Put {KEY_VARIABLE}=<the bridge's API_KEY> into ~/.codex/.env.",
                # Sizes, efforts and tools of each model, and the list behind /model. By itself Codex knows OpenAI's
                # own models only, and Copilot's limits are lower.
                "model_catalog_url": f"{facts.v1}/models",
                # The bridge serves HTTP only; without this Codex would try a WebSocket first.
                "supports_websockets": False,
            }
        },
    }
    return Setup(
        name="codex",
        title="Codex",
        home_page="https://developers.openai.com/codex",
        files=(
            ConfigFile(".codex/config.toml", "toml", config, secret=False),
            ConfigFile(".codex/.env", "env", {KEY_VARIABLE: facts.key}),
        ),
        exports={KEY_VARIABLE: facts.key},
        run="codex",
        once=Once("codex", {KEY_VARIABLE: facts.key}, moved=("CODEX_HOME", ".codex")),
        notes=(
            Words(
                f"Codex reads the key from {KEY_VARIABLE}: from your shell, else from ~/.codex/.env.",
                f"Codex 从环境变量 {KEY_VARIABLE} 读取密钥，未设置时读取 ~/.codex/.env。",
            ),
        ),
    )
