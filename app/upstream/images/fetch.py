"""Fetching the images that clients name by URL."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import unquote, urljoin

import urllib3
from requests.utils import select_proxy
from urllib3 import exceptions as http_errors
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.response import BaseHTTPResponse

from app import http_body
from app.descriptors import none_left
from app.errors import InvalidRequestError
from app.http_connection import tls_context
from app.memory import Share
from app.upstream.images.addresses import Address, is_public, plain
from app.upstream.images.deadline import Deadline, Guard, HTTPPool, HTTPSPool, SocksHTTPPool, SocksHTTPSPool
from app.upstream.images.url import PARAM, UNSAFE, ImageUrl, failed, not_reachable, parse

log = logging.getLogger("app.upstream.images")

Resolver = Callable[..., Sequence[tuple[Any, ...]]]
"""Called and answering like `socket.getaddrinfo`."""

MAX_IMAGES: Final = 20
"""Most different image URLs that one request may name."""
MAX_REDIRECTS: Final = 3

_MAX_ADDRESSES = 4  # tried one after the other, so that an unreachable IPv6 address does not hide a good IPv4 one
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def _no_proxies(_url: str) -> Mapping[str, str]:
    return {}


class ImageFetcher:
    """Fetches images by URL and gives them back as data URLs. Holds no connections; safe to share between threads.

    max_bytes:   largest image, in bytes as sent (no compression is taken).
    max_total_bytes: all images of one `fetch_all` together; None: only each by itself is bounded.
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
        max_total_bytes: int | None = None,
        timeout_s: float,
        proxies_for: Callable[[str], Mapping[str, str]] = _no_proxies,
        verify: bool | str = True,
        is_allowed: Callable[[Address], bool] = is_public,
        user_agent: str = "copilot-bridge",
        resolve: Resolver = socket.getaddrinfo,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._timeout_s = timeout_s
        self._proxies_for = proxies_for
        self._tls = tls_context(verify)
        self._is_allowed = is_allowed
        self._user_agent = user_agent
        self._resolve = resolve
        self._clock = clock

    def fetch(self, url: str) -> str:
        """Returns the image as ``data:image/png;base64,…`` (or jpeg, gif, webp).

        Raises `InvalidRequestError` (``param`` is ``"image_url"``) for everything that can go wrong: a URL that is
        refused, a host that does not answer in time, an answer that is no image or too large.
        """
        return self._fetch(url, Deadline(self._timeout_s, self._clock))

    def fetch_all(self, urls: Sequence[str]) -> dict[str, str]:
        """Returns URL → data URL in the order of `urls`. Each URL is fetched once, however often it is named.

        Raises `InvalidRequestError` like `fetch`, for the first image that fails, or if there are more than
        `MAX_IMAGES` different URLs (then nothing is fetched).
        """
        distinct = dict.fromkeys(urls)
        if len(distinct) > MAX_IMAGES:
            problem = f"The request names {len(distinct)} different image URLs; at most {MAX_IMAGES} are fetched."
            raise InvalidRequestError(f"{problem} Send fewer, or send images as data: URLs.", param=PARAM)
        deadline = Deadline(self._timeout_s, self._clock)
        found: dict[str, str] = {}
        total = 0
        for url in distinct:
            found[url] = self._fetch(url, deadline)
            total += _image_bytes(found[url])
            if self._max_total_bytes is not None and total > self._max_total_bytes:
                problem = f"The images of this request are larger than {self._max_total_bytes} bytes together."
                raise InvalidRequestError(f"{problem} Send fewer or smaller ones.", param=PARAM)
        return found

    def _fetch(self, url: str, deadline: Deadline) -> str:
        target = parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            outcome = self._hop(target, deadline)
            if isinstance(outcome, bytes):
                return _data_url(target, outcome)
            target = outcome
        raise failed(target, f"there were more than {MAX_REDIRECTS} redirects")

    def _hop(self, target: ImageUrl, deadline: Deadline) -> bytes | ImageUrl:
        """Make one request. Returns the body, or the target of a redirect."""
        try:
            deadline.left()  # before the lookup, which may be slow
            addresses = self._addresses(target)
            with (
                Guard(deadline) as guard,
                contextlib.closing(self._open(target, addresses, deadline, guard)) as response,
            ):
                if response.status in _REDIRECTS and "Location" in response.headers:
                    return _follow(target, response.headers["Location"])
                self._check_head(target, response)
                return self._read(target, response, deadline)
        except (http_errors.HTTPError, HTTPException, OSError) as exc:
            log.info("Image fetch from host %s failed: %s: %s", target.host, type(exc).__name__, exc)
            raise none_left() or failed(target, _explain(exc, deadline)) from exc

    def _addresses(self, target: ImageUrl) -> list[Address]:
        """All addresses of the target, each of them allowed. The one and only time that its name is looked up."""
        addresses = [target.address] if target.address is not None else self._look_up(target)
        if not addresses or not all(map(self._is_allowed, addresses)):
            log.info("Image fetch refused: host %s has the addresses %s", target.host, [str(a) for a in addresses])
            raise not_reachable(target)
        return addresses

    def _look_up(self, target: ImageUrl) -> list[Address]:
        try:
            answers = self._resolve(target.host, target.port, type=socket.SOCK_STREAM)
            found = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
        except (OSError, ValueError) as exc:
            log.info("Image fetch refused: host %s cannot be looked up: %s", target.host, exc)
            raise none_left() or not_reachable(target) from exc
        return list(dict.fromkeys(map(plain, found)))

    def _open(self, target: ImageUrl, addresses: list[Address], deadline: Deadline, guard: Guard) -> BaseHTTPResponse:
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
        self, target: ImageUrl, address: Address, proxy: str | None, timeout: urllib3.Timeout, guard: Guard
    ) -> BaseHTTPResponse:
        manager = _manager(proxy, self._tls)
        # Connected to by address; asked for, and verified, by name.
        names = {"server_hostname": target.host} if target.scheme == "https" else {}
        pool = manager.connection_from_host(str(address), target.port, target.scheme, pool_kwargs=names)
        pool.conn_kw["guard"] = guard
        forwarded = proxy is not None and target.scheme == "http" and not _is_socks(proxy)
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

    def _headers(self, target: ImageUrl) -> dict[str, str]:
        return {
            "Host": target.authority,
            "User-Agent": self._user_agent,
            "Accept": "image/png, image/jpeg, image/gif, image/webp",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }

    def _check_head(self, target: ImageUrl, response: BaseHTTPResponse) -> None:
        if response.status != 200:
            raise failed(target, f"the server answered with status {response.status} instead of 200")
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            # Unpacking would need a limit of its own against bombs, and images gain nothing by it.
            raise failed(target, "the server sent it compressed, although asked not to")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length[:20]) > self._max_bytes:
            raise self._too_large(target)

    def _read(self, target: ImageUrl, response: BaseHTTPResponse, deadline: Deadline) -> bytes:
        body = bytearray()
        left_s = deadline.left()
        share = Share.current()
        for piece in http_body.pieces(response, silence_s=left_s, idle_s=left_s):
            share.take(len(piece))
            body += piece
            if len(body) > self._max_bytes:
                raise self._too_large(target)
            deadline.left()
        deadline.left()  # a connection that was cut ends like one that is complete
        return bytes(body)

    def _too_large(self, target: ImageUrl) -> InvalidRequestError:
        return failed(target, f"it is larger than {self._max_bytes} bytes, the most that is fetched", "Make it smaller")


