"""llm (``pip install llm``): models in ``extra-openai-models.yaml``, the key in ``keys.json``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from app.clients.models import Offer
from app.clients.record import PROVIDER, ConfigFile, Entries, Facts, Once, Setup, Words

_FOLDERS = {
    "linux": ".config/io.datasette.llm",
    "darwin": "Library/Application Support/io.datasette.llm",
    "win32": "AppData/Roaming/io.datasette.llm",
}


def setup(facts: Facts) -> Setup:
    folder = _FOLDERS[facts.platform]
    entries = Entries(("model_id",), tuple(_model(model, facts) for model in facts.models.listed))
    chat = shlex.quote(f"copilot/{facts.models.chat.id}")
    return Setup(
        name="llm",
        title="llm",
        home_page="https://llm.datasette.io",
        files=(
            ConfigFile(f"{folder}/extra-openai-models.yaml", "yaml", entries, secret=False),
            ConfigFile(f"{folder}/keys.json", "json", {PROVIDER: facts.key}),
        ),
        once=Once("llm", moved=("LLM_USER_PATH", folder)),
        run=f"llm -m {chat} 'Say hello'",
        steps=(
            Words(
                f"To make one of them the default: llm models default {chat}",
                f"设为默认模型：llm models default {chat}",
            ),
        ),
    )


def _model(model: Offer, facts: Facts) -> Mapping[str, Any]:
    return {
        "model_id": f"copilot/{model.id}",
        "model_name": model.id,
        "api_base": facts.v1,
        "api_key_name": PROVIDER,
        **({"vision": True} if model.vision else {}),
        **({"supports_tools": True} if model.tools else {}),
        "supports_schema": True,
        **({"reasoning": True} if model.efforts else {}),
    }
