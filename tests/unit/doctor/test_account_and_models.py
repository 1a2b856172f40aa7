from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import responses

from app.converters.neutral.price_list import PriceList
from app.doctor.account import check_copilot_token, check_plan, check_sign_in
from app.doctor.calls import PlannedCall, announce, plan
from app.doctor.finding import Finding
from app.doctor.models import check_catalogue, check_mapping, check_search_model
from app.gateway import Gateway
from app.routing import Model
from app.settings import Settings
from tests.support import apps

USER_URL = "https://api.github.test/copilot_internal/user"


def quota(remaining: float, entitlement: float = 300, **more: Any) -> dict[str, Any]:
    percent = remaining / entitlement * 100 if entitlement else 0
    return {
        "entitlement": entitlement,
        "remaining": remaining,
        "percent_remaining": percent,
        "unlimited": False,
        **more,
    }


def plan_of(gateway: Gateway, upstream: responses.RequestsMock, **fields: Any) -> dict[str, Finding]:
    body = {"login": "octocat", "copilot_plan": "individual", "chat_enabled": True, **fields}
    upstream.get(USER_URL, json=body)
    token = gateway.github_tokens.current()
    assert token is not None
    return {finding.title: finding for finding in check_plan(gateway.github, token, gateway.settings)}


@pytest.mark.usefixtures("signed_in")
class TestPlan:
    @pytest.mark.parametrize(
        ("snapshot", "status", "words"),
        [
            (quota(212), "ok", "212 of 300 left. Reset: 2026-12-01."),
            (quota(12), "note", "12 of 300 left"),
            (quota(0), "problem", "refused (429) until then"),
            (quota(-1), "problem", "-1 of 300 left"),
            (quota(0, overage_permitted=True), "note", "billed to the account"),
            (quota(0, 0), "note", "includes none"),
            (quota(0, 0, unlimited=True), "ok", "unlimited"),
            (quota(0, -1, credits_used=18.5), "ok", "unlimited; 18.5 credits used"),
            (quota(0, -1, unlimited=True, has_quota=False), "problem", "used up. Reset: 2026-12-01."),
        ],
    )
    def test_premium_requests(
        self, gateway: Gateway, upstream: responses.RequestsMock, snapshot: Any, status: str, words: str
    ) -> None:
        snapshots = {"premium_interactions": snapshot}
        found = plan_of(gateway, upstream, quota_snapshots=snapshots, quota_reset_date="2026-12-01")
        assert found["premium requests"].status == status
        assert words in found["premium requests"].what

    def test_chat_switched_off(self, gateway: Gateway, upstream: responses.RequestsMock) -> None:
        assert plan_of(gateway, upstream, chat_enabled=False)["plan"].status == "problem"

    def test_older_free_plan_that_is_used_up(self, gateway: Gateway, upstream: responses.RequestsMock) -> None:
        found = plan_of(gateway, upstream, limited_user_quotas={"chat": 0}, monthly_quotas={"chat": 500})
        assert found["chat requests"].status == "problem"
        assert "Every model is refused" in found["chat requests"].what

    def test_plan_that_tells_no_quota(self, gateway: Gateway, upstream: responses.RequestsMock) -> None:
        assert list(plan_of(gateway, upstream)) == ["plan"]

    @pytest.mark.parametrize(("status", "body"), [(200, "<html>"), (500, "{}"), (429, "{}"), (401, "{}")])
    def test_answers_that_are_none(
        self, gateway: Gateway, upstream: responses.RequestsMock, status: int, body: str
    ) -> None:
        upstream.get(USER_URL, status=status, body=body)
        token = gateway.github_tokens.current()
        assert token is not None
        [finding] = check_plan(gateway.github, token, gateway.settings)
        assert finding.status == "problem"


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        ("ghu_test_unit", "ok", "from GH_COPILOT_TOKEN"),
        ("gho_test_unit", "ok", "from GH_COPILOT_TOKEN"),
        ("github_pat_test_unit", "note", "fine-grained"),
        ("ghp_test_unit", "problem", "classic"),
        ("ghs_test_unit", "note", "installation token"),
        ("ghr_test_unit", "problem", "refresh token"),
        ("", "problem", "Nobody is signed in"),
    ],
)
def test_kinds_of_tokens(environment: dict[str, str], token: str, status: str, words: str) -> None:
    settings = Settings.from_env({**environment, "GH_COPILOT_TOKEN": token})
    gateway = Gateway.build(settings)
    [finding] = check_sign_in(gateway.github_tokens, settings)
    assert finding.status == status
    assert words in finding.what
    assert "test_unit" not in str(finding)
    gateway.close()


