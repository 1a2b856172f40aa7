"""Signing in as a GitHub App: what is signed, what is kept, and what is told when GitHub refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from requests.structures import CaseInsensitiveDict

from app.auth.copilot_token import CopilotTokens
from app.auth.github import Answer
from app.auth.github_app import AppIdentity, GitHubApp, read_key
from app.auth.github_token import GitHubTokens
from app.errors import AccountError, GatewayError, UpstreamStatusError
from app.settings import Secret, Settings, SettingsError, faults
from app.store.sqlite import SqliteStore
from tests.support import apps

START = 1_800_000_000.0
ORGANIZATION = {"organization_copilot_requests": "read"}


class FakeGitHub:
    """Makes installation tokens and exchanges them, or answers as told; keeps what it was asked."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.skew_s = 0.0
        self.lifetime_s = 3600.0
        self.permissions: dict[str, str] | None = {**ORGANIZATION, "metadata": "read"}
        self.refusal: tuple[int, str] | None = None
        self.exchange_answers: list[tuple[int, dict[str, Any]]] = []
        self.signed: list[tuple[dict[str, Any], int, dict[str, Any]]] = []
        self.exchanged: list[str] = []

    def make_installation_token(self, signed: Secret, installation: int, body: dict[str, Any]) -> Answer:
        now = self._clock() + self.skew_s
        headers = CaseInsensitiveDict({"Date": formatdate(now, usegmt=True)})
        unchecked: Any = {"verify_exp": False, "verify_iat": False}
        claims = jwt.decode(signed.reveal(), apps.key_pair()[1], algorithms=["RS256"], options=unchecked)
        self.signed.append((claims, installation, body))
        if not claims["iat"] <= now < claims["exp"]:
            return Answer(401, headers, {"message": "'Expiration time' claim ('exp') must be in the future"})
        if self.refusal:
            return Answer(self.refusal[0], headers, {"message": self.refusal[1]})
        ends = datetime.fromtimestamp(now + self.lifetime_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        token = {"token": f"ghs_test_{len(self.signed)}", "expires_at": ends, "permissions": self.permissions}
        return Answer(201, headers, token)

    def exchange(self, token: Secret) -> Answer:
        self.exchanged.append(token.reveal())
        status, body = self.exchange_answers.pop(0) if self.exchange_answers else (404, {"message": "Not Found"})
        return Answer(status, CaseInsensitiveDict(), body)


class World:
    def __init__(self, folder: Path) -> None:
        self.now = START
        self.folder = folder
        self.github = FakeGitHub(lambda: self.now)
        self.stores: list[SqliteStore] = []
        found = AppIdentity.of(Settings.from_env(apps.settings(folder)))
        assert found is not None
        self.identity = found

    def app(self) -> GitHubApp:
        store = SqliteStore(self.folder / "state.db", clock=lambda: self.now)
        self.stores.append(store)
        github: Any = self.github
        clock = lambda: self.now  # noqa: E731
        return GitHubApp(self.identity, github=github, store=store, clock=clock, monotonic=clock)

    def tokens(self) -> CopilotTokens:
        app = self.app()
        github: Any = self.github
        sign_ins = GitHubTokens(
            environment=None,
            data_dir=self.folder,
            editor_config_dir=self.folder,
            github_base_url="https://github.com",
            app=self.identity.fingerprint,
        )
        return CopilotTokens(
            store=self.stores[-1],
            github=github,
            github_tokens=sign_ins,
            app=app,
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            spawn=lambda work: work(),
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for store in made.stores:
        store.close()


def test_signature_is_good_for_ten_minutes_at_most_and_begins_in_the_past(world: World) -> None:
    world.app().token()
    [(claims, installation, body)] = world.github.signed
    assert claims == {"iss": apps.ID, "iat": int(START) - 60, "exp": int(START) + 540}
    assert (installation, body) == (apps.INSTALLATION, {"permissions": ORGANIZATION})


def test_repository_is_named_where_the_permission_is_one_of_repositories(world: World) -> None:
    world.identity = replace(world.identity, repository_id=apps.REPOSITORY)
    world.github.permissions = {"copilot_requests": "write"}
    world.app().token()
    assert world.github.signed[0][2] == {
        "repository_ids": [apps.REPOSITORY],
        "permissions": {"copilot_requests": "write"},
    }


def test_token_is_kept_for_all_workers_until_a_minute_before_its_end(world: World) -> None:
    one, other = world.app(), world.app()
    first = one.token()
    world.now += 3539
    assert other.token().value == first.value
    world.now += 2
    assert other.token().value != first.value
    assert len(world.github.signed) == 2


def test_token_that_was_refused_is_not_given_again(world: World) -> None:
    app = world.app()
    first = app.token()
    assert app.token(other_than=first.value).value != first.value


@pytest.mark.parametrize("skew_s", [-3600.0, 3600.0])
def test_clock_that_is_off_costs_one_more_call_and_no_lifetime(world: World, skew_s: float) -> None:
    world.github.skew_s = skew_s
    token = world.app().token()
    assert token.lifetime_s == pytest.approx(3600, abs=2)
    assert len(world.github.signed) == 2


@pytest.mark.parametrize("permissions", [{}, {"metadata": "read"}, {"organization_copilot_requests": "none"}])
def test_token_without_the_permission_is_told_at_once(world: World, permissions: dict[str, str]) -> None:
    world.github.permissions = permissions
    with pytest.raises(AccountError, match="without the permission organization_copilot_requests"):
        world.app().token()


@pytest.mark.parametrize("permissions", [None, {"organization_copilot_requests": "write"}])
def test_token_that_says_nothing_of_it_or_has_more_is_taken(world: World, permissions: dict[str, str] | None) -> None:
    world.github.permissions = permissions
    assert world.app().token().value


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        (401, "A JSON web token could not be decoded", "GITHUB_APP_PRIVATE_KEY_FILE belong to the same App"),
        (403, "Resource not accessible by integration", "id of a GitHub App"),
        (404, "Not Found", "GITHUB_APP_INSTALLATION_ID"),
        (422, "There is at least one repository that does not exist.", "GITHUB_APP_REPOSITORY_ID"),
    ],
)
def test_refusal_says_what_to_mend_and_is_asked_again_after_growing_pauses(
    world: World, status: int, said: str, words: str
) -> None:
    world.github.refusal = status, said
    app = world.app()
    asked_after = []
    for second in range(140):
        before = len(world.github.signed)
        with pytest.raises(AccountError, match=words):
            app.token()
        if len(world.github.signed) > before:
            asked_after.append(second)
        world.now += 1
    assert asked_after == [0, 2, 6, 14, 30, 62, 122]
    world.github.refusal = None
    world.now += 60
    assert app.token().value


