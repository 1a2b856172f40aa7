"""The way out: every HTTP call to GitHub and Copilot goes through here.

Proxy and CA settings (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``) are resolved as
requests does, but once per host instead of at every call: reading them costs as much as half the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from app.errors import UpstreamConnectError, UpstreamError, UpstreamProtocolError, UpstreamTimeoutError

Route = tuple[Mapping[str, str], bool | str, str | tuple[str, str] | None]
"""What requests needs besides the URL: proxies, CA verification, client certificate."""


class Outbound:
    """One connection pool. Thread- and greenlet-safe; never blocks for a free connection.

    pool_size: idle connections kept per host; more may be open at a time.
    """

    def __init__(self, *, pool_size: int = 64) -> None:
        self._session = requests.Session()
        # Redirects and cookies are never followed or kept: these are APIs, and a redirect would carry the token away.
        self._adapter = HTTPAdapter(pool_connections=8, pool_maxsize=pool_size, max_retries=0, pool_block=False)
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        self._routes: dict[tuple[str, str], Route] = {}

    def route(self, url: str) -> Route:
        """Proxies, CA bundle and client certificate for this URL, from the environment, remembered per host."""
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if key not in self._routes:
            merged = self._session.merge_environment_settings(url, {}, None, None, None)
            self._routes[key] = (
                merged["proxies"],
                True if merged["verify"] is None else merged["verify"],
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

        Raises: UpstreamConnectError, UpstreamTimeoutError, UpstreamProtocolError; an error status is no exception.
        """
        proxies, verify, cert = self.route(url)
        try:
            prepared = requests.Request(method, url, headers=dict(headers), data=body).prepare()
            # The adapter directly: Session.send adds cookies, hooks and redirects, none of which belong here.
            response = self._session.get_adapter(url).send(
                prepared,
                stream=True,
                timeout=(connect_timeout_s, read_timeout_s),
                verify=verify,
                cert=cert,
                proxies=proxies,
            )
            if not stream:
                _ = response.content
            return response
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise explain(error, url) from error

    def close(self) -> None:
        self._session.close()


_CLOCK_HINTS = ("certificate is not yet valid", "certificate has expired")
_DNS_HINTS = ("name or service not known", "failed to resolve", "nodename nor servname", "gaierror")
_TORN = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.ProtocolError,
    urllib3.exceptions.DecodeError,
)


def explain(error: BaseException, url: str) -> UpstreamError:
    """A transport error in words: which host, what happened, what to look at."""
    host = urlsplit(url).hostname or url
    text = _reasons(error)
    if any(hint in text for hint in _CLOCK_HINTS):
        return UpstreamConnectError(
            f"The certificate of {host} is outside its dates. Check the clock of this machine first.",
            code="clock_or_certificate",
        )
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return UpstreamConnectError(
            f"The TLS connection to {host} failed. If a company proxy inspects traffic, point REQUESTS_CA_BUNDLE "
            "to its CA certificate.",
            code="tls_error",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return UpstreamConnectError(
            f"The outbound proxy did not let us through to {host}. Check HTTPS_PROXY and NO_PROXY.", code="proxy_error"
        )
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return UpstreamTimeoutError(f"{host} did not accept a connection in time. Check network and proxy.")
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.ReadTimeoutError) or "timed out" in text:
        return UpstreamTimeoutError(f"{host} sent nothing for too long.")
    if "connection refused" in text:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return UpstreamConnectError(
            f"{host} refused the connection at port {port}: nothing listens there, or a firewall is in between."
        )
    if any(hint in text for hint in _DNS_HINTS):
        return UpstreamConnectError(
            f"The name {host} cannot be resolved. Check DNS, or set HTTPS_PROXY if this network needs a proxy.",
            code="dns_error",
        )
    if isinstance(error, _TORN) and not isinstance(error, requests.exceptions.ConnectionError):
        return UpstreamProtocolError(f"{host} broke off in the middle of its answer.")
    return UpstreamConnectError(f"Could not reach {host} ({type(error).__name__}). Check the network of this machine.")


def _reasons(error: BaseException) -> str:
    """All reasons, lower case: requests wraps urllib3, which wraps ssl and socket errors."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < 6:
        parts.append(f"{type(seen).__name__} {seen}")
        seen = seen.__cause__ or seen.__context__
    return " ".join(parts).lower()
