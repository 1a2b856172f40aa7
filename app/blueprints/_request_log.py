"""What the log says of a request: one line when its answer has ended, and one more if it went wrong.

Prompts, answers and what upstream said of them stay out of it, and so does every text of a client's that may be one.
"""

from __future__ import annotations

import functools
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict

from flask import g, request

from app.converters.wire.accounting import NANO
from app.errors import GatewayError, UnauthorizedError
from app.logs import debug_excerpt, loggable_name, logger, note
from app.reply import Ended, Observer, Record

# Liveness is asked for every few seconds, and tells nothing as long as it answers.
_QUIET = ("/livez", "/health")
_PRODUCT = re.compile(r"([A-Za-z][\w.+-]{0,39})(?:/([\w.+-]{1,40}))?")
# What every browser says, and what is built of one; the program is what stands beside them.
_OF_BROWSERS = frozenset({"Mozilla", "AppleWebKit", "Chrome", "Chromium", "HeadlessChrome", "Safari", "Electron"})
_OF_BROWSERS |= {"Version", "Gecko", "Firefox", "Edg", "OPR", "Mobile", "KHTML", "like"}
_MOST_NAMES = 20
_MODEL_LENGTH = 100


def line_writer(record: Record, status: int, observers: Sequence[Observer]) -> Callable[[], None]:
    """Writes the one log line of a request, when its answer has ended (a stream outlives the request context), and
    tells the observers."""
    method, path, started_at, started_on = request.method, request.path, g.started_at, time.time()
    started_on -= time.monotonic() - started_at
    address, client = _address(), client_name(request.headers.get("User-Agent", "")[:400])
    level = logging.DEBUG if path in _QUIET else logging.INFO

    def write() -> None:
        duration_ms = round((time.monotonic() - started_at) * 1000)
        fields = {
            "request_id": record.request_id,
            "trace_id": record.traceparent[3:35] if record.traceparent else None,
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": duration_ms,
            "address": address,
            "key": record.key,
            "client": client,
            "protocol": record.protocol or None,
            "model": record.model[:_MODEL_LENGTH] or None,
            "upstream": record.upstream if record.upstream != record.protocol else None,
            "served_model": record.served_model[:_MODEL_LENGTH] if record.served_model != record.model else None,
            "rule": record.rule,
            "stream": record.stream or None,
            "purpose": record.purpose,
            "initiator": record.initiator,
            "answered": record.answered,
            "searches": record.searches,
            "waited_ms": record.waited_ms,
            "first_byte_ms": record.first_byte_ms,
            "finish_reason": record.finish_reason,
            "usage": record.usage,
            "credits": None if record.nano_credits is None else record.nano_credits / NANO,
            "dropped": _names(record.dropped) or None,
            "losses": _reasons(record.losses) or None,
            "error": record.error,
        }
        note(level, "request", fields)
        ended = Ended(record, method, path, status, address, client, started_on, duration_ms)
        for observer in observers:
            try:
                observer(ended)
            except Exception:  # the next one is told all the same
                logger.exception("observer failed", extra={"fields": {"request_id": record.request_id}})

    return write


def log_error(error: GatewayError, message: str, record: Record) -> None:
    """What went wrong. message: what the client is told; it stands in the log only if it is in our own words."""
    fields = {"request_id": record.request_id, "code": error.code, "status": error.status}
    if error.status in (401, 403) or isinstance(error, UnauthorizedError):
        fields["address"] = _address()
    if not error.quotes:
        logger.log(error.log_level, message, extra={"fields": fields})
        return
    logger.log(error.log_level, "request failed", extra={"fields": fields})
    debug_excerpt(message, record.request_id)


class Who(TypedDict):
    """Who makes a change, as `audit` takes it."""

    actor: str
    address: str | None


def who() -> Who:
    """Who makes the current request."""
    key = g.record.key
    return {"actor": f"key:{key}" if key else "nobody", "address": _address()}


def _address() -> str | None:
    """The client's address, by what trusted proxies tell; None on a Unix socket without one."""
    return request.remote_addr or None


@functools.lru_cache(maxsize=256)
def client_name(user_agent: str) -> str | None:
    """The program that a User-Agent names, without its version: ``claude-cli``, ``OpenAI/Python``, ``browser`` …"""
    for name, version in _PRODUCT.findall(re.sub(r"\([^)]*\)", " ", user_agent)):
        if name not in _OF_BROWSERS and (version or not user_agent.startswith("Mozilla/")):
            return f"{name}/{version}" if version and not version[0].isdigit() else name
    return "browser" if user_agent.startswith("Mozilla/") else None


def _names(dropped: Iterable[str]) -> list[str]:
    return _first([loggable_name(name) for name in dropped])


def _reasons(losses: Iterable[tuple[str, str]]) -> list[str]:
    return _first([f"{loggable_name(path)}: {reason}" for path, reason in losses])


def _first(names: list[str]) -> list[str]:
    """A line of bounded length that says what it leaves out, as the header does."""
    rest = len(names) - _MOST_NAMES
    return [*names[:_MOST_NAMES], f"+{rest} more"] if rest > 0 else names
