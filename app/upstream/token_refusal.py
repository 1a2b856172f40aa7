"""Which refusals are about the token that a call was made with, so that a new one may help (contract §2.5, §10.4)."""

from __future__ import annotations

import re
from typing import Final

import orjson

REFUSALS: Final = frozenset({401, 403, 421})

# A stale token was seen to be told so by this one word. A reason beside it (a licence, a policy, terms, an address that
# may not come in) is about the account, and a new token would be told the same.
_NO_REASON: Final = re.compile(r"(error:?\s*)?(403:?\s*)?(forbidden|unauthorized|bad credentials)?\.?", re.IGNORECASE)
_EXPIRED: Final = re.compile(
    r"\b(token|credentials?|jwt)\b.{0,20}\b(is |has |was )?(expired|revoked|invalid|not valid|stale)\b"
    r"|\b(expired|revoked|invalid|stale)\b.{0,12}\b(token|credentials?|jwt)\b",
    re.IGNORECASE,
)

_ENDED_SESSION: Final = re.compile(
    r"\bsession[ _-]?(token)?\b.{0,20}\b(expired|invalid|not valid|unknown|not found|ended)\b"
    r"|\b(expired|invalid|unknown)\b.{0,12}\bsession\b",
    re.IGNORECASE,
)


def is_about_token(status: int, body: bytes) -> bool:
    """Whether a new token may help. 421 is the wrong host, which comes with the token."""
    if status != 403:
        return status in REFUSALS
    said = _words(body)
    if said is None:
        return False
    return all(_NO_REASON.fullmatch(words) or _EXPIRED.search(words) for words in said)


def is_about_session(body: bytes) -> bool:
    """Whether the session of auto mode has ended that a call named (contract §4.7), which is no fault of the token."""
    return any(_ENDED_SESSION.search(words) for words in _words(body) or ())


def _words(body: bytes) -> list[str] | None:
    """What a refusal says, in whichever of the shapes of contract §10.1; None for a page, which is some proxy's."""
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return None
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return [text]
    if isinstance(told, dict):
        error = told.get("error", told)
        if isinstance(error, dict):
            # A code of its own is a reason; "forbidden" and "unauthorized" repeat the status.
            named = (error.get("message"), str(error.get("code") or "").replace("_", " "))
            return [words.strip() for words in named if isinstance(words, str)]
        told = error
    return [told.strip()] if isinstance(told, str) else None
