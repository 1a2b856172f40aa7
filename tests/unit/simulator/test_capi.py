"""Hosts, headers, catalogue, limits, embeddings (contract §4, §5, §9–§11, §13.1, §13.4, §13.5, §13.9, §13.10)."""

import math
import re
from typing import Any

import pytest

TEXT = "text/plain; charset=utf-8"


def test_wrong_host_is_misdirected(wire):
    answer = wire.chat("hi", host=wire.sim.capi_business)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (421, "Misdirected Request\n", TEXT)
    assert wire.chat("hi", account="ghu_test_business").status_code == 421
    assert wire.chat("hi", account="ghu_test_business", host=wire.sim.capi_business).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/images/generations", "/responses/resp_1", "/nothing"])
def test_unknown_paths(wire, path):
    answer = wire.session.post(wire.sim.capi + path, headers=wire.headers(), json={})
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")


def test_ping(wire):
    assert wire.session.get(wire.sim.capi + "/_ping").status_code == 200
    wire.sim.config(ping_status=503)
    assert wire.session.get(wire.sim.capi + "/_ping").status_code == 503


def test_required_headers(wire):
    missing = wire.chat("hi", header={"Editor_Version": None})
    assert (missing.status_code, missing.text) == (400, "bad request: missing Editor-Version header for IDE auth\n")
    assert wire.chat("hi", header={"Copilot_Integration_Id": None}).status_code == 200
    wrong = wire.chat("hi", header={"Copilot_Integration_Id": "copilot-developer-cli"})
    assert (wrong.status_code, wrong.text) == (403, "token not authorized for this integration\n")
    wire.sim.config(min_editor_version="1.113.0")
    assert wire.chat("hi").status_code == 466
    assert wire.chat("hi", header={"Authorization": None}).status_code == 401


def test_direct_mode(wire):
    def ask(token):
        return wire.session.post(
            wire.sim.capi + "/chat/completions",
            headers={"Authorization": f"Bearer {token}"},
            json={"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]},
        )

    assert ask("gho_test_direct").status_code == 200
    assert ask("github_pat_test_direct").status_code == 200
    refused = ask("github_pat_test_nopermission")
    assert refused.status_code == 401
    assert refused.text == "unauthorized: Personal Access Token does not have Copilot Requests permission\n"
    assert ask("ghu_test_individual").status_code == 403
    assert ask("whatever").status_code == 401


def test_tokens_die_on_demand_and_by_age(wire):
    headers = wire.headers()
    assert wire.sim.invalidate_copilot_tokens() == 1
    answer = wire.session.get(wire.sim.capi + "/models", headers=headers)
    assert (answer.status_code, answer.text) == (401, "unauthorized: token expired\n")
    wire.sim.config(token_lifetime_s=0)
    assert wire.chat("hi").status_code == 401


def test_every_answer_carries_the_diagnostic_headers(wire):
    answer = wire.chat("hi", header={"X_Request_Id": "my-id"})
    assert answer.headers["x-request-id"] == "my-id"
    assert re.fullmatch(
        r"[0-9A-F]{4}:[0-9A-F]{6}:[0-9A-F]{7}:[0-9A-F]{7}:[0-9A-F]{8}", answer.headers["x-github-request-id"]
    )
    assert {"x-copilot-service-request-id", "date"} <= set(map(str.lower, answer.headers))


def test_vision_header(wire):
    gif = "data:image/gif;base64,R0lGODlhAwACAAAAACwAAAAAAwACAAACA0QUBQA7"
    picture = {"type": "image_url", "image_url": {"url": gif}}
    prompt = [{"role": "user", "content": [{"type": "text", "text": "look"}, picture]}]
    answer = wire.chat(prompt)
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        {"message": "missing required Copilot-Vision-Request header for vision requests", "code": ""},
    )
    seen = wire.chat(prompt, header={"Copilot_Vision_Request": "true"}).json()
    assert "I see an image (image/gif, 3x2 pixels)" in seen["choices"][0]["message"]["content"]