def app_gateway(environment: dict[str, str], folder: Path) -> Gateway:
    signed_in = {**environment, **apps.settings(folder)}
    return Gateway.build(Settings.from_env(signed_in))


def test_github_app_is_told_with_its_installation_and_asked_for_no_plan(
    environment: dict[str, str], tmp_path: Path
) -> None:
    gateway = app_gateway(environment, tmp_path)
    [finding] = check_sign_in(gateway.github_tokens, gateway.settings)
    assert (finding.status, finding.what) == ("ok", f"{apps.ID}, installation {apps.INSTALLATION}; its key can be read")
    token = gateway.github_tokens.current()
    assert token is not None
    [finding] = check_plan(gateway.github, token, gateway.settings)
    assert finding.status == "ok"
    gateway.close()


def test_key_of_a_github_app_that_others_can_read_is_noted_and_one_that_is_missing_is_a_problem(
    environment: dict[str, str], tmp_path: Path
) -> None:
    gateway = app_gateway(environment, tmp_path)
    (tmp_path / "app.pem").chmod(0o644)
    assert [finding.status for finding in check_sign_in(gateway.github_tokens, gateway.settings)] == ["note", "ok"]
    (tmp_path / "app.pem").unlink()
    [finding] = check_sign_in(gateway.github_tokens, gateway.settings)
    assert finding.status == "problem"
    assert "GITHUB_APP_PRIVATE_KEY_FILE" in finding.what
    gateway.close()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "GITHUB_APP_PRIVATE_KEY_FILE belong to the same App"),
        (403, "id of a GitHub App"),
        (404, "GITHUB_APP_INSTALLATION_ID"),
        (422, "Copilot Requests"),
    ],
)
def test_what_github_refuses_of_an_app_is_explained(
    environment: dict[str, str], tmp_path: Path, upstream: responses.RequestsMock, status: int, words: str
) -> None:
    gateway = app_gateway(environment, tmp_path)
    url = f"https://api.github.test/app/installations/{apps.INSTALLATION}/access_tokens"
    upstream.post(url, status=status, json={"message": "no"})
    [finding] = check_copilot_token(gateway.copilot_tokens, gateway.settings)
    assert finding.status == "problem"
    assert words in finding.what
    gateway.close()


def test_own_sign_in_names_the_person(gateway: Gateway) -> None:
    gateway.github_tokens.save("ghu_test_unit", "octocat")
    [finding] = check_sign_in(gateway.github_tokens, gateway.settings)
    assert finding.what == "from the bridge's own sign-in, of octocat"


# ── models ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def entry(id: str, *endpoints: str, cost: float | None = 0, **fields: Any) -> dict[str, Any]:
    billing = {} if cost is None else {"billing": {"multiplier": cost, **fields.pop("billing", {})}}
    return {"id": id, "supported_endpoints": list(endpoints or ["/chat/completions"]), **billing, **fields}


