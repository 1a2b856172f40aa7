"""Continue (editor extension and ``cn`` of ``@continuedev/cli``): models in ``~/.continue/config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.clients.models import Offer
from app.clients.record import ConfigFile, Entries, Facts, IfAbsent, Once, Setup, Words


def setup(facts: Facts) -> Setup:
    chosen = facts.models
    first = [chosen.main, *(model for model in chosen.listed if model.id != chosen.main.id)]
    models: list[Mapping[str, Any]] = [_model(model, facts) for model in first]
    if chosen.embeddings is not None:
        models.append(
            {
                "name": f"Copilot · {chosen.embeddings.name}",
                "provider": "openai",
                "model": chosen.embeddings.id,
                "apiBase": facts.v1,
                "apiKey": facts.key,
                "roles": ["embed"],
            }
        )
    tree = {
        "name": IfAbsent("Local Config"),
        "version": IfAbsent("1.0.0"),
        "schema": IfAbsent("v1"),
        "models": Entries(("name",), tuple(models)),
    }
    return Setup(
        name="continue",
        title="Continue",
        home_page="https://docs.continue.dev",
        files=(ConfigFile(".continue/config.yaml", "yaml", tree, instead=(".continue/config.yml",)),),
        run="cn",
        once=Once("cn", moved=("CONTINUE_GLOBAL_DIR", ".continue")),
        notes=(
            Words(
                "In the editor, pick a model whose name begins with “Copilot ·”.",
                "在编辑器中选择名称以“Copilot ·”开头的模型。",
            ),
        ),
    )


def _model(model: Offer, facts: Facts) -> Mapping[str, Any]:
    capabilities = [name for name, has in (("tool_use", model.tools), ("image_input", model.vision)) if has]
    options = {}
    if model.window and model.output:
        # Continue keeps maxTokens of contextLength free for the answer; what is left must fit Copilot's prompt limit.
        options = {
            "contextLength": min(model.context or model.window, model.window + model.output),
            "maxTokens": model.output,
        }
    return {
        "name": f"Copilot · {model.name}",
        "provider": "anthropic" if model.protocol == "messages" else "openai",
        "model": model.id,
        "apiBase": facts.v1,
        "apiKey": facts.key,
        "roles": ["chat", "edit", "apply"],
        **({"capabilities": capabilities} if capabilities else {}),
        **({"defaultCompletionOptions": options} if options else {}),
    }
