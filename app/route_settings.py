"""The proxy and CA settings of this machine, looked at before use: a fault in them is no fault of the network.

requests and urllib3 tell it in a dozen ways, and none of them names the variable.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

from requests.utils import select_proxy
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from app.descriptors import none_left
from app.errors import LocalSettingError, Sentence
from app.http_connection import tls_context
from app.settings import variable_of_bundle, variable_of_proxy

_PROXIES: Final = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def check_route(url: str, proxies: Mapping[str, str], verify: bool | str) -> None:
    """Raises: LocalSettingError if the proxy for this URL or the CA bundle cannot be used. Calls nobody."""
    proxy = select_proxy(url, dict(proxies))
    if proxy:
        _check_proxy(proxy, url.partition(":")[0])
    if verify and url.startswith("https:"):
        check_bundle(verify)


def _check_proxy(proxy: str, scheme: str) -> None:
    # Never its text: it may hold a password.
    variable = variable_of_proxy(scheme)
    kind = proxy.partition("://")[0].lower() if "://" in proxy else "http"
    if kind not in _PROXIES:
        raise LocalSettingError(
            Sentence(
                "The proxy in %(variable)s is of the kind %(kind)s://, which does not exist here; there are %(kinds)s. "
                "Mend it and restart the bridge.",
                variable=variable,
                kind=kind,
                kinds=", ".join(_PROXIES),
            )
        )
    try:
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        is_usable = bool(parts.host)
    except (LocationParseError, ValueError):
        is_usable = False
    if not is_usable:
        raise LocalSettingError(
            Sentence(
                "The proxy in %(variable)s is no URL like http://proxy.example.com:3128 or socks5h://localhost:1080. "
                "Mend it and restart the bridge.",
                variable=variable,
            )
        )


def check_bundle(verify: bool | str) -> None:
    """Raises: LocalSettingError if the CA bundle (True: the one that comes with requests) cannot be used;
    OverloadedError if no file can be opened."""
    try:
        tls_context(verify)
    except OSError as error:  # ssl.SSLError is one
        if (own_fault := none_left()) is not None:
            raise own_fault from error
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror or type(error).__name__
        variable = variable_of_bundle(verify)
        if variable is None:
            raise LocalSettingError(
                Sentence(
                    "The CA certificates that came with the Python package certifi cannot be read: %(why)s. Install it "
                    "anew, or name another bundle in REQUESTS_CA_BUNDLE.",
                    why=why,
                )
            ) from error
        raise LocalSettingError(
            Sentence(
                "%(variable)s names %(path)s, which cannot be used: %(why)s. Mend it and restart the bridge.",
                variable=variable,
                path=verify,
                why=why,
            )
        ) from error