def test_catalogue_has_the_odd_entries(wire):
    entries = wire.session.get(wire.sim.capi + "/models", headers=wire.headers()).json()["data"]
    ids = [entry["id"] for entry in entries]
    assert ids.count("gpt-4") == ids.count("gpt-4-o-preview") == 2
    by_id = {entry["id"]: entry for entry in entries}
    assert "supported_endpoints" not in by_id["gpt-4o"]
    assert "policy" not in by_id["gpt-4o"]
    assert {entry["capabilities"]["type"] for entry in entries} == {"chat", "embeddings", "completion", "audio"}
    assert by_id["grok-4.5"]["policy"]["state"] == "unconfigured"
    assert by_id["contoso-audio-1"]["vendor"] == "Contoso AI"
    newer = wire.session.get(wire.sim.capi + "/models", headers=wire.headers(X_GitHub_Api_Version="2026-08-01")).json()
    assert any("token_prices" in entry.get("billing", {}) for entry in newer["data"])
    one = wire.session.get(wire.sim.capi + "/models/gpt-4o", headers=wire.headers()).json()
    assert one == by_id["gpt-4o"]


def test_model_refusals(wire):
    unknown = wire.chat("hi", "gpt-99")
    assert (unknown.status_code, len(unknown.content)) == (400, 138)
    wrong = wire.chat("hi", "gpt-5.3-codex").json()["error"]
    assert wrong == {
        "message": 'model "gpt-5.3-codex" is not accessible via the /chat/completions endpoint',
        "code": "unsupported_api_for_model",
    }
    wire.sim.config(unsupported_api_variant="august")
    assert wire.chat("hi", "gpt-5.3-codex").json()["error"]["code"] == "model_not_supported"
    assert len(wire.chat("hi", "claude-sonnet-4.5", account="ghu_test_free_new").content) == 138
    assert wire.chat("hi", "claude-haiku-4.5", account="ghu_test_free_new").status_code == 200
    long = wire.chat("x" * 600_000, "gpt-4o").json()["error"]
    assert long == {
        "message": "prompt token count of 150003 exceeds the limit of 64000",
        "code": "model_max_prompt_tokens_exceeded",
    }
    hidden = wire.chat("hi", "claude-opus-4.6", header={"Copilot_Integration_Id": "xcode-chat"}).json()["error"]
    assert hidden["code"] == "model_not_available_for_integrator"


def test_policy_flips(wire):
    wire.sim.catalogue(patch={"grok-4.5": {"supported_endpoints": ["/chat/completions"]}})
    refused = wire.chat("hi", "grok-4.5")
    assert refused.status_code == 403
    assert "https://github.com/settings/copilot" in refused.text
    url = wire.sim.capi + "/models/grok-4.5/policy"
    assert wire.session.post(url, headers=wire.headers(), json={"state": "enabled"}).status_code == 200
    assert wire.chat("hi", "grok-4.5").status_code == 200


def test_ledger_counts_user_requests_only(wire):
    assert wire.chat("hi", "claude-opus-4.6", header={"X_Initiator": "user"}).status_code == 200
    assert wire.chat("hi", "claude-haiku-4.5").status_code == 200  # missing is billed as the user's
    answer = wire.chat("hi", "claude-opus-4.6", header={"X_Initiator": "agent"})
    ledger = wire.sim.ledger()
    assert (ledger["premium_units"], ledger["user_requests"], ledger["agent_requests"]) == (3.33, 2, 1)
    assert re.fullmatch(
        r"ent=300&ov=0\.0&ovPerm=false&rem=98\.9&rst=\d{4}-\d\d-01T00%3A00%3A00Z",
        answer.headers["x-quota-snapshot-premium_interactions"],
    )
    assert "x-usage-ratelimit-session" not in answer.headers
    wire.sim.config(usage_session_used=64.7)
    assert wire.chat("hi").headers["x-usage-ratelimit-session"].startswith("ent=0&rem=35.3&rst=")
    assert "x-usage-ratelimit-session" not in wire.chat("hi", header={"X_GitHub_Api_Version": None}).headers


