"""``flask doctor`` against the simulator, a real bridge and a real nginx: all in order, and each thing that is not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from app.doctor import starting
from app.settings import DEFAULT_API_KEY, Settings
from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, Bridge
from tests.support.evidence import new_file
from tests.support.nginx import NGINX, Nginx
from tests.support.ports import free_port
from tests.support.secrets import SECOND_API_KEY

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass
class Report:
    """What doctor said: its exit code, its text, and its findings by check and title."""

    exit_code: int
    output: str
    findings: list[dict[str, str]]

    @classmethod
    def of(cls, exit_code: int, output: str) -> Report:
        report = json.loads(output)
        assert exit_code == (1 if report["status"] == "problem" else 0)
        return cls(exit_code, output, report["findings"])

    def __getitem__(self, title: str) -> dict[str, str]:
        """The finding of this title; the worst if there are several."""
        found = [entry for entry in self.findings if entry["title"] == title]
        assert found, (title, self.findings)
        return max(found, key=lambda entry: ["ok", "note", "problem"].index(entry["status"]))

    @property
    def problems(self) -> list[str]:
        return [entry["title"] for entry in self.findings if entry["status"] == "problem"]


@pytest.fixture
def env(lone_env: dict[str, str]) -> dict[str, str]:
    return {**lone_env, "MODEL_MAPPING": "{}"}


Examine = Callable[..., Report]


@pytest.fixture
def examine(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Run doctor in process: ``examine("--yes", PORT="1")``."""
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    # It would start a process in the environment of the tests, not in this one; `command` has it do that.
    monkeypatch.setattr(starting, "check_starting", lambda: iter(()))

    def run(*arguments: str, **changes: str) -> Report:
        app = create_app(Settings.from_env({**env, **changes}))
        result = app.test_cli_runner().invoke(args=["doctor", "--json", *arguments])
        app.extensions["gateway"].close()
        new_file("doctor").write_text(result.output)  # for the scan for secrets at the end of the run
        return Report.of(result.exit_code, result.output)

    return run


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(flask_command: list[str], tmp_path: Path) -> Command:
    """Doctor as people start it, in a process of its own."""

    def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        start = [*flask_command, "--app", str(ROOT / "wsgi.py"), "doctor", *arguments]
        base = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            start,
            cwd=tmp_path,
            env={**base, **env},
            capture_output=True,
            text=True,
            timeout=100,
            stdin=subprocess.DEVNULL,
        )
        new_file("doctor").write_text(done.stdout + done.stderr)
        return done

    return run


# ── as people start it ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def running(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """A bridge that doctor looks at, one for all; whatever became of the simulator, it gets itself a new token."""
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path_factory.mktemp("running")) as bridge:
        yield bridge


def test_all_in_order_beside_a_running_service(simulator: Simulator, running: Bridge, command: Command) -> None:
    done = command({**running.env, "MODEL_MAPPING": "{}"}, "--yes", "--public-url", running.url)
    assert done.returncode == 0, done.stdout
    assert "no problems" in done.stdout
    assert f"the bridge runs at {running.url}" in done.stdout
    assert "the service can be built in this environment" in done.stdout
    assert "messages call        claude-haiku-4.5 answered in" in done.stdout
    assert "a slow stream arrives slowly" in done.stdout
    assert done.stderr == ""
    # nothing was spent but what was announced: three calls, one of them at 0.33
    assert simulator.ledger()["premium_units"] == pytest.approx(0.33)


def test_nothing_is_called_unless_somebody_agrees(simulator: Simulator, env: dict[str, str], command: Command) -> None:
    done = command(env)  # no terminal, so nobody can be asked
    assert done.returncode == 0, done.stdout
    assert "planned              chat with gpt-4.1 (free of charge)," in done.stdout
    assert "None of them was made." in done.stdout
    assert simulator.state()["chat"] == simulator.state()["messages"] == simulator.state()["responses"] == 0


