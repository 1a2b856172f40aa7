"""The URL of an image, taken apart strictly, and how to say that it cannot be used."""

from __future__ import annotations

import ipaddress
import re
import string
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

import urllib3

from app.errors import InvalidRequestError
from app.upstream.images.addresses import Address, plain

PARAM: Final = "image_url"
"""The request field that all errors of this module are about."""

_MAX_URL = 8192  # characters; far above what image hosts use, signed URLs included

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_REMEDY = "send the image as a data: URL instead."

# Control characters, any kind of white space, and the backslash that browsers read as a slash.
UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\\\s]")

_NETLOC = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{0,5}))?")

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

# No top-level domain is a number; what ends in one is meant as an IPv4 address, in whatever spelling.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


@dataclass(frozen=True)
class ImageUrl:
    """One place to fetch from: an image URL, or where a redirect leads to."""

    scheme: str  # "http" or "https"
    host: str  # ASCII, lower case, no trailing dot; an IPv6 address without brackets
    port: int
    path: str  # with the query; ASCII; begins with "/"
    address: Address | None  # when the host is an address and no name

    @property
    def authority(self) -> str:
        """Value of the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    def pinned_url(self, address: Address) -> str:
        """The URL with the address instead of the name, for a proxy that must not look the name up again."""
        host = f"[{address}]" if address.version == 6 else str(address)
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse(url: str) -> ImageUrl:
    """Take an image URL apart. Raises `InvalidRequestError` unless there is exactly one way to read it."""
    if len(url) > _MAX_URL:
        raise bad_url(f"it is longer than {_MAX_URL} characters")
    if UNSAFE.search(url):
        raise bad_url("it holds white space, control characters or backslashes, which must be percent-encoded")
    try:
        parts = urlsplit(url)
        path = _encode_path(parts.path, parts.query)
    except ValueError:  # UnicodeEncodeError (half a surrogate pair) is one, too
        raise bad_url("it is malformed") from None
    site = _NETLOC.fullmatch(parts.netloc.rpartition("@")[2])
    shown = (site["name"] or site["ipv6"]) if site else ""
    if parts.scheme not in _DEFAULT_PORTS:
        raise bad_url("it is neither an http:// nor an https:// URL", shown)
    if "@" in parts.netloc:
        raise bad_url("it holds a user name or password, which image URLs may not", shown)
    if site is None:
        raise bad_url("its host or port is malformed")
    try:
        host, address = _parse_host(site["ipv6"], site["name"])
        port = _parse_port(site["port"], parts.scheme)
    except ValueError as exc:
        raise bad_url(str(exc), shown) from None
    return ImageUrl(parts.scheme, host, port, path, address)


def _parse_host(ipv6: str | None, name: str | None) -> tuple[str, Address | None]:
    """Returns the host as it goes into headers, and its address if it is one. Raises `ValueError`."""
    try:
        if ipv6 is not None:  # the pattern leaves no room for a zone id, which only means something on one machine
            address = ipaddress.IPv6Address(ipv6)
            return str(address), plain(address)
        host = _to_ascii(name or "").lower().removesuffix(".")
        if _NUMERIC.fullmatch(host):
            # Only four decimal numbers. getaddrinfo would also take 2130706433, 0x7f.1, 0177.0.0.1 and 127.1.
            return host, ipaddress.IPv4Address(host)
    except ValueError:
        host = ""
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise ValueError("its host is neither a name nor an address in the usual spelling")
    return host, None


def _to_ascii(name: str) -> str:
    """IDNA form of a host name. Raises `ValueError`."""
    if name.isascii():
        return name
    return urllib3.util.parse_url(f"http://{name}").host or ""  # LocationParseError is a ValueError


def _parse_port(digits: str | None, scheme: str) -> int:
    port = int(digits) if digits else _DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError("its port is out of range")
    return port


def _encode_path(path: str, query: str) -> str:
    """Request target in ASCII. Only what is not ASCII gets percent-encoded, so signed URLs stay as they are."""
    target = (path or "/") + (f"?{query}" if query else "")
    return quote(target, safe=string.punctuation)


def bad_url(problem: str, host: str = "") -> InvalidRequestError:
    # Quotes at most the host: the rest may hold a password or a signature.
    where = f" for host '{host}'" if 0 < len(host) <= 253 else ""
    return InvalidRequestError(
        f"The image URL{where} cannot be used: {problem}. Correct the URL, or {_REMEDY}", param=PARAM
    )


def failed(target: ImageUrl, problem: str, advice: str = "Correct the URL") -> InvalidRequestError:
    problem = f"The image at host '{target.host}' cannot be used: {problem}"
    return InvalidRequestError(f"{problem}. {advice}, or {_REMEDY}", param=PARAM)


def not_reachable(target: ImageUrl) -> InvalidRequestError:
    """One message for names that do not exist and for all addresses refused, so the inside cannot be mapped with it."""
    return failed(target, "the host does not exist, or is not on the public internet")
