"""Invitations and what they bind, with a GitHub that says who somebody is, and a clock that only tests move."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from app.auth.device import DeviceSignIn
from app.auth.github import Answer
from app.auth.github_token import BoundToken, GitHubToken, GitHubTokens
from app.bindings import Bindings, Invitation
from app.database import Database
from app.errors import AccountError, ForbiddenError, GatewayError, InvalidRequestError, NotFoundError
from app.keys.key import Key
from app.keys.registry import KeyRegistry
from app.sealing import Seal
from app.settings import Secret
from app.store.sqlite import SqliteStore

NOW = 1_790_000_000.0
TOKEN = "ghu_test_alice"


class GitHub:
    """Whose a token is stands in it: ``ghu_test_<login>``."""

    status = 200

    def account(self, token: Secret) -> Answer:
        login = token.reveal().removeprefix("ghu_test_")
        body = {"login": login} if login != "nameless" else {}
        return Answer(self.status, CaseInsensitiveDict(), body)

    def request_device_code(self) -> Answer:
        told = {"device_code": "d" * 40, "user_code": "K7QF-0001", "expires_in": 899, "interval": 5}
        return Answer(200, CaseInsensitiveDict(), told)


class World:
    def __init__(self, folder: Path, own: str | None) -> None:
        self.now = NOW
        self.github = GitHub()
        self.folder = folder
        self.database = Database.at(data_dir=folder, url=None)
        self.registry = KeyRegistry(self.database, clock=lambda: self.now)
        self.store = SqliteStore(folder / "state.db", clock=lambda: self.now)
        self.forgotten: list[str] = []
        self.own = own
        self.bindings = self.with_key("account-tokens.key")

    def with_key(self, file: str) -> Bindings:
        github: Any = self.github
        tokens = GitHubTokens(
            environment=Secret(self.own) if self.own else None,
            data_dir=self.folder,
            editor_config_dir=self.folder / "none",
            github_base_url="https://github.test",
        )
        return Bindings(
            registry=self.registry,
            store=self.store,
            seal=Seal(self.folder / file),
            github=github,
            github_base_url="https://github.test",
            own=tokens,
            forget=lambda token: self.forgotten.append(token.current().secret.reveal()),
            sign_in=partial(DeviceSignIn, spawn=lambda _poll: None),
            clock=lambda: self.now,
        )

    def key(self, name: str, **fields: Any) -> Key:
        return self.registry.make(name, **fields)[0]

    def begun(self, link: str) -> Invitation:
        """The invitation of a link, taken by a browser."""
        ticket = self.bindings.ticket(link)
        found = self.bindings.look(ticket)
        self.bindings.begin(ticket, address=None)
        return found

    def bind(self, name: str, token: str = TOKEN) -> str:
        _, link = self.bindings.invite(name)
        return self.bindings.bind(self.begun(link), token, actor="", address=None)

    def token(self, name: str) -> str | None:
        key = self.registry.find(name)
        return self.bindings.token(key.id, key.binding).current().secret.reveal() if key.binding is not None else None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, own="ghu_test_octocat")
    made.key("alice")
    with closing(made.database), closing(made.store):
        yield made


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_link_cannot_be_guessed_and_is_not_kept(world: World) -> None:
    key = world.registry.find("alice")
    links = {world.bindings.invite("alice")[1] for _ in range(20)}
    assert len(links) == 20
    assert all(re.fullmatch(rf"{key.id}\.[\w-]{{43}}", link) for link in links)  # 256 bits
    kept = str(world.store.dump())
    assert not [link for link in links if link.partition(".")[2] in kept]


def test_a_look_takes_nothing_and_the_first_that_begins_has_it(world: World) -> None:
    _, link = world.bindings.invite("alice")
    first, second = world.bindings.ticket(link), world.bindings.ticket(link)
    assert world.bindings.look(first) == world.bindings.look(second)
    world.bindings.begin(second, address=None)
    assert world.bindings.look(second).browser
    with pytest.raises(NotFoundError):
        world.bindings.look(first)
    with pytest.raises(NotFoundError):
        world.bindings.begin(first, address=None)
    with pytest.raises(NotFoundError):
        world.bindings.ticket(link)
    assert world.bindings.begin(second, address=None).state == "pending"  # it may try again


def test_it_is_over_when_its_time_is(world: World) -> None:
    _, link = world.bindings.invite("alice", hours=2)
    ticket = world.bindings.ticket(link)
    invitation = world.bindings.look(ticket)
    world.bindings.begin(ticket, address=None)
    world.now += 2 * 3600 - 1
    assert world.bindings.look(ticket).name == "alice"
    world.now += 2
    with pytest.raises(NotFoundError):
        world.bindings.look(ticket)
    with pytest.raises(NotFoundError):  # approved too late
        world.bindings.bind(invitation, TOKEN, actor="", address=None)
    assert world.token("alice") is None


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "000000000000." + "A" * 43,
        "{id}." + "A" * 43,
        "{id}.",
        "{link}.",
        "{link}A",
        "{link}\n",
        "%7B{link}",
        "{id}." + "ä" * 43,
        "\ud800",
        "*." + "A" * 43,
    ],
)
def test_a_wrong_link_opens_nothing(world: World, wrong: str) -> None:
    _, link = world.bindings.invite("alice")
    text = wrong.replace("{id}", world.registry.find("alice").id).replace("{link}", link)
    for attempt in (text, f"{text}.{'A' * 22}"):
        with pytest.raises(NotFoundError) as refused:
            world.bindings.ticket(attempt)
        assert refused.value.code == "invitation_invalid"
        with pytest.raises(NotFoundError):
            world.bindings.begin(attempt, address=None)
    assert world.bindings.ticket(link)  # and spoils nothing


def test_a_new_link_ends_the_one_before_and_a_sign_in_by_it(world: World) -> None:
    _, old = world.bindings.invite("alice")
    invitation = world.begun(old)
    _, new = world.bindings.invite("alice")
    with pytest.raises(NotFoundError):
        world.bindings.ticket(old)
    with pytest.raises(NotFoundError):
        world.bindings.bind(invitation, TOKEN, actor="", address=None)
    assert world.bindings.ticket(new)
    assert world.token("alice") is None


@pytest.mark.parametrize("end", ["unbind", "revoke"])
def test_what_ends_a_binding_ends_an_invitation(world: World, end: str) -> None:
    _, link = world.bindings.invite("alice")
    invitation = world.begun(link)
    getattr(world.bindings, end)("alice")
    with pytest.raises(NotFoundError):
        world.bindings.ticket(link)
    with pytest.raises(GatewayError):
        world.bindings.bind(invitation, TOKEN, actor="", address=None)
    assert world.token("alice") is None


def test_a_key_that_counts_no_longer_is_not_invited_and_not_bound(world: World) -> None:
    world.key("bob", expires_at=NOW + 60)
    _, link = world.bindings.invite("bob")
    invitation = world.begun(link)
    world.now += 61
    with pytest.raises(ForbiddenError) as refused:
        world.bindings.bind(invitation, TOKEN, actor="", address=None)
    assert refused.value.code == "key_expired"
    with pytest.raises(ForbiddenError):
        world.bindings.invite("bob")
    world.bindings.revoke("alice")
    with pytest.raises(ForbiddenError):
        world.bindings.invite("alice")
    with pytest.raises(NotFoundError):
        world.bindings.invite("nobody")


def test_what_another_version_has_stored_is_no_invitation(world: World) -> None:
    _, link = world.bindings.invite("alice")
    for stored in ("{}", "[]", "nonsense", '{"key_id": 1, "unknown": 2}'):
        world.store.put(f"key-invitation:{world.registry.find('alice').id}", stored)
        with pytest.raises(NotFoundError):
            world.bindings.ticket(link)


# ── accounts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_token_lies_encrypted_and_for_this_key_alone(world: World) -> None:
    assert world.bind("alice") == "alice"
    key = world.registry.find("alice")
    assert key.binding is not None
    assert (key.binding.account, world.token("alice")) == ("alice", TOKEN)
    world.database.close()
    assert TOKEN.encode() not in b"".join(file.read_bytes() for file in world.folder.glob("*.db*"))
    assert (world.folder / "account-tokens.key").stat().st_mode & 0o077 == 0
    assert TOKEN not in repr(key)
    other = world.key("bob")
    with pytest.raises(AccountError):  # a row that was moved to another key
        world.bindings.token(other.id, key.binding)


def test_another_sealing_key_is_told_and_one_that_comes_back_is_used(world: World) -> None:
    world.bind("alice")
    key = world.registry.find("alice")
    assert key.binding is not None
    elsewhere = world.with_key("other.key")
    with pytest.raises(AccountError) as told:
        elsewhere.token(key.id, key.binding)
    assert "ACCOUNT_TOKENS_KEY" in told.value.message
    (world.folder / "other.key").write_text((world.folder / "account-tokens.key").read_text())
    assert elsewhere.token(key.id, key.binding).current().secret.reveal() == TOKEN


def test_a_new_sign_in_takes_the_place_of_the_one_before(world: World) -> None:
    world.bind("alice")
    world.bind("alice", "ghu_test_alice2")
    assert (world.token("alice"), world.forgotten) == ("ghu_test_alice2", [TOKEN])


@pytest.mark.parametrize("end", ["unbind", "revoke"])
def test_nothing_is_kept_of_an_account_that_is_let_go(world: World, end: str) -> None:
    world.bind("alice")
    before, after = getattr(world.bindings, end)("alice")
    assert before.binding is not None
    assert after.binding is None
    assert (world.token("alice"), world.forgotten) == (None, [TOKEN])
    getattr(world.bindings, end)("alice")  # a second time is no error
    assert world.forgotten == [TOKEN]


@pytest.mark.parametrize("login", ["octocat", "OctoCat"])
def test_the_bridges_own_account_is_refused(world: World, login: str) -> None:
    with pytest.raises(ForbiddenError) as refused:
        world.bind("alice", f"ghu_test_{login}")
    assert refused.value.code == "account_in_use"
    assert world.token("alice") is None


def test_an_own_account_that_is_good_for_nothing_is_in_nobodys_way(tmp_path: Path) -> None:
    world = World(tmp_path, own="ghs_test_installation")
    with closing(world.database), closing(world.store):
        world.key("alice")
        assert world.bind("alice") == "alice"


def test_whose_account_it_is_has_to_be_known(world: World) -> None:
    with pytest.raises(AccountError) as told:
        world.bind("alice", "ghu_test_nameless")
    assert told.value.code == "account_unknown"
    world.github.status = 503
    with pytest.raises(GatewayError):
        world.bind("alice")
    world.github.status = 404
    with pytest.raises(AccountError) as no_plan:
        world.bind("alice")
    assert no_plan.value.code == "no_copilot_access"
    assert "/auth/device" not in no_plan.value.message
    assert world.token("alice") is None


@pytest.mark.parametrize(
    ("hers", "his", "works"),
    [
        ("Alice", "Alice", True),
        ("Alice", " alice", True),
        ("Alice", "Bob", False),
        ("", "", False),
        ("Alice", "", False),
    ],
)
def test_an_account_serves_the_keys_of_one_owner(world: World, hers: str, his: str, works: bool) -> None:
    world.key("laptop", owner=hers)
    world.key("desktop", owner=his)
    world.bind("laptop")
    if works:
        world.bind("desktop")
    else:
        with pytest.raises(ForbiddenError, match="serves another API key already"):
            world.bind("desktop")
    assert (world.token("desktop") is not None) is works


def test_an_owner_cannot_be_changed_to_share_an_account(world: World) -> None:
    for name in ("laptop", "desktop"):
        world.key(name, owner="Alice")
        world.bind(name)
    with pytest.raises(InvalidRequestError) as refused:
        world.registry.change("desktop", lambda key: replace(key, owner="Bob"))
    assert refused.value.param == "owner"
    world.registry.change("desktop", lambda key: replace(key, note="is no matter"))
    world.bindings.unbind("laptop")
    assert world.registry.change("desktop", lambda key: replace(key, owner="Bob"))[1].owner == "Bob"


def test_an_account_of_a_key_does_not_become_the_bridges_own(world: World) -> None:
    world.bind("alice")
    with pytest.raises(ForbiddenError) as refused:
        world.bindings.refuse_own("Alice")
    assert "'alice'" in refused.value.message
    world.bindings.refuse_own("octocat")
    world.bindings.refuse_own("")


def test_a_bound_token_is_no_configured_one() -> None:
    token: GitHubToken = BoundToken(Secret(TOKEN), "alice").current()
    assert (token.source, token.user, token.is_configured) == ("key", "alice", False)