def test_settings_that_cannot_be_read_are_all_told(env: dict[str, str], command: Command, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=loud\n")
    done = command({**env, "PORT": "abc", "API_KEY": "key-test-planted with space"}, "--json")
    report = Report.of(done.returncode, done.stdout)
    assert report.problems == ["PORT", "API_KEY", "LOG_LEVEL"]
    assert "planted" not in done.stdout
    assert done.stderr == ""


def test_service_that_cannot_be_built_is_told(env: dict[str, str], command: Command) -> None:
    done = command({**env, "REDIS_URL": "redis://localhost:port/0"}, "--json")
    report = Report.of(done.returncode, done.stdout)
    assert report.problems
    assert "REDIS_URL" in report.findings[0]["what"]
    assert "Traceback" not in done.stdout + done.stderr


def test_other_commands_still_end_at_a_bad_setting(env: dict[str, str], tmp_path: Path) -> None:
    start = [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), "settings"]
    done = subprocess.run(
        start, cwd=tmp_path, env={**env, "PATH": "", "PORT": "abc"}, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    assert done.stderr.startswith("copilot-bridge: PORT: 'abc'")


# ── the account and Copilot ─────────────────────────────────────────────────────────────────────────────────────────


def test_in_order(examine: Examine) -> None:
    report = examine("--calls", "yes")
    assert report.problems == []
    assert report["plan"]["what"] == "octocat, individual"
    assert report["premium requests"]["what"].startswith("300 of 300 left. Reset: ")
    assert report["clock"]["status"] == "ok"
    assert "grok-4.5" in report["not enabled"]["what"]
    assert {report[f"{name} call"]["status"] for name in ("chat", "responses", "messages")} == {"ok"}


def test_signed_out(examine: Examine) -> None:
    report = examine("--calls", "yes", GH_COPILOT_TOKEN="", PORT=str(port := free_port()))
    assert report.problems == ["GitHub token"]
    assert f"http://localhost:{port}/auth/device" in report["GitHub token"]["advice"]
    assert "flask --app wsgi login" in report["GitHub token"]["advice"]


def test_revoked(examine: Examine) -> None:
    report = examine(GH_COPILOT_TOKEN="ghu_test_revoked")
    assert "plan" in report.problems
    assert "GH_COPILOT_TOKEN" in report["plan"]["what"]


def test_revoked_is_seen_although_the_copilot_token_still_works(examine: Examine, simulator: Simulator) -> None:
    assert examine().problems == []
    simulator.revoke_github_token("ghu_test_individual")
    assert "plan" in examine().problems


def test_classic_token(examine: Examine) -> None:
    report = examine(GH_COPILOT_TOKEN="ghp_test_classic")
    assert "GitHub token" in report.problems
    assert "classic personal access token" in report["GitHub token"]["what"]


@pytest.mark.parametrize("token", ["gho_test_direct", "github_pat_test_direct"])
def test_token_that_is_used_directly(examine: Examine, simulator: Simulator, token: str) -> None:
    report = examine("--yes", GH_COPILOT_TOKEN=token, COPILOT_API_BASE_URL=simulator.capi)
    assert report.problems == []
    assert "used as it is" in report["Copilot token"]["what"]


@pytest.mark.parametrize(
    ("token", "words"),
    [("ghu_test_no_copilot", "No access to GitHub Copilot found"), ("ghu_test_subscription_ended", "has ended")],
)
def test_no_licence(examine: Examine, token: str, words: str) -> None:
    report = examine(GH_COPILOT_TOKEN=token)
    assert report.problems == ["Copilot token"]  # and not once more for whatever needs one
    assert words in report["Copilot token"]["what"]


def test_exhausted_plan(examine: Examine) -> None:
    report = examine("--calls", "no", GH_COPILOT_TOKEN="ghu_test_exhausted")
    assert report.problems == ["premium requests"]
    assert "0 of 300 left. Reset: " in report["premium requests"]["what"]
    assert "models that cost none" in report["premium requests"]["advice"].lower()


def test_exhausted_plan_shows_in_the_calls(examine: Examine) -> None:
    report = examine("--yes", GH_COPILOT_TOKEN="ghu_test_exhausted")
    assert report["chat call"]["status"] == "ok"  # costs nothing
    assert report["messages call"]["status"] == "problem"


@pytest.mark.parametrize(
    ("skew_s", "status", "words"),
    [
        (7200, "problem", "2 hours behind"),
        (-7200, "problem", "2 hours ahead of"),
        (120, "note", "2 minutes behind"),
        (5, "ok", "agrees"),
    ],
)
def test_clock(examine: Examine, simulator: Simulator, skew_s: int, status: str, words: str) -> None:
    simulator.config(clock_skew_s=skew_s)
    finding = examine()["clock"]
    assert finding["status"] == status
    assert words in finding["what"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}])
def test_copilot_down(examine: Examine, simulator: Simulator, fault: dict[str, Any]) -> None:
    simulator.fault(endpoint="*", host="capi", times=None, **fault)
    report = examine("--yes")
    assert {"Copilot's API", "models"} <= set(report.problems)


