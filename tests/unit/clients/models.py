"""Catalogues to set clients up from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.routing import Model

_FILE = Path(__file__).parents[2] / "simulator" / "catalogue.json"


def observed() -> list[Model]:
    """The catalogue that the simulator serves, as Copilot was seen to give it."""
    entries = json.loads(_FILE.read_text("utf-8"))["data"]
    return [model for entry in entries if (model := Model.parse(entry)) is not None]


def model(id: str, **fields: Any) -> Model:
    """One entry; `fields` overwrite a usable model's."""
    entry: dict[str, Any] = {
        "id": id,
        "name": id.upper(),
        "vendor": "Anthropic" if id.startswith("claude") else "OpenAI",
        "model_picker_enabled": True,
        "supported_endpoints": ["/v1/messages"] if id.startswith("claude") else ["/responses"],
        "capabilities": {"type": "chat", "limits": {}, "supports": {"tool_calls": True}},
        "billing": {"multiplier": 1},
        **fields,
    }
    found = Model.parse(entry)
    assert found is not None
    return found
