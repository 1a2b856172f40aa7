"""The proxy and CA settings of this machine: those that work, and those that are told as what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.errors import LocalSettingError, UpstreamConnectError, UpstreamError
from app.outbound import Outbound
from tests.support.proxies import SocksProxy
from tests.support.raw_upstream import RawUpstream, http

SECRET = "us3r:pa55w0rd"


def send(outbound: Outbound, url: str) -> Any:
    return outbound.send("POST", url, headers={}, body=b"{}", connect_timeout_s=10, read_timeout_s=10)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_socks_proxy_is_used_and_its_connection_serves_again(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with RawUpstream() as upstream:
        upstream.answer = lambda asked: http(b'{"ok": true}')
        with SocksProxy({"copilot.test": int(upstream.url.rpartition(":")[2])}) as proxy:
            monkeypatch.setenv(variable, proxy.url)
            for _ in range(3):
                assert send(outbound, "http://copilot.test/chat").json() == {"ok": True}
            assert proxy.asked == [("copilot.test", 80)]


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks4a"])
def test_proxy_that_does_not_answer_is_named_by_its_variable(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("http_proxy", f"{scheme}://{SECRET}@127.0.0.1:9")
    with pytest.raises(UpstreamConnectError, match="http_proxy") as raised:
        send(outbound, "http://127.0.0.2:8/chat")
    assert raised.value.code == "proxy_error"
    assert SECRET not in raised.value.message


def test_host_that_a_socks_proxy_refuses_is_told_as_the_proxys_doing(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SocksProxy({}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(UpstreamConnectError, match=r"copilot\.test\. Check HTTP_PROXY"):
            send(outbound, "http://copilot.test/chat")


@pytest.mark.parametrize(
    "value",
    [
        "socks9://127.0.0.1:9",
        f"ftp://{SECRET}@127.0.0.1:9",
        "http://",
        "http://:3128",
        f"http://{SECRET}@proxy.test:port",
        "http://proxy.test:99999999",
        "://",
        "socks5h://[::1",
    ],
)
def test_unusable_proxy_is_named_by_its_variable_and_nothing_is_sent(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(LocalSettingError, match="HTTPS_PROXY") as raised:
        send(outbound, "https://copilot.test/chat")
    assert SECRET not in raised.value.message


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unusable_ca_file_is_named_by_its_variable(
    outbound: Outbound, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv(variable, str(bundle))
    for _ in range(2):
        with pytest.raises(UpstreamError, match=variable) as raised:
            send(outbound, "https://copilot.test/chat")
        assert str(bundle) in raised.value.message
