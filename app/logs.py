"""Logging: one line per event, as JSON or as text, with every secret masked.

Masking happens on the finished line, so that tracebacks, libraries and gunicorn's own messages are covered as well.
Content (prompts, answers) is never logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from app.masking import masked

logger = logging.getLogger("copilot_bridge")

_LEAST_LITERAL = 4
_EXCERPT_LENGTH = 300
_FIELD_NAME = re.compile(r"[\w.\[\]:*-]{1,80}", re.ASCII)
_PLAIN = re.compile(r"[^\s\"'=]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Redactor:
    """Masks token shapes and the given literal secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Very short secrets would mask half the log; they are still covered where they stand behind a known name.
        known = {s for s in secrets if len(s) >= _LEAST_LITERAL}
        # In a JSON line a quote or a backslash of a secret is escaped.
        known |= {json.dumps(s, ensure_ascii=False)[1:-1] for s in known}
        literal = sorted(known, key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, literal))) if literal else None

    def __call__(self, text: str) -> str:
        if self._literal is not None:
            text = self._literal.sub("***", text)
        return masked(text)


class LineFormatter(logging.Formatter):
    """Formats a record as one line. ``extra={"fields": {...}}`` adds structured fields.

    JSON: ``{"ts": "2026-01-01T00:00:00.000Z", "level": "INFO", "event": "request", …fields}``.
    """

    def __init__(self, *, as_json: bool, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._as_json = as_json
        self._encode = json.JSONEncoder(ensure_ascii=False, default=str).encode  # json.dumps makes one for each call
        self._redact = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {k: v for k, v in getattr(record, "fields", {}).items() if v is not None}
        when = datetime.fromtimestamp(record.created, UTC)
        trace = self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else None
        if self._as_json:
            line = {
                "ts": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "level": record.levelname,
                "event": record.getMessage(),
                **({} if record.name == logger.name else {"logger": record.name}),
                **fields,
                **({"trace": trace} if trace else {}),
            }
            return self._redact(self._encode(line))
        pairs = (f"{key}={_as_word(value)}" for key, value in fields.items())
        text = " ".join([f"{when:%H:%M:%S}", f"{record.levelname:<7}", record.getMessage(), *pairs])
        # A model name with a line break in it must not forge a line of its own.
        text = _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
        return self._redact(text + (f"\n{trace}" if trace else ""))


def note(level: int, event: str, fields: dict[str, Any]) -> None:
    """Log a line of these fields, without finding out from where: for what is logged with every request."""
    if logger.isEnabledFor(level):
        record = logging.LogRecord(logger.name, level, "", 0, event, (), None)
        record.fields = fields
        logger.handle(record)


def loggable_name(name: str) -> str:
    """A field's name for the log; ``?`` for what looks like none, which may be anything that a client wrote."""
    return name if _FIELD_NAME.fullmatch(name) else "?"


def debug_excerpt(message: str, request_id: str) -> None:
    """What may quote a prompt or an answer: for debugging only, and not all of it."""
    logger.debug("told", extra={"fields": {"request_id": request_id, "message": message[:_EXCERPT_LENGTH]}})


def audit(what: str, *, actor: str, address: str | None = None, **fields: Any) -> None:
    """Log a change that somebody made: always at INFO, with ``"audit": true`` to find it by.

    actor: ``key:<id>`` (see `KeyRing.name_of`), ``cli:<user>``, or ``nobody`` where no key was needed.
    fields: what it was before and after, without secrets.
    """
    logger.info(what, extra={"fields": {"audit": True, "actor": actor, "address": address, **fields}})


def _as_word(value: Any) -> str:
    """A value as text that cannot be taken for two, or for a field of its own: quoted where it has to be."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def dict_config(*, level: str, format: str, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Configuration for ``logging.config.dictConfig``, shared by gunicorn and the command line."""
    as_json = format == "json" or (format == "auto" and not sys.stderr.isatty())
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": LineFormatter, "as_json": as_json, "secrets": list(secrets)}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            logger.name: {"level": level},
            "gunicorn.error": {"level": level, "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
            # werkzeug's access lines (flask run) would repeat ours.
            "werkzeug": {"level": "WARNING"},
            # Its warnings quote whole URLs, and an image URL may be signed.
            "urllib3": {"level": "ERROR"},
        },
    }
