from __future__ import annotations

import socket
from email.utils import formatdate
from typing import Any

import pytest
import requests
import responses

from app.doctor.finding import Finding
from app.doctor.network import Contacts, Host, check_clock, check_host, check_local_proxying, proxy_for
from app.outbound import Outbound

URL = "https://api.github.test"
NOW = 1_800_000_000.0


class Connected:
    def close(self) -> None: ...


def check(contacts: Contacts | None = None, *, is_api: bool = True, **ways: Any) -> Finding:
    ways = {"resolve": lambda *_, **__: [], "connect": lambda *_, **__: Connected(), "clock": lambda: NOW, **ways}
    contacts = contacts if contacts is not None else Contacts()
    [finding] = check_host(Host("GitHub's API", URL, is_api=is_api), Outbound(), contacts, headers={}, **ways)
    assert (URL in contacts.unusable) is (finding.status == "problem")
    return finding


def failing(error: OSError) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_host_that_answers(upstream: responses.RequestsMock) -> None:
    upstream.get(URL + "/", json={}, headers={"Date": formatdate(NOW + 90, usegmt=True)})
    contacts = Contacts()
    assert check(contacts).what == "api.github.test answers"
    assert contacts.skews_s == [90.5]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusals_are_answers(upstream: responses.RequestsMock, status: int) -> None:
    upstream.get(URL + "/", json={}, status=status)
    assert check().status == "ok"


@pytest.mark.parametrize(
    ("ways", "what", "advice"),
    [
        ({"resolve": failing(socket.gaierror(-2, "Name or service not known"))}, "cannot be resolved", "DNS"),
        ({"connect": failing(TimeoutError())}, "Nothing answers at api.github.test:443 within 8 s", "Let this machine"),
        ({"connect": failing(ConnectionRefusedError(111, "Connection refused"))}, "Connection refused", "firewall"),
        ({"connect": failing(OSError(101, "Network is unreachable"))}, "Network is unreachable", "HTTPS_PROXY"),
    ],
)
def test_steps_before_http(ways: dict[str, Any], what: str, advice: str) -> None:
    finding = check(**ways)
    assert finding.status == "problem"
    assert what in finding.what
    assert advice in finding.advice


def test_inspected_tls(upstream: responses.RequestsMock) -> None:
    upstream.get(URL + "/", body=requests.exceptions.SSLError("self-signed certificate in certificate chain"))
    assert "REQUESTS_CA_BUNDLE" in check().what


def test_web_page_is_no_api(upstream: responses.RequestsMock) -> None:
    upstream.get(URL + "/", body="<html>Log in to this network</html>", content_type="text/html; charset=utf-8")
    assert check().status == "problem"
    assert check(is_api=False).status == "ok"


def test_portal_that_sends_on(upstream: responses.RequestsMock) -> None:
    upstream.get(URL + "/", status=302, headers={"Location": "http://portal.hotel.test/login"})
    finding = check(is_api=False)
    assert finding.status == "problem"
    assert "sends us on to portal.hotel.test" in finding.what


def test_redirect_within_the_host_is_its_own_business(upstream: responses.RequestsMock) -> None:
    upstream.get(URL + "/", status=302, headers={"Location": "/home"})
    assert check(is_api=False).status == "ok"


def test_host_in_trouble(upstream: responses.RequestsMock) -> None:
    upstream.get(URL + "/", status=503)
    assert "githubstatus" in check().advice


def test_proxy_is_named_without_its_password(upstream: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret-of-proxy@proxy.corp.test:3128")
    upstream.get(URL + "/", json={})
    # With a proxy our own DNS does not matter.
    finding = check(resolve=failing(socket.gaierror()))
    assert finding.what == "api.github.test answers, through the proxy proxy.corp.test:3128"
    upstream.replace(responses.GET, URL + "/", status=407)
    finding = check()
    assert finding.status == "problem"
    assert "wants a user name" in finding.advice
    upstream.replace(responses.GET, URL + "/", body=requests.exceptions.ProxyError("Tunnel connection failed: 403"))
    finding = check()
    assert "proxy.corp.test:3128" in finding.what
    assert "secret-of-proxy" not in str(finding)
    assert proxy_for(Outbound(), URL) == "proxy.corp.test:3128"


def test_proxy_that_catches_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(check_local_proxying(Outbound())) == []
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.corp.test:3128")
    [finding] = check_local_proxying(Outbound())
    assert "NO_PROXY=localhost,127.0.0.1" in finding.advice
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert list(check_local_proxying(Outbound())) == []


@pytest.mark.parametrize(
    ("skews_s", "status", "words"),
    [
        ([], "note", "could not be compared"),
        ([0.4, 1.0], "ok", "agrees"),
        ([45.0], "note", "45 seconds behind"),
        ([-3600.0, -3601.0, 12.0], "problem", "60 minutes ahead of"),
        ([200_000.0], "problem", "2 days behind"),
    ],
)
def test_clock(skews_s: list[float], status: str, words: str) -> None:
    [finding] = check_clock(Contacts(skews_s=skews_s))
    assert finding.status == status
    assert words in finding.what


def test_date_that_is_none(upstream: responses.RequestsMock) -> None:
    upstream.get(URL + "/", json={}, headers={"Date": "yesterday"})
    contacts = Contacts()
    assert check(contacts).status == "ok"
    assert contacts.skews_s == []
