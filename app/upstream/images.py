"""Images that clients name by URL, fetched and turned into data URLs without opening a door to the inside (SSRF).

Whoever may send a chat request decides where the bridge connects to, so every step is decided here and none is left to
a library's convenience:

* The URL is taken apart strictly; spellings that programs read differently (user names, backslashes, ``0x7f.1``) are
  refused rather than guessed at.
* The name is resolved once per hop. *All* its addresses must be allowed, and the connection goes to one of exactly
  these addresses, so a name that changes its answer (DNS rebinding) gains nothing. TLS still verifies the name.
* Redirects are followed by hand, each target judged like the first URL. ``https`` never falls back to ``http``.
* One deadline covers everything from the first connection to the last byte of the body.
* What comes back counts by its bytes: PNG, JPEG, GIF or WebP, whatever the headers say.

Any port is fine: at a public address it only reaches what anybody can reach anyway, and image hosts on odd ports exist.

Two limits. Looking a name up is bounded by the resolver's own timeout (``resolv.conf``), not by the deadline. And a
network that translates IPv6 to IPv4 under a prefix of its own (RFC 6052) cannot be recognised: there, let a firewall
keep the bridge away from private addresses.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import logging
import os
import re
import socket
import ssl
import string
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, unquote, urljoin, urlsplit

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3 import exceptions as http_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse
from urllib3.util.ssl_ import create_urllib3_context

from app.errors import InvalidRequestError

log = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[..., Sequence[tuple[Any, ...]]]
"""Called and answering like `socket.getaddrinfo`."""

MAX_IMAGES: Final = 20
"""Most different image URLs that one request may name."""
MAX_REDIRECTS: Final = 3
PARAM: Final = "image_url"
"""The request field that all errors of this module are about."""

_MAX_URL = 8192  # characters; far above what image hosts use, signed URLs included
_MAX_ADDRESSES = 4  # tried one after the other, so that an unreachable IPv6 address does not hide a good IPv4 one
_CHUNK = 64 * 1024  # bytes per read
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REMEDY = "send the image as a data: URL instead."

# Control characters, any kind of white space, and the backslash that browsers read as a slash.
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\\\s]")
_NETLOC = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{0,5}))?")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# No top-level domain is a number; what ends in one is meant as an IPv4 address, in whatever spelling.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


# --- Addresses -------------------------------------------------------------------------------------------------------


# Written out, as what `ipaddress` calls private or global differs between Python releases.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, unspecified
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # looks public, but is the platform service inside every Azure network
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments, some clouds' metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that is handed out; the rest is special in one way or another
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether `address` is an ordinary one on the internet: not private, local, reserved, multicast or documentation.

    An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) is judged by that one: hosts behind NAT64 reach
    the whole IPv4 internet in this way. Teredo, IPv4-compatible and local NAT64 (``64:ff9b:1::/48``) are never public.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    embedded = _embedded_ipv4(address)
    if embedded is not None:
        return is_public(embedded)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _plain(address: Address) -> Address:
    """`address`, or the IPv4 address that an IPv4-mapped one is: so they are judged, and connected to, alike."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


# --- URLs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
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


def _parse(url: str) -> _Target:
    """Take an image URL apart. Raises `InvalidRequestError` unless there is exactly one way to read it."""
    if len(url) > _MAX_URL:
        raise _bad_url(f"it is longer than {_MAX_URL} characters")
    if _UNSAFE.search(url):
        raise _bad_url("it holds white space, control characters or backslashes, which must be percent-encoded")
    try:
        parts = urlsplit(url)
        path = _encode_path(parts.path, parts.query)
    except ValueError:  # UnicodeEncodeError (half a surrogate pair) is one, too
        raise _bad_url("it is malformed") from None
    site = _NETLOC.fullmatch(parts.netloc.rpartition("@")[2])
    shown = (site["name"] or site["ipv6"]) if site else ""
    if parts.scheme not in _DEFAULT_PORTS:
        raise _bad_url("it is neither an http:// nor an https:// URL", shown)
    if "@" in parts.netloc:
        raise _bad_url("it holds a user name or password, which image URLs may not", shown)
    if site is None:
        raise _bad_url("its host or port is malformed")
    try:
        host, address = _parse_host(site["ipv6"], site["name"])
        port = _parse_port(site["port"], parts.scheme)
    except ValueError as exc:
        raise _bad_url(str(exc), shown) from None
    return _Target(parts.scheme, host, port, path, address)


