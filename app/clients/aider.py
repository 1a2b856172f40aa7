"""aider (``pip install aider-chat``): ``~/.aider.conf.yml``, and what its model library must know of the models."""

from __future__ import annotations

from app.clients.models import Offer
from app.clients.record import ConfigFile, Entries, Facts, Once, Setup, Words


def setup(facts: Facts) -> Setup:
    models = facts.models
    listed = {model.id: model for model in (*models.listed, models.main, models.small)}.values()
    config = {
        "model": _name(models.main),
        "weak-model": _name(models.small),
        "openai-api-base": facts.v1,
        "openai-api-key": facts.key,
    }
    sizes = {
        _name(model): {
            "max_input_tokens": model.window,
            "max_output_tokens": model.output,
            "max_tokens": model.output,
            # Copilot bills requests, not tokens.
            "input_cost_per_token": 0,
            "output_cost_per_token": 0,
            "litellm_provider": "openai",
            "mode": "chat",
            **({"supports_vision": True} if model.vision else {}),
        }
        for model in listed
        if model.window and model.output
    }
    return Setup(
        name="aider",
        title="aider",
        home_page="https://aider.chat",
        files=(
            ConfigFile(".aider.conf.yml", "yaml", config),
            *([ConfigFile(".aider.model.metadata.json", "json", sizes, secret=False)] if sizes else []),
            ConfigFile(".aider.model.settings.yml", "yaml", _settings(facts, list(listed)), secret=False),
        ),
        run="aider",
        once=Once(
            "aider",
            {f"AIDER_{name.replace('-', '_').upper()}": value for name, value in config.items()},
            named={
                f"AIDER_MODEL_{kind.upper()}_FILE": f".aider.model.{kind}.{ending}"
                for kind, ending in (("metadata", "json"), ("settings", "yml"))
                if kind == "settings" or sizes
            },
        ),
        notes=(
            Words(
                "All models carry the prefix openai/ in aider, Claude too: it names the protocol, not the maker.",
                "在 aider 中所有模型都带 openai/ 前缀（包括 Claude）：它表示协议，而不是厂商。",
            ),
        ),
    )


def _name(model: Offer) -> str:
    return f"openai/{model.id}"


def _settings(facts: Facts, models: list[Offer]) -> Entries:
    """aider knows by name how a model edits best; a name it does not know gets whole files, which is slow and dear."""
    return Entries(
        ("name",),
        tuple(
            {
                "name": _name(model),
                "edit_format": "diff",
                "use_repo_map": True,
                "weak_model_name": _name(facts.models.small),
                # Reasoning models of OpenAI's refuse a temperature.
                **({"use_temperature": False} if model.thinks and not model.is_claude else {}),
            }
            for model in models
        ),
    )
