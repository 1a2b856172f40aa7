"""The way in, seen from outside: the public URL and the proxies in front of the bridge.

Asks in this order, and goes on only where that makes sense: is it the bridge at all; is it safe to show a key; is the
key taken, and a wrong one not; what became of the request on its way; how large a body gets through; does a slow stream
arrive slowly; is a WebSocket refused at once.
"""

from __future__ import annotations

import ipaddress
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from sseclient import SSEClient

from app.auth.api_key import is_local_name, is_private_caller
from app.doctor import pace
from app.doctor.finding import Finding, note, ok, problem
from app.doctor.network import proxy_for
from app.errors import UpstreamError
from app.outbound import Outbound, explain
from app.settings import Secret, parse_url

_CONNECT_S = 10.0
_ANSWER_S = 30.0
# A refused upgrade takes no time; a client that waits for it waits as long as this, and then tries HTTP.
_UPGRADE_S = 10.0
_BODY_BYTES = 6 * 1024 * 1024
_EVENTS, _INTERVAL_MS = 20, 150

NGINX_STREAM = """In nginx, in the location that leads to the bridge (deploy/nginx.conf is complete):
    proxy_buffering off;
    proxy_cache off;
    gzip off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 3600s;
and take out, if it is there:
    proxy_ignore_headers X-Accel-Buffering;"""
_OTHER_SUSPECTS = """Caddy passes event streams on by itself, unless `encode` compresses them; else: flush_interval -1.
Traefik: no buffering middleware; compress with excludedContentTypes = ["text/event-stream"]. Apache: SetEnv no-gzip 1,
and ProxyPass … flushpackets=on. Cloudflare: no rule or worker that rewrites bodies; check once with the cloud grey."""
_SILENCE = (
    "A streaming client hears from the bridge every few seconds; an answer that is not streamed may be silent for "
    "minutes. Cloudflare cuts it after about two, nginx after one unless it says: proxy_read_timeout 3600s;"
)


@dataclass(slots=True)
class _Visit:
    """One examination of one URL. seen: what the bridge saw of our request, once the probe has told it."""

    base: str
    outbound: Outbound
    key: str | None
    front: str = ""
    seen: dict[str, Any] = field(default_factory=dict)

    def ask(self, method: str, path: str, headers: dict[str, str], **options: Any) -> requests.Response:
        """Raises: UpstreamError."""
        timeouts = {"connect_timeout_s": _CONNECT_S, "read_timeout_s": _ANSWER_S} | options.pop("timeouts", {})
        headers = {"Accept": "application/json", "User-Agent": "copilot-bridge-doctor", **headers}
        return self.outbound.send(method, self.base + path, headers=headers, **timeouts, **options)

    @property
    def with_key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}


def check_public_url(
    text: str, keys: tuple[Secret, ...], outbound: Outbound, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Finding]:
    """Examine the URL under which clients reach the bridge from outside.

    keys: the bridge's own; the first is used. clock: seconds, for the arrival of the stream's events.
    """
    try:
        base = parse_url(text.strip())
    except ValueError as error:
        yield problem("public URL", f"{text!r} {error}.", "For example: --public-url https://bridge.example.com")
        return
    if base.endswith("/v1"):
        base = base.removesuffix("/v1").rstrip("/")
        yield note("public URL", f"It is {base}; /v1 at its end belongs to the base URL of OpenAI clients only.")
    visit = _Visit(base, outbound, keys[0].reveal() if keys else None)
    if proxy := proxy_for(outbound, base):
        yield note("outbound proxy", f"This check leaves through {proxy}, which may change what it sees.")
    first: tuple[_Step, ...] = (_is_it_us, _may_show_key, _key)
    for step in first:
        findings = list(_guarded(step, visit))
        yield from findings
        if any(found.status == "problem" for found in findings):
            yield note("public URL", "The rest was not checked.", "Mend this first, then run doctor again.")
            return
    for step in (_stream_steps(clock), _body, _upgrade):
        yield from _guarded(step, visit)