def _parse_host(ipv6: str | None, name: str | None) -> tuple[str, Address | None]:
    """Returns the host as it goes into headers, and its address if it is one. Raises `ValueError`."""
    try:
        if ipv6 is not None:  # the pattern leaves no room for a zone id, which only means something on one machine
            address = ipaddress.IPv6Address(ipv6)
            return str(address), _plain(address)
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


# --- Errors ----------------------------------------------------------------------------------------------------------


def _bad_url(problem: str, host: str = "") -> InvalidRequestError:
    # Quotes at most the host: the rest may hold a password or a signature.
    where = f" for host '{host}'" if 0 < len(host) <= 253 else ""
    return InvalidRequestError(
        f"The image URL{where} cannot be used: {problem}. Correct the URL, or {_REMEDY}", param=PARAM
    )


def _failed(target: _Target, problem: str, advice: str = "Correct the URL") -> InvalidRequestError:
    problem = f"The image at host '{target.host}' cannot be used: {problem}"
    return InvalidRequestError(f"{problem}. {advice}, or {_REMEDY}", param=PARAM)


def _not_reachable(target: _Target) -> InvalidRequestError:
    """One message for names that do not exist and for all addresses refused, so the inside cannot be mapped with it."""
    return _failed(target, "the host does not exist, or is not on the public internet")


# --- Time ------------------------------------------------------------------------------------------------------------


