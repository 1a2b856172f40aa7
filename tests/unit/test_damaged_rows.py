"""Whatever stands in a row of the store, a call or a page is answered: what cannot be read counts as absent, or is told
as what it is with its remedy. Every odd value in the place of every value, and rows that are no JSON."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from app.gateway import Gateway
from tests.support.effort import tries
from tests.support.odd_values import ODD, places
from tests.support.secrets import API_KEY

KEY = {"Authorization": f"Bearer {API_KEY}"}
PAGE = {**KEY, "Accept": "text/html"}
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}]}
RAW = ("", "null", "[]", "{}", "7", '"x"', "{", "[" * 100_000, "[[1]]", '{"a": 1}', "\0", "NaN", '"\\ud800"', "☃")
MORE = (*ODD, float("inf"), float("nan"), 10**400, 1e18, "1", "a\nb: c", "☃")
FAR = 4_000_000_000.0

Call = Callable[[FlaskClient], Any]


def _get(path: str, headers: Mapping[str, str] = PAGE) -> Call:
    return lambda client: client.get(path, headers=headers)


def _chat(model: str) -> Call:
    return lambda client: client.post("/v1/chat/completions", json=BODY | {"model": model}, headers=KEY)


CHAT = _chat("gpt-4.1")
MAPPING = (
    CHAT,
    _get("/admin/mapping"),
    _get("/admin/mapping/rules"),
    _get("/admin/mapping/history", KEY),
    lambda client: client.put("/admin/mapping/other", json={"to": "gpt-4.1"}, headers=KEY),
    lambda client: client.post("/admin/mapping/undo", headers=KEY),
)
RULE = {"match": "zz*", "to": ["gpt-4.1"], "keys": ["k*"], "purposes": ["title"], "note": "n", "fall_back": True}
CHANGE = {"number": 1, "at": 5.0, "by": "key:a", "what": ["%(a)s", {"a": "b"}], "names": {"a": "b"}, "rules": [RULE]}
LIMIT = {"scope": "model", "of": "gpt-4.1", "ends_at": FAR, "opens_at": FAR, "code": "c", "is_quota": False}
TOKEN = {
    "value": "tid=test",
    "account": "",
    "api_base": None,
    "obtained_at": 1.0,
    "refresh_after_s": FAR,
    "lifetime_s": FAR,
    "direct": False,
    "skew_s": 0.0,
    "kind": "ghu",
}
BUNDLE = {
    "request_id": "r",
    "model": "",
    "outcome": "ok",
    "error": "",
    "made_at": 5.0,
    "gone_at": FAR,
    "size": 3,
}

# The row's key, what stands there when all is well, and who reads it. "<account>" is the account's fingerprint.
ROWS: dict[str, tuple[str, Any, tuple[Call, ...]]] = {
    "token": ("copilot-token:<account>", TOKEN, (CHAT,)),
    "catalogue": (
        "catalog:<account>",
        {"fetched_at": FAR, "data": [{"id": "gpt-4.1", "supported_endpoints": ["/chat/completions"]}]},
        (CHAT, _get("/v1/models", KEY)),
    ),
    "limits": ("limits:<account>", [LIMIT], (CHAT, _chat("slow"), _get("/usage"))),
    "calls": (
        "calls:<account>",
        {"running": ["w.1"], "waiting": {"w.2": "k"}, "turns": ["k"], "alive": {"w": FAR}, "last_at": 5.0},
        (CHAT,),
    ),
    "refusals": ("refused:/chat/completions:gpt-4.1", ["top_k"], (CHAT, _get("/admin/learned"))),
    "sign-in": (
        "device-sign-in",
        {
            "id": "a",
            "state": "failed",
            "user_code": "u",
            "verification_uri": "https://github.test/login/device",
            "started_at": 5.0,
            "expires_at": FAR,
            "interval_s": 5.0,
            "message": ["%(a)s", {"a": "b"}],
        },
        (_get("/auth/device"), _get("/auth/device/status", KEY)),
    ),
    "names": ("model_mapping", {"mine": "gpt-4.1"}, (_chat("mine"), *MAPPING)),
    "rules": ("model_rules", [RULE], (_chat("zzz"), *MAPPING)),
    "history": ("model_mapping_history", [CHANGE], MAPPING),
    "recording": ("recording", {"key": "k", "until": FAR, "by": "b"}, (CHAT, _get("/admin/recording"))),
    "bundle": ("bundle-head:0123456789abcdef", BUNDLE, (_get("/admin/recording"),)),
    "caches": ("cache-watch", {"until": FAR, "by": "b", "key": "ab" * 16}, (CHAT, _get("/admin/cache"))),
}


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"RUNAWAY_REPEATS": "9999", "RUNAWAY_CREDITS": "5000", "MAX_UPSTREAM_CALLS": "5"}


@pytest.fixture
def bugs(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    def found() -> list[str]:
        told = [str(record.exc_info[1]) for record in caplog.records if record.exc_info and record.exc_info[0]]
        caplog.clear()
        return told

    return found


@pytest.fixture
def ready(signed_in: None, catalogue: Callable[..., None], upstream: responses.RequestsMock, gateway: Gateway) -> str:
    """The account's fingerprint, once all that a call needs is there."""
    catalogue("gpt-4.1", "slow")
    slow = {"error": {"message": "slow", "code": "user_model_rate_limited"}}

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        is_slow = json.loads(request.body)["model"] == "slow"
        return (429, {"Retry-After": "1"}, json.dumps(slow)) if is_slow else (200, {}, json.dumps(ANSWER))

    upstream.add_callback("POST", "https://copilot.test/chat/completions", answer)
    found = gateway.github_tokens.current()
    assert found is not None
    return found.fingerprint


