"""The way out: each host by name, by connection and by HTTP; what stands in between; and whose clock is wrong."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from requests.utils import select_proxy

from app.doctor.finding import Finding, note, ok, problem
from app.errors import Sentence, UpstreamError
from app.outbound import Outbound

_CONNECT_S = 8.0
_ANSWER_S = 15.0
_SKEW_WORTH_MENTIONING_S = 30
_SKEW_HARMFUL_S = 300


@dataclass(slots=True)
class Contacts:
    """What came of the calls, for the checks after them.

    unusable: base URLs of hosts that cannot be used. skews_s: by how many seconds each clock is ahead of ours.
    has_token: there is a Copilot token, so Copilot itself can be asked.
    """

    unusable: set[str] = field(default_factory=set)
    has_token: bool = False
    skews_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Host:
    """A host to look at. url: its base. path: something it answers without a token. is_api: never answers in HTML."""

    name: str
    url: str
    path: str = "/"
    is_api: bool = True


def check_host(
    host: Host,
    outbound: Outbound,
    contacts: Contacts,
    *,
    headers: dict[str, str],
    resolve: Callable[..., Any] = socket.getaddrinfo,
    connect: Callable[..., socket.socket] = socket.create_connection,
    clock: Callable[[], float] = time.time,
) -> Iterator[Finding]:
    """From the name to an HTTP answer, stopping at the first step that fails.

    headers: of the request; GitHub refuses calls without a User-Agent.
    """
    title, name = host.name, urlsplit(host.url).netloc
    proxy = select_proxy(host.url, dict(outbound.route(host.url)[0]))
    failure = None if proxy else _reach(host.url, resolve, connect)
    if failure is not None:
        contacts.unusable.add(host.url)
        yield problem(title, *failure)
        return
    via = Sentence(", through the proxy %(proxy)s", proxy=_without_password(proxy)) if proxy else ""
    before = clock()
    try:
        answer = outbound.send(
            "GET", host.url + host.path, headers=headers, connect_timeout_s=_CONNECT_S, read_timeout_s=_ANSWER_S
        )
    except UpstreamError as error:
        contacts.unusable.add(host.url)
        yield problem(title, Sentence.joined(error.message, _through(proxy) if proxy else ""))
        return
    skew_s = _skew(answer.headers.get("Date"), (before + clock()) / 2)
    if skew_s is not None:
        contacts.skews_s.append(skew_s)
    is_html = answer.headers.get("Content-Type", "").startswith("text/html")
    away = urlsplit(answer.headers.get("Location", "")).hostname if 300 <= answer.status_code < 400 else None
    if (host.is_api and is_html and answer.status_code < 500) or (away and away != urlsplit(host.url).hostname):
        contacts.unusable.add(host.url)
        led = (
            Sentence("sends us on to %(host)s", host=away)
            if away
            else Sentence("answers with a web page where an API should")
        )
        yield problem(
            title,
            Sentence(
                "%(name)s %(led)s%(via)s: something in between answers in its place.", name=name, led=led, via=via
            ),
            Sentence(
                "Log in to this network's portal if it has one; else ask its administrator to let the host through."
            ),
        )
    elif answer.status_code >= 500 or answer.status_code == 407:
        contacts.unusable.add(host.url)
        yield problem(
            title,
            Sentence(
                "%(name)s answers HTTP %(status_code)s%(via)s.", name=name, status_code=answer.status_code, via=via
            ),
            Sentence("The proxy wants a user name: HTTPS_PROXY=http://user:password@host:port.")
            if answer.status_code == 407
            else Sentence("This is on GitHub's side: see https://www.githubstatus.com and try again in some minutes."),
        )
    else:
        yield ok(title, Sentence("%(name)s answers%(via)s", name=name, via=via))


def check_local_proxying(outbound: Outbound) -> Iterator[Finding]:
    """A proxy for everything also catches clients' calls to the bridge on this machine."""
    proxy = select_proxy("http://localhost/", dict(outbound.proxies_for("http://localhost/")))
    if proxy:
        yield note(
            "HTTP_PROXY",
            Sentence(
                "Calls to localhost would go through %(without_password)s: clients here may not find the bridge.",
                without_password=_without_password(proxy),
            ),
            Sentence("Let them go directly:\n    NO_PROXY=localhost,127.0.0.1"),
        )


