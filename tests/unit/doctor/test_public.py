from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses

from app.doctor.finding import Finding
from app.doctor.public import check_public_url
from app.outbound import Outbound
from app.settings import Secret
from tests.support.secrets import API_KEY

URL = "https://bridge.example.com"
SEEN = {"http": "HTTP/1.1", "base": URL, "forwarded_for": 1, "trusted_proxies": 1, "max_body_bytes": 33554432}


def examined(url: str = URL, keys: tuple[str, ...] = (API_KEY,), spread_s: float = 0.15) -> dict[str, Finding]:
    """The findings by title. spread_s: time between two events, by our clock."""
    ticks = iter(n * spread_s for n in range(1000))
    found = list(check_public_url(url, tuple(map(Secret, keys)), Outbound(), clock=lambda: next(ticks)))
    assert API_KEY not in str(found)
    return {finding.title: finding for finding in found}


def problems(found: dict[str, Finding]) -> list[str]:
    return [title for title, finding in found.items() if finding.status == "problem"]


class Edge:
    """A public address; each answer can be replaced."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.events = [{"n": n, "sent_ms": n * 150.0} for n in range(20)]
        self.seen: dict[str, Any] = dict(SEEN)
        mock.add_callback(responses.GET, URL + "/livez", callback=self._livez)
        mock.add_callback(responses.POST, URL + "/v1/probe/body", callback=self._body)
        mock.add_callback(responses.POST, URL + "/v1/probe/stream", callback=self._stream)
        mock.get(URL + "/v1/responses", status=426)

    def replace(self, path: str, method: str = "GET", **answer: Any) -> None:
        self.mock.remove(method, URL + path)
        self.mock.add(method, URL + path, **answer)

    def answer_bodies(self, callback: Callable[[Any], Any]) -> None:
        self.mock.remove(responses.POST, URL + "/v1/probe/body")
        self.mock.add_callback(responses.POST, URL + "/v1/probe/body", callback=callback)

    def _livez(self, request: Any) -> tuple[int, dict[str, str], str]:
        return 200, {"x-request-id": request.headers["x-request-id"], "Server": "nginx/1.27"}, '{"status":"ok"}'

    def _body(self, request: Any) -> tuple[int, dict[str, str], str]:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            return 401, {}, "{}"
        return 200, {}, json.dumps({"received_bytes": len(request.body or b"")})

    def _stream(self, _: Any) -> tuple[int, dict[str, str], str]:
        told = [{**self.events[0], "seen": self.seen}, *self.events[1:]]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in told)
        return 200, {"Content-Type": "text/event-stream"}, text


@pytest.fixture
def edge(upstream: responses.RequestsMock) -> Edge:
    return Edge(upstream)


def test_all_in_order(edge: Edge) -> None:
    found = examined()
    assert {finding.status for finding in found.values()} == {"ok"}
    assert found["reachable"].what == f"the bridge answers at {URL}, behind nginx"
    assert found["forwarding"].what == "the bridge knows its public address; 1 proxy tells it who is calling"


def test_base_url_of_openai_clients(edge: Edge) -> None:
    found = examined(URL + "/v1/")
    assert problems(found) == []
    assert found["public URL"].status == "note"


def test_stream_that_comes_at_once(edge: Edge) -> None:
    found = examined(spread_s=0.0)
    assert problems(found) == ["stream"]
    assert "all at once: nginx holds it back" in found["stream"].what
    assert len([c for c in edge.mock.calls if "stream" in str(c.request.url)]) == 2  # nobody is blamed for one hiccup


def test_stream_that_breaks_off(edge: Edge) -> None:
    edge.events = edge.events[:7]
    assert "after 7 of 20 events" in examined()["stream"].what


@pytest.mark.parametrize("event", [{"n": 3}, {"n": 3, "sent_ms": "x"}, [1]])
def test_stream_that_is_rewritten(edge: Edge, event: Any) -> None:
    edge.events[3] = event
    assert problems(examined()) == ["stream"]


def test_stream_that_fails(edge: Edge) -> None:
    edge.replace("/v1/probe/stream", "POST", status=504, body="<html>")
    finding = examined()["stream"]
    assert finding.status == "problem"
    assert "not the bridge's" in finding.advice


@pytest.mark.parametrize(
    ("seen", "title", "status", "words"),
    [
        ({"forwarded_for": 0}, "TRUSTED_PROXIES", "problem", "It is 1, but no addresses came"),
        ({"trusted_proxies": 3, "forwarded_for": 1}, "TRUSTED_PROXIES", "problem", "It is 3, but 1 address came"),
        ({"trusted_proxies": 0}, "TRUSTED_PROXIES", "note", "1 proxy tells who is calling"),
        ({"base": "http://bridge.example.com"}, "public address", "note", "for http://bridge.example.com"),
        ({"http": "HTTP/1.0"}, "HTTP/1.0", "note", "speaks HTTP/1.0"),
    ],
)
def test_what_the_bridge_saw(edge: Edge, seen: dict[str, Any], title: str, status: str, words: str) -> None:
    edge.seen.update(seen)
    finding = examined()[title]
    assert finding.status == status
    assert words in finding.what


def test_a_step_that_cannot_be_made_stops_no_later_one(edge: Edge) -> None:
    edge.replace("/v1/probe/stream", "POST", body=requests.ConnectionError())
    found = examined()
    assert problems(found) == ["public URL"]
    assert found["large request"].status == found["WebSocket"].status == "ok"


def test_older_bridge_that_does_not_tell(edge: Edge) -> None:
    edge.seen.clear()
    assert problems(examined()) == []


# ── not us, or not safe ─────────────────────────────────────────────────────────────────────────────────────────────


def carried_a_key(edge: Edge) -> bool:
    return any(API_KEY in str(call.request.headers) for call in edge.mock.calls)


@pytest.mark.parametrize(
    ("answer", "title", "words"),
    [
        ({"status": 301, "headers": {"Location": "https://sso.example.com/login"}}, "redirect", "sso.example.com"),
        ({"status": 401, "headers": {"WWW-Authenticate": 'Basic realm="x"'}}, "reachable", "password of its own"),
        ({"status": 502, "headers": {"CF-RAY": "1"}}, "reachable", "Cloudflare answers HTTP 502"),
        ({"status": 522}, "reachable", "does not reach the bridge"),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, "reachable", "Something else answers"),
        ({"status": 200, "json": {"status": "ok"}}, "reachable", "Something else answers"),
        ({"body": requests.exceptions.SSLError("self-signed")}, "TLS", "is not trusted"),
        ({"body": requests.exceptions.SSLError("[SSL: WRONG_VERSION_NUMBER]")}, "TLS", "does not speak TLS"),
        (
            {"body": requests.ConnectionError("[Errno 111] Connection refused")},
            "reachable",
            "refused the connection at port 443",
        ),
        ({"body": requests.exceptions.SSLError("certificate has expired")}, "TLS", "outside its dates"),
        ({"body": requests.ConnectionError("gaierror")}, "reachable", "cannot be resolved"),
    ],
)
def test_who_else_answers_gets_no_key(edge: Edge, answer: dict[str, Any], title: str, words: str) -> None:
    edge.replace("/livez", **answer)
    found = examined()
    assert problems(found) == [title]
    assert words in found[title].what
    assert "doctor again" in found["public URL"].advice
    assert not carried_a_key(edge)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://bridge.example.com", False),
        ("http://203.0.113.9:8000", False),
        ("http://192.168.1.5:8000", True),
        ("http://[fd00::1]:8000", True),
        ("http://nas.local", True),
        ("http://localhost:8000", True),
    ],
)
def test_key_is_not_shown_in_the_clear_on_the_internet(upstream: responses.RequestsMock, url: str, shown: bool) -> None:
    def livez(request: Any) -> tuple[int, dict[str, str], str]:
        return 200, {"x-request-id": request.headers["x-request-id"]}, '{"status":"ok"}'

    upstream.add_callback(responses.GET, f"{url}/livez", callback=livez)
    upstream.post(f"{url}/v1/probe/body", status=401)
    found = examined(url)
    assert found["TLS"].status == ("note" if shown else "problem")
    assert any(API_KEY in str(call.request.headers) for call in upstream.calls) is shown


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key_that_is_taken(edge: Edge) -> None:
    edge.answer_bodies(lambda _: (200, {}, '{"received_bytes": 0}'))
    assert problems(examined()) == ["wrong key"]


def test_no_key_needed(edge: Edge) -> None:
    edge.answer_bodies(lambda request: (200, {}, json.dumps({"received_bytes": len(request.body or b"")})))
    found = examined(keys=())
    assert problems(found) == []
    assert found["wrong key"].status == "note"


def test_default_key_from_outside(edge: Edge) -> None:
    edge.answer_bodies(lambda _: (403, {}, '{"error": {"code": "api_key_not_set"}}'))
    found = examined()
    assert problems(found) == ["right key"]
    assert "token_urlsafe" in found["right key"].advice


def test_authorization_that_is_dropped(edge: Edge) -> None:
    edge.answer_bodies(lambda request: (200 if request.headers.get("x-api-key") == API_KEY else 401, {}, "{}"))
    found = examined()
    assert problems(found) == ["right key"]
    assert "proxy_set_header Authorization" in found["right key"].advice


def test_older_bridge_without_the_probe(edge: Edge) -> None:
    edge.answer_bodies(
        lambda request: (404 if API_KEY in str(request.headers) else 401, {}, '{"error": {"code": "unknown_route"}}')
    )
    assert "another version" in examined()["right key"].what


# ── bodies and upgrades ─────────────────────────────────────────────────────────────────────────────────────────────


def large(answer: tuple[int, dict[str, str], str]) -> Callable[[Any], Any]:
    """Small bodies pass, large ones get this answer."""

    def answer_body(request: Any) -> tuple[int, dict[str, str], str]:
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            return 401, {}, "{}"
        return answer if len(request.body or b"") > 1024**2 else (200, {}, '{"received_bytes": 0}')

    return answer_body


def test_body_limit_of_a_proxy(edge: Edge) -> None:
    edge.answer_bodies(large((413, {}, "<html>413 Request Entity Too Large</html>")))
    edge.seen["max_body_bytes"] = 64 * 1024**2
    found = examined()
    assert problems(found) == ["large request"]
    assert "client_max_body_size 64m;" in found["large request"].advice


def test_body_that_breaks_the_connection(edge: Edge) -> None:
    def reset(request: Any) -> Any:
        answer = large((0, {}, ""))(request)
        if answer[0] == 0:
            raise requests.ConnectionError("Connection reset by peer")
        return answer

    edge.answer_bodies(reset)
    assert problems(examined()) == ["large request"]


def test_body_that_is_cut(edge: Edge) -> None:
    edge.answer_bodies(large((200, {}, '{"received_bytes": 1048576}')))
    found = examined()
    assert problems(found) == ["large request"]
    assert found["large request"].what == "One of 6 MiB arrives cut."


def test_body_within_a_small_limit_of_our_own(edge: Edge) -> None:
    edge.seen["max_body_bytes"] = 1024**2
    assert examined()["large request"].what == "one of 1023 KiB gets through; the bridge takes up to 1 MiB"


@pytest.mark.parametrize("answer", [{"status": 101}, {"status": 502}, {"body": requests.ReadTimeout("timed out")}])
def test_upgrade_that_is_not_refused(edge: Edge, answer: dict[str, Any]) -> None:
    edge.replace("/v1/responses", **answer)
    assert problems(examined()) == ["WebSocket"]
