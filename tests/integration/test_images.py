"""Images over real HTTP: they pass as they are, for the models that list the path (contract §14.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.catalogue import IMAGES
from tests.support.secrets import API_KEY

KITE = {"model": "gpt-image-2", "prompt": "A red kite.", "size": "1024x1024", "quality": "high", "tomorrow": [1.50]}
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"


@pytest.fixture(scope="module")
def shared(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    simulator_process.reset()
    simulator_process.config(catalogue={"add": [IMAGES]})
    env = {
        **simulator_process.settings_env(),
        "GH_COPILOT_TOKEN": "ghu_test_unlimited",
        "MODEL_MAPPING": '{"dall-e-3": "gpt-image-2"}',
        "MAX_BODY_BYTES": "200000",
    }
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as running:
        running.chat("warm up: token and model list")
        yield running
    simulator_process.config(catalogue=None)


@pytest.fixture
def upstream(shared: Bridge, simulator_process: Simulator) -> Iterator[Simulator]:
    simulator_process.requests(clear=True)
    simulator_process.clear_faults()
    yield simulator_process
    simulator_process.clear_faults()
    simulator_process.config(image_streams=False)


def sent(simulator: Simulator) -> dict[str, Any]:
    return next(call for call in simulator.requests() if call["path"] in (GENERATIONS, EDITS))


def error_of(answer: requests.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


@pytest.mark.parametrize("path", ["/v1/images/generations", "/images/generations"])
def test_a_request_passes_to_the_byte(shared: Bridge, upstream: Simulator, path: str) -> None:
    raw = json.dumps(KITE, indent=2)
    answer = shared.post(path, data=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["data"][0]["b64_json"]
    assert (told["usage"]["total_tokens"], told["copilot_usage"]["total_nano_aiu"]) == (120, 1_500_000_000)
    assert (answer.headers["x-bridge-model"], answer.headers["x-bridge-credits"]) == ("gpt-image-2", "1.5")
    call = sent(upstream)
    assert (call["path"], call["body"]) == (GENERATIONS, raw)
    assert call["header"]["x-initiator"] == "user"


def test_a_mapped_name_is_the_only_change(shared: Bridge, upstream: Simulator) -> None:
    raw = json.dumps({**KITE, "model": "dall-e-3"}, indent=2)
    assert shared.post(GENERATIONS, data=raw, headers={"Content-Type": "application/json"}).status_code == 200
    assert sent(upstream)["body"] == raw.replace("dall-e-3", "gpt-image-2")


@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-3"])
@pytest.mark.parametrize("path", ["/v1/images/edits", "/images/edits"])
def test_a_form_passes_with_its_pictures(shared: Bridge, upstream: Simulator, path: str, model: str) -> None:
    pictures = [("image[]", (f"{at}.png", b"\x89PNG\r\n--not-the-boundary\r\n\r\n" * 9, "image/png")) for at in (1, 2)]
    form = {"prompt": "Make it blue.", "model": model, "n": "2"}
    answer = shared.post(path, data=form, files=pictures)
    assert (answer.status_code, len(answer.json().get("data", []))) == (200, 2), answer.text
    call = sent(upstream)
    assert (call["path"], call["header"]["copilot-vision-request"]) == (EDITS, "true")
    assert call["header"]["content-type"].startswith("multipart/form-data; boundary=")
    assert call["body"].count("not-the-boundary") == 18
    assert model == "gpt-image-2" or model not in call["body"]


def test_edits_may_be_json(shared: Bridge, upstream: Simulator) -> None:
    body = {**KITE, "images": [{"image_url": "data:image/png;base64,iVBORw0KGgo="}]}
    assert shared.post(EDITS, json=body).status_code == 200
    assert sent(upstream)["json"] == body


def test_the_official_sdk_gets_its_images(shared: Bridge, upstream: Simulator) -> None:
    with openai.OpenAI(base_url=f"{shared.url}/v1", api_key=API_KEY, max_retries=0) as client:
        made = client.images.generate(model="gpt-image-2", prompt="A red kite.", n=2)
        assert [one.b64_json is not None for one in made.data or []] == [True, True]
        edited = client.images.edit(model="gpt-image-2", prompt="Blue.", image=("a.png", b"\x89PNG", "image/png"))
        assert edited.usage is not None
        assert edited.usage.total_tokens == 120
        upstream.config(image_streams=True)
        with client.images.generate(model="gpt-image-2", prompt="A red kite.", stream=True, partial_images=1) as events:
            kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image", "image_generation.completed"]


def test_what_it_came_to_is_in_the_log(shared: Bridge, upstream: Simulator) -> None:
    upstream.config(image_streams=True)
    for stream in (False, True):
        answer = shared.post(GENERATIONS, json={**KITE, "stream": stream})
        line = shared.log_line(answer.headers["x-request-id"])
        assert (line["protocol"], line["model"], line["credits"]) == ("images", "gpt-image-2", 1.5)
        assert (line["usage"]["input_tokens"], line["usage"]["output_tokens"]) == (20, 100)


@pytest.mark.parametrize(
    ("path", "fields", "status", "code", "words"),
    [
        (GENERATIONS, {"model": "gpt-4.1"}, 400, "unsupported_api_for_model", "Try gpt-image-2 here."),
        (GENERATIONS, {"model": "gpt-image-3"}, 404, "model_not_found", "Did you mean: gpt-image-2?"),
        (GENERATIONS, {"model": None}, 400, None, "'model'"),
        (GENERATIONS, {"stream": True}, 400, None, "stream"),
        (GENERATIONS, {"stream": "yes"}, 400, None, "'stream' must be true or false"),
        (GENERATIONS, {"prompt": ""}, 400, None, "prompt is required"),
        (EDITS, {}, 400, None, "image is required"),
        (GENERATIONS, {"prompt": "x" * 300_000}, 413, None, "MAX_BODY_BYTES"),
    ],
)
def test_what_is_wrong_is_told_in_openais_form(
    shared: Bridge, upstream: Simulator, path: str, fields: dict[str, Any], status: int, code: str | None, words: str
) -> None:
    error = error_of(shared.post(path, json={**KITE, **fields}), status)
    assert words in error["message"]
    assert code in (None, error["code"])


def test_what_is_no_form_is_told_so(shared: Bridge, upstream: Simulator) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        error = error_of(shared.post(EDITS, data=b"no form", headers={"Content-Type": content_type}), 400)
        assert "form" in error["message"]
    error = error_of(shared.post(EDITS, data={"prompt": "p"}, files={"image": b"x"}), 400)
    assert error["param"] == "model"


@pytest.mark.parametrize("status", [429, 402, 503])
def test_upstreams_refusals_are_told_as_everywhere(shared: Bridge, upstream: Simulator, status: int) -> None:
    upstream.fault(endpoint=GENERATIONS, times=2, status=status, body='{"error":{"message":"Wait.","code":""}}')
    told = shared.post(GENERATIONS, json=KITE)
    upstream.clear_faults()
    upstream.fault(endpoint="/chat/completions", times=2, status=status, body='{"error":{"message":"Wait.","code":""}}')
    as_chat = shared.chat("hi")
    assert (told.status_code, told.json()["error"]["code"]) == (as_chat.status_code, as_chat.json()["error"]["code"])


def test_an_account_without_such_models_is_told_so(
    simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    simulator_process.config(catalogue={"remove": ["gpt-image-2"]})
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path_factory.mktemp("bridge")) as bridge:
        for path in (GENERATIONS, EDITS):
            error = error_of(bridge.post(path, json=KITE), 404)
            assert f"None of this account's models is served at {path}" in error["message"]
