"""What a 400 of the chat endpoint names as its reason, so that exactly that is left out and the request repeated once.

Contract §6.1, §6.6, §10.3 ("repair and retry once"), §10.4.
"""

from __future__ import annotations

import re
from typing import Any, Final

from app.converters import json_bytes
from app.converters.limits import as_effort
from app.converters.losses import Losses

PROOF: Final = "proof"

# Without these there is no request; a refusal that names one of them is about something inside it.
_INDISPENSABLE: Final = frozenset({"model", "messages", "tools", "stream"})

_PATH: Final = r"[A-Za-z_][\w.\[\]-]*"
_PROOFS: Final = re.compile(
    r"encrypted content .*could not be verified|invalid_encrypted_content|invalid [`'\"]?signature"
    r"|reasoning_opaque was not issued|corrupted thought signature|thought.?signature is (?:not valid|invalid)",
    re.IGNORECASE | re.DOTALL,
)
_VALUE: Final = re.compile(r"unsupported value: ?['\"`](\w+)['\"`] is not supported", re.IGNORECASE)
_NAMES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"invalid value for ['\"`](tool_choice)['\"`].*not supported",
        rf"unsupported parameter:? ?['\"`]?({_PATH})['\"`]?",
        rf"unsupported value: ?['\"`]({_PATH})['\"`] does not",
        r"(?:unknown|unrecognized|unexpected|invalid) (?:request )?(?:parameter|argument|field|key)s?(?: supplied)?:? ?"
        rf"['\"`]?({_PATH})['\"`]?",
        rf"['\"`]?({_PATH})['\"`]?: Extra inputs are not permitted",
        rf"^['\"`]?({_PATH})['\"`]? is not supported",
        rf"['\"`]({_PATH})['\"`] (?:is|are) (?:not supported|unsupported|not allowed|deprecated)",
        rf"['\"`]({_PATH})['\"`] does not support",
        r"(tool_choice)\b.*not supported",
    )
)
_INDEX: Final = re.compile(r"\[(\d+)\]|\.(\d+)(?=\.|$)")


def named_refusal(status: int, body: bytes) -> str | None:
    """The name to add to `refused` for one retry; None if the refusal names nothing that may be left out.

    "proof" for a reasoning proof; a top-level field; or a field inside, without indexes: ``messages[].name``.
    """
    if status != 400:
        return None
    message, param = _said(body)
    if _PROOFS.search(message):
        return PROOF
    if (value := _VALUE.search(message)) and as_effort(value[1].lower()):
        return "reasoning_effort"
    found = next((match[1] for pattern in _NAMES if (match := pattern.search(message))), None)
    candidates = [_normal(name) for name in (found, param) if name]
    if found is None and not re.search(r"not supported|unsupported|unknown|not permitted|not allowed", message, re.I):
        # `param` alone says which field is wrong, not that the request would do without it.
        return None
    return next((name for name in candidates if _can_go(name)), None)


def without_refused(body: dict[str, Any], refused: frozenset[str], losses: Losses) -> dict[str, Any]:
    """The body without the named fields, each recorded. Those with a meaning of their own are the encoder's affair."""
    left = {name: value for name, value in body.items() if name not in refused or not _is_removable(name)}
    for name in body:
        if name not in left:
            losses.drop(name, "upstream refuses it for this model")
    for path in sorted(refused):
        head, is_nested, rest = path.partition("[].")
        if is_nested and isinstance(left.get(head), list):
            left[head] = [_without(item, rest.split("."), path, losses) for item in left[head]]
        elif "." in path and isinstance(left.get(path.split(".")[0]), dict):
            head, *keys = path.split(".")
            left[head] = _without(left[head], keys, path, losses)
    return left


def _without(value: Any, keys: list[str], path: str, losses: Losses) -> Any:
    if isinstance(value, list):
        return [_without(item, keys, path, losses) for item in value]
    if not isinstance(value, dict):
        return value
    key, *deeper = keys
    is_list = key.endswith("[]")
    key = key.removesuffix("[]")
    if key not in value:
        return value
    if deeper or is_list:
        return {**value, key: _without(value[key], deeper, path, losses)} if deeper else value
    losses.drop(path, "upstream refuses it for this model")
    return {name: inner for name, inner in value.items() if name != key}


def _is_removable(name: str) -> bool:
    return name not in _INDISPENSABLE and name not in ("max_tokens", "max_completion_tokens", "tool_choice")


def _can_go(name: str) -> bool:
    head = re.split(r"[.\[]", name)[0]
    if head not in _INDISPENSABLE:
        return True
    leaf = re.split(r"[.\]]", name)[-1]
    return leaf not in ("", head, "role", "content", "type", "id", "function", "parameters", "tool_calls", "arguments")


def _normal(path: str) -> str:
    """``tools.3.custom.strict`` and ``tools[3].custom.strict`` → ``tools[].custom.strict``."""
    return _INDEX.sub("[]", path.strip())


def _said(body: bytes) -> tuple[str, str | None]:
    try:
        value = json_bytes.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")[:2000], None
    if not isinstance(value, dict):
        return str(value)[:2000], None
    error = value.get("error") or value
    if not isinstance(error, dict):
        return str(error)[:2000], None
    message, param = error.get("message"), error.get("param")
    inner = message if isinstance(message, str) else ""
    if inner.lstrip().startswith("{"):
        nested = _said(inner.encode("utf-8", "replace"))
        return nested if nested[0] else (inner[:2000], None)
    return inner[:2000], param if isinstance(param, str) and param else None