def check_clock(contacts: Contacts) -> Iterator[Finding]:
    """Our clock against the Date headers of the hosts that answered."""
    if not contacts.skews_s:
        yield note(Sentence("clock"), Sentence("could not be compared: no host told its time."))
        return
    skew_s = statistics.median(contacts.skews_s)
    if abs(skew_s) < _SKEW_WORTH_MENTIONING_S:
        yield ok(Sentence("clock"), Sentence("agrees with GitHub's"))
        return
    time_off = _duration(abs(skew_s))
    what = (
        Sentence("The clock of this machine is %(time)s behind GitHub's.", time=time_off)
        if skew_s > 0
        else Sentence("The clock of this machine is %(time)s ahead of GitHub's.", time=time_off)
    )
    advice = Sentence(
        "Set it right: sudo timedatectl set-ntp true. In Docker it is the host's clock; in WSL: wsl --shutdown.\n"
        "The bridge measures token lifetimes without comparing clocks, but certificates and logs need the right time."
    )
    yield (problem if abs(skew_s) >= _SKEW_HARMFUL_S else note)(Sentence("clock"), what, advice)


def proxy_for(outbound: Outbound, url: str) -> str | None:
    """The proxy that calls to this URL go through, as it may be shown; None if there is none."""
    proxy = select_proxy(url, dict(outbound.route(url)[0]))
    return _without_password(proxy) if proxy else None


def _reach(
    url: str, resolve: Callable[..., Any], connect: Callable[..., socket.socket]
) -> tuple[Sentence, Sentence] | None:
    """DNS and TCP. None when connected, else what happened and what to do."""
    parts = urlsplit(url)
    name, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        resolve(name, port, type=socket.SOCK_STREAM)
    except OSError:
        return (
            Sentence("The name %(name)s cannot be resolved.", name=name),
            Sentence(
                "Check DNS and the network. If this network needs a proxy, set HTTPS_PROXY. In Docker, look at the "
                "container's DNS."
            ),
        )
    try:
        connect((name, port), timeout=_CONNECT_S).close()
    except TimeoutError:
        return (
            Sentence(
                "Nothing answers at %(host)s:%(port)s within %(seconds)s s; a firewall drops such packets in silence.",
                host=name,
                port=port,
                seconds=f"{_CONNECT_S:.0f}",
            ),
            Sentence("Let this machine out to that host, or set HTTPS_PROXY."),
        )
    except OSError as error:
        return (
            Sentence(
                "No connection to %(host)s:%(port)s: %(why)s.",
                host=name,
                port=port,
                why=error.strerror or type(error).__name__,
            ),
            Sentence(
                "Check the network and the firewall of this machine; set HTTPS_PROXY if this network needs a proxy."
            ),
        )
    return None


def _skew(date: str | None, now: float) -> float | None:
    """The host's clock minus ours, in seconds. Date has whole seconds: half of one is added."""
    try:
        return parsedate_to_datetime(date or "").timestamp() + 0.5 - now
    except (ValueError, TypeError, OverflowError):
        return None


def _without_password(proxy: str) -> str:
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        return Sentence("that is set")


def _through(proxy: str) -> Sentence:
    return Sentence("(Calls go through the proxy %(proxy)s.)", proxy=_without_password(proxy))


def _duration(seconds: float) -> Sentence:
    if seconds >= 1.9 * 86400:
        return Sentence("%(count)s days", count=round(seconds / 86400))
    if seconds >= 1.9 * 3600:
        return Sentence("%(count)s hours", count=round(seconds / 3600))
    if seconds >= 1.9 * 60:
        return Sentence("%(count)s minutes", count=round(seconds / 60))
    return Sentence("%(count)s seconds", count=round(seconds))