@pytest.mark.usefixtures("signed_in")
class TestCatalogue:
    def test_counts_cost_and_policies(self, gateway: Gateway, catalogue: Callable[..., None]) -> None:
        catalogue(
            entry("gpt-4.1"),
            entry("gpt-5", "/responses", cost=1),
            entry("claude", "/v1/messages", "/chat/completions", cost=1, policy={"state": "disabled"}),
            entry("grok", cost=1, policy={"state": "unconfigured"}),
        )
        found = {finding.title: finding for finding in check_catalogue(gateway.catalog, PriceList())}
        assert found["models"].what == "4; 3 at /chat/completions, 1 at /responses, 1 at /v1/messages, 0 at /embeddings"
        assert found["without cost"].what == "gpt-4.1"
        assert found["not enabled"].what.startswith("claude, grok:")
        assert "https://github.com/settings/copilot/features" in found["not enabled"].advice

    def test_models_without_a_price_beside_others_that_have_one(
        self, gateway: Gateway, catalogue: Callable[..., None]
    ) -> None:
        priced = {"token_prices": {"default": {"input_price": 20, "output_price": 120}}}
        catalogue(
            {"id": "gpt-x", "supported_endpoints": ["/responses"], "billing": priced},
            *(entry(name, cost=None) for name in ("gpt-5-mini", "mine", "gpt-9")),
        )
        listed = PriceList({"mine": {"input": 1, "output": 2}})
        told = [one.what for one in check_catalogue(gateway.catalog, listed) if one.title == "prices"]
        assert [what.partition(" for ")[2].partition(":")[0] for what in told] == ["gpt-5-mini, mine", "gpt-9"]
        assert "list of 2026-08" in told[0]

    def test_what_copilot_warns_of_is_told_once_with_its_models(
        self, gateway: Gateway, catalogue: Callable[..., None]
    ) -> None:
        old = {"code": "client_version_deprecated", "message": "Please update your client."}
        end = {"code": "model_deprecation", "message": "Goes in May."}
        catalogue(
            entry("gpt-4.1", warning_messages=[old], info_messages=[end, {"code": "new", "message": "Fast!"}]),
            entry("gpt-5", warning_messages=[old, None, {"code": 7}], info_messages="x"),
        )
        found = [one for one in check_catalogue(gateway.catalog, PriceList()) if one.title == "Copilot warns"]
        assert [one.what for one in found] == [
            "Please update your client. (client_version_deprecated: gpt-4.1, gpt-5)",
            "Goes in May. (model_deprecation: gpt-4.1)",
        ]
        assert "COPILOT_API_VERSION" in found[0].advice

    def test_prices_are_told_where_a_name_leads(self, gateway: Gateway, catalogue: Callable[..., None]) -> None:
        prices = {"default": {"input_price": 500, "output_price": 2500}}
        catalogue(entry("claude-opus-4.6", billing={"token_prices": prices, "multiplier": 0}, cost=0))
        [finding] = check_mapping(gateway.mapping, gateway.catalog)
        assert "claude-opus-4.6 (500 in, 2500 out: credits per million tokens)" in finding.what
        assert "without cost" not in [one.title for one in check_catalogue(gateway.catalog, PriceList())]

    def test_empty_list(self, gateway: Gateway, catalogue: Callable[..., None]) -> None:
        catalogue()
        assert [finding.status for finding in check_catalogue(gateway.catalog, PriceList())] == ["problem"]

    def test_mapping(self, gateway: Gateway, catalogue: Callable[..., None]) -> None:
        catalogue(entry("claude-opus-4.6", cost=3), entry("gpt-4.1"))
        [finding] = check_mapping(gateway.mapping, gateway.catalog)
        assert finding.status == "ok"
        assert "gpt-4o-mini → claude-opus-4.6 (3 premium requests a call)" in finding.what
        gateway.mapping.set("fast", "gpt-41")
        lost = next(f for f in check_mapping(gateway.mapping, gateway.catalog) if f.status != "ok")
        assert lost.status == "problem"
        assert "Close to it: gpt-4.1" in lost.advice


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("gpt-5.4", "ok", "gpt-5.4"),
        ("gpt-5.5", "problem", "this account does not have"),
        ("gpt-4.1", "problem", "does not serve at /responses"),
    ],
)
def test_search_model(gateway: Gateway, catalogue: Callable[..., None], name: str, status: str, words: str) -> None:
    catalogue(entry("gpt-5.4", "/responses"), entry("gpt-4.1"))
    [finding] = check_search_model(name, gateway.catalog)
    assert finding.status == status
    assert words in finding.what
    assert bool(finding.advice) is (status == "problem")


# ── which calls ─────────────────────────────────────────────────────────────────────────────────────────────────────


def planned(*entries: dict[str, Any], mapping: dict[str, str] | None = None) -> dict[str, PlannedCall]:
    models = [model for each in entries if (model := Model.parse(each)) is not None]
    return {call.protocol: call for call in plan(models, lambda name: (mapping or {}).get(name, name))}


def test_the_cheapest_is_called_natively() -> None:
    calls = planned(
        entry("dear", "/chat/completions", "/v1/messages", cost=3),
        entry("cheap", "/v1/messages", cost=0.33),
        entry("unknown", "/v1/messages", "/chat/completions", cost=None),
        entry("free", "/chat/completions"),
    )
    assert {name: call.model for name, call in calls.items()} == {"chat": "free", "messages": "cheap"}
    assert calls["chat"].price == "free of charge"
    assert calls["messages"].price == "0.33 premium requests"


@pytest.mark.parametrize(
    "unfit",
    [
        entry("a", policy={"state": "disabled"}),
        entry("a", capabilities={"type": "embeddings"}),
        entry("a", "/responses"),
        entry("mapped"),  # it would be answered, and billed, as another model
    ],
)
def test_models_that_are_not_called(unfit: dict[str, Any]) -> None:
    calls = planned(unfit, entry("last-resort", cost=1), mapping={"mapped": "claude-opus-4.6"})
    assert calls["chat"].model == "last-resort"


def test_models_of_every_plan_that_people_pick_go_first() -> None:
    calls = planned(
        entry("a", billing={"restricted_to": ["pro"]}), entry("b", model_picker_enabled=False), entry("c"), entry("d")
    )
    assert calls["chat"].model == "c"


def test_unknown_price_is_said() -> None:
    assert announce(list(planned(entry("new", cost=None)).values())).what == "chat with new (cost unknown)"
