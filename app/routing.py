"""Which model a name means, and what serves it. Pure: names and catalogue entries in, a decision out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.converters.neutral.model_limits import ModelLimits, is_openai
from app.errors import Sentence, UnsupportedFeatureError

CHAT, RESPONSES, MESSAGES, EMBEDDINGS = "/chat/completions", "/responses", "/v1/messages", "/embeddings"

HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
"""Of headers that others name and we pass on."""
_MOST_HEADERS, _LONGEST_HEADER = 20, 1000
# What frames a request, or says whose it is: never the catalogue's affair.
_NOT_TO_BE_NAMED = frozenset(
    {
        "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host",
        "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
AUTO = "auto"
"""The name by which Copilot picks the model (contract §4.9)."""

_DEFAULT_ENDPOINTS = {"chat": (CHAT,), "embeddings": (EMBEDDINGS,)}


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the catalogue (contract §4.3): what the bridge reads of it, and the whole of it.

    endpoints: upstream paths that serve it; where the entry names none, the one its type implies.
    """

    id: str
    type: str = "chat"
    vendor: str = ""
    endpoints: tuple[str, ...] = (CHAT,)
    request_headers: dict[str, str] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    limits: ModelLimits = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", ModelLimits.of(self.raw))  # once, not for each request

    @property
    def is_openai(self) -> bool:
        return is_openai(self.vendor, self.id)

    @property
    def is_enabled(self) -> bool:
        """Whether its policy lets the account use it, as far as the entry tells (contract §4.6)."""
        policy = self.raw.get("policy")
        return not isinstance(policy, dict) or policy.get("state") in (None, "enabled")

    @classmethod
    def parse(cls, entry: Any) -> Model | None:
        """Read one entry; None if it is unusable. The schema drifts, so only `id` is insisted on."""
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or not entry["id"]:
            return None
        capabilities = entry.get("capabilities")
        kind = capabilities.get("type") if isinstance(capabilities, dict) else None
        kind = kind if isinstance(kind, str) else "chat"
        listed = entry.get("supported_endpoints")
        endpoints = tuple(path for path in listed if isinstance(path, str)) if isinstance(listed, list) else ()
        extra = entry.get("request_headers") or entry.get("requestHeaders")
        return cls(
            id=entry["id"],
            type=kind,
            vendor=str(entry.get("vendor") or ""),
            endpoints=endpoints or _DEFAULT_ENDPOINTS.get(kind, ()),
            request_headers=_sendable(extra),
            raw=entry,
        )


def _sendable(headers: Any) -> dict[str, str]:
    """The headers that an entry wants for its model, as far as HTTP can carry them."""
    if not isinstance(headers, dict):
        return {}
    told = [(str(name), str(value).strip()) for name, value in list(headers.items())[:_MOST_HEADERS]]
    return {
        name: value
        for name, value in told
        if HEADER_NAME.fullmatch(name) and name.lower() not in _NOT_TO_BE_NAMED
        if len(value) <= _LONGEST_HEADER and value.isascii() and (value.isprintable() or not value)
    }


def find_model(name: str, models: Sequence[Model]) -> Model | None:
    """The entry that a client's spelling means, or None.

    In this order: the id itself; the id but for case; the id but for what clients do to it (``claude-sonnet-4-6`` for
    ``claude-sonnet-4.6``, a vendor prefix, a date, ``[1m]`` for the long-context variant). Only if one entry fits.
    """
    by_id = {model.id: model for model in models}
    if name in by_id:
        return by_id[name]
    for spell in (str.lower, _plain):
        found = _only(model for model in models if spell(model.id) == spell(name))
        if found is not None:
            return found
    base, is_long = _without_decoration(name)
    # Anthropic has named models both ways round: claude-3-5-sonnet, claude-sonnet-4-5.
    bases = (base, _REVERSED_CLAUDE.sub(r"claude-\2-\1", base))
    wanted = [*(f"{plain}-1m" for plain in bases if is_long), *bases]
    return next((found for plain in wanted if (found := _only(m for m in models if _plain(m.id) == plain))), None)


def _only(matches: Iterable[Model]) -> Model | None:
    found = list(matches)
    return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    """Lower case, without vendor prefix, dots as dashes: the common ground of all spellings."""
    return name.lower().rsplit("/", 1)[-1].replace(".", "-").replace("_", "-").strip()


