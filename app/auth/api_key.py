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
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from app.settings import DEFAULT_API_KEY, Secret


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
        self.is_open = not self._keys
        self.has_default = any(key.reveal() == DEFAULT_API_KEY for key, _ in self._keys)

    @property
    def warning(self) -> str | None:
        """What to tell the operator while weak access is possible."""
        if self.is_open:
            return "API_KEY is empty: everybody in the private network may use this subscription. Set API_KEY."
        if self.has_default:
            return "API_KEY is the well-known default: it counts for private callers only. Set a key of your own."
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

    def session_cookies(self) -> list[str]:
        """One cookie value per key, by which a browser that showed the key once is known again.

        Derived from the key by HMAC: the cookie neither reveals the key nor outlives a change of it.
        """
        return [
            hmac.new(key.reveal().encode(), b"copilot-bridge browser session", hashlib.sha256).hexdigest()
            for key, _ in self._keys
        ]

    def cookie_for(self, presented: Iterable[str]) -> str | None:
        """The cookie for the first presented key that is right."""
        digests = [_digest(candidate) for candidate in presented]
        for (_, expected), cookie in zip(self._keys, self.session_cookies(), strict=True):
            if any(hmac.compare_digest(digest, expected) for digest in digests):
                return cookie
        return None

    def judge_cookie(self, cookie: str) -> Access:
        for (key, _), expected in zip(self._keys, self.session_cookies(), strict=True):
            if hmac.compare_digest(cookie.encode(), expected.encode()):
                return Access.WEAK if key.reveal() == DEFAULT_API_KEY else Access.FULL
        return Access.NONE


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
