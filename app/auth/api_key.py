"""Who may call us: the API key, and where weak keys count.

A *weak* ring has no key at all, or the well-known default key. Weak access is honoured for callers on this machine or
in a private network only, because everybody knows the key. "Where from" is judged by every address we are told of: the
peer's and all in the forwarding headers. Forging those only does harm to the forger: one public address among them is
enough to be refused.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from app.errors import Sentence
from app.settings import DEFAULT_API_KEY, Secret

SESSION_S = 30 * 24 * 3600
"""How long a browser stays known, in seconds."""


class Access(Enum):
    """What a presented key is worth."""

    NONE = "none"
    WEAK = "weak"  # the well-known default key, or no key configured
    FULL = "full"


class HeaderLookup(Protocol):
    """Request headers, by name in any case."""

    def get(self, key: str, /, default: str) -> str: ...


class KeyRing:
    """The keys that clients may present. Empty: no key is needed (which is weak access)."""

    def __init__(self, keys: Iterable[Secret]) -> None:
        self._keys = [(key, _digest(key.reveal())) for key in keys]
        self._names = [key_name(key.reveal()) for key, _ in self._keys]
        self.is_open = not self._keys
        self.has_default = any(key.reveal() == DEFAULT_API_KEY for key, _ in self._keys)
        self.has_own = any(key.reveal() != DEFAULT_API_KEY for key, _ in self._keys)

    @property
    def warning(self) -> Sentence | None:
        """What to tell the operator while weak access is possible."""
        if self.is_open:
            return Sentence(
                "API_KEY is empty: everybody in the private network may use this subscription. Set API_KEY."
            )
        if self.has_default:
            return Sentence(
                "API_KEY is the well-known default: it counts for private callers only. Set a key of your own."
            )
        return None

    def judge(self, presented: Iterable[str]) -> Access:
        """The best that any of the presented keys is worth, in constant time for each."""
        best = Access.WEAK if self.is_open else Access.NONE
        for candidate in presented:
            digest = _digest(candidate)
            for key, expected in self._keys:  # no early exit: the time must not tell which key matched
                if hmac.compare_digest(digest, expected):
                    if key.reveal() != DEFAULT_API_KEY:
                        best = Access.FULL
                    elif best is Access.NONE:
                        best = Access.WEAK
        return best

    def name_of(self, presented: Iterable[str]) -> str | None:
        """What the log calls the right one among these keys: see `key_name`. None if none is right."""
        digests = [_digest(candidate) for candidate in presented]
        names = [
            name
            for name, (_, expected) in zip(self._names, self._keys, strict=True)
            if any(hmac.compare_digest(digest, expected) for digest in digests)
        ]
        return names[0] if names else None

    def name_of_session(self, session: str) -> str | None:
        """The same for the key that a browser showed before; whether the session still counts, `judge_session` says."""
        key = self._key_of(session)
        return key_name(key.reveal()) if key is not None else None

    def names(self) -> list[str]:
        """The names of all keys, in the order of API_KEY."""
        return list(self._names)

    def knows(self, presented: Iterable[str]) -> bool:
        """Whether any of the presented keys is one of the ring; with an empty ring none is."""
        return not self.is_open and self.judge(presented) is not Access.NONE

    def new_session(self, presented: Iterable[str], now: float) -> str | None:
        """A word by which a browser that showed a right key is known from now on; None if no presented key is right.

        It is ``<random>.<epoch seconds>.<mac>``: another one for each browser, bound to the key by HMAC, so that it
        neither reveals the key nor outlives a change of it, and no list of browsers has to be kept. now: epoch seconds.
        """
        digests = [_digest(candidate) for candidate in presented]
        for key, expected in self._keys:
            if any(hmac.compare_digest(digest, expected) for digest in digests):
                return session_of(key, now)
        return None

    def judge_session(self, session: str, now: float) -> Access:
        """What a word of `new_session` is worth; nothing after `SESSION_S`."""
        if not _is_timely(session, now):
            return Access.NONE
        key = self._key_of(session)
        if key is None:
            return Access.NONE
        return Access.WEAK if key.reveal() == DEFAULT_API_KEY else Access.FULL

    def _key_of(self, session: str) -> Secret | None:
        """The key by which a session was made."""
        body, _, mac = session.rpartition(".")
        for key, _ in self._keys:
            if hmac.compare_digest(mac.encode("utf-8", "surrogateescape"), _session_mac(key, body).encode()):
                return key
        return None


def session_of(secret: Secret, now: float, *, whose: str = "") -> str:
    """A word as of `KeyRing.new_session`, bound to this secret. whose: the id of a key, by which to find it again."""
    mark = f"{whose}~" if whose else ""
    body = f"{mark}{secrets.token_urlsafe(16)}.{int(now)}"
    return f"{body}.{_session_mac(secret, body)}"


def whose_session(session: str) -> str:
    """What `session_of` was told of the key; empty if nothing. Whether it is true, `is_session_of` says."""
    return session.partition("~")[0] if "~" in session else ""


def is_session_of(secret: Secret, session: str, now: float) -> bool:
    """Whether `session_of` made a word of this secret, and it still counts."""
    body, _, mac = session.rpartition(".")
    is_its = hmac.compare_digest(mac.encode("utf-8", "surrogateescape"), _session_mac(secret, body).encode())
    return is_its and _is_timely(session, now)


def _is_timely(session: str, now: float) -> bool:
    id, _, issued = session.rpartition(".")[0].partition(".")
    if not (id and issued.isascii() and issued.isdigit() and len(issued) < 12):
        return False
    return 0 <= now + 1 - int(issued) <= SESSION_S


def key_name(key: str) -> str:
    """A key's name for the log: ``default`` for the well-known one, else 8 hex digits that do not lead back to it."""
    if key == DEFAULT_API_KEY:
        return "default"
    return hmac.new(key.encode("utf-8", "surrogateescape"), b"copilot-bridge key name", hashlib.sha256).hexdigest()[:8]


