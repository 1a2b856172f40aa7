from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from app.auth.github_token import GitHubToken, GitHubTokens
from app.errors import StoreError
from app.settings import Secret


@pytest.fixture
def make(tmp_path: Path):
    def build(environment: str | None = None, host: str = "https://github.com") -> GitHubTokens:
        return GitHubTokens(
            environment=Secret(environment) if environment else None,
            data_dir=tmp_path / "data",
            editor_config_dir=tmp_path / "editor",
            github_base_url=host,
        )

    (tmp_path / "editor").mkdir()
    return build


def write(path: Path, key: str, token: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({key: {"user": "octocat", "oauth_token": token}}))


def reveal(token: GitHubToken | None) -> str | None:
    return token.secret.reveal() if token else None


def test_sources_in_their_order(make, tmp_path: Path) -> None:
    tokens = make()
    assert tokens.current() is None
    write(tmp_path / "editor" / "apps.json", "github.com:Iv1.b507a08c87ecfe98", "ghu_test_apps")
    assert reveal(tokens.current()) == "ghu_test_apps"
    write(tmp_path / "editor" / "hosts.json", "github.com", "ghu_test_hosts")
    assert reveal(tokens.current()) == "ghu_test_hosts"
    tokens.save("ghu_test_own", "octocat")
    assert reveal(tokens.current()) == "ghu_test_own"
    assert tokens.current().source == "bridge"
    assert reveal(make("ghu_test_environment").current()) == "ghu_test_environment"
    assert tokens.forget() is True
    assert tokens.forget() is False
    assert reveal(tokens.current()) == "ghu_test_hosts"


def test_sign_in_of_another_worker_is_seen_at_once(make) -> None:
    one, other = make(), make()
    assert one.current() is None
    other.save("ghu_test_first", "octocat")
    assert reveal(one.current()) == "ghu_test_first"
    other.save("ghu_test_other", "octocat")
    assert reveal(one.current()) == "ghu_test_other"


def test_own_file_is_private_and_replaced_atomically(make, tmp_path: Path) -> None:
    tokens = make()
    tokens.save("ghu_test_own", "octocat")
    file = tmp_path / "data" / "hosts.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert json.loads(file.read_text()) == {"github.com": {"oauth_token": "ghu_test_own", "user": "octocat"}}
    before = file.stat().st_ino
    tokens.save("ghu_test_new", None)
    assert file.stat().st_ino != before
    assert os.listdir(file.parent) == ["hosts.json"]


def test_folder_that_cannot_be_written_is_told(make, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="DATA_DIR"):
        make().save("ghu_test_own", None)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"github.com": 7}',
        '{"github.com": {"oauth_token": ""}}',
        '{"github.com": {"oauth_token": "ghu_☃"}}',
        '{"github.com": {"oauth_token": "ghu_a\\nX-Header: b"}}',
    ],
    ids=range(8),
)
def test_spoilt_file_is_passed_over(make, tmp_path: Path, content: str) -> None:
    (tmp_path / "editor" / "hosts.json").write_text(content)
    write(tmp_path / "editor" / "apps.json", "github.com:x", "ghu_test_apps")
    assert reveal(make().current()) == "ghu_test_apps"


def test_token_of_another_host_is_not_ours(make, tmp_path: Path) -> None:
    write(tmp_path / "editor" / "hosts.json", "tenant.ghe.com", "ghu_test_tenant")
    assert make().current() is None
    assert reveal(make(host="https://tenant.ghe.com").current()) == "ghu_test_tenant"


@pytest.mark.parametrize(
    ("value", "kind"), [("ghu_x", "ghu"), ("gho_x", "gho"), ("github_pat_x_y", "github_pat"), ("ghp_x", "ghp")]
)
def test_kind_of_a_token(value: str, kind: str) -> None:
    token = GitHubToken(Secret(value), "bridge")
    assert token.kind == kind
    assert value not in token.fingerprint
