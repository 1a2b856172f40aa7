"""/openapi.json says what the endpoints really do: called with whatever it allows, and with what it does not, they give
no 5xx, no status and no body that it does not describe. `make api-fuzz` has the long form."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from app import create_app
from app.schemas.document import OPERATIONS, Operation, document
from app.settings import Settings
from tests.simulator.client import Simulator
from tests.support.catalogue import IMAGES
from tests.support.secrets import API_KEY

EXAMPLES = int(os.environ.get("API_FUZZ_EXAMPLES", "4"))
NAMES = [f"{it.method} {it.path}" for it in OPERATIONS]
HEADERS = {"Authorization": f"Bearer {API_KEY}"}
load_all_checks()
CHECKED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
# What is no part of the API: pages and their forms, and what clients look for first.
UNDESCRIBED = {
    "/",
    "/api/hello",
    "/docs",
    "/openapi.json",
    "/requests/events",
    "/auth/logout",
    "post /admin/mapping",
    "post /admin/recording",
    "post /admin/cache",
    "post /admin/learned",
    "post /auth/invitation/start",
    "get /auth/invitation/status",
    "get /auth/invitation",
    "post /admin/keys/form",
    "post /admin/mapping/rules/form",
    "post /catalogue",
    "/try",
    "post /try/chat",
    "post /try/messages",
    "post /try/responses",
}


@pytest.fixture(scope="module")
def app(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """In this process, with the simulator behind it."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    simulator_process.reset()
    simulator_process.config(catalogue={"add": [IMAGES]})
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual", "API_KEY": API_KEY}
    env |= {"DATA_DIR": str(folder), "COPILOT_CONFIG_DIR": str(folder), "WARM_UP": "false"}
    app = create_app(Settings.from_env(env))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.blueprints.probe.time", SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic))
        yield app
    app.extensions["gateway"].close()
    simulator_process.config(catalogue=None)


@pytest.fixture(scope="module")
def described(app: Flask) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


def path_of(rule: str) -> str:
    return rule.replace("<path:", "{").replace("<", "{").replace(">", "}").replace("{source}", "{name}")


def test_every_endpoint_is_described(app: Flask) -> None:
    described = {(it.method, it.path) for it in OPERATIONS}
    for rule in app.url_map.iter_rules():
        path = path_of(rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            name = method.lower()
            is_described = (name, path) in described or (name, f"/v1{path}") in described
            assert is_described or path in UNDESCRIBED or f"{name} {path}" in UNDESCRIBED, f"{method} {path}"


def test_it_needs_no_key_and_tells_the_address_it_was_asked_at(app: Flask) -> None:
    told = app.test_client().get("/openapi.json", base_url="https://bridge.test/under").json
    assert told["openapi"] == "3.1.0"
    assert told["servers"] == [{"url": "https://bridge.test/under"}]
    assert told["paths"]["/v1/messages"]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert told == document("https://bridge.test/under")


def test_requests_are_described_by_what_checks_them(app: Flask) -> None:
    schemas = document("http://bridge.test")["components"]["schemas"]
    assert schemas["MessagesRequest"]["required"] == ["max_tokens", "messages", "model"]
    assert schemas["MessagesRequest"]["properties"]["max_tokens"] == {"type": "integer", "minimum": 1}
    assert schemas["ChatRequest"]["properties"]["stream"] == {"type": ["boolean", "null"]}
    assert schemas["ChatRequest"]["additionalProperties"] is True


@pytest.mark.parametrize("it", [it for it in OPERATIONS if it.example], ids=lambda it: it.path)
def test_examples_are_answered(app: Flask, described: Any, it: Operation) -> None:
    case = described[it.path][it.method].Case(
        path_parameters={"name": "mine"}, body=it.example, media_type="application/json", headers=HEADERS
    )
    response = case.call_and_validate(checks=CHECKED)
    assert response.status_code == 200


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not allowed"])
@pytest.mark.parametrize("it", OPERATIONS, ids=NAMES)
def test_answers_are_as_described(described: Any, it: Operation, mode: GenerationMode) -> None:
    operation = described[it.path][it.method]
    if mode is GenerationMode.NEGATIVE and not (it.parameters or it.body):
        return

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        case.headers = {**(case.headers or {}), **HEADERS}
        response = case.call()
        case.validate_response(response, checks=CHECKED)

    holds()