def _manager(proxy: str | None, tls: ssl.SSLContext) -> urllib3.PoolManager:
    """A manager for a single request, so nothing (cookies, connections) lives on from one to the next."""
    if proxy is not None and _is_socks(proxy):
        try:
            through = SOCKSProxyManager(proxy, ssl_context=tls)
        except ValueError:  # its text holds the URL, and that perhaps a password
            raise http_errors.ProxySchemeUnknown("socks") from None
        through.pool_classes_by_scheme = {"http": SocksHTTPPool, "https": SocksHTTPSPool}
        return through
    if proxy is None:
        manager = urllib3.PoolManager(ssl_context=tls)
    else:
        manager = _proxy_manager(proxy if "://" in proxy else f"http://{proxy}", tls)
    manager.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}
    return manager


def _is_socks(proxy: str) -> bool:
    return proxy.lower().startswith("socks")


def _proxy_manager(proxy: str, tls: ssl.SSLContext) -> urllib3.ProxyManager:
    """Raises urllib3's `ProxyError` for a malformed URL, `ProxySchemeUnknown` for anything but HTTP(S) proxies."""
    try:
        login = urllib3.util.parse_url(proxy).auth
    except http_errors.LocationParseError:  # its text holds the URL, and that perhaps a password
        raise http_errors.ProxyError("the proxy's URL is malformed", ValueError()) from None
    headers = urllib3.util.make_headers(proxy_basic_auth=unquote(login)) if login else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=tls, ssl_context=tls)


def _follow(source: ImageUrl, location: str) -> ImageUrl:
    """The target of a redirect. Raises `InvalidRequestError` if it may not be followed."""
    with contextlib.suppress(UnicodeError):  # http.client reads headers as Latin-1, servers mean UTF-8
        location = location.encode("latin-1").decode()
    try:
        if UNSAFE.search(location):  # urljoin would drop some of these silently
            raise ValueError
        target = parse(urljoin(source.url, location))
    except (ValueError, InvalidRequestError):
        raise failed(source, "the server redirects to a URL that is malformed or not allowed") from None
    if source.scheme == "https" and target.scheme == "http":
        raise failed(source, "the server redirects from https to http, which is not followed")
    return target


def _explain(exc: Exception, deadline: Deadline) -> str:
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


def _data_url(target: ImageUrl, body: bytes) -> str:
    media_type = _media_type(body)
    if media_type is None:
        problem = "what the server sent is not a PNG, JPEG, GIF or WebP image"
        raise failed(target, problem)
    return f"data:{media_type};base64,{base64.b64encode(body).decode('ascii')}"


def _image_bytes(data_url: str) -> int:
    encoded = len(data_url) - data_url.index(",") - 1
    return encoded // 4 * 3 - data_url[-2:].count("=")


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
