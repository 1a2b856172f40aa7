"""Device flow, token exchange and user info (contract §1–§3, §13.2, §13.3)."""

import json
import re
from urllib.parse import parse_qs

import pytest

CLIENT = "Iv1.b507a08c87ecfe98"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"
JSON = {"Accept": "application/json"}


def start(wire, client_id=CLIENT):
    return wire.session.post(
        wire.sim.web + "/login/device/code", headers=JSON, json={"client_id": client_id, "scope": "read:user"}
    )


def poll(wire, device, client_id=CLIENT, grant=GRANT):
    body = {"client_id": client_id, "device_code": device["device_code"], "grant_type": grant}
    answer = wire.session.post(wire.sim.web + "/login/oauth/access_token", headers=JSON, json=body)
    assert answer.status_code == 200
    return answer.json()


def test_device_code_has_the_documented_shape(wire):
    device = start(wire).json()
    assert re.fullmatch(r"[0-9a-f]{40}", device["device_code"])
    assert re.fullmatch(r"[A-Z0-9]{4}-[A-Z0-9]{4}", device["user_code"])
    assert (device["expires_in"], device["interval"]) == (899, 5)
    assert device["verification_uri"] == wire.sim.web + "/login/device"
    unknown = start(wire, "nobody")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "Not Found"})


def test_polling_is_pending_then_slow_down_then_a_token(wire):
    wire.sim.config(device_interval_s=0)
    device = start(wire).json()
    assert poll(wire, device)["error"] == "authorization_pending"
    wire.sim.approve_device(device["user_code"])
    assert poll(wire, device) == {"access_token": "ghu_test_device_0001", "token_type": "bearer", "scope": ""}
    assert poll(wire, device)["error"] == "incorrect_device_code"
    assert wire.token("ghu_test_device_0001")["sku"] == "monthly_subscriber_quota"

    wire.sim.config(device_interval_s=5)
    device = start(wire).json()
    assert poll(wire, device)["error"] == "authorization_pending"
    slow = poll(wire, device)
    assert (slow["error"], slow["interval"]) == ("slow_down", 10)
    assert wire.sim.devices()[-1]["polls"] == 2
    assert wire.sim.state()["device_polls"] == 5


def test_one_sign_in_too_many_ends_the_oldest(wire):
    """Contract §1.6: ten for each app, and the eleventh is nobody's fault that anybody is told of."""
    wire.sim.config(device_interval_s=0, most_sign_ins=2)
    for _ in range(3):
        device = start(wire).json()
        wire.sim.approve_device(device["user_code"])
        assert poll(wire, device)["access_token"]

    def exchanged(number):
        headers = {"Authorization": f"token ghu_test_device_{number:04d}"}
        return wire.session.get(wire.sim.api + "/copilot_internal/v2/token", headers=headers).status_code

    assert [exchanged(number) for number in (1, 2, 3)] == [401, 200, 200]


def test_deny_expire_wrong_client_and_wrong_grant(wire):
    wire.sim.config(device_interval_s=0)
    device = start(wire).json()
    assert poll(wire, device, client_id="other")["error"] == "incorrect_client_credentials"
    assert poll(wire, device, grant="password")["error"] == "unsupported_grant_type"
    wire.sim.deny_device()
    assert poll(wire, device)["error"] == "access_denied"
    other = start(wire).json()
    wire.sim.expire_device()
    assert poll(wire, other)["error"] == "expired_token"


def test_form_bodies_form_answers_and_foreign_apps(wire):
    answer = wire.session.post(
        wire.sim.web + "/login/device/code",
        headers={"Accept": "*/*"},
        data={"client_id": "Ov23li8tweQw6odWQebz", "scope": "read:user"},
    )
    code = parse_qs(answer.text)["device_code"][0]
    wire.session.post(
        wire.sim.web + "/login/device", data={"user_code": parse_qs(answer.text)["user_code"][0], "action": "approve"}
    )
    token = poll(wire, {"device_code": code}, "Ov23li8tweQw6odWQebz")
    assert token["access_token"].startswith("gho_")
    assert token["scope"] == "read:user"


def test_exchange_gives_a_real_looking_token(wire):
    envelope = wire.token()
    fields, _, mac = envelope["token"].rpartition(":")
    pairs = dict(part.split("=", 1) for part in fields.split(";"))
    assert int(pairs["exp"]) == envelope["expires_at"]
    assert re.fullmatch(r"[0-9a-f]{64}", mac)
    assert envelope["endpoints"]["api"] == wire.sim.capi
    assert wire.token("ghu_test_business")["endpoints"]["api"] == wire.sim.capi_business
    assert wire.token("ghu_test_free_old")["limited_user_quotas"] == {"chat": 470, "completions": 3900}
    wire.sim.config(envelope_minimal=True)
    assert sorted(wire.token()) == ["expires_at", "refresh_in", "token"]
    assert wire.sim.state()["exchanges"] == 4


@pytest.mark.parametrize(
    ("token", "status", "word"),
    [
        ("ghu_test_revoked", 401, "Bad credentials"),
        ("nonsense", 401, "Bad credentials"),
        ("gho_test_direct", 404, "Not Found"),
        ("github_pat_test_direct", 404, "Not Found"),
        ("ghu_test_no_copilot", 403, "no_copilot_access"),
        ("ghu_test_subscription_ended", 403, "subscription_ended"),
        ("ghu_test_rate_limited", 403, "API rate limit exceeded"),
    ],
)
def test_exchange_refusals(wire, token, status, word):
    answer = wire.session.get(wire.sim.api + "/copilot_internal/v2/token", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == status
    assert word in answer.text
    if word == "no_copilot_access":
        assert "{EDITOR}" in answer.json()["error_details"]["url"]


def test_clock_skew_moves_the_server_not_the_lifetime(wire):
    wire.sim.config(clock_skew_s=-3600, token_lifetime_s=1800)
    envelope = wire.token()
    wire.sim.config(clock_skew_s=0)
    assert wire.token()["expires_at"] - envelope["expires_at"] >= 3595
    assert wire.chat("hi").status_code == 200


def test_user_info_of_every_plan(wire):
    def info(token):
        return wire.session.get(
            wire.sim.api + "/copilot_internal/user", headers={"Authorization": f"token {token}"}
        ).json()

    paid = info("ghu_test_individual")
    assert paid["quota_snapshots"]["premium_interactions"]["remaining"] == 300
    assert paid["quota_snapshots"]["chat"]["unlimited"] is True
    assert info("ghu_test_business")["organization_login_list"] == ["acme-inc"]
    old = info("ghu_test_free_old")
    assert "quota_snapshots" not in old
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", old["limited_user_reset_date"])
    assert info("ghu_test_free_new")["quota_snapshots"]["premium_interactions"]["has_quota"] is False
    assert info("ghu_test_exhausted")["quota_snapshots"]["premium_interactions"]["percent_remaining"] == 0.0
    assert info("ghu_test_negative")["quota_snapshots"]["premium_interactions"]["percent_remaining"] == -0.333
    assert info("ghu_test_unlimited")["quota_snapshots"]["premium_interactions"]["unlimited"] is True
    assert wire.sim.state()["user_info"] == 7


def test_graphql_discovery(wire):
    answer = wire.session.post(
        wire.sim.api + "/graphql",
        headers={"Authorization": "Bearer ghu_test_business"},
        data=json.dumps({"query": "query { viewer { copilotEndpoints { api } } }"}),
    )
    assert answer.json()["data"]["viewer"]["copilotEndpoints"]["api"] == wire.sim.capi_business