def test_web_page_where_the_api_should_be(examine: Examine, simulator: Simulator) -> None:
    simulator.fault("html_200", endpoint="*", host="api", times=None)
    report = examine()
    assert report["GitHub's API"]["status"] == "problem"
    assert "web page" in report["GitHub's API"]["what"]


def test_mapping_to_a_model_that_is_not_there(examine: Examine) -> None:
    report = examine(MODEL_MAPPING='{"gpt-4": "claude-opus-99", "fast": "gpt-4.1"}')
    assert report.problems == ["mapping"]
    assert "gpt-4 → claude-opus-99" in report["mapping"]["what"]
    assert "/admin/mapping/del?from=gpt-4" in report["mapping"]["advice"]


def test_default_mapping_to_a_model_that_is_not_there_is_no_problem(examine: Examine, simulator: Simulator) -> None:
    simulator.catalogue(remove=["claude-opus-4.6"])
    report = examine(MODEL_MAPPING="")
    assert report.problems == []
    assert report["mapping"]["status"] == "note"


def test_calls_that_fail_are_told_one_by_one(examine: Examine, simulator: Simulator) -> None:
    simulator.fault("internal_500", endpoint="/v1/messages", times=None)
    report = examine("--yes")
    assert report.problems == ["messages call"]
    assert report["chat call"]["status"] == report["responses call"]["status"] == "ok"


# ── the way in ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_key_at_the_public_url(examine: Examine, running: Bridge) -> None:
    report = examine("--public-url", running.url, API_KEY=SECOND_API_KEY)
    assert "right key" in report.problems
    assert "refused there (401)" in report["right key"]["what"]


def test_running_bridge_of_other_settings(examine: Examine, running: Bridge) -> None:
    report = examine(API_KEY=SECOND_API_KEY, PORT=str(running.port))
    assert report[f"port {running.port}"]["status"] == "note"
    assert "does not take the API_KEY" in report[f"port {running.port}"]["what"]


def test_another_program_at_the_port(examine: Examine, simulator: Simulator) -> None:
    port = simulator.web.rsplit(":", 1)[1]
    report = examine(PORT=port)
    assert report.problems == [f"port {port}"]
    assert "Another program" in report[f"port {port}"]["what"]


def test_public_url_of_something_else(examine: Examine, simulator: Simulator) -> None:
    report = examine("--public-url", simulator.web)
    assert report.problems == ["reachable"]
    assert "Something else answers" in report["reachable"]["what"]
    assert all("Bearer" not in str(seen["headers"]) for seen in simulator.requests("/livez"))


def test_nobody_at_the_public_url(examine: Examine) -> None:
    report = examine("--public-url", f"http://127.0.0.1:{free_port()}/v1")
    assert report.problems == ["reachable"]


@pytest.mark.parametrize("url", ["bridge.example.com", "https://", "ftp://bridge.example.com", "https://u:p@host"])
def test_public_url_that_is_none(examine: Examine, url: str) -> None:
    assert examine("--public-url", url).problems == ["public URL"]


def test_default_key_behind_a_proxy(examine: Examine, env: dict[str, str]) -> None:
    assert "API key and proxy" in examine(API_KEY=DEFAULT_API_KEY, TRUSTED_PROXIES="1").problems


