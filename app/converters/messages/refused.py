"""The one table of what Copilot's ``/v1/messages`` refuses, and how to learn more (contract §8.4, clients.md 0.4).

Paths are those of Anthropic's own complaints without indexes and tags: ``tools.defer_loading``,
``system.cache_control.scope``. ``*`` stands for any place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from app.converters import json_bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a field is refused. beta: the family of betas that, when forwarded, brings it."""

    why: str
    beta: str | None = None


_NOT_OFFERED: Final = "Copilot does not offer it"

TOP_LEVEL: Final[dict[str, Refusal]] = {
    "context_management": Refusal("Extra inputs are not permitted without its beta", "context-management-"),
    "cache_control": Refusal("moved to the last block"),
    "output_format": Refusal("moved to output_config.format"),
    "safeguards": Refusal(_NOT_OFFERED),
    "diagnostics": Refusal(_NOT_OFFERED),
    "fallbacks": Refusal(_NOT_OFFERED),
    "fallback_credit_token": Refusal(_NOT_OFFERED),
    "billing_policy": Refusal(_NOT_OFFERED),
    "compaction": Refusal(_NOT_OFFERED),
    "speed": Refusal(_NOT_OFFERED),
    "container": Refusal(_NOT_OFFERED),
    "mcp_servers": Refusal(_NOT_OFFERED),
    "inference_geo": Refusal(_NOT_OFFERED),
    "service_tier": Refusal(_NOT_OFFERED),
    "user_profile_id": Refusal(_NOT_OFFERED),
    "workspace_id": Refusal(_NOT_OFFERED),
    "anthropic_beta": Refusal("a header"),
    "anthropic_version": Refusal("a header"),
}

OUTPUT_CONFIG: Final[dict[str, Refusal]] = {
    "task_budget": Refusal("Extra inputs are not permitted without its beta", "task-budgets-"),
}

TOOL: Final[dict[str, Refusal]] = {
    "defer_loading": Refusal("Extra inputs are not permitted without its beta", "advanced-tool-use-"),
    "input_examples": Refusal("Extra inputs are not permitted without its beta", "advanced-tool-use-"),
    "eager_input_streaming": Refusal("Extra inputs are not permitted without its beta", "fine-grained-tool-streaming-"),
    "strict": Refusal("Extra inputs are not permitted without its beta", "structured-outputs-"),
    "allowed_callers": Refusal("only hosted tools could call it"),
}

CACHE_CONTROL: Final = ("type",)
"""All that a cache mark may hold: ``scope`` and ``ttl`` are refused."""

METADATA: Final = ("user_id",)
"""All that ``metadata`` may hold."""

INPUT_SCHEMA: Final[dict[str, Refusal]] = {"$schema": Refusal("Extra inputs are not permitted")}

PROOF: Final = "proof"
"""The name for: no reasoning proofs at all."""

# Upstream's words → the name of what to leave out. The first that is found counts.
_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"unsupported beta header\(s\):\s*(?P<beta>.+)", re.I), ""),
    (re.compile(r"(?P<path>[A-Za-z_$][\w.$-]*): Extra inputs are not permitted"), ""),
    (re.compile(r"invalid\W+(?:signature|data)\W+in\W+\w*thinking", re.I), PROOF),
    (re.compile(r"thinking\W.*blocks.*cannot be modified", re.I), PROOF),
    (re.compile(r"encrypted content could not be (?:verified|decrypted)|invalid.*signature", re.I), PROOF),
    (re.compile(r"expected `thinking` or `redacted_thinking`, but found", re.I), "thinking"),
    (re.compile(r"adaptive thinking is not supported", re.I), "thinking.adaptive"),
    (re.compile(r"thinking\.type\.enabled\W.*not supported", re.I), "thinking.enabled"),
    (re.compile(r"does not support the effort parameter|output_config\.effort:", re.I), "output_config.effort"),
    (re.compile(r"does not support output format", re.I), "output_config.format"),
    (re.compile(r"`temperature` and `top_p` cannot both be specified", re.I), "top_p"),
    (re.compile(r"`(?P<field>temperature|top_p|top_k)` (?:may only|must) be", re.I), ""),
    (re.compile(r"unsupported (?:parameter|field|value):? [`'\"](?P<field>[\w.]+)", re.I), ""),
    (re.compile(r"^(?P<field>[a-z_]+) is not supported", re.I), ""),
)

# Names that stand for another way to ask, not for a field to leave out.
_HANDLED: Final = frozenset({PROOF, "thinking.enabled", "thinking.adaptive", "output_config.format"})
_ESSENTIAL: Final = frozenset({"model", "messages", "max_tokens", "system", "stream", "tools"})


def named_refusal(status: int, body: bytes) -> str | None:
    """What a refusal names, if the request could do without it: the name to add to ``refused`` for one more attempt.

    A dotted path, ``proof``, ``beta:…``, ``thinking.enabled`` or ``thinking.adaptive``. None: nothing can be done.
    """
    if status != 400:
        return None
    message, param = _words(body)
    for pattern, name in _WORDS:
        found = pattern.search(message)
        if found is None:
            continue
        groups = found.groupdict()
        if groups.get("beta"):
            return "beta:" + ",".join(one.strip() for one in groups["beta"].split(","))
        name = name or _plain(groups.get("path") or groups.get("field") or "")
        return name if name and name not in _ESSENTIAL else None
    return param if param and param not in _ESSENTIAL and "not supported" in message else None


def without(value: Any, path: list[str]) -> Any:
    """The value without that key, wherever the path leads; the same object if it is nowhere.

    Lists are looked through. A step that leads nowhere is passed over: Anthropic's paths name the member of a union
    (``tools.3.custom.defer_loading``, ``messages.0.content.0.text.citations``) where the body has no such level.
    """
    if isinstance(value, list):
        items = [without(item, path) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, dict) or not path:
        return value
    for at, step in enumerate(path):
        if step not in value:
            continue
        if at == len(path) - 1:
            return {key: item for key, item in value.items() if key != step}
        inner = without(value[step], path[at + 1 :])
        if inner is not value[step]:
            return {**value, step: inner}
    return value


def paths(refused: frozenset[str]) -> Iterator[list[str]]:
    """The names that are plain paths, in a stable order."""
    for name in sorted(refused):
        if name not in _HANDLED and not name.startswith("beta:"):
            yield name.split(".")


def _plain(path: str) -> str:
    return ".".join(step for step in path.split(".") if step and not step.isdigit())


def _words(body: bytes) -> tuple[str, str]:
    try:
        value = json_bytes.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace"), ""
    if not isinstance(value, dict):
        return "", ""
    error = value.get("error")
    said = error if isinstance(error, dict) else value
    message, param = said.get("message"), said.get("param")
    return message if isinstance(message, str) else "", param if isinstance(param, str) else ""
