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
from app.errors import Sentence, UpstreamError, sentence_of
from app.outbound import Outbound, explain
from app.settings import Secret, parse_url

_CONNECT_S = 10.0
_ANSWER_S = 30.0
# A refused upgrade takes no time; a client that waits for it waits as long as this, and then tries HTTP.
_UPGRADE_S = 10.0
_BODY_BYTES = 6 * 1024 * 1024
_EVENTS, _INTERVAL_MS = 20, 150

NGINX_STREAM = Sentence("""\
In nginx, in the location that leads to the bridge (deploy/nginx.conf is complete):
    proxy_buffering off;
    proxy_cache off;
    gzip off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 3600s;
and take out, if it is there:
    proxy_ignore_headers X-Accel-Buffering;""")
_OTHER_SUSPECTS = Sentence("""\
Caddy passes event streams on by itself, unless `encode` compresses them; else: flush_interval -1.
Traefik: no buffering middleware; compress with excludedContentTypes = ["text/event-stream"]. Apache: SetEnv no-gzip 1,
and ProxyPass … flushpackets=on. Cloudflare: no rule or worker that rewrites bodies; check once with the cloud grey.""")
_SILENCE = Sentence(
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
        yield problem(
            Sentence("public URL"),
            Sentence("%(text)s %(error)s.", text=repr(text), error=sentence_of(error)),
            Sentence("For example: --public-url https://bridge.example.com"),
        )
        return
    if base.endswith("/v1"):
        base = base.removesuffix("/v1").rstrip("/")
        yield note(
            Sentence("public URL"),
            Sentence("It is %(base)s; /v1 at its end belongs to the base URL of OpenAI clients only.", base=base),
        )
    visit = _Visit(base, outbound, keys[0].reveal() if keys else None)
    if proxy := proxy_for(outbound, base):
        yield note(
            Sentence("outbound proxy"),
            Sentence("This check leaves through %(proxy)s, which may change what it sees.", proxy=proxy),
        )
    first: tuple[_Step, ...] = (_is_it_us, _may_show_key, _key)
    for step in first:
        findings = list(_guarded(step, visit))
        yield from findings
        if any(found.status == "problem" for found in findings):
            yield note(
                Sentence("public URL"),
                Sentence("The rest was not checked."),
                Sentence("Mend this first, then run doctor again."),
            )
            return
    for step in (_stream_steps(clock), _body, _upgrade):
        yield from _guarded(step, visit)


_Step = Callable[[_Visit], Iterator[Finding]]


def _guarded(step: _Step, visit: _Visit) -> Iterator[Finding]:
    """A step; a call of it that fails on its way is its last finding."""
    try:
        yield from step(visit)
    except UpstreamError as error:
        yield problem(Sentence("public URL"), error.message)


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
        named = Sentence(", behind %(proxy)s", proxy=visit.front) if visit.front else ""
        yield ok(
            Sentence("reachable"), Sentence("the bridge answers at %(base)s%(named)s", base=visit.base, named=named)
        )
    elif answer.status_code == 401 and answer.headers.get("WWW-Authenticate", "").lower().startswith("basic"):
        yield problem(
            Sentence("reachable"),
            Sentence("A proxy in front asks for a password of its own, which API clients cannot give."),
            Sentence("Take it away for the bridge's paths; API_KEY protects them."),
        )
    elif answer.status_code in (502, 503, 504) or answer.status_code >= 520:
        yield problem(
            Sentence("reachable"),
            Sentence(
                "%(proxy)s answers HTTP %(status_code)s: it does not reach the bridge.",
                proxy=visit.front or Sentence("The proxy"),
                status_code=answer.status_code,
            ),
            Sentence(
                "Is the bridge running, and does the proxy's configuration name its address and port (proxy_pass)?"
            ),
        )
    else:
        kind = answer.headers.get("Content-Type", "").partition(";")[0] or Sentence("something else")
        yield problem(
            Sentence("reachable"),
            Sentence(
                "Something else answers at %(base)s/livez (HTTP %(status_code)s, %(kind)s).",
                base=visit.base,
                status_code=answer.status_code,
                kind=kind,
            ),
            Sentence(
                "Check the name and the path. A prefix (https://host/bridge) must be taken off by the proxy, and "
                "told in X-Forwarded-Prefix."
            ),
        )


# OpenSSL's words for an answer in plain HTTP; the second since version 3.2.
_NO_TLS_HINTS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


def _unreachable(visit: _Visit, error: UpstreamError) -> Finding:
    host = urlsplit(visit.base).hostname
    if error.code == "tls_error":
        if any(hint in str(error.__cause__) for hint in _NO_TLS_HINTS):
            return problem(
                "TLS",
                Sentence("What answers at %(base)s does not speak TLS.", base=visit.base),
                Sentence("Give the port where the proxy offers https://; the bridge itself speaks http:// only."),
            )
        return problem(
            "TLS",
            Sentence(
                "The certificate of %(host)s is not trusted: self-signed, of another name, or sent without its chain.",
                host=host,
            ),
            Sentence(
                "Get one for this name (certbot, or Caddy does it by itself). In nginx, with the whole chain:\n"
                "    ssl_certificate /etc/letsencrypt/live/…/fullchain.pem;"
            ),
        )
    if error.code == "clock_or_certificate":
        return problem(
            "TLS",
            Sentence("The certificate of %(host)s is outside its dates.", host=host),
            Sentence("Renew it; if it is new, check this clock."),
        )
    return problem(
        Sentence("reachable"),
        error.message,
        Sentence("Check the name, the port and the firewall of the outermost proxy."),
    )


def _redirected(visit: _Visit, location: str) -> Iterator[Finding]:
    if location.startswith("https://") and visit.base.startswith("http://"):
        yield problem(
            Sentence("redirect"),
            Sentence(
                "http:// is redirected to https://. Clients turn a redirected POST into a GET, or show the key in "
                "the clear first."
            ),
            Sentence(
                "Give clients the address https://%(netloc)s%(path)s.",
                netloc=urlsplit(visit.base).netloc,
                path=urlsplit(visit.base).path,
            ),
        )
    else:
        host = urlsplit(location).hostname or Sentence("another path")
        yield problem(
            Sentence("redirect"),
            Sentence("Requests are sent on to %(host)s, which API clients cannot follow with a body.", host=host),
            Sentence(
                "If that is a login (Cloudflare Access, Authelia …), let the bridge's paths pass; API_KEY protects "
                "them."
            ),
        )


def _may_show_key(visit: _Visit) -> Iterator[Finding]:
    parts = urlsplit(visit.base)
    if parts.scheme == "https":
        yield ok("TLS", Sentence("the certificate is valid"))
    elif _is_near(parts.netloc, parts.hostname or ""):
        yield note(
            "TLS",
            Sentence("none: keys and conversations travel in the clear."),
            Sentence("Fine within your own network, not beyond."),
        )
    else:
        yield problem(
            "TLS",
            Sentence("None: keys and conversations would travel in the clear. The key was not sent."),
            Sentence("Get a certificate (certbot, or Caddy does it by itself), and use https://."),
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
        yield ok(Sentence("wrong key"), Sentence("is refused (401)"))
    elif wrong.status_code == 200 and visit.key is None:
        yield note(
            Sentence("wrong key"),
            Sentence("is taken: API_KEY is empty, so whoever reaches this address can use the bridge."),
        )
    elif wrong.status_code == 403 and _code(wrong) == "api_key_not_set":
        pass  # told with the right key
    else:
        yield problem(
            Sentence("wrong key"),
            Sentence("is answered with HTTP %(status_code)s instead of 401.", status_code=wrong.status_code),
            _own_answer(wrong),
        )
    right = visit.ask("POST", "/v1/probe/body", visit.with_key, body=b"")
    if right.status_code == 200:
        yield ok(Sentence("right key"), Sentence("is taken"))
    elif _code(right) == "api_key_not_set":
        yield problem(
            Sentence("right key"),
            Sentence("The bridge runs with the default key or none, and refuses callers from outside (403)."),
            Sentence('Set an API_KEY of your own:\n    python3 -c "import secrets; print(secrets.token_urlsafe(32))"'),
        )
    elif right.status_code == 401 and visit.key is not None:
        by_other_header = visit.ask("POST", "/v1/probe/body", {"x-api-key": visit.key}, body=b"")
        if by_other_header.status_code == 200:
            yield problem(
                Sentence("right key"),
                Sentence("It arrives as x-api-key, but not as Authorization: a proxy uses or drops that header."),
                Sentence("In nginx:\n    proxy_set_header Authorization $http_authorization;"),
            )
        else:
            yield problem(
                Sentence("right key"),
                Sentence("The API_KEY of these settings is refused there (401)."),
                Sentence("Run doctor in the folder and environment of the service, or restart the service."),
            )
    elif right.status_code == 404:
        yield problem(
            Sentence("right key"),
            Sentence("The bridge there does not know this check: it is of another version, or /v1 leads elsewhere."),
            Sentence("Update it, and pass every path on to it."),
        )
    else:
        yield problem(
            Sentence("right key"),
            Sentence("is answered with HTTP %(status_code)s.", status_code=right.status_code),
            _own_answer(right),
        )


def _own_answer(answer: requests.Response) -> Sentence:
    if "x-request-id" in answer.headers:
        request_id = answer.headers["x-request-id"][:80]
        return Sentence("The bridge's log tells more, under the request id %(id)s.", id=request_id)
    return Sentence("The answer is not the bridge's: look at the log of the proxy in front.")


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
            yield problem(
                Sentence("stream"),
                Sentence("answered HTTP %(status_code)s.", status_code=arrival.head.status_code),
                _own_answer(arrival.head),
            )
            return
        yield from _forwarding(visit)
        if not arrival.is_whole:
            yield problem(
                Sentence("stream"),
                Sentence(
                    "It broke off after %(count)s of %(events)s events: a proxy cuts or rewrites it.",
                    count=len(arrival.sent_s),
                    events=_EVENTS,
                ),
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
        yield ok(Sentence("stream"), Sentence("a slow stream arrives slowly, event by event"), _SILENCE)
        if squeezed:
            yield note(
                Sentence("compression"),
                Sentence(
                    "A proxy compresses event streams (%(encoding)s), which costs time and can hold events back.",
                    encoding=encoding,
                ),
                Sentence("In nginx:\n    gzip off;"),
            )
        return
    took = _EVENTS * _INTERVAL_MS / 1000
    whose = {"seconds": f"{took:.0f}", "proxy": visit.front or Sentence("a proxy in front")}
    what = (
        Sentence("A stream of %(seconds)s s arrives all at once: %(proxy)s holds it back.", **whose)
        if verdict is pace.Pace.AT_ONCE
        else Sentence("A stream of %(seconds)s s arrives in lumps: %(proxy)s holds it back.", **whose)
    )
    if squeezed:
        what = Sentence.joined(what, Sentence("It also compresses it (%(encoding)s).", encoding=encoding))
    if head.raw is not None and getattr(head.raw, "version", 11) == 10:
        what = Sentence.joined(what, Sentence("It answers in HTTP/1.0."))
    yield problem(
        Sentence("stream"),
        what,
        Sentence.joined(NGINX_STREAM, _OTHER_SUSPECTS, by="\n"),
    )


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
            Sentence(
                "It is %(trusted)s, but %(addresses)s came in X-Forwarded-For: callers could claim an address of their "
                "choice.",
                trusted=trusted,
                addresses=Sentence("no addresses")
                if not hops
                else Sentence("1 address")
                if hops == 1
                else Sentence("%(count)s addresses", count=hops),
            ),
            Sentence(
                "Set TRUSTED_PROXIES=%(hops)s; if there are more proxies in front, in nginx:\n"
                "    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
                hops=hops,
            ),
        )
    elif trusted < hops:
        yield note(
            "TRUSTED_PROXIES",
            Sentence(
                "It is %(trusted)s, but %(proxies)s who is calling.",
                trusted=trusted,
                proxies=Sentence("1 proxy tells") if hops == 1 else Sentence("%(count)s proxies tell", count=hops),
            ),
            Sentence(
                "Set TRUSTED_PROXIES=%(hops)s if the bridge can be reached through them only: links then carry the "
                "public address.",
                hops=hops,
            ),
        )
    elif base != visit.base:
        path = urlsplit(visit.base).path
        yield note(
            Sentence("public address"),
            Sentence(
                "The bridge takes its own address for %(base)s, so its links to the sign-in page lead there.", base=base
            ),
            Sentence.joined(
                Sentence("In nginx, with TRUSTED_PROXIES=1:"),
                "    proxy_set_header X-Forwarded-Proto $scheme;",
                "    proxy_set_header X-Forwarded-Host $http_host;",
                f"    proxy_set_header X-Forwarded-Prefix {path};" if path else "",
                by="\n",
            ),
        )
    else:
        told = (
            Sentence("no proxy in front")
            if not hops
            else Sentence("1 proxy tells it who is calling")
            if hops == 1
            else Sentence("%(count)s proxies tell it who is calling", count=hops)
        )
        yield ok(Sentence("forwarding"), Sentence("the bridge knows its public address; %(told)s", told=told))
    if seen.get("http") == "HTTP/1.0":
        yield note(
            "HTTP/1.0",
            Sentence(
                "The proxy speaks HTTP/1.0 to the bridge: a new connection for each request, and a stream that is "
                "cut looks like one that ended."
            ),
            Sentence('In nginx:\n    proxy_http_version 1.1;\n    proxy_set_header Connection "";'),
        )


# ── bodies and upgrades ─────────────────────────────────────────────────────────────────────────────────────────────


def _body(visit: _Visit) -> Iterator[Finding]:
    limit = visit.seen.get("max_body_bytes")
    size = min(_BODY_BYTES, limit - 1024) if isinstance(limit, int) and limit > 2048 else _BODY_BYTES
    told = _mebibytes(size)
    lines = Sentence("In nginx, as MAX_BODY_BYTES:\n    client_max_body_size %(size)sm;", size=_megabytes(limit))
    headers = {**visit.with_key, "Content-Type": "application/octet-stream"}
    try:
        answer = visit.ask("POST", "/v1/probe/body", headers, body=b"\0" * size)
    except UpstreamError as error:
        yield problem(
            Sentence("large request"),
            Sentence("One of %(told)s does not get through: %(message)s", told=told, message=error.message),
            lines,
        )
        return
    if answer.status_code == 200 and _json(answer).get("received_bytes") == size:
        most = Sentence("; the bridge takes up to %(size)s", size=_mebibytes(limit)) if isinstance(limit, int) else ""
        yield ok(Sentence("large request"), Sentence("one of %(told)s gets through%(most)s", told=told, most=most))
    elif answer.status_code == 413:
        whose = visit.front or Sentence("a proxy in front")
        yield problem(
            Sentence("large request"),
            Sentence(
                "One of %(told)s is refused by %(whose)s (413): images and long chats fail.", told=told, whose=whose
            ),
            lines,
        )
    else:
        cut = answer.status_code == 200
        what = (
            Sentence("One of %(size)s arrives cut.", size=told)
            if cut
            else Sentence("One of %(size)s is answered with HTTP %(status)s.", size=told, status=answer.status_code)
        )
        yield problem(Sentence("large request"), what, _own_answer(answer))


def _upgrade(visit: _Visit) -> Iterator[Finding]:
    """Codex tries a WebSocket first, and goes on with HTTP when that is refused at once."""
    headers = {
        **visit.with_key,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "Y29waWxvdC1icmlkZ2UtMQ==",
    }
    advice = Sentence(
        "Take websocket rules out of the proxy for this path: the bridge speaks HTTP only, and clients fall back."
    )
    try:
        answer = visit.ask("GET", "/v1/responses", headers, timeouts={"read_timeout_s": _UPGRADE_S}, stream=True)
    except UpstreamError as error:
        yield problem(
            "WebSocket", Sentence("A try to upgrade is not refused at once: %(message)s", message=error.message), advice
        )
        return
    answer.close()
    if 400 <= answer.status_code < 500:
        yield ok(
            "WebSocket",
            Sentence(
                "is refused at once (%(status_code)s), so clients go on with HTTP", status_code=answer.status_code
            ),
        )
    else:
        yield problem(
            "WebSocket",
            Sentence("A try to upgrade is answered with HTTP %(status_code)s.", status_code=answer.status_code),
            advice,
        )


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