_LONG_CONTEXT = re.compile(r"\[1m\]$")
_DATE = re.compile(r"-(20\d{6}|20\d\d-\d\d-\d\d|latest)$")
_REVERSED_CLAUDE = re.compile(r"^claude-(\d+(?:-\d+)?)-(opus|sonnet|haiku)$")


def _without_decoration(name: str) -> tuple[str, bool]:
    """A plain name without date and ``[1m]``, and whether ``[1m]`` was there."""
    plain = _plain(name)
    is_long = bool(_LONG_CONTEXT.search(plain))
    return _DATE.sub("", _LONG_CONTEXT.sub("", plain)), is_long


def usable(targets: Sequence[str], models: Sequence[Model]) -> tuple[str, ...]:
    """Of these names, in their order, those of models that the account has and may use; the first if there is none."""
    found = tuple(name for name in targets if (model := find_model(name, models)) is not None and model.is_enabled)
    return found or tuple(targets[:1])


def near_matches(name: str, candidates: Iterable[str], limit: int = 3) -> list[str]:
    """Up to `limit` model names that look like this one, best first. A common beginning counts most: the family."""
    wanted = _without_decoration(name)[0]
    scored = sorted(((_likeness(wanted, _plain(other)), other) for other in candidates), key=lambda s: (-s[0], s[1]))
    return [other for score, other in scored if score >= _ALIKE][:limit]


_ALIKE = 0.45


def _likeness(left: str, right: str) -> float:
    same = next((at for at, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), len(left))
    beginning = min(same, len(right)) / max(len(left), len(right), 1)
    return 0.5 * difflib.SequenceMatcher(None, left, right).ratio() + 0.5 * beginning if beginning else 0.0


# Richest first: what a conversion keeps depends on what the upstream protocol can say.
_PREFERENCE = (RESPONSES, MESSAGES, CHAT)


def choose_endpoint(model: Model, own: str, models: Iterable[Model]) -> str:
    """The upstream path: the client's own if the catalogue serves the model there, else the richest that it does.

    Raises: UnsupportedFeatureError (400) if there is none.
    """
    for path in (own, *_PREFERENCE):
        if path in model.endpoints:
            return path
    require_endpoint(model, own, models)
    raise AssertionError("require_endpoint lets nothing through that is not listed")


_SUGGESTED = 3
"""How many models are named in place of one that is for something else, where none is like it."""


def require_endpoint(model: Model, path: str, models: Iterable[Model]) -> None:
    """Raise UnsupportedFeatureError (400) if the catalogue does not serve the model at this path."""
    if path in model.endpoints:
        return
    kind = {CHAT: "chat", RESPONSES: "chat", MESSAGES: "chat", EMBEDDINGS: "embeddings"}.get(path)
    here = [m.id for m in models if path in m.endpoints and kind in (None, m.type) and m.is_enabled]
    others = near_matches(model.id, here) or here[:_SUGGESTED]
    served = ", ".join(model.endpoints) or Sentence("no endpoint that the bridge speaks")
    said = Sentence(
        "The model %(model)s is not accessible via the %(path)s endpoint: Copilot serves it at %(served)s.",
        model=repr(model.id),
        path=path,
        served=served,
    )
    names: str = others[0] if others else ""
    for other in others[1:]:
        names = Sentence("%(one)s or %(other)s", one=names, other=other)
    advice = Sentence("Try %(names)s here.", names=names) if others else ""
    raise UnsupportedFeatureError(
        Sentence.joined(said, advice) if advice else said,
        param="model",
        code="unsupported_api_for_model",
    )


def is_auto(name: str) -> bool:
    """Whether a model's name, as clients write it, asks for auto mode: ``auto``, ``copilot/auto``."""
    return name.lower().rsplit("/", 1)[-1] == AUTO


def auto_entry(models: Iterable[Model]) -> Model:
    """Auto mode as an entry of the model list. It can do what every model can that it may pick."""
    chats = [model for model in models if model.type == "chat" and model.is_enabled and model.endpoints]
    paths = tuple(dict.fromkeys(path for model in chats for path in model.endpoints))
    capabilities = {"type": "chat", "family": AUTO, "supports": {"streaming": True, "tool_calls": True}}
    entry = {"id": AUTO, "name": "Auto", "vendor": "GitHub Copilot", "capabilities": capabilities}
    return Model(AUTO, vendor="GitHub Copilot", endpoints=paths, raw={**entry, "model_picker_enabled": True})