def _damaged(value: Any, name: str) -> list[str]:
    """Some of all the ways in which it can be damaged, and each that is no JSON."""
    found = [json.dumps(place.holding(odd)) for place in places([value]) for odd in MORE]
    first = value[0] if isinstance(value, list) else value
    if isinstance(first, dict):
        newer = [{**first, "newer": 1}, *({one: first[one] for one in first if one != left} for left in first)]
        found += [json.dumps([row] if isinstance(value, list) else row) for row in newer]
    if name == "names":
        found = [text for text in found if "\\ud800" not in text]  # any name can be mapped; no page can show this one
    chosen = random.Random(name).sample(found, min(tries(150), len(found)))
    return [text for text in RAW if name != "names" or "\\ud800" not in text] + chosen


def _forget(gateway: Gateway) -> None:
    """What a worker keeps in memory, as if it had just started."""
    gateway.copilot_tokens._token = None
    gateway.seats.own.catalog._snapshot = None
    gateway.recorder._looked_at = gateway.cache_watch._looked_at = float("-inf")
    gateway.governor.limits._known = {}


@pytest.mark.parametrize("name", ROWS)
def test_no_row_is_the_end_of_a_call(
    ready: str, client: FlaskClient, gateway: Gateway, bugs: Callable[[], list[str]], name: str
) -> None:
    key, value, calls = ROWS[name]
    key = key.replace("<account>", ready)
    if name == "token":
        value = value | {"account": ready}
    for text in _damaged(value, name):
        for number, call in enumerate(calls):
            gateway.store.put(key, text, ttl_s=100)
            _forget(gateway)
            answer = call(client)
            assert (answer.status_code != 500, bugs()) == (True, []), f"call {number} with {text[:300]}"
            answer.close()
    gateway.store.delete(key)
    _forget(gateway)
    assert CHAT(client).status_code == 200


def test_the_brake_takes_a_row_that_it_cannot_read_for_an_empty_one(
    ready: str, client: FlaskClient, gateway: Gateway, bugs: Callable[[], list[str]]
) -> None:
    assert CHAT(client).status_code == 200
    [(key, text)] = gateway.store.scan("runaway:").items()
    for damaged in _damaged(json.loads(text), "runaway"):
        gateway.store.put(key, damaged, ttl_s=100)
        assert (CHAT(client).status_code in (200, 400), bugs()) == (True, []), damaged[:300]


def test_an_invitation_that_cannot_be_read_is_none(
    ready: str, client: FlaskClient, gateway: Gateway, bugs: Callable[[], list[str]]
) -> None:
    client.post("/admin/keys", json={"name": "alice"}, headers=KEY)
    link = client.post("/admin/keys/alice/invitation", json={}, headers=KEY).json["link"]
    path = re.sub("^http://[^/]+", "", link)
    [(key, text)] = gateway.store.scan("key-invitation:").items()
    guest = client.application.test_client()
    assert guest.get(path, headers={"Accept": "text/html"}).status_code == 303
    for number, damaged in enumerate(_damaged(json.loads(text), "invitation")):
        gateway.store.put(key, damaged, ttl_s=100)
        for at in (path, "/auth/invitation", "/auth/invitation/status"):
            # From another address each time: who comes with many links that are none has to wait.
            place = {"REMOTE_ADDR": f"10.0.{number // 250}.{number % 250 + 1}"}
            answer = guest.get(at, headers={"Accept": "text/html"}, environ_base=place)
            assert (answer.status_code in (200, 303, 404), bugs()) == (True, []), (at, damaged[:300])


def test_a_bundle_that_is_damaged_is_gone(ready: str, client: FlaskClient, gateway: Gateway) -> None:
    gateway.store.put("bundle-head:0123456789abcdef", json.dumps(BUNDLE))
    for body in ("", 'no base 85 {}"', "☃", "VPaz"):
        gateway.store.put("bundle-body:0123456789abcdef", body)
        assert client.get("/admin/recording/0123456789abcdef", headers=PAGE).status_code == 404, body
