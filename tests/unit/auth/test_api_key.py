from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers

from app.auth.api_key import SESSION_S, Access, KeyRing, is_local_name, is_private_caller, presented_keys
from app.settings import DEFAULT_API_KEY, Secret
from tests.support.rows import rows

OWN = KeyRing([Secret("own"), Secret("other")])
DEFAULT = KeyRing([Secret(DEFAULT_API_KEY)])
OPEN = KeyRing([])
NOW = 1_800_000_000.5


@pytest.mark.parametrize(
    ("ring", "presented", "worth"),
    [
        (OWN, ["own"], Access.FULL),
        (OWN, ["dummy", "other"], Access.FULL),
        (OWN, ["Own"], Access.NONE),
        (OWN, ["own "], Access.NONE),
        (OWN, [""], Access.NONE),
        (OWN, ["öwn"], Access.NONE),
        (OWN, [], Access.NONE),
        (OWN, [DEFAULT_API_KEY], Access.NONE),
        (DEFAULT, [DEFAULT_API_KEY], Access.WEAK),
        (DEFAULT, [], Access.NONE),
        (OPEN, [], Access.WEAK),
        (OPEN, ["anything"], Access.WEAK),
        (KeyRing([Secret(DEFAULT_API_KEY), Secret("own")]), [DEFAULT_API_KEY, "own"], Access.FULL),
    ],
)
def test_what_a_key_is_worth(ring: KeyRing, presented: list[str], worth: Access) -> None:
    assert ring.judge(presented) is worth


def test_cookie_stands_for_its_key_and_does_not_hold_it() -> None:
    session = OWN.new_session(["dummy", "own"], NOW)
    assert session
    assert "own" not in session
    assert OWN.judge_session(session, NOW) is Access.FULL
    assert KeyRing([Secret("changed")]).judge_session(session, NOW) is Access.NONE
    assert DEFAULT.judge_session(str(DEFAULT.new_session([DEFAULT_API_KEY], NOW)), NOW) is Access.WEAK
    assert OWN.new_session(["wrong"], NOW) is None
    assert OPEN.new_session(["anything"], NOW) is None


def test_each_browser_has_a_session_of_its_own_and_it_ends() -> None:
    first, second = OWN.new_session(["own"], NOW), OWN.new_session(["own"], NOW)
    assert first
    assert first != second
    assert OWN.judge_session(first, NOW + SESSION_S - 60) is Access.FULL
    assert OWN.judge_session(first, NOW + SESSION_S + 2) is Access.NONE
    assert OWN.judge_session(first, NOW - 60) is Access.NONE, "from the future: a clock was set back, or it is forged"


@pytest.mark.parametrize("change", ["id", "time", "mac"])
def test_a_changed_session_is_worth_nothing(change: str) -> None:
    id, issued, mac = str(OWN.new_session(["own"], NOW)).split(".")
    forged = {"id": f"x{id}.{issued}.{mac}", "time": f"{id}.{int(issued) + 1}.{mac}", "mac": f"{id}.{issued}.{mac}0"}
    assert OWN.judge_session(forged[change], NOW + 10) is Access.NONE


@pytest.mark.parametrize("session", ["", "ä", ".", "..", "a.b.c", "a.9.", f"a.{'9' * 5000}.b", "a.²³.c", "\ud83d.1.x"])
def test_nonsense_is_no_session(session: str) -> None:
    assert OWN.judge_session(session, NOW) is Access.NONE


def test_warning_is_given_while_weak_access_is_possible() -> None:
    assert OWN.warning is None
    assert "default" in str(DEFAULT.warning)
    assert "empty" in str(OPEN.warning)


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({"Authorization": "Bearer abc"}, ["abc"]),
        ({"authorization": "bearer  abc "}, ["abc"]),
        ({"X-API-Key": "abc"}, ["abc"]),
        ({"Authorization": "Bearer one", "x-api-key": "two"}, ["one", "two"]),
        ({"Authorization": "Basic abc"}, []),
        ({"Authorization": "Bearer"}, []),
        ({"Authorization": ""}, []),
        ({}, []),
    ],
)
def test_where_a_key_is_looked_for(headers: dict[str, str], keys: list[str]) -> None:
    assert presented_keys(Headers(headers)) == keys


@rows()
@pytest.mark.parametrize(
    ("peer", "headers", "private"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("10.1.2.3", {}, True),
        ("172.17.0.1", {}, True),
        ("192.168.1.9", {}, True),
        ("100.64.0.9", {}, True),
        ("fd00::1", {}, True),
        ("fe80::1%eth0", {}, True),
        ("::ffff:192.168.1.9", {}, True),
        ("", {}, True),  # a Unix socket
        (None, {}, True),
        ("8.8.8.8", {}, False),
        ("203.0.113.7", {}, False),
        ("2001:4860:4860::8888", {}, False),
        ("::ffff:8.8.8.8", {}, False),
        ("0.0.0.0", {}, False),
        ("nonsense", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.1, 192.168.0.1"}, True),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, False),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.1, 8.8.8.8"}, False),
        ("127.0.0.1", {"X-Forwarded-For": "8.8.8.8, 10.0.0.1"}, False),
        ("127.0.0.1", {"X-Forwarded-For": "unknown"}, False),
        ("127.0.0.1", {"X-Forwarded-For": ""}, True),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.1:4711"}, True),
        ("127.0.0.1", {"X-Real-IP": "8.8.8.8"}, False),
        ("127.0.0.1", {"Forwarded": 'for=10.0.0.1;proto=https, For="[fd00::1]:4711"'}, True),
        ("127.0.0.1", {"Forwarded": 'for="[2001:4860:4860::8888]:4711"'}, False),
        ("127.0.0.1", {"Forwarded": "for=_hidden"}, False),
        ("8.8.8.8", {"X-Forwarded-For": "127.0.0.1"}, False),
    ],
)
def test_one_public_address_makes_a_public_caller(peer: str | None, headers: dict[str, str], private: bool) -> None:
    assert is_private_caller(peer, Headers(headers)) is private


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.1.5", True),
        ("copilot-bridge:8000", True),
        ("nas.local", True),
        ("host.docker.internal:8000", True),
        ("bridge.lan.", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
        ("user@evil.example", False),
        ("evil.example,localhost", False),
        ("[::1].evil.example", False),
        ("127.0.0.1:80:evil.example", False),
    ],
)
def test_name_that_could_be_rebound_is_not_local(host: str, local: bool) -> None:
    assert is_local_name(host) is local