_Step = Callable[[_Visit], Iterator[Finding]]


def _guarded(step: _Step, visit: _Visit) -> Iterator[Finding]:
    """A step; a call of it that fails on its way is its last finding."""
    try:
        yield from step(visit)
    except UpstreamError as error:
        yield problem("public URL", error.message)


# ── is it the bridge, and is it safe ────────────────────────────────────────────────────────────────────────────────


def _is_it_us(visit: _Visit) -> Iterator[Finding]:
    request_id = f"doctor-{uuid.uuid4().hex}"
    try:
        answer = visit.ask("GET", "/livez", {"x-request-id": request_id})
    except UpstreamError as error:
        yield _unreachable(visit, error)
        return
    visit.front = _front(answer)
    location = answer.headers.get("Location", "")
    if 300 <= answer.status_code < 400:
        yield from _redirected(visit, location)
    elif answer.headers.get("x-request-id") == request_id and _json(answer).get("status") == "ok":
        named = f", behind {visit.front}" if visit.front else ""
        yield ok("reachable", f"the bridge answers at {visit.base}{named}")
    elif answer.status_code == 401 and answer.headers.get("WWW-Authenticate", "").lower().startswith("basic"):
        yield problem(
            "reachable",
            "A proxy in front asks for a password of its own, which API clients cannot give.",
            "Take it away for the bridge's paths; API_KEY protects them.",
        )
    elif answer.status_code in (502, 503, 504) or answer.status_code >= 520:
        yield problem(
            "reachable",
            f"{visit.front or 'The proxy'} answers HTTP {answer.status_code}: it does not reach the bridge.",
            "Is the bridge running, and does the proxy's configuration name its address and port (proxy_pass)?",
        )
    else:
        kind = answer.headers.get("Content-Type", "something else").partition(";")[0]
        yield problem(
            "reachable",
            f"Something else answers at {visit.base}/livez (HTTP {answer.status_code}, {kind}).",
            "Check the name and the path. A prefix (https://host/bridge) must be taken off by the proxy, and told in "
            "X-Forwarded-Prefix.",
        )


# OpenSSL's words for an answer in plain HTTP; the second since version 3.2.
_NO_TLS_HINTS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


def _unreachable(visit: _Visit, error: UpstreamError) -> Finding:
    host = urlsplit(visit.base).hostname
    if error.code == "tls_error":
        if any(hint in str(error.__cause__) for hint in _NO_TLS_HINTS):
            return problem(
                "TLS",
                f"What answers at {visit.base} does not speak TLS.",
                "Give the port where the proxy offers https://; the bridge itself speaks http:// only.",
            )
        return problem(
            "TLS",
            f"The certificate of {host} is not trusted: self-signed, of another name, or sent without its chain.",
            "Get one for this name (certbot, or Caddy does it by itself). In nginx, with the whole chain:\n"
            "    ssl_certificate /etc/letsencrypt/live/…/fullchain.pem;",
        )
    if error.code == "clock_or_certificate":
        return problem(
            "TLS", f"The certificate of {host} is outside its dates.", "Renew it; if it is new, check this clock."
        )
    return problem("reachable", error.message, "Check the name, the port and the firewall of the outermost proxy.")


def _redirected(visit: _Visit, location: str) -> Iterator[Finding]:
    if location.startswith("https://") and visit.base.startswith("http://"):
        yield problem(
            "redirect",
            "http:// is redirected to https://. Clients turn a redirected POST into a GET, or show the key in the "
            "clear first.",
            f"Give clients the address https://{urlsplit(visit.base).netloc}{urlsplit(visit.base).path}.",
        )
    else:
        host = urlsplit(location).hostname or "another path"
        yield problem(
            "redirect",
            f"Requests are sent on to {host}, which API clients cannot follow with a body.",
            "If that is a login (Cloudflare Access, Authelia …), let the bridge's paths pass; API_KEY protects them.",
        )