def presented_keys(headers: HeaderLookup) -> list[str]:
    """Keys in the headers: ``Authorization: Bearer`` and ``x-api-key``. Some clients send both, one of them a dummy."""
    found = []
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        found.append(value.strip())
    if key := headers.get("x-api-key", "").strip():
        found.append(key)
    return found


_FORWARDED_FOR = re.compile(r'for\s*=\s*("[^"]*"|[^;,\s]+)', re.IGNORECASE)
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?")
_LOCAL_SUFFIXES = (".localhost", ".local", ".lan", ".home", ".internal", ".home.arpa", ".intranet", ".test")


def is_private_caller(peer: str | None, headers: HeaderLookup) -> bool:
    """True if the peer and every address in the forwarding headers is loopback or private.

    peer: the address of the TCP connection; empty for a Unix socket, which is local.
    An address that cannot be read (``unknown``, ``_hidden``) counts as public.
    """
    if peer and not _is_private(peer):
        return False
    told = [part for name in ("X-Forwarded-For", "X-Real-IP") for part in headers.get(name, "").split(",")]
    told += _FORWARDED_FOR.findall(headers.get("Forwarded", ""))
    return all(_is_private(address) for address in told if address.strip())


def is_local_name(host: str) -> bool:
    """True if a Host header cannot be the bait of a DNS-rebinding page: an IP address or a name without public suffix.

    A page on evil.example whose name is re-pointed to 127.0.0.1 still sends ``Host: evil.example``.
    """
    parsed = _HOST.fullmatch(host.lower())
    if parsed is None:
        return False
    name = (parsed["address"] or parsed["name"]).rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_LOCAL_SUFFIXES)
    return True


def _is_private(text: str) -> bool:
    value = text.strip().strip('"').strip()
    if value.startswith("["):  # [::1] or [::1]:4711
        value = value[1:].split("]")[0]
    elif value.count(":") == 1:  # 10.0.0.1:4711
        value = value.split(":")[0]
    try:
        address = ipaddress.ip_address(value.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in _PRIVATE)


# Not `is_private`, which also holds documentation and benchmark ranges.
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",  # carrier-grade NAT and overlay networks such as Tailscale
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _session_mac(key: Secret, body: str) -> str:
    text = f"copilot-bridge browser session {body}"
    return hmac.new(key.reveal().encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
