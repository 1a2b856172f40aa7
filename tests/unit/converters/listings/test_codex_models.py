"""The model list in the form that Codex deserialises: a missing or unknown word, and it rejects all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.listings.codex_models import INSTRUCTIONS, codex_list
from app.routing import Model
from tests.support.exchanges import CATALOGUE

# ModelInfo of codex-rs/protocol: what 0.169.0 calls a missing field, and what older versions did.
REQUIRED = {
    "slug": str,
    "display_name": str,
    "supported_reasoning_levels": list,
    "shell_type": str,
    "visibility": str,
    "supported_in_api": bool,
    "priority": int,
    "support_verbosity": bool,
    "truncation_policy": dict,
    "experimental_supported_tools": list,
    "base_instructions": str,
    "supports_reasoning_summaries": bool,
    "supports_parallel_tool_calls": bool,
}
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}


def model(name: str = "m", *, endpoints: list[str] | None = None, kind: str = "chat", **supports: Any) -> Model:
    limits = supports.pop("limits", {})
    raw = {
        "id": name,
        "name": name.upper(),
        "vendor": "OpenAI",
        **supports.pop("entry", {}),
        "capabilities": {"type": kind, "limits": limits, "supports": supports},
        **({"supported_endpoints": endpoints} if endpoints is not None else {}),
    }
    found = Model.parse(raw)
    assert found is not None
    return found


def listed(*models: Model, version: str = "0.169.0") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = codex_list([(one, None) for one in models], client_version=version)["models"]
    return found


def test_every_entry_of_the_catalogue_has_what_codex_requires() -> None:
    entries = [Model.parse(entry) for entry in json.loads(CATALOGUE.read_bytes())["data"]]
    found = listed(*filter(None, entries))
    assert len(found) > 10
    for entry in found:
        for name, kind in REQUIRED.items():
            assert type(entry[name]) is kind, (entry["slug"], name)
        assert entry["shell_type"] == "shell_command"
        assert entry["visibility"] in ("list", "hide")
        assert entry["apply_patch_tool_type"] in ("freeform", None)
        assert entry["truncation_policy"] == {"mode": "tokens", "limit": 10_000}
        levels = [level["effort"] for level in entry["supported_reasoning_levels"]]
        assert set(levels) <= EFFORTS
        assert all(level["description"] for level in entry["supported_reasoning_levels"])
        assert entry["default_reasoning_level"] in (levels or [None])
        assert entry["supports_reasoning_summaries"] is bool(levels)
        assert entry["context_window"] is None or entry["context_window"] > 0
    assert len({entry["slug"] for entry in found}) == len(found)
    assert "text-embedding-3-small" not in {entry["slug"] for entry in found}


def test_reasoning_is_what_the_model_offers() -> None:
    found = listed(
        model("plain"),
        model("efforts", reasoning_effort=["low", "high"]),
        model("thinks", max_thinking_budget=32000),
    )
    levels = {entry["slug"]: [level["effort"] for level in entry["supported_reasoning_levels"]] for entry in found}
    assert levels == {"plain": [], "efforts": ["low", "high"], "thinks": ["low", "medium", "high"]}
    defaults = {entry["slug"]: entry["default_reasoning_level"] for entry in found}
    assert defaults == {"plain": None, "efforts": "low", "thinks": "medium"}


@pytest.mark.parametrize(
    ("version", "with_max"),
    [("0.169.0", True), ("0.144.0", True), ("1.0", True), ("0.143.9", False), ("0.62.0-alpha", False), ("odd", False)],
)
def test_versions_that_do_not_know_an_effort_are_not_told_of_it(version: str, with_max: bool) -> None:
    (entry,) = listed(model(reasoning_effort=["high", "max"]), version=version)
    assert ("max" in [level["effort"] for level in entry["supported_reasoning_levels"]]) is with_max


def test_window_is_what_upstream_takes() -> None:
    limits = {"max_context_window_tokens": 400_000, "max_prompt_tokens": 272_000}
    assert listed(model(limits=limits))[0]["context_window"] == 272_000
    assert listed(model(limits={"max_context_window_tokens": 9}))[0]["context_window"] == 9
    assert listed(model())[0]["context_window"] is None


def test_the_default_stands_first_then_models_of_codexs_own_protocol_then_mapped_names() -> None:
    entries = [
        (model("a", endpoints=["/chat/completions"]), None),
        (model("b", endpoints=["/responses"]), None),
        (model("c", entry={"is_chat_default": True}), None),
        (model("d", entry={"model_picker_enabled": False}), None),
        (model("b", endpoints=["/responses"]), "my-name"),
        (model("e", kind="embeddings"), None),
    ]
    found = codex_list(entries, client_version="0.169.0")["models"]
    assert [entry["slug"] for entry in found] == ["c", "b", "a", "d", "my-name"]
    assert [entry["visibility"] for entry in found] == ["list", "list", "list", "hide", "hide"]
    priorities = [entry["priority"] for entry in found]
    assert priorities == sorted(priorities)
    assert max(priorities) < 0  # before all that Codex has built in


def test_instructions_explain_patches_to_models_that_never_saw_one() -> None:
    assert all(word in INSTRUCTIONS for word in ("*** Begin Patch", "*** Update File:", "*** End Patch", "AGENTS.md"))
    assert "\\\n" not in INSTRUCTIONS