class _Deadline:
    """The moment at which everything must be done."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self.cut = False  # a connection was cut because of it, even if the clock is a hair behind

    def left(self) -> float:
        """Seconds that remain, always more than 0. Raises `TimeoutError` when there are none."""
        seconds = self._end - self._clock()
        if self.cut or seconds <= 0:
            raise TimeoutError
        return seconds


class _Guard:
    """Context manager that cuts the connections opened within it when the deadline passes.

    A socket's timeout is about a single wait: a server that sends one byte now and then never runs into it, be it in
    the headers, the body or (under gevent) the TLS handshake, and these waits happen deep inside libraries.
    """

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(deadline.left(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()  # or it might cut a socket whose number is in use for something else already
        for sock in self._sockets:
            sock.close()

    def watch(self, sock: socket.socket) -> None:
        # A duplicate, as TLS detaches the original. Shutting one down shuts both.
        self._sockets.append(sock.dup())
        if self._deadline.cut:
            self._cut()

    def _cut(self) -> None:
        self._deadline.cut = True
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # closed by the other side already
                sock.shutdown(socket.SHUT_RDWR)


class _HTTPConnection(HTTPConnection):
    def __init__(self, host: str, *, guard: _Guard, **options: Any) -> None:
        super().__init__(host, **options)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._guard.watch(sock)
        return sock


class _HTTPSConnection(HTTPSConnection):
    def __init__(self, host: str, *, guard: _Guard, **options: Any) -> None:
        super().__init__(host, **options)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._guard.watch(sock)
        return sock


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


# --- Fetching --------------------------------------------------------------------------------------------------------


def _no_proxies(url: str) -> Mapping[str, str]:
    return {}


class ImageFetcher:
    """Fetches images by URL and gives them back as data URLs. Holds no connections; safe to share between threads.

    max_bytes:   largest image, in bytes as sent (no compression is taken).
    timeout_s:   seconds for one `fetch`, or for one `fetch_all` as a whole: all connections, redirects and bodies.
    proxies_for: outbound proxies for a URL in requests' form (``{"https": "http://user:pw@proxy:3128"}``), empty for
                 none. What must not be proxied (``NO_PROXY``) is its business. Proxies get the judged address, never
                 the name, and are not judged themselves.
    verify:      TLS verification as in requests: True, False, or the path of a CA bundle (file or directory).
    is_allowed:  decides which addresses may be connected to.
    resolve:     `socket.getaddrinfo` or a stand-in.
    clock:       seconds from any starting point, never going back.

    Raises `OSError` (also as `ssl.SSLError`) if the CA bundle cannot be loaded.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout_s: float,
        proxies_for: Callable[[str], Mapping[str, str]] = _no_proxies,
        verify: bool | str = True,
        is_allowed: Callable[[Address], bool] = is_public,
        user_agent: str = "copilot-bridge",
        resolve: Resolver = socket.getaddrinfo,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._proxies_for = proxies_for
        self._tls = _tls_context(verify)
        self._is_allowed = is_allowed
        self._user_agent = user_agent
        self._resolve = resolve
        self._clock = clock

    def fetch(self, url: str) -> str:
        """Returns the image as ``data:image/png;base64,…`` (or jpeg, gif, webp).

        Raises `InvalidRequestError` (``param`` is ``"image_url"``) for everything that can go wrong: a URL that is
        refused, a host that does not answer in time, an answer that is no image or too large.
        """
        return self._fetch(url, _Deadline(self._timeout_s, self._clock))

    def fetch_all(self, urls: Sequence[str]) -> dict[str, str]:
        """Returns URL → data URL in the order of `urls`. Each URL is fetched once, however often it is named.

        Raises `InvalidRequestError` like `fetch`, for the first image that fails, or if there are more than
        `MAX_IMAGES` different URLs (then nothing is fetched).
        """
        distinct = dict.fromkeys(urls)
        if len(distinct) > MAX_IMAGES:
            problem = f"The request names {len(distinct)} different image URLs; at most {MAX_IMAGES} are fetched."
            raise InvalidRequestError(f"{problem} Send fewer, or send images as data: URLs.", param=PARAM)
        deadline = _Deadline(self._timeout_s, self._clock)
        return {url: self._fetch(url, deadline) for url in distinct}

    def _fetch(self, url: str, deadline: _Deadline) -> str:
        target = _parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            outcome = self._hop(target, deadline)
            if isinstance(outcome, bytes):
                return _data_url(target, outcome)
            target = outcome
        raise _failed(target, f"there were more than {MAX_REDIRECTS} redirects")

    def _hop(self, target: _Target, deadline: _Deadline) -> bytes | _Target:
        """Make one request. Returns the body, or the target of a redirect."""
        try:
            deadline.left()  # before the lookup, which may be slow
            addresses = self._addresses(target)
            with (
                _Guard(deadline) as guard,
                contextlib.closing(self._open(target, addresses, deadline, guard)) as response,
            ):
                if response.status in _REDIRECTS and "Location" in response.headers:
                    return _follow(target, response.headers["Location"])
                self._check_head(target, response)
                return self._read(target, response, deadline)
        except (http_errors.HTTPError, HTTPException, OSError) as exc:
            log.info("Image fetch from host %s failed: %s: %s", target.host, type(exc).__name__, exc)
            raise _failed(target, _explain(exc, deadline)) from exc

    def _addresses(self, target: _Target) -> list[Address]:
        """All addresses of the target, each of them allowed. The one and only time that its name is looked up."""
        addresses = [target.address] if target.address is not None else self._look_up(target)
        if not addresses or not all(map(self._is_allowed, addresses)):
            log.info("Image fetch refused: host %s has the addresses %s", target.host, [str(a) for a in addresses])
            raise _not_reachable(target)
        return addresses

    def _look_up(self, target: _Target) -> list[Address]:
        try:
            answers = self._resolve(target.host, target.port, type=socket.SOCK_STREAM)
            found = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
        except (OSError, ValueError) as exc:
            log.info("Image fetch refused: host %s cannot be looked up: %s", target.host, exc)
            raise _not_reachable(target) from exc
        return list(dict.fromkeys(map(_plain, found)))

    def _open(self, target: _Target, addresses: list[Address], deadline: _Deadline, guard: _Guard) -> BaseHTTPResponse:
        """Send the request to the first address that takes it; returns the response with its body unread."""
        proxy = select_proxy(target.url, dict(self._proxies_for(target.url)))
        if proxy:  # what the proxy can reach is unknown here, and IPv4 is the safer bet
            addresses = sorted(addresses, key=lambda address: address.version)
        candidates = addresses[:_MAX_ADDRESSES]
        failure: Exception = OSError("no address")
        for position, address in enumerate(candidates):
            seconds = deadline.left()
            # Connecting gets a fair share of the time, so that one dead address leaves some to the next.
            timeout = urllib3.Timeout(connect=seconds / (len(candidates) - position), read=seconds)
            try:
                return self._request(target, address, proxy, timeout, guard)
            except (http_errors.NewConnectionError, http_errors.TimeoutError, http_errors.ProxyError) as exc:
                failure = exc
        raise failure

    def _request(
        self, target: _Target, address: Address, proxy: str | None, timeout: urllib3.Timeout, guard: _Guard
    ) -> BaseHTTPResponse:
        manager = _manager(proxy, self._tls)
        # Connected to by address; asked for, and verified, by name.
        names = {"server_hostname": target.host} if target.scheme == "https" else {}
        pool = manager.connection_from_host(str(address), target.port, target.scheme, pool_kwargs=names)
        pool.conn_kw["guard"] = guard
        forwarded = proxy is not None and target.scheme == "http"
        return pool.urlopen(
            "GET",
            target.pinned_url(address) if forwarded else target.path,
            headers=self._headers(target),
            redirect=False,
            retries=False,
            assert_same_host=False,  # with a proxy the pool's host is the proxy
            timeout=timeout,
            preload_content=False,
            decode_content=False,
        )

    def _headers(self, target: _Target) -> dict[str, str]:
        return {
            "Host": target.authority,
            "User-Agent": self._user_agent,
            "Accept": "image/png, image/jpeg, image/gif, image/webp",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }

    def _check_head(self, target: _Target, response: BaseHTTPResponse) -> None:
        if response.status != 200:
            raise _failed(target, f"the server answered with status {response.status} instead of 200")
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            # Unpacking would need a limit of its own against bombs, and images gain nothing by it.
            raise _failed(target, "the server sent it compressed, although asked not to")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length[:20]) > self._max_bytes:
            raise self._too_large(target)

    def _read(self, target: _Target, response: BaseHTTPResponse, deadline: _Deadline) -> bytes:
        body = bytearray()
        deadline.left()
        while chunk := response.read1(min(_CHUNK, self._max_bytes + 1 - len(body))):
            body += chunk
            if len(body) > self._max_bytes:
                raise self._too_large(target)
            deadline.left()
        deadline.left()  # a connection that was cut ends like one that is complete
        return bytes(body)

    def _too_large(self, target: _Target) -> InvalidRequestError:
        return _failed(
            target, f"it is larger than {self._max_bytes} bytes, the most that is fetched", "Make it smaller"
        )


