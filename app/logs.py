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

logger = logging.getLogger("copilot_bridge")

_TOKEN_SHAPES = re.compile(
    r"""
      gh[a-z]_[A-Za-z0-9_]{4,}                       # GitHub tokens
    | github_pat_[A-Za-z0-9_]+
    | \btid=[^\s"',]+                                # Copilot tokens: tid=…;exp=…;…:mac
    | (?<=api_key=)[^&\s"']+
    | (?<=[Bb]earer\ )[^\s"',]+
    | (?<=x-api-key:\ )[^\s"',]+
    """,
    re.VERBOSE,
)


_LEAST_LITERAL = 4
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
        return _TOKEN_SHAPES.sub("***", text)


class LineFormatter(logging.Formatter):
    """Formats a record as one line. ``extra={"fields": {...}}`` adds structured fields.

    JSON: ``{"ts": "2026-01-01T00:00:00.000Z", "level": "INFO", "event": "request", …fields}``.
    """

    def __init__(self, *, as_json: bool, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._as_json = as_json
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
            return self._redact(json.dumps(line, ensure_ascii=False, default=str))
        pairs = (f"{key}={value}" for key, value in fields.items())
        text = " ".join([f"{when:%H:%M:%S}", f"{record.levelname:<7}", record.getMessage(), *pairs])
        # A model name with a line break in it must not forge a line of its own.
        text = _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
        return self._redact(text + (f"\n{trace}" if trace else ""))


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
