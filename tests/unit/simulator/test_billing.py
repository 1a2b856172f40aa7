"""Usage-based accounts: what they are shown, what answers cost, and what is booked (contract §4.3, §6.3.6, §10.8)."""

import pytest

CREDITS = "ghu_test_credits"
PROMPT = "[[knob: cached_tokens=9]][[knob: cache_write_tokens=2]][[say: Hi there]]"


def models(wire, account="ghu_test_individual", **headers):
    answer = wire.session.get(wire.sim.capi + "/models", headers=wire.headers(account, **headers))
    return {entry["id"]: entry for entry in answer.json()["data"]}


def test_prices_come_in_the_unit_of_the_api_version(wire):
    new = models(wire, CREDITS, X_GitHub_Api_Version="2026-06-01", Editor_Version="vscode/1.121.0")
    old = models(wire, CREDITS, X_GitHub_Api_Version="2026-01-09", Editor_Version="vscode/1.121.0")
    tiers, flat = (found["claude-sonnet-4.5"]["billing"]["token_prices"] for found in (new, old))
    assert tiers["default"]["input_price"] * 10**9 == flat["input_price"] == 300 * 10**9
    for entry in (*new.values(), *old.values()):
        assert not {"multiplier", "is_premium"} & set(entry.get("billing") or {})


@pytest.mark.parametrize(
    ("headers", "is_warned"),
    [
        ({"X_GitHub_Api_Version": "2026-06-01", "Editor_Version": "vscode/1.121.0"}, False),
        ({"X_GitHub_Api_Version": "2026-01-09", "Editor_Version": "vscode/1.121.0"}, True),
        ({"X_GitHub_Api_Version": "2026-06-01", "Editor_Version": "vscode/1.95.0"}, True),
        (
            {
                "X_GitHub_Api_Version": "2026-06-01",
                "Editor_Version": "vscode/1.121.0",
                "Editor_Plugin_Version": "copilot-chat/0.46.0",
            },
            True,
        ),
    ],
)
def test_old_clients_are_warned_at_every_model(wire, headers, is_warned):
    found = models(wire, CREDITS, **headers)
    codes = [[one["code"] for one in entry.get("warning_messages", [])] for entry in found.values()]
    assert all(("client_version_deprecated" in told) == is_warned for told in codes)


def test_without_a_version_a_github_token_sees_the_old_models(wire):
    def listed(**headers):
        asked = {"Authorization": "Bearer gho_test_direct", "User-Agent": "x", **headers}
        answer = wire.session.get(wire.sim.capi + "/models", headers=asked)
        return {entry["id"] for entry in answer.json()["data"]}

    assert "claude-sonnet-4.5" in listed(**{"X-GitHub-Api-Version": "2026-06-01"})
    assert "claude-sonnet-4.5" not in listed()
    assert "gpt-4.1" in listed()


def test_every_answer_tells_what_it_cost_and_the_ledger_is_their_sum(wire):
    """On all endpoints, whole and streamed, of persons and of agents."""
    agent = {"X_Initiator": "agent"}
    told = [
        wire.chat(PROMPT, "claude-sonnet-4.5", CREDITS).json(),
        wire.message(PROMPT, account=CREDITS, header=agent).json(),
        wire.respond(PROMPT, "gpt-5.4", account=CREDITS).json(),
        wire.events(wire.message(PROMPT, account=CREDITS, stream=True))[-2],
        wire.events(wire.respond(PROMPT, "gpt-5.4", account=CREDITS, stream=True))[-1],
    ]
    costs = [one["copilot_usage"]["total_nano_aiu"] for one in told]
    assert all(cost > 0 for cost in costs)
    for one in told:
        account = one["copilot_usage"]
        parts = [row["token_count"] * row["cost_per_batch"] / row["batch_size"] for row in account["token_details"]]
        assert round(sum(parts)) == account["total_nano_aiu"]
        kinds = [row["token_type"] for row in account["token_details"]]
        assert kinds == ["input", "cache_read", "cache_write", "output"]
    ledger = wire.sim.ledger()
    assert ledger["credits"] == pytest.approx(sum(costs) / 10**9)
    assert ledger["by_account"][CREDITS]["credits"] == ledger["credits"]
    assert ledger["premium_units"] == 0
    told = wire.session.get(
        wire.sim.api + "/copilot_internal/user", headers={"Authorization": f"token {CREDITS}", "User-Agent": "x"}
    ).json()
    snapshot = told["quota_snapshots"]["premium_interactions"]
    assert snapshot["credits_used"] == pytest.approx(ledger["credits"])
    assert told["token_based_billing"] is snapshot["token_based_billing"] is True
    assert snapshot["quota_reset_at"] > 0


def test_what_is_written_to_the_cache_stands_in_the_prompt_of_a_chat_answer(wire):
    answer = wire.chat(PROMPT, "claude-sonnet-4.5", CREDITS).json()
    rows = {row["token_type"]: row["token_count"] for row in answer["copilot_usage"]["token_details"]}
    assert rows["cache_write"] == 2
    assert rows["input"] + rows["cache_read"] + rows["cache_write"] == answer["usage"]["prompt_tokens"]


@pytest.mark.parametrize(("pool", "status"), [("full", 200), ("empty", 402)])
def test_a_seat_on_a_pool(wire, pool, status):
    account = f"ghu_test_pool_{pool}"
    answer = wire.chat("hi", "gpt-5.2", account, wire.sim.capi_business)
    assert answer.status_code == status
    if status == 402:
        assert answer.json()["error"]["code"] == "additional_spend_limit_reached"
        assert "x-quota-snapshot-premium_models" not in answer.headers
        wire.sim.config(quota_headers_on_402=True)
        newer = {"X_GitHub_Api_Version": "2026-06-01"}
        again = wire.chat("hi", "gpt-5.2", account, wire.sim.capi_business, header=newer)
        assert "totRem=-1" in again.headers["x-quota-snapshot-premium_models"]
    told = wire.session.get(
        wire.sim.api + "/copilot_internal/user", headers={"Authorization": f"token {account}", "User-Agent": "x"}
    ).json()["quota_snapshots"]["premium_interactions"]
    assert (told["entitlement"], told["unlimited"], told["has_quota"]) == (-1, True, pool == "full")


def test_fields_of_the_user_info_can_be_taken_away(wire):
    wire.sim.config(user_info_without=["login", "quota_snapshots.premium_interactions.has_quota"])
    told = wire.session.get(
        wire.sim.api + "/copilot_internal/user", headers={"Authorization": f"token {CREDITS}", "User-Agent": "x"}
    ).json()
    assert "login" not in told
    assert "has_quota" not in told["quota_snapshots"]["premium_interactions"]


def test_an_initiator_is_a_user_or_an_agent(wire):
    refused = wire.chat("hi", header={"X_Initiator": "machine"})
    assert (refused.status_code, refused.text) == (400, "bad request: invalid initiator\n")


def test_a_token_of_another_app_counts_as_that_app(wire):
    def ask(**headers):
        sent = {"Authorization": "Bearer gho_test_direct", "X-GitHub-Api-Version": "2026-06-01", **headers}
        body = {"model": "gpt-5.4", "input": "hi"}
        return wire.session.post(wire.sim.capi + "/responses", headers=sent, json=body).status_code

    assert ask() == 400
    assert ask(**{"Copilot-Integration-Id": "copilot-developer-cli"}) == 200
