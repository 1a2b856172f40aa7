"""The addresses of one GitHub: github.com, a tenant with data residency, or an Enterprise Server (contract §11).

Pure: names in, names out.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from app.errors import Sentence

PUBLIC: Final = "github.com"
_PUBLIC_COPILOT: Final = "githubcopilot.com"
_TENANTS: Final = ".ghe.com"


def parse_host(raw: str) -> str:
    """``tenant.ghe.com``, also from ``https://tenant.ghe.com/``. Raises: ValueError with the problem in words."""
    bare = raw.strip().lower().removeprefix("https://").rstrip("/")
    try:
        parts = urlsplit(f"//{bare}")
        _ = parts.port
    except ValueError:
        raise ValueError(Sentence("is not the name of a host")) from None
    if not parts.hostname or parts.netloc != bare or "@" in bare or any(char.isspace() for char in bare):
        raise ValueError(Sentence("is not the name of a host (no path, no user name, no http://)"))
    if parts.hostname.startswith("api.") or parts.hostname.startswith("copilot-api."):
        raise ValueError(Sentence("is the host of an API; the one that people open in a browser is meant"))
    return bare


def is_tenant(host: str) -> bool:
    """Whether it is a tenant of GitHub Enterprise with data residency, whose prompts must stay in its region."""
    return host.endswith(_TENANTS)


def web_url(host: str) -> str:
    return f"https://{host}"


def api_url(host: str) -> str:
    return f"https://api.{host}" if host == PUBLIC or is_tenant(host) else f"https://{host}/api/v3"


def copilot_url(host: str) -> str:
    """Copilot's host where GitHub names none. A tenant has its own, and no way leads from it to the public one."""
    if is_tenant(host):
        return f"https://copilot-api.{host}"
    return "https://api.githubcopilot.com" if host == PUBLIC else "https://api.enterprise.githubcopilot.com"


def mcp_url(copilot: str) -> str:
    """Copilot's MCP endpoint. Plans have hosts of their own, but it stands at the one that they share."""
    is_public = _name(copilot).endswith(f".{_PUBLIC_COPILOT}")
    return f"{copilot_url(PUBLIC) if is_public else copilot}/mcp"


def tenant_of(url: str) -> str | None:
    """The tenant that a web or API address belongs to, if it is one's."""
    host = (urlsplit(url).hostname or "").removeprefix("copilot-api.").removeprefix("api.")
    return host if is_tenant(host) else None


def is_copilot_address(url: str, *, host: str, own: tuple[str, ...]) -> bool:
    """Whether a token and prompts may go to this address, which an answer of GitHub named (contract §11.2).

    host: the GitHub. own: the addresses at which we ask it. Where those are http, on a machine of one's own, their
    hosts are good too, at any port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    name = parts.hostname or ""
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return False
    plain = [_name(address) for address in own if address.startswith("http:")]
    if name in plain or (_is_loopback(name) and any(map(_is_loopback, plain))):
        return parts.scheme in ("http", "https")
    if parts.scheme != "https" or port not in (None, 443) or _is_ip_literal(name):
        return False
    return any(name == domain or name.endswith(f".{domain}") for domain in _domains(host))


def _domains(host: str) -> tuple[str, ...]:
    if host == PUBLIC:
        return (_PUBLIC_COPILOT,)
    own = _hostname(urlsplit(f"//{host}"))
    return (own,) if is_tenant(own) else (own, _PUBLIC_COPILOT)


def _name(url: str) -> str:
    return _hostname(urlsplit(url))


def _hostname(parts: SplitResult) -> str:
    return parts.hostname or ""


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_ip_literal(name) and ipaddress.ip_address(name).is_loopback)


def _is_ip_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