@pytest.fixture(scope="module")
def proxied(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One that stands behind a proxy."""
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "TRUSTED_PROXIES": "1"}
    with Bridge(env, tmp_path_factory.mktemp("proxied")) as bridge:
        yield bridge


@needs_nginx
class TestBehindNginx:
    @pytest.fixture
    def look(self, proxied: Bridge, tmp_path: Path, examine: Examine) -> Callable[[Callable[[str], str]], Report]:
        def run(change: Callable[[str], str] = str) -> Report:
            (tmp_path / "nginx").mkdir()
            with Nginx(proxied, tmp_path / "nginx", change) as nginx:
                return examine("--public-url", nginx.url, TRUSTED_PROXIES="1")

        return run

    def test_shipped_configuration_is_in_order(self, look: Callable[..., Report]) -> None:
        report = look()
        assert report.problems == []
        assert report["stream"]["what"] == "a slow stream arrives slowly, event by event"
        assert report["forwarding"]["status"] == report["large request"]["status"] == report["WebSocket"]["status"]
        assert "behind nginx" in report["reachable"]["what"]

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            # What a plain proxy_pass does but for the header, which this one does not heed.
            ("proxy_http_version 1.1;", "proxy_http_version 1.0;", "arrives all at once: nginx holds it back."),
            ("gzip off;", "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;", "(gzip)"),
        ],
        ids=["http-1.0", "gzip"],
    )
    def test_buffering(self, look: Callable[..., Report], before: str, after: str, told: str) -> None:
        buffering = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
        report = look(lambda site: site.replace("proxy_buffering off;", buffering).replace(before, after))
        assert report.problems == ["stream"]
        assert "A stream of 3 s arrives all at once: nginx holds it back." in report["stream"]["what"]
        assert told in report["stream"]["what"]
        for line in ("proxy_buffering off;", "gzip off;", "proxy_http_version 1.1;", "X-Accel-Buffering;"):
            assert line in report["stream"]["advice"]

    def test_buffering_that_the_header_switches_off_is_no_problem(self, look: Callable[..., Report]) -> None:
        # X-Accel-Buffering: no, as real answers carry it
        assert look(lambda site: site.replace("proxy_buffering off;", "")).problems == []

    def test_compression_that_passes_events_on_is_told(self, look: Callable[..., Report]) -> None:
        report = look(
            lambda site: site.replace(
                "gzip off;", "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0;"
            )
        )
        assert report.problems == []
        assert report["compression"]["status"] == "note"
        assert "gzip off;" in report["compression"]["advice"]

    def test_body_limit(self, look: Callable[..., Report]) -> None:
        report = look(lambda site: site.replace("client_max_body_size 32m;", ""))
        assert report.problems == ["large request"]
        assert "refused by nginx (413)" in report["large request"]["what"]
        assert "client_max_body_size 32m;" in report["large request"]["advice"]

    def test_no_forwarding_headers(self, look: Callable[..., Report]) -> None:
        report = look(
            lambda site: "\n".join(line for line in site.splitlines() if "proxy_set_header X-Forwarded" not in line)
        )
        assert report.problems == ["TRUSTED_PROXIES"]
        assert "X-Forwarded-For $proxy_add_x_forwarded_for;" in report["TRUSTED_PROXIES"]["advice"]

    def test_wrong_public_host(self, look: Callable[..., Report]) -> None:
        report = look(lambda site: site.replace("X-Forwarded-Host $http_host", "X-Forwarded-Host inside.lan"))
        assert report["public address"]["status"] == "note"
        assert "http://inside.lan" in report["public address"]["what"]

    def test_http_1_0(self, look: Callable[..., Report]) -> None:
        report = look(lambda site: site.replace("proxy_http_version 1.1;", "proxy_http_version 1.0;"))
        assert report["HTTP/1.0"]["status"] == "note"

    def test_dropped_authorization(self, look: Callable[..., Report]) -> None:
        report = look(
            lambda site: site.replace("proxy_buffering off;", 'proxy_set_header Authorization ""; proxy_buffering off;')
        )
        assert report.problems == ["right key"]
        assert "proxy_set_header Authorization" in report["right key"]["advice"]

    def test_password_of_the_proxys_own(self, look: Callable[..., Report], tmp_path: Path) -> None:
        (tmp_path / "users").write_text("")
        report = look(
            lambda site: site.replace(
                "location / {", f'location / {{ auth_basic "x"; auth_basic_user_file {tmp_path}/users;'
            )
        )
        assert report.problems == ["reachable"]
        assert "password of its own" in report["reachable"]["what"]

    def test_bridge_that_nginx_does_not_reach(self, look: Callable[..., Report], proxied: Bridge) -> None:
        report = look(lambda site: site.replace(f"127.0.0.1:{proxied.port}", f"127.0.0.1:{free_port()}"))
        assert report.problems == ["reachable"]
        assert "nginx answers HTTP 502" in report["reachable"]["what"]

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
    @pytest.mark.parametrize("trusted", [True, False])
    def test_https(
        self, proxied: Bridge, examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
    ) -> None:
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        make = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        subprocess.run([*make, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        if trusted:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        (tmp_path / "nginx").mkdir()
        secured = f" ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"
        with Nginx(
            proxied, tmp_path / "nginx", lambda site: re.sub(r"(listen 127\S+?);", rf"\1{secured}", site)
        ) as nginx:
            report = examine("--public-url", nginx.url.replace("http:", "https:"), TRUSTED_PROXIES="1")
        assert report.problems == ([] if trusted else ["TLS"])
        assert report["TLS"]["what"] == (
            "the certificate is valid"
            if trusted
            else "The certificate of 127.0.0.1 is not trusted: self-signed, of another name, or sent without its chain."
        )

    def test_redirect_to_https(self, look: Callable[..., Report]) -> None:
        report = look(lambda site: site.replace("location / {", "location / { return 301 https://$host$request_uri;"))
        assert report.problems == ["redirect"]
        assert "Give clients the address https://127.0.0.1" in report["redirect"]["advice"]