def _tls_context(verify: bool | str) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    if verify:
        path = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
        if os.path.isdir(path):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    return context


def _manager(proxy: str | None, tls: ssl.SSLContext) -> urllib3.PoolManager:
    """A manager for a single request, so nothing (cookies, connections) lives on from one to the next."""
    if proxy is None:
        manager = urllib3.PoolManager(ssl_context=tls)
    else:
        manager = _proxy_manager(proxy if "://" in proxy else f"http://{proxy}", tls)
    manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return manager


def _proxy_manager(proxy: str, tls: ssl.SSLContext) -> urllib3.ProxyManager:
    """Raises urllib3's `ProxyError` for a malformed URL, `ProxySchemeUnknown` for anything but HTTP(S) proxies."""
    try:
        login = urllib3.util.parse_url(proxy).auth
    except http_errors.LocationParseError:  # its text holds the URL, and that perhaps a password
        raise http_errors.ProxyError("the proxy's URL is malformed", ValueError()) from None
    headers = urllib3.util.make_headers(proxy_basic_auth=unquote(login)) if login else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=tls, ssl_context=tls)


def _follow(source: _Target, location: str) -> _Target:
    """The target of a redirect. Raises `InvalidRequestError` if it may not be followed."""
    with contextlib.suppress(UnicodeError):  # http.client reads headers as Latin-1, servers mean UTF-8
        location = location.encode("latin-1").decode()
    try:
        if _UNSAFE.search(location):  # urljoin would drop some of these silently
            raise ValueError
        target = _parse(urljoin(source.url, location))
    except (ValueError, InvalidRequestError):
        raise _failed(source, "the server redirects to a URL that is malformed or not allowed") from None
    if source.scheme == "https" and target.scheme == "http":
        raise _failed(source, "the server redirects from https to http, which is not followed")
    return target


def _explain(exc: Exception, deadline: _Deadline) -> str:
    """What went wrong in words. Never the exception's own text, which names the address."""
    in_time = not deadline.cut
    if in_time and isinstance(exc, http_errors.NewConnectionError):  # urllib3 counts it among the timeouts
        return "no connection to the server is possible"
    if not in_time or isinstance(exc, (TimeoutError, http_errors.TimeoutError)):
        return "the server did not deliver it in time"
    if isinstance(exc, (http_errors.SSLError, ssl.SSLError)):
        return "no secure connection: the TLS handshake failed, or the certificate is not trusted or for another host"
    if isinstance(exc, (http_errors.ProxyError, http_errors.ProxySchemeUnknown)):
        return "the outbound proxy does not give a connection to it"
    return "the connection broke, or the answer is malformed"


def _data_url(target: _Target, body: bytes) -> str:
    media_type = _media_type(body)
    if media_type is None:
        problem = "what the server sent is not a PNG, JPEG, GIF or WebP image"
        raise _failed(target, problem)
    return f"data:{media_type};base64,{base64.b64encode(body).decode('ascii')}"


def _media_type(body: bytes) -> str | None:
    """Media type by the signature at the beginning of the file; None for everything that is not taken."""
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if body.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if body.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return "image/webp"
    return None
