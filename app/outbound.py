"""The way out: every HTTP call to GitHub and Copilot goes through here.

Proxy and CA settings (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``) are resolved as
requests does, but once per host instead of at every call: reading them costs as much as half the call.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_match_hostname import CertificateError

from app import http_body
from app.descriptors import none_left
from app.errors import GatewayError, Sentence, UpstreamConnectError, UpstreamProtocolError, UpstreamTimeoutError
from app.http_connection import POOLS, SOCKS_POOLS, StaleConnectionError, plain_lines, tls_context
from app.memory import Share
from app.route_settings import check_route
from app.settings import variable_of_proxy

Route = tuple[Mapping[str, str], bool | str, str | tuple[str, str] | None]
"""What requests needs besides the URL: proxies, CA verification, client certificate."""

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of a body that is read as a whole. Answers of models are far below, model lists and tokens even more so."""
_BLANK = vars(requests.Response())
_FORGOTTEN = requests.PreparedRequest()
"""In place of what was sent, which may be megabytes: not to be held for as long as its answer takes."""
_RAW = (HTTPException, OSError, CertificateError)
"""What goes wrong on the straight way, where neither urllib3 nor requests wraps it."""
_MOST_STALE = 3  # idle connections found closed by the other side, one after the other, before that is an error


def _verification(merged: Mapping[str, Any]) -> bool | str:
    return True if merged["verify"] is None else merged["verify"]


@functools.lru_cache(maxsize=64)
def _address(url: str) -> tuple[str, str | None]:
    """A URL as requests writes it, and the Authorization that a name and a password in it make."""
    prepared = requests.Request("GET", url).prepare()
    return str(prepared.url), prepared.headers.get("Authorization")


