from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

from app.doctor import configuration
from app.doctor.configuration import check_faults, check_settings, is_loopback
from app.doctor.finding import Finding
from app.settings import DEFAULT_API_KEY, Settings, env_file, faults

LONG_KEY = "key-test-planted-of-some-length"


def by_title(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.title: finding for finding in findings}


def check(env: dict[str, str], folder: Path | None = None) -> dict[str, Finding]:
    return by_title(
        check_settings(Settings.from_env({"API_KEY": LONG_KEY, **env}), env_file(folder or Path("/nowhere")))
    )


def test_all_in_order() -> None:
    found = check({"HOST": "127.0.0.1"})
    assert {finding.status for finding in found.values()} <= {"ok", "note"}
    assert found["API key"].what == "one of your own"
    assert found["settings"].what == "read from the environment; no .env file here; changed: HOST, API_KEY"


@pytest.mark.parametrize(
    ("host", "status"),
    [("0.0.0.0", "note"), ("::", "note"), ("192.168.1.5", "note"), ("127.0.0.1", "ok"), ("::1", "ok")],
)
@pytest.mark.parametrize("key", [DEFAULT_API_KEY, ""])
def test_weak_key_matters_where_others_reach_it(host: str, status: str, key: str) -> None:
    finding = check({"HOST": host, "API_KEY": key})["API key"]
    assert finding.status == status
    assert ("token_urlsafe" in finding.advice) is (status == "note")


def test_key_that_could_be_guessed_is_not_shown() -> None:
    finding = check({"API_KEY": f"{LONG_KEY},short-key"})["API key"]
    assert finding.status == "note"
    assert "short-key" not in str(finding)


def test_hosts_of_two_places() -> None:
    finding = check({"GITHUB_BASE_URL": "https://github.example.com"})["GitHub hosts"]
    assert finding.status == "problem"
    both = {"GITHUB_BASE_URL": "https://tenant.ghe.com", "GITHUB_API_BASE_URL": "https://api.tenant.ghe.com"}
    assert check(both)["GitHub hosts"].status == "ok"
    assert check({"GITHUB_HOST": "tenant.ghe.com"})["GitHub hosts"].status == "ok"
    assert "GitHub hosts" not in check({})


def test_odd_values_are_noted() -> None:
    found = check({"MAX_BODY_BYTES": "4096", "COPILOT_API_BASE_URL": "https://copilot.test", "WEB_CONCURRENCY": "64"})
    assert {found[title].status for title in ("MAX_BODY_BYTES", "Copilot host", "workers")} == {"note"}


def test_file_with_a_typo_an_override_and_open_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text(f"API_KEYS={LONG_KEY}\nAPI_KEY={LONG_KEY}\nPORT=8000\nHTTPS_PROXY=http://proxy.test\nCOLOUR=red\n")
    file.chmod(0o644)
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("API_KEY", LONG_KEY)
    findings = list(check_settings(Settings.from_env({"API_KEY": LONG_KEY}), env_file(tmp_path)))
    unknown = [finding for finding in findings if finding.title == "unknown variable"]
    assert [(finding.what.split()[0], finding.advice) for finding in unknown] == [
        ("API_KEYS", "Did you mean API_KEY?"),
        ("COLOUR", "docs/configuration.md lists them all."),
    ]
    assert "The environment sets PORT otherwise" in by_title(findings)["overridden"].what
    assert "chmod 600" in by_title(findings)["file mode"].advice
    assert LONG_KEY not in str(findings)
    file.chmod(0o600)
    assert "file mode" not in check({}, tmp_path)


def test_few_open_files_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_open_files", lambda: 256)
    assert "ulimit -n" in check({})["open files"].advice
    monkeypatch.setattr(configuration, "_open_files", lambda: None)
    assert "open files" not in check({})


def test_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "gevent":
            raise metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    assert check({})["packages"].status == "problem"


def test_every_fault_is_told_without_its_secret() -> None:
    env = {"PORT": "abc", "GH_COPILOT_TOKEN": "ghu_test with space", "KEEP_ALIVE_S": "-1"}
    found = list(check_faults(faults(env)))
    assert [finding.title for finding in found] == ["PORT", "GH_COPILOT_TOKEN", "KEEP_ALIVE_S"]
    assert {finding.status for finding in found} == {"problem"}
    assert "ghu_test" not in str(found)
    assert faults({}) == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.53", True), ("[::1]", True), ("10.0.0.1", False), ("nas.local", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
