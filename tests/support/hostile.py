"""Answers that no honest server gives: from a seed and a number, so that one that failed can be made again."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.raw_upstream import CLOSE, LINGER, Asked, RawUpstream

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"

ODD: Final[list[Any]] = [
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"), 2**31, 2**63, 2**64,
    10**400, -(10**400), "", " ", "x", "0", "-1", "NaN", "1e999", "2026-13-45T99:99:99Z", "\ud800", "\x00", "a\r\nb: c",
    "ü" * 50, "x" * 5000, [], [[]], [None], [{}], {}, {"x": None}, {"": []},
]  # fmt: skip
"""Values in the place of any other."""

STATUSES: Final = (
    "200 OK", "200", "200 \x01", "201 Created", "204 No Content", "206 Partial", "301 Moved", "304 Not Modified",
    "400 Bad", "401 Unauthorized", "403 Forbidden", "404 Not Found", "408 T", "413 L", "421 Misdirected", "422 U",
    "429 Slow", "451 L", "499 C", "500 E", "502 B", "503 S", "504 T", "529 O", "599 X", "600 Y", "999 Z", "099 W",
    "000", "-1", "20x", "1000 A", "",
)  # fmt: skip
HEADERS: Final = (
    "Retry-After: soon", "Retry-After: -5", "Retry-After: 1e400", "Retry-After: 9" + "9" * 400, "Retry-After: a\x01b",
    "Retry-After: Wed, 99 Foo 2026 99:99:99 GMT", "Retry-After: nan", "Date: yesterday", "Date: ", "Date: \xff",
    "Date: Mon, 01 Jan 0000 00:00:00 GMT", "Date: Fri, 31 Dec 9999 23:59:59 -2359", "X-GitHub-Request-Id: a\x01b",
    "X-GitHub-Request-Id: \x7f\x80\xff", "x-quota-snapshot-chat: %00%ff&ent=nan&rem=inf", "x-quota-snapshot-: ",
    "x-usage-ratelimit-x y: 1", "x-ratelimit-reset: 99999999999999999999", "x-ratelimit-user-retry-after: NaN",
    "x-ratelimit-exceeded: \x00", "Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: gzip, gzip",
    "Content-Type: ", "Content-Type: ;;;", "Content-Type: application/json; charset=nonsense", "Set-Cookie: a=\x00",
    "Content-Type: text/html", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked", "Content-Length: 5",
    "Content-Length: -5", "Content-Length: x", "Content-Length: 99999999999999999999", "Connection: close", "no colon",
    ": empty", " folded", "Location: http://[::", "WWW-Authenticate: \x00", "Upgrade: h2c",
)  # fmt: skip


def _mutated(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """The value with one part of it odd, missing or doubled."""
    if not isinstance(value, dict | list) or not value or (depth and chance.random() < 0.25):
        return chance.choice(ODD)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        how = chance.random()
        if how < 0.15:
            return value[:at] + value[at + 1 :]
        if how < 0.3:
            return [*value, *value[at:]]
        return [*value[:at], _mutated(value[at], chance, depth + 1), *value[at + 1 :]]
    key = chance.choice(sorted(value))
    if chance.random() < 0.15:
        return {name: item for name, item in value.items() if name != key}
    return value | {key: _mutated(value[key], chance, depth + 1)}


def _torn(body: bytes, chance: random.Random) -> bytes:
    how = chance.random()
    at = chance.randrange(len(body) + 1)
    if how < 0.55:
        return body
    if how < 0.65:
        return body[:at]
    if how < 0.75:
        return body[:at] + bytes([chance.randrange(256)]) * chance.choice([1, 3, 3000]) + body[at:]
    if how < 0.85:
        return b"\xef\xbb\xbf" + body
    if how < 0.9:
        return b"[" * chance.choice([10, 5000]) + body
    return chance.choice([b"", b"null", b"\xff\xfe", b"<html><title>x</title>", b"data: {}\n\n", b"{}", b"[]", b'"x"'])


def _framed(body: bytes, chance: random.Random, kind: str) -> list[bytes]:
    """Head and body, mostly as they should be."""
    status = "200 OK" if chance.random() < 0.6 else chance.choice(STATUSES)
    lines = [f"Content-Type: {kind}"]
    lines += [chance.choice(HEADERS) for _ in range(chance.choice([0, 0, 1, 1, 3]))]
    how = chance.random()
    if how < 0.1:
        body = gzip.compress(body)[: chance.choice([5, 1 << 20])]
        lines.append("Content-Encoding: gzip")
    if how < 0.7:
        lines.append(f"Content-Length: {len(body) + chance.choice([0, 0, 0, 0, -1, 7])}")
    elif how < 0.9:
        lines.append("Transfer-Encoding: chunked")
        size = chance.choice([f"{len(body):x}", f"{len(body):x};a=b", f"{len(body) + 3:x}", "zz", "-1"])
        body = f"{size}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    else:
        lines.append("Connection: close")
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: \x01\r\n\r\n" if chance.random() < 0.05 else b""
    head = f"HTTP/1.1 {status}\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    return [interim + head.encode("latin-1") + body, CLOSE if how >= 0.9 else LINGER]


def hostile_json(good: Any, chance: random.Random) -> list[bytes]:
    """An answer with JSON that is nearly this one."""
    for _ in range(chance.choice([0, 1, 1, 1, 2, 4])):
        good = _mutated(good, chance)
    body = json.dumps(good).encode("utf-8", "surrogatepass")
    return _framed(_torn(body, chance), chance, "application/json")


def hostile_stream(good: bytes, chance: random.Random) -> list[bytes]:
    """An event stream that is nearly this one."""
    lines = good.split(b"\n")
    for _ in range(chance.choice([0, 1, 1, 2])):
        at = chance.randrange(len(lines))
        name, _, payload = lines[at].partition(b": ")
        if name == b"data" and payload.startswith(b"{"):
            mutated = json.dumps(_mutated(json.loads(payload), chance)).encode("utf-8", "surrogatepass")
            lines[at] = b"data: " + mutated
        else:
            how = chance.random()
            lines[at : at + 1] = [] if how < 0.3 else [lines[at]] * 2 if how < 0.6 else [b"event: \xff"]
    return _framed(_torn(b"\n".join(lines), chance), chance, "text/event-stream")


class HostileGitHub(RawUpstream):
    """Its own answers, for the token and the model list, are what `spoil` makes of the good ones, if it makes any."""

    spoil: Callable[[str, Any], list[bytes] | None] = staticmethod(lambda path, good: None)

    TOKEN: Final = {
        "token": "tid=test;exp=1:mac", "expires_at": 4_000_000_000, "refresh_in": 1500, "sku": "x",
        "endpoints": {"api": "https://api.githubcopilot.com"}, "chat_enabled": True, "limited_user_quotas": {"chat": 1},
        "error_details": {"message": "m", "title": "t", "notification_id": "n", "url": "https://github.com"},
    }  # fmt: skip

    def _own(self, asked: Asked) -> bytes | Sequence[bytes] | None:
        good: Any = {"/copilot_internal/v2/token": self.TOKEN, "/models": {"data": self.models, "object": "list"}}
        spoilt = self.spoil(asked.path, good.get(asked.path)) if asked.path in good else None
        return super()._own(asked) if spoilt is None else spoilt