class Headers(requests.structures.CaseInsensitiveDict[str]):
    """requests' own, made, copied and gone through in one step each instead of one for each header."""

    def __init__(self, given: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = given.items() if isinstance(given, Mapping) else given
        self._store: dict[str, tuple[str, str]] = {name.lower(): (name, value) for name, value in pairs}

    def copy(self) -> Headers:
        return Headers(self._store.values())

    def items(self) -> Any:
        return self._store.values()


def prepare(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> requests.PreparedRequest:
    """What ``requests.Request(…).prepare()`` gives for bytes, at a third of its price: the same few addresses, no
    cookies, no hooks, no files. Raises: requests.RequestException."""
    prepared = requests.PreparedRequest()
    prepared.method = method
    if plain_lines(headers) is not None:
        prepared.headers = Headers(headers)
    else:
        prepared.prepare_headers(headers)
    prepared.url, authorization = _address(url)
    if body:
        prepared.body = body
        prepared.headers["Content-Length"] = str(len(body))
    elif method not in ("GET", "HEAD") and "Content-Length" not in prepared.headers:
        prepared.headers["Content-Length"] = "0"
    if authorization is not None:
        prepared.headers["Authorization"] = authorization
    return prepared


class Adapter(HTTPAdapter):
    """requests' own, on connections that trust nobody, with one TLS context for all of a route.

    What `HTTPAdapter.send` asks of it for each call is remembered, or left out where nobody needs it.
    """

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS
        self._pools: dict[Any, Any] = {}

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool of a host; a route without proxies finds it by its name. Hosts are few: Copilot's and GitHub's."""
        parts = urlsplit(request.url)
        key = parts.scheme, parts.netloc, verify, cert
        pool = None if proxies else self._pools.get(key)
        if pool is None or pool.pool is None:  # the manager has closed it
            pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            if not proxies:
                self._pools[key] = pool
        return pool

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """As requests', straight through the pool where no proxy is in between. Raises: what the pool raises, then."""
        if proxies:
            return super().send(request, stream, timeout, verify, cert, proxies)
        pool = self.get_connection_with_tls_context(request, verify, cert=cert)
        connect_timeout_s, read_timeout_s = timeout
        return self.build_response(
            request,
            pool.ask(
                request.method,
                request.path_url,
                body=request.body,
                headers=request.headers,
                connect_timeout_s=connect_timeout_s,
                read_timeout_s=read_timeout_s,
            ),
        )

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """requests' response without cookies, which are never kept, and without a guess at the encoding of a text."""
        response = requests.Response.__new__(requests.Response)
        vars(response).update(_BLANK, history=[])  # its own `__init__` makes a cookie jar for each
        response.status_code, response.reason = resp.status, resp.reason
        response.headers = Headers(resp.headers.itermerged())
        response.raw, response.url, response.request = resp, str(req.url), req
        response.connection = self
        return response

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        if proxy in self.proxy_manager:
            return super().proxy_manager_for(proxy, **options)
        if proxy.lower().startswith("socks"):
            super().proxy_manager_for(proxy, **options).pool_classes_by_scheme = SOCKS_POOLS
        else:
            merged = requests.Session().merge_environment_settings(proxy, {}, None, None, None)
            options.setdefault("proxy_ssl_context", tls_context(_verification(merged)))
            super().proxy_manager_for(proxy, **options).pool_classes_by_scheme = POOLS
        return super().proxy_manager_for(proxy, **options)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] != "https":
            return host, {}
        return host, {
            "ssl_context": tls_context(verify, cert),
            "cert_reqs": "CERT_REQUIRED" if verify else "CERT_NONE",
        }

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the context knows. requests would have the CA file read anew for each connection."""


class Outbound:
    """One connection pool. Thread- and greenlet-safe; never blocks for a free connection.

    pool_size: idle connections kept per host; more may be open at a time.
    """

    def __init__(self, *, pool_size: int = 64) -> None:
        self._session = requests.Session()
        # Redirects and cookies are never followed or kept: these are APIs, and a redirect would carry the token away.
        self._adapter = Adapter(pool_connections=8, pool_maxsize=pool_size, max_retries=0, pool_block=False)
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        self._routes: dict[tuple[str, str], Route] = {}
        self._usable: list[Route] = []

    def route(self, url: str) -> Route:
        """Proxies, CA bundle and client certificate for this URL, from the environment, remembered per host."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if key not in self._routes:
            merged = self._session.merge_environment_settings(url, {}, None, None, None)
            self._routes[key] = (
                merged["proxies"],
                _verification(merged),
                merged["cert"],
            )
        return self._routes[key]

    def proxies_for(self, url: str) -> Mapping[str, str]:
        """The proxies for a host that a client chose: looked up anew, since remembering those would have no bound."""
        return requests.utils.get_environ_proxies(url)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        connect_timeout_s: float,
        read_timeout_s: float,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request; the answer's body is read here unless ``stream``.

        Raises: LocalSettingError, UpstreamConnectError, UpstreamTimeoutError, UpstreamProtocolError, OverloadedError;
        an error status is no exception.
        """
        proxies, verify, cert = route = self.route(url)
        if route not in self._usable:
            check_route(url, proxies, verify)
            self._usable.append(route)
        stale = 0
        while True:
            try:
                prepared = prepare(method, url, headers, body)
                # The adapter directly: Session.send adds cookies, hooks and redirects, none of which belong here.
                response = self._session.get_adapter(url).send(
                    prepared,
                    stream=True,
                    timeout=(connect_timeout_s, read_timeout_s),
                    verify=verify,
                    cert=cert,
                    proxies=proxies,
                )
                break
            except (requests.RequestException, urllib3.exceptions.HTTPError, *_RAW) as error:
                stale += 1
                if stale <= _MOST_STALE and _is_stale(error):
                    continue  # nothing was answered, and perhaps nothing even read: another connection will do
                raise explain(error, url) from error
        response.request = _FORGOTTEN
        if not stream:
            read_whole(response, within_s=read_timeout_s)
        return response

    def connections(self) -> tuple[int, int]:
        """How many were opened so far, and how many of them wait for the next call."""
        opened = idle = 0
        for manager in (self._adapter.poolmanager, *self._adapter.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - no dict
                pool = manager.pools.get(key)
                if pool is not None and pool.pool is not None:
                    opened += pool.num_connections
                    idle += sum(1 for conn in pool.pool.queue if conn is not None)
        return opened, idle

    def close_idle(self, *, longer_than_s: float) -> None:
        """Close connections that nobody has used for so long, or that the other side has closed. Nobody else does."""
        for manager in (self._adapter.poolmanager, *self._adapter.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - no dict: it has no other way to look at them
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close_idle(longer_than_s=longer_than_s)

    def close(self) -> None:
        self._session.close()


def read_whole(response: requests.Response, *, within_s: float) -> bytes:
    """The whole body, which `response.content` is from then on.

    Raises: UpstreamTimeoutError, UpstreamProtocolError, UpstreamConnectError, OverloadedError. The connection is closed
    then, and the content is empty.
    """
    known: Any = response  # requests' types hide what it keeps
    if not known._content_consumed:
        known._content, known._content_consumed = b"", True
        try:
            known._content = http_body.whole(
                response.raw, within_s=within_s, max_bytes=LARGEST_ANSWER, take=Share.current().take
            )
        except http_body.TooLargeError as error:
            _cut(response)
            host = urlsplit(response.url or "").hostname
            raise UpstreamProtocolError(
                Sentence("The answer of %(host)s is larger than %(most)s bytes.", host=host, most=LARGEST_ANSWER)
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            _cut(response)
            raise explain(error, response.url or "") from error
        except BaseException:  # whoever waited for it has been stopped
            _cut(response)
            raise
    return response.content


def _cut(response: requests.Response) -> None:
    # requests' own `close` would take the body for read, and give the connection back as it is.
    response.raw.close()
    response.close()


_CLOCK_HINTS = ("certificate is not yet valid", "certificate has expired")
_TLS_TROUBLE = (requests.exceptions.SSLError, urllib3.exceptions.SSLError, ssl.SSLError, CertificateError)
_DNS_HINTS = ("name or service not known", "failed to resolve", "nodename nor servname", "gaierror")
_TORN = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.DecodeError,
    http_body.TornError,
    http_body.FramingError,
)


def explain(error: BaseException, url: str) -> GatewayError:
    """A transport error in words: which host, what happened, what to look at. An UpstreamError, unless this process
    can open no connection at all."""
    if (own_fault := none_left()) is not None:
        return own_fault
    host = urlsplit(url).hostname or url
    text = _reasons(error)
    if any(hint in text for hint in _CLOCK_HINTS):
        return UpstreamConnectError(
            Sentence(
                "The certificate of %(host)s is outside its dates. Check the clock of this machine first.", host=host
            ),
            code="clock_or_certificate",
        )
    if isinstance(error, _TLS_TROUBLE):
        return UpstreamConnectError(
            Sentence(
                "The TLS connection to %(host)s failed. If a company proxy inspects traffic, point REQUESTS_CA_BUNDLE "
                "to its CA certificate.",
                host=host,
            ),
            code="tls_error",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return UpstreamConnectError(
            Sentence(
                "The outbound proxy did not let us through to %(host)s. Check %(variable)s and NO_PROXY.",
                variable=variable_of_proxy(urlsplit(url).scheme),
                host=host,
            ),
            code="proxy_error",
        )
    is_late = isinstance(error, requests.exceptions.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError)
    if is_late and not isinstance(error, urllib3.exceptions.NewConnectionError):  # which is one by inheritance alone
        return UpstreamTimeoutError(
            Sentence("%(host)s did not accept a connection in time. Check network and proxy.", host=host)
        )
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.ReadTimeoutError) or "timed out" in text:
        return UpstreamTimeoutError(Sentence("%(host)s sent nothing for too long.", host=host))
    if "connection refused" in text:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return UpstreamConnectError(
            Sentence(
                "%(host)s refused the connection at port %(port)s: nothing listens there, or a firewall is in between.",
                host=host,
                port=port,
            )
        )
    if any(hint in text for hint in _DNS_HINTS):
        return UpstreamConnectError(
            Sentence(
                "The name %(host)s cannot be resolved. Check DNS, or set HTTPS_PROXY if this network needs a proxy.",
                host=host,
            ),
            code="dns_error",
        )
    if isinstance(error, _TORN) and not isinstance(error, requests.exceptions.ConnectionError):
        return UpstreamProtocolError(Sentence("%(host)s broke off in the middle of its answer.", host=host))
    return UpstreamConnectError(
        Sentence(
            "Could not reach %(host)s (%(error)s). Check the network of this machine.",
            host=host,
            error=type(error).__name__,
        )
    )


def _is_stale(error: BaseException | None) -> bool:
    """Whether the reason is a connection that the server had closed while it was idle."""
    for _ in range(6):
        if error is None or isinstance(error, StaleConnectionError):
            break
        inner = [arg for arg in error.args if isinstance(arg, BaseException)]
        error = inner[-1] if inner else error.__cause__ or error.__context__
    return isinstance(error, StaleConnectionError)


def _reasons(error: BaseException) -> str:
    """All reasons, lower case: requests wraps urllib3, which wraps ssl and socket errors."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < 6:
        parts.append(f"{type(seen).__name__} {seen}")
        seen = seen.__cause__ or seen.__context__
    return " ".join(parts).lower()
