"""Behind nginx, with the configuration that deploy/ ships: streams are not held back, addresses are judged right."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.settings import DEFAULT_API_KEY
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.nginx import NGINX, Nginx
from tests.support.ports import free_port
from tests.support.streams import arriving, text_of

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture
def nginx(bridge: Bridge, tmp_path: Path) -> Iterator[Nginx]:
    with Nginx(bridge, tmp_path) as running:
        yield running


def test_each_event_passes_nginx_while_upstream_waits(bridge: Bridge, nginx: Nginx, simulator: Simulator) -> None:
    simulator.config(leading_filter_chunk=False)
    body = {
        "model": "gpt-4.1",
        "stream": True,
        "messages": [{"role": "user", "content": "[[gate]] [[say: one two three]]"}],
    }
    headers = {"Authorization": f"Bearer {bridge.api_key}"}
    with requests.post(
        f"{nginx.url}/v1/chat/completions", json=body, headers=headers, stream=True, timeout=30
    ) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        coming, text = arriving(response), ""
        while text != "one two three":
            text += text_of([next(coming)])
            simulator.release()
        simulator.open_gate()
        assert list(coming)[-1] == "[DONE]"


def test_key_in_the_address_is_in_none_of_nginxs_logs(bridge: Bridge, nginx: Nginx) -> None:
    assert requests.get(f"{nginx.url}/admin/mapping?api_key={bridge.api_key}", timeout=30).status_code == 200
    nginx.finish()
    logs = "".join(file.read_text() for file in nginx.folder.glob("*.log"))
    assert "/admin/mapping" in logs
    assert bridge.api_key not in logs


def test_default_key_counts_behind_nginx_for_private_callers_only(simulator: Simulator, tmp_path: Path) -> None:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "TRUSTED_PROXIES": "1"}
    (tmp_path / "nginx").mkdir()
    with Bridge(env, tmp_path, api_key=DEFAULT_API_KEY) as bridge, Nginx(bridge, tmp_path / "nginx") as nginx:
        key = {"x-api-key": DEFAULT_API_KEY}
        assert requests.get(f"{nginx.url}/admin/mapping", headers=key, timeout=30).status_code == 200
        # nginx appends the peer to what came; a public address anywhere in it is enough.
        forged = {**key, "X-Forwarded-For": "203.0.113.9"}
        assert requests.get(f"{nginx.url}/admin/mapping", headers=forged, timeout=30).status_code == 403


def test_links_are_those_of_the_outside(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    env = {**simulator.settings_env(), "TRUSTED_PROXIES": "1"}
    with Bridge(env, tmp_path) as bridge, Nginx(bridge, tmp_path / "nginx") as nginx:
        answer = requests.get(f"{nginx.url}/v1/models", headers={"x-api-key": bridge.api_key}, timeout=30)
        assert f"{nginx.url}/auth/device" in answer.json()["error"]["message"]


def uncommented(site: str, *beginnings: str) -> str:
    """The site with these lines in force, which are there as comments."""
    for beginning in beginnings:
        site, number = re.subn(rf"(?m)^(\s*)# ({re.escape(beginning)})", r"\1\2", site)
        assert number == 1, beginning
    return site


def test_with_tls_the_open_port_says_where_to_go_and_serves_nothing(
    simulator: Simulator, bridge: Bridge, tmp_path: Path
) -> None:
    certificate, key, port = tmp_path / "certificate.pem", tmp_path / "key.pem", free_port()
    make = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*make, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)

    def with_tls(site: str) -> str:
        site = uncommented(site, "listen 443 ssl;", "ssl_certificate ", "ssl_certificate_key ", "if ($https")
        site = site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")
        return re.sub(
            r"/etc/letsencrypt\S+/(\w+)\.pem;", lambda it: f"{key if it[1] == 'privkey' else certificate};", site
        )

    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "[[say: behind TLS]]"}]}
    headers = {"Authorization": f"Bearer {bridge.api_key}"}
    with Nginx(bridge, tmp_path, with_tls) as nginx:
        before = len(simulator.requests("/chat/completions"))
        for method, path in (("GET", "/livez"), ("GET", "/usage?lang=zh"), ("POST", "/v1/chat/completions")):
            answer = requests.request(
                method, nginx.url + path, json=body, headers=headers, timeout=30, allow_redirects=False
            )
            assert (answer.status_code, answer.headers["Location"]) == (308, f"https://127.0.0.1{path}")
            assert "x-request-id" not in answer.headers
        assert len(simulator.requests("/chat/completions")) == before
        url = f"https://127.0.0.1:{port}/v1/chat/completions"
        answer = requests.post(url, json=body, headers=headers, timeout=30, verify=str(certificate))
        assert answer.json()["choices"][0]["message"]["content"] == "behind TLS"


def test_below_a_path_calls_links_and_redirects_lead_there(simulator: Simulator, tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()

    def below(site: str) -> str:
        site = uncommented(site, "proxy_pass http://copilot_bridge/;", "proxy_set_header X-Forwarded-Prefix /copilot;")
        for old in ("proxy_pass http://copilot_bridge;", 'proxy_set_header X-Forwarded-Prefix "";'):
            assert old in site
            site = site.replace(old, "")
        return site.replace("location / {", "location /copilot/ {")

    env = {**simulator.settings_env(), "TRUSTED_PROXIES": "1"}
    with Bridge(env, tmp_path) as bridge, Nginx(bridge, tmp_path / "nginx", below) as nginx:
        base = f"{nginx.url}/copilot"
        key = {"x-api-key": bridge.api_key}
        answer = requests.get(f"{base}/v1/models", headers=key, timeout=30)
        assert f"{base}/auth/device" in answer.json()["error"]["message"]
        home = requests.get(f"{base}/", headers=key, timeout=30, allow_redirects=False)
        assert home.headers["Location"] == "/copilot/auth/device"
        assert requests.get(f"{base}/auth/device", headers=key, timeout=30).status_code == 200
        assert requests.get(f"{nginx.url}/v1/models", headers=key, timeout=30).status_code == 404


POST = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
HIDDEN = "GET /hidden-request HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
SMUGGLED = {
    "CL.TE": f"{POST}Content-Length: {5 + len(HIDDEN)}\r\n{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "TE.CL": f"{POST}{CHUNKED}Content-Length: 4\r\n\r\n{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n",
    "TE twice": f"{POST}{CHUNKED}Transfer-Encoding: identity\r\n\r\n0\r\n\r\n{HIDDEN}",
    "TE in odd words": f"{POST}Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}",
    "TE with a space": f"{POST}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}",
    "TE behind a folded line": f"{POST}X: y\r\n {CHUNKED}Content-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": f"{POST}Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
    "a length with a sign": f"{POST}Content-Length: +0\r\n\r\n{HIDDEN}",
    "a length by another name": f"{POST}Content_Length: {len(HIDDEN)}\r\nContent-Length: 0\r\n\r\n{HIDDEN}",
    "a chunk extension with a line break": f"{POST}{CHUNKED}\r\n2;a=\n\r\nab\r\n0\r\n\r\n{HIDDEN}",
    "a negative chunk": f"{POST}{CHUNKED}\r\n-1\r\n\r\n0\r\n\r\n{HIDDEN}",
    "a body for GET": f"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}",
}


@pytest.fixture(scope="module")
def passage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bridge, Nginx]]:
    folder = tmp_path_factory.mktemp("passage")
    (folder / "nginx").mkdir()
    with Bridge({}, folder) as bridge, Nginx(bridge, folder / "nginx") as nginx:
        yield bridge, nginx


@pytest.mark.parametrize("way", ["through nginx", "straight"])
@pytest.mark.parametrize("name", SMUGGLED)
def test_no_request_is_hidden_in_another(passage: tuple[Bridge, Nginx], name: str, way: str) -> None:
    bridge, nginx = passage
    port = nginx.port if way == "through nginx" else bridge.port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(SMUGGLED[name].encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 ") <= 1
    # What comes after it has its line after it.
    assert requests.get(f"{bridge.url}/nobody-here", timeout=30).status_code == 404
    bridge.log_line('"path": "/nobody-here"')
    assert "/hidden-request" not in bridge.log


@pytest.mark.parametrize("way", ["through nginx", "straight"])
def test_nobody_is_connected_through_and_no_protocol_is_switched(passage: tuple[Bridge, Nginx], way: str) -> None:
    bridge, nginx = passage
    port = nginx.port if way == "through nginx" else bridge.port
    told = {}
    for first, more in {
        "CONNECT a:80": "",
        "GET /livez": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    }.items():
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"{first} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode())
            told[first] = int(connection.recv(65536).split(b" ")[1])
    assert told["CONNECT a:80"] >= 400
    assert told["GET /livez"] == 200


def test_a_body_of_20_mb_passes(passage: tuple[Bridge, Nginx]) -> None:
    """Up to the bridge, which knows nobody who is signed in: what it says of that is its own."""
    bridge, nginx = passage
    message = {"role": "user", "content": "x" * 20_000_000}
    body = {"model": "gpt-4.1", "messages": [message]}
    answer = requests.post(
        f"{nginx.url}/v1/chat/completions", json=body, headers={"x-api-key": bridge.api_key}, timeout=60
    )
    assert answer.json()["error"]["code"] == "sign_in_required"