def _may_show_key(visit: _Visit) -> Iterator[Finding]:
    parts = urlsplit(visit.base)
    if parts.scheme == "https":
        yield ok("TLS", "the certificate is valid")
    elif _is_near(parts.netloc, parts.hostname or ""):
        yield note(
            "TLS", "none: keys and conversations travel in the clear.", "Fine within your own network, not beyond."
        )
    else:
        yield problem(
            "TLS",
            "None: keys and conversations would travel in the clear. The key was not sent.",
            "Get a certificate (certbot, or Caddy does it by itself), and use https://.",
        )


def _is_near(netloc: str, host: str) -> bool:
    """Whether the way there stays in our own network: a private address, or a name that only such a network knows."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return is_local_name(netloc)
    return is_private_caller(host, {})


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _key(visit: _Visit) -> Iterator[Finding]:
    wrong = visit.ask("POST", "/v1/probe/body", {"Authorization": "Bearer wrong-on-purpose"}, body=b"")
    if wrong.status_code == 401:
        yield ok("wrong key", "is refused (401)")
    elif wrong.status_code == 200 and visit.key is None:
        yield note("wrong key", "is taken: API_KEY is empty, so whoever reaches this address can use the bridge.")
    elif wrong.status_code == 403 and _code(wrong) == "api_key_not_set":
        pass  # told with the right key
    else:
        yield problem("wrong key", f"is answered with HTTP {wrong.status_code} instead of 401.", _own_answer(wrong))
    right = visit.ask("POST", "/v1/probe/body", visit.with_key, body=b"")
    if right.status_code == 200:
        yield ok("right key", "is taken")
    elif _code(right) == "api_key_not_set":
        yield problem(
            "right key",
            "The bridge runs with the default key or none, and refuses callers from outside (403).",
            'Set an API_KEY of your own:\n    python3 -c "import secrets; print(secrets.token_urlsafe(32))"',
        )
    elif right.status_code == 401 and visit.key is not None:
        by_other_header = visit.ask("POST", "/v1/probe/body", {"x-api-key": visit.key}, body=b"")
        if by_other_header.status_code == 200:
            yield problem(
                "right key",
                "It arrives as x-api-key, but not as Authorization: a proxy uses or drops that header.",
                "In nginx:\n    proxy_set_header Authorization $http_authorization;",
            )
        else:
            yield problem(
                "right key",
                "The API_KEY of these settings is refused there (401).",
                "Run doctor in the folder and environment of the service, or restart the service.",
            )
    elif right.status_code == 404:
        yield problem(
            "right key",
            "The bridge there does not know this check: it is of another version, or /v1 leads elsewhere.",
            "Update it, and pass every path on to it.",
        )
    else:
        yield problem("right key", f"is answered with HTTP {right.status_code}.", _own_answer(right))


def _own_answer(answer: requests.Response) -> str:
    if "x-request-id" in answer.headers:
        return f"The bridge's log tells more, under the request id {answer.headers['x-request-id'][:80]}."
    return "The answer is not the bridge's: look at the log of the proxy in front."


# ── the stream ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One measured stream: its response's head, when events were sent and arrived, and whether it was whole."""

    head: requests.Response
    sent_s: list[float]
    arrived_s: list[float]

    @property
    def is_whole(self) -> bool:
        return len(self.sent_s) == _EVENTS


def _stream_steps(clock: Callable[[], float]) -> _Step:
    def check(visit: _Visit) -> Iterator[Finding]:
        arrival = _listen(visit, clock)
        if arrival.head.status_code != 200:
            yield problem("stream", f"answered HTTP {arrival.head.status_code}.", _own_answer(arrival.head))
            return
        yield from _forwarding(visit)
        if not arrival.is_whole:
            yield problem(
                "stream",
                f"It broke off after {len(arrival.sent_s)} of {_EVENTS} events: a proxy cuts or rewrites it.",
                NGINX_STREAM,
            )
            return
        verdict = pace.judge(arrival.sent_s, arrival.arrived_s)
        if verdict is not pace.Pace.EVENLY:
            # Once may be the network or a busy machine; twice is a proxy.
            again = _listen(visit, clock)
            if again.is_whole:
                verdict = min(verdict, pace.judge(again.sent_s, again.arrived_s), key=list(pace.Pace).index)
        yield from _paced(visit, verdict, arrival.head)

    return check