def test_quotas(wire):
    gone = wire.chat("hi", "claude-sonnet-4.5", account="ghu_test_exhausted")
    assert (gone.status_code, gone.text) == (402, '{"error":{"message":"You have no quota","code":"quota_exceeded"}}\n')
    assert wire.chat("hi", "gpt-4.1", account="ghu_test_exhausted").status_code == 200
    unlimited = wire.chat("hi", "claude-sonnet-4.5", account="ghu_test_unlimited")
    assert unlimited.headers["x-quota-snapshot-premium_models"].startswith("ent=-1&")
    wire.sim.set_account("ghu_test_free_new", chat={"remaining": 1})
    assert wire.chat("hi", account="ghu_test_free_new").status_code == 200
    assert wire.chat("hi", account="ghu_test_free_new").json()["error"]["code"] == "free_quota_exceeded"


def test_auto_mode(wire):
    headers = wire.headers()
    session = wire.session.post(
        wire.sim.capi + "/models/session", headers=headers, json={"auto_mode": {"model_hints": ["auto"]}}
    ).json()
    assert session["selected_model"] == session["available_models"][0]
    wire.chat("hi", "claude-sonnet-4.5", header={"Copilot_Session_Token": session["session_token"]})
    assert wire.sim.ledger()["premium_units"] == 0.9
    label = wire.session.post(
        wire.sim.capi + "/models/session/intent",
        headers=headers,
        json={"prompt": "hi", "available_models": ["gpt-5-mini"], "prompt_char_count": 2},
    ).json()
    assert label["predicted_label"] == "no_reasoning"


def test_embeddings(wire):
    def embed(**body):
        return wire.session.post(
            wire.sim.capi + "/embeddings", headers=wire.headers(), json={"model": "text-embedding-3-small", **body}
        )

    answer = embed(input=["one", "two"], dimensions=8, encoding_format="base64").json()
    assert set(answer) == {"data", "usage", "copilot_usage"}
    first, second = (entry["embedding"] for entry in answer["data"])
    assert math.isclose(sum(value * value for value in first), 1.0, abs_tol=1e-6)
    assert first != second
    assert embed(input=["one"], dimensions=8).json()["data"][0]["embedding"] == first
    assert len(embed(input=["one"]).json()["data"][0]["embedding"]) == 1536
    wrongs: list[Any] = [{"input": "one"}, {"input": ["x"] * 513}, {"input": []}, {"input": ["x"], "dimensions": 4096}]
    for wrong in wrongs:
        assert embed(**wrong).status_code == 400
    assert wire.sim.ledger()["user_requests"] == 0


def test_body_limit(wire):
    wire.sim.config(body_limit_bytes=100)
    answer = wire.chat("x" * 200)
    assert (answer.status_code, answer.text) == (413, "413 Request Entity Too Large\n")


def test_pictures_are_data_and_not_too_many(wire):
    """Contract §6.2, §8.11."""

    def shown(count, url="data:image/png;base64,iVBORw0KGgo=", model="gpt-4.1"):
        parts = [{"type": "image_url", "image_url": {"url": url}}] * count
        return wire.chat([{"role": "user", "content": parts}], model, header={"Copilot_Vision_Request": "true"})

    assert shown(20).status_code == 200
    assert "too many URL images in request (max 20)" in shown(21).text
    assert "too many URL images in request (max 10)" in shown(11, model="gemini-2.5-pro").text
    assert "external image URLs are not supported" in shown(1, "https://pictures.test/a.png").text
    wire.sim.config(external_images=True)
    assert shown(1, "https://pictures.test/a.png").status_code == 200


@pytest.mark.parametrize(("preset", "status", "said"), [("bodyless_400", 400, ""), ("spend_limit_402", 402, "spend")])
def test_presets_of_autumn(wire, preset, status, said):
    wire.sim.fault(preset)
    answer = wire.chat("hi")
    assert (answer.status_code, said in answer.text, bool(answer.text)) == (status, True, bool(said))
