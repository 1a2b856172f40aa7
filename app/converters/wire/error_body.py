"""What upstream's body says when it is no answer: the one parser of errors and pages, whatever their shape.

Contract §10.1: nested, flat, a bare string, plain text, JSON inside a message, an HTML page; with any status, also 200.
Texts are cut before any pattern searches them, and no pattern backtracks over more than that.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any, Final

from app.converters.wire import json_bytes
from app.errors import UpstreamProtocolError

LONGEST_WORDS: Final = 2000
"""Characters of upstream's message that are read, shown and searched."""

_HEAD: Final = 4096
_MOST_DETAILS: Final = 5
_MOST_NESTED: Final = 64 * 1024
_BLANKS: Final = "\ufeff \t\r\n"
_TAG: Final = re.compile(r"<[^<>]*>")
_URL: Final = re.compile(r"https?://[!-~]{1,2000}")
# Of an answer, in any protocol: what has one of these is no bare error, though it may have a message as well.
_OF_ANSWERS: Final = frozenset({"choices", "type", "object", "id", "delta", "response", "content", "output"})


@dataclass(frozen=True, slots=True)
class Said:
    """An error in upstream's words. message: at most `LONGEST_WORDS` characters; of a page its title."""

    message: str = ""
    code: str = ""
    type: str = ""
    param: str | None = None
    authorize_url: str = ""
    is_page: bool = False


def read_error(body: bytes) -> Said:
    """What an error's body says. Never fails: what is no JSON is plain text."""
    head = body[:_HEAD].decode("utf-8", "replace")
    if is_page(head):
        return Said(message=describe_page(head), is_page=True)
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        value = json_bytes.loads(body) if body.strip() else ""
    except ValueError:
        # Plain text is as common as JSON (contract §10.1); control characters have no place in a message.
        text = body[: 4 * LONGEST_WORDS].decode("utf-8", "replace")
        return Said(message=" ".join(text.split())[:LONGEST_WORDS])
    return _read_json(value)


def is_error(event: dict[str, Any]) -> bool:
    """Whether an object of a stream, or a whole answer, with status 200 is an error (contract §6.5.16).

    An error object of empty strings is none: some upstreams send it with every event.
    """
    error = event.get("error")
    if any(error.values()) if isinstance(error, dict) else error:
        return True
    if event.get("type") == "error":
        return True
    message = event.get("message")
    return isinstance(message, str) and bool(message) and _OF_ANSWERS.isdisjoint(event)


def answer_in(body: bytes) -> dict[str, Any]:
    """The JSON object that a whole answer is. Raises: UpstreamProtocolError for a page, torn JSON or no object."""
    head = body[:_HEAD].decode("utf-8", "replace")
    if is_page(head):
        raise page_error(head)
    try:
        answer = json_bytes.loads_exact(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise UpstreamProtocolError("GitHub Copilot's answer is torn or no JSON. Try again.") from None
    if not isinstance(answer, dict):
        raise UpstreamProtocolError("GitHub Copilot's answer is not a JSON object. Try again.")
    return answer


def is_page(text: str) -> bool:
    """Whether a body is HTML and nothing an API would say; never judged by its content type (contract §10.1)."""
    return text.lstrip(_BLANKS)[:1] == "<"


def describe_page(text: str) -> str:
    """Name an HTML page by its title; markup never gets into a message."""
    text = text[:_HEAD]
    lower = text.lower()
    start = lower.find("<title")
    begin = lower.find(">", start) + 1 if start >= 0 else 0
    end = lower.find("</title", begin) if begin else -1
    title = text[begin:end] if end >= 0 else ""
    words = " ".join(html.unescape(_TAG.sub(" ", title)).split()).replace("<", "").replace(">", "")
    return f'an HTML page titled "{words[:200]}"' if words else "an HTML page"


def page_error(text: str) -> UpstreamProtocolError:
    """The error of a page in place of an answer, whole or streamed."""
    return UpstreamProtocolError(f"GitHub Copilot sent {describe_page(text)} instead of an answer. Try again.")


def _read_json(value: Any, depth: int = 0) -> Said:
    """``body.error ?? body``, nested, flat or a bare string."""
    if not isinstance(value, dict):
        return Said(message=value[:LONGEST_WORDS] if isinstance(value, str) else "")
    error = value.get("error") or value
    if not isinstance(error, dict):
        error = {**value, "message": value.get("message") or error}
    message = _text(error.get("message")) or _details(error.get("detail")) or _text(error.get("error_description"))
    inner = _unpacked(message, depth)
    url = _text(error.get("authorize_url")) or _text(value.get("authorize_url"))
    return Said(
        message=(inner.message if inner else message)[:LONGEST_WORDS],
        code=_text(error.get("code")) or (inner.code if inner else ""),
        type=_text(error.get("type")) or (inner.type if inner else ""),
        param=_text(error.get("param")) or (inner.param if inner else None),
        authorize_url=url if _URL.fullmatch(url) else "",
    )


def _unpacked(message: str, depth: int) -> Said | None:
    """A JSON error inside the message: clients must never see a JSON string there (conversion rules §5)."""
    if depth > 2 or len(message) > _MOST_NESTED or not message.lstrip().startswith("{"):
        return None
    try:
        inner = _read_json(json_bytes.loads(message.encode("utf-8", "replace")), depth + 1)
    except ValueError:
        return None
    return inner if inner.message else None


def _details(value: Any) -> str:
    """What is wrong in a list of complaints with their places, as FastAPI writes it; a plain text as it is."""
    if not isinstance(value, list):
        return _text(value)
    told = []
    for one in value[:_MOST_DETAILS]:
        if isinstance(one, dict) and isinstance(one.get("msg"), str):
            place = one.get("loc")
            steps = [str(step) for step in place if isinstance(step, str | int)] if isinstance(place, list) else []
            told.append(": ".join(part for part in (".".join(steps), one["msg"]) if part))
    return "; ".join(told)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) and value else ""