def _paced(visit: _Visit, verdict: pace.Pace, head: requests.Response) -> Iterator[Finding]:
    encoding = head.headers.get("Content-Encoding", "identity")
    squeezed = encoding != "identity"
    if verdict is pace.Pace.EVENLY:
        yield ok("stream", "a slow stream arrives slowly, event by event", _SILENCE)
        if squeezed:
            yield note(
                "compression",
                f"A proxy compresses event streams ({encoding}), which costs time and can hold events back.",
                "In nginx:\n    gzip off;",
            )
        return
    took = _EVENTS * _INTERVAL_MS / 1000
    what = f"A stream of {took:.0f} s arrives {verdict.value}: {visit.front or 'a proxy in front'} holds it back."
    if squeezed:
        what += f" It also compresses it ({encoding})."
    if head.raw is not None and getattr(head.raw, "version", 11) == 10:
        what += " It answers in HTTP/1.0."
    yield problem("stream", what, f"{NGINX_STREAM}\n{_OTHER_SUSPECTS}")


def _listen(visit: _Visit, clock: Callable[[], float]) -> _Arrival:
    """Raises: UpstreamError if not even the head of an answer comes."""
    # As SDKs ask: they all take gzip.
    headers = {**visit.with_key, "Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate"}
    query = f"?events={_EVENTS}&interval_ms={_INTERVAL_MS}"
    response = visit.ask("POST", "/v1/probe/stream" + query, headers, body=b"{}", stream=True)
    sent: list[float] = []
    arrived: list[float] = []
    try:
        if response.status_code == 200:
            for event in SSEClient(_pieces(response)).events():
                told = orjson.loads(event.data)
                sent.append(told["sent_ms"] / 1000)
                arrived.append(clock())
                visit.seen = told.get("seen", visit.seen)
    except (orjson.JSONDecodeError, KeyError, TypeError, UpstreamError):
        pass  # what came so far counts: the stream is not whole, and that is told
    finally:
        response.close()
    return _Arrival(response, sent, arrived)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes: iter_content would wait for the end where an answer is not chunked."""
    try:
        while piece := response.raw.read1(8192, decode_content=True):
            yield piece
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise explain(error, response.url or "") from error


def _forwarding(visit: _Visit) -> Iterator[Finding]:
    """What the bridge saw of our request, which the probe's first event tells."""
    seen = visit.seen
    hops, trusted, base = seen.get("forwarded_for"), seen.get("trusted_proxies"), seen.get("base")
    if not (isinstance(hops, int) and isinstance(trusted, int) and isinstance(base, str)):
        return
    if trusted > hops:
        yield problem(
            "TRUSTED_PROXIES",
            f"It is {trusted}, but {hops or 'no'} address{'' if hops == 1 else 'es'} came in X-Forwarded-For: callers "
            "could claim an address of their choice.",
            f"Set TRUSTED_PROXIES={hops}; if there are more proxies in front, in nginx:\n"
            "    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        )
    elif trusted < hops:
        yield note(
            "TRUSTED_PROXIES",
            f"It is {trusted}, but {hops} prox{'y tells' if hops == 1 else 'ies tell'} who is calling.",
            f"Set TRUSTED_PROXIES={hops} if the bridge can be reached through them only: links then carry the public "
            "address.",
        )
    elif base != visit.base:
        path = urlsplit(visit.base).path
        yield note(
            "public address",
            f"The bridge takes its own address for {base}, so its links to the sign-in page lead there.",
            "In nginx, with TRUSTED_PROXIES=1:\n"
            "    proxy_set_header X-Forwarded-Proto $scheme;\n"
            "    proxy_set_header X-Forwarded-Host $http_host;"
            + (f"\n    proxy_set_header X-Forwarded-Prefix {path};" if path else ""),
        )
    else:
        told = f"{hops} prox{'y tells' if hops == 1 else 'ies tell'} it who is calling" if hops else "no proxy in front"
        yield ok("forwarding", f"the bridge knows its public address; {told}")
    if seen.get("http") == "HTTP/1.0":
        yield note(
            "HTTP/1.0",
            "The proxy speaks HTTP/1.0 to the bridge: a new connection for each request, and a stream that is cut "
            "looks like one that ended.",
            'In nginx:\n    proxy_http_version 1.1;\n    proxy_set_header Connection "";',
        )


# ── bodies and upgrades ─────────────────────────────────────────────────────────────────────────────────────────────


def _body(visit: _Visit) -> Iterator[Finding]:
    limit = visit.seen.get("max_body_bytes")
    size = min(_BODY_BYTES, limit - 1024) if isinstance(limit, int) and limit > 2048 else _BODY_BYTES
    told = _mebibytes(size)
    lines = f"In nginx, as MAX_BODY_BYTES:\n    client_max_body_size {_megabytes(limit)}m;"
    headers = {**visit.with_key, "Content-Type": "application/octet-stream"}
    try:
        answer = visit.ask("POST", "/v1/probe/body", headers, body=b"\0" * size)
    except UpstreamError as error:
        yield problem("large request", f"One of {told} does not get through: {error.message}", lines)
        return
    if answer.status_code == 200 and _json(answer).get("received_bytes") == size:
        most = f"; the bridge takes up to {_mebibytes(limit)}" if isinstance(limit, int) else ""
        yield ok("large request", f"one of {told} gets through{most}")
    elif answer.status_code == 413:
        whose = visit.front or "a proxy in front"
        yield problem("large request", f"One of {told} is refused by {whose} (413): images and long chats fail.", lines)
    else:
        cut = answer.status_code == 200
        what = f"One of {told} {'arrives cut' if cut else f'is answered with HTTP {answer.status_code}'}."
        yield problem("large request", what, _own_answer(answer))


def _upgrade(visit: _Visit) -> Iterator[Finding]:
    """Codex tries a WebSocket first, and goes on with HTTP when that is refused at once."""
    headers = {
        **visit.with_key,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "Y29waWxvdC1icmlkZ2UtMQ==",
    }
    advice = "Take websocket rules out of the proxy for this path: the bridge speaks HTTP only, and clients fall back."
    try:
        answer = visit.ask("GET", "/v1/responses", headers, timeouts={"read_timeout_s": _UPGRADE_S}, stream=True)
    except UpstreamError as error:
        yield problem("WebSocket", f"A try to upgrade is not refused at once: {error.message}", advice)
        return
    answer.close()
    if 400 <= answer.status_code < 500:
        yield ok("WebSocket", f"is refused at once ({answer.status_code}), so clients go on with HTTP")
    else:
        yield problem("WebSocket", f"A try to upgrade is answered with HTTP {answer.status_code}.", advice)


# ── small things ────────────────────────────────────────────────────────────────────────────────────────────────────


def _front(answer: requests.Response) -> str:
    """The outermost proxy by its own word, "" if none names itself."""
    if "CF-RAY" in answer.headers:
        return "Cloudflare"
    server = answer.headers.get("Server", "").split("/")[0].strip()
    return "" if server.lower() in ("", "gunicorn") else server[:40]


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        value = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _code(answer: requests.Response) -> str:
    error = _json(answer).get("error")
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def _mebibytes(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB" if size >= 1024**2 else f"{size // 1024} KiB"


def _megabytes(limit: object) -> int:
    return max(1, -(-limit // 1024**2)) if isinstance(limit, int) else 32