@pytest.mark.parametrize(("status", "expected"), [(429, 429), (403, 429), (500, 502), (503, 502)])
def test_passing_trouble_is_told_as_that_and_not_held_against_the_app(world: World, status: int, expected: int) -> None:
    world.github.refusal = status, "API rate limit exceeded"
    app = world.app()
    for _ in range(2):
        with pytest.raises(UpstreamStatusError) as raised:
            app.token()
        assert raised.value.status == expected
    assert len(world.github.signed) == 2


def test_copilot_token_is_the_installations_own_where_there_is_no_exchange(world: World) -> None:
    tokens = world.tokens()
    token = tokens.current()
    assert (token.value.reveal(), token.direct, token.kind) == ("ghs_test_1", True, "ghs")
    world.now += 3000  # 0.8 of its life: made anew while it still works
    assert tokens.current().value.reveal() == "ghs_test_2"


def test_token_that_copilot_refused_is_made_anew(world: World) -> None:
    tokens = world.tokens()
    assert tokens.renew(tokens.current()).value.reveal() == "ghs_test_2"


ENVELOPE = {"token": "tid=test;exp=1:mac", "expires_at": START + 1800, "refresh_in": 1500}


def test_exchange_that_refuses_a_token_gets_another_one_once(world: World) -> None:
    world.github.exchange_answers = [(401, {}), (200, ENVELOPE)]
    token = world.tokens().current()
    assert (token.value.reveal(), token.direct) == (ENVELOPE["token"], False)
    assert world.github.exchanged == ["ghs_test_1", "ghs_test_2"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(401, {"message": "Bad credentials"})] * 2, "owner of the organization"),
        ([(403, {"message": "Copilot requests with installation tokens are not enabled"})], "are not enabled"),
        ([(403, {"message": "Resource not accessible by integration"})], "permission “Copilot Requests”"),
        ([(200, {"token": "", "expires_at": 0, "refresh_in": 0})], "owner of the organization"),
    ],
)
def test_organization_that_does_not_allow_it_is_named(
    world: World, answers: list[tuple[int, dict[str, Any]]], words: str
) -> None:
    world.github.exchange_answers = list(answers)
    tokens = world.tokens()
    with pytest.raises(AccountError, match=words):
        tokens.current()
    world.now += 10
    world.github.exchange_answers = [(200, ENVELOPE)]
    assert tokens.current().value.reveal() == ENVELOPE["token"]


def pem(key: Any, *, password: bytes | None = None) -> bytes:
    locked = BestAvailableEncryption(password) if password else NoEncryption()
    content: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "no private key"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nnothing\n-----END RSA PRIVATE KEY-----\n", "no private key"),
        (apps.key_pair()[1].encode(), "no private key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
        (pem(rsa.generate_private_key(65537, 2048), password=b"pw"), "protected by a password"),
    ],
)
def test_key_file_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "app.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(GatewayError, match=f"GITHUB_APP_PRIVATE_KEY_FILE names .*{words}") as raised:
        read_key(file)
    assert "BEGIN" not in raised.value.message


@pytest.mark.parametrize("missing", ["GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PRIVATE_KEY_FILE"])
def test_app_that_is_named_by_halves_is_told_by_the_missing_variable(tmp_path: Path, missing: str) -> None:
    env = apps.settings(tmp_path)
    del env[missing]
    with pytest.raises(SettingsError, match=f"^{missing}: "):
        Settings.from_env(env)
    assert [str(fault).split(":")[0] for fault in faults(env)] == [missing]
