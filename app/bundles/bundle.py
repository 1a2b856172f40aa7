"""The file that a recorded call becomes: JSON, with filler for everything that was said.

``request``: what the client sent. ``answers``: the calls to Copilot in order, each with what it was asked and the
pieces of its answer. ``outcome``: what became of it. Bytes are text where they are UTF-8, else ``{"base64": …}``.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.bundles.redaction import Redactor
from app.bundles.words import WORDS
from app.converters.messages.upstream.betas import ACCEPTED
from app.ledger.booking import outcome_of
from app.logs import loggable_name
from app.reply import Ended
from app.tape import Reel, Tape
from app.version import VERSION

FORMAT: Final = "copilot-bridge-bundle-1"
_PARTS: Final = re.compile(r"\w+")
_OF_ENTRY: Final = ("id", "object", "vendor", "version", "preview", "model_picker_enabled", "supported_endpoints")
_STREAM: Final = "text/event-stream"
_BETA: Final = re.compile(rf"(?:{'|'.join(ACCEPTED)})(?:\d{{4}}-\d\d-\d\d|\d{{8}})")
_MEDIA: Final = re.compile(r"(?:text/(?:event-stream|plain|html)|application/json)(?:; ?charset=utf-8)?")


def bundle_of(ended: Ended, tape: Tape, *, models: Iterable[str]) -> bytes:
    """The file of a call. models: names that are Copilot's own."""
    record, redactor = ended.record, Redactor(models)
    document = {
        "format": FORMAT,
        "bridge": VERSION,
        "request": {
            "path": ended.path,
            "headers": _headers(redactor, tape.headers),
            "body": packed(redactor.body(tape.request)),
        },
        "model": {
            "asked": redactor.name(record.model),
            "served": redactor.name(record.served_model),
            "entry": _entry(record.entry),
        },
        "answers": [_answer(redactor, reel) for reel in tape.reels],
        "outcome": outcome_told(ended),
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n"


def outcome_told(ended: Ended) -> dict[str, Any]:
    """What became of a call, as far as a replay can show the same. dropped: without what is somebody's own word."""
    record = ended.record
    dropped = [loggable_name(name) for name in record.dropped]
    return {
        "status": ended.status,
        "outcome": outcome_of(record.error, ended.status),
        "error": record.error,
        "finish_reason": record.finish_reason,
        "dropped": [name if set(_PARTS.findall(name)) <= WORDS else "?" for name in dropped],
    }


def packed(content: bytes) -> str | dict[str, str]:
    """Bytes as JSON."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def unpacked(value: Any) -> bytes:
    """The bytes again. Raises: ValueError."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        return base64.b64decode(value["base64"], validate=True)
    raise ValueError("neither text nor base64")


def _answer(redactor: Redactor, reel: Reel) -> dict[str, Any]:
    media = reel.headers.get("content-type", "").lower()
    is_error = reel.status is None or reel.status >= 400
    whole = redactor.body(b"".join(reel.pieces), is_stream=media.startswith(_STREAM), is_error=is_error)
    pieces, at = [], 0
    for piece in reel.pieces:
        pieces.append(packed(whole[at : at + len(piece)]))
        at += len(piece)
    return {
        "path": reel.path,
        "request": packed(redactor.body(reel.request)),
        "status": reel.status,
        "headers": _headers(redactor, reel.headers),
        "pieces": pieces,
        "end": reel.end,
    }


def _headers(redactor: Redactor, headers: Mapping[str, str]) -> dict[str, str]:
    """The few that the protocols read, if they say what they may."""
    found = {}
    if _MEDIA.fullmatch(media := headers.get("content-type", "").lower()):
        found["content-type"] = media
    if re.fullmatch(r"\d{4}-\d\d-\d\d", version := headers.get("anthropic-version", "")):
        found["anthropic-version"] = version
    if betas := headers.get("anthropic-beta", ""):
        found["anthropic-beta"] = ",".join(
            beta if _BETA.fullmatch(beta) else redactor.text(beta) for beta in re.split(r"\s*,\s*", betas)
        )
    if re.fullmatch(r"\d{1,6}", wait := headers.get("retry-after", "")):
        found["retry-after"] = wait
    return found


def _entry(entry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the catalogue says of the model: Copilot's own words, as far as the bridge reads them."""
    if entry is None:
        return None
    kept = {name: entry[name] for name in _OF_ENTRY if name in entry}
    capabilities = entry.get("capabilities")
    if isinstance(capabilities, dict):
        kept["capabilities"] = capabilities
    return kept
