"""Pages of calls, models and their troubles in a real browser: Chromium, gunicorn with two workers, the simulator."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.browser import WAIT_MS, Onlooker, Visitor
from tests.support.pictures import png_base64

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
expect = playwright.expect
pytestmark = pytest.mark.browser
expect.set_options(timeout=WAIT_MS)

PNG = base64.b64decode(png_base64(8, 8))
WORD = "ghjkmnpqrst"


@pytest.fixture
def bridge(simulator: Simulator, tmp_path: Path) -> Iterator[Bridge]:
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path, workers=2, app="wsgi:app") as running:
        yield running


@pytest.fixture(scope="module")
def shoot() -> Onlooker:
    return Onlooker(AXE_SCRIPT)


def enter(bridge: Bridge, visitor: Visitor, path: str) -> Any:
    page = visitor.open(f"{bridge.url}{path}?api_key={bridge.api_key}")
    expect(page).to_have_url(bridge.url + path)
    return page


def seed(bridge: Bridge, simulator: Simulator) -> None:
    """Calls of every kind."""
    assert bridge.chat("hello").ok
    assert bridge.chat("hello", model="claude-haiku-4.5", stream=True).text
    assert bridge.chat("hello", logit_bias={"50256": -100}, model="claude-haiku-4.5").ok
    bridge.chat("hello", model="no-such-model")
    simulator.fault("rate_limited_429", endpoint="/chat/completions")
    bridge.chat("hello")
    refusal = {"error": {"message": "Unsupported parameter: 'seed' is not supported.", "code": "unsupported_value"}}
    simulator.fault(endpoint="/chat/completions", status=400, body=refusal)
    assert bridge.chat("hello", seed=7).ok
    simulator.fault("overloaded_503", endpoint="/chat/completions")
    bridge.chat("hello")


HEADINGS = {
    "en": {"/requests": "Requests", "/catalogue": "Models", "/admin/learned": "Learned", "/try": "Try it",
           "/admin/recording": "Recording", "/admin/cache": "Cache doctor",
           "/admin/settings": "Settings"},
    "zh-CN": {"/requests": "请求", "/catalogue": "模型", "/admin/learned": "已学到的", "/try": "试一试",
              "/admin/recording": "录制", "/admin/cache": "缓存诊断",
              "/admin/settings": "设置"},
}  # fmt: skip


@pytest.mark.timeout(600)  # thirty pages, each looked at by axe-core
@pytest.mark.parametrize("locale", HEADINGS)
def test_every_room_empty_and_full(bridge: Bridge, simulator: Simulator, visit: Any, shoot: Any, locale: str) -> None:
    visitor = visit(locale=locale)
    page = enter(bridge, visitor, "/requests")
    for state in ("empty", "full"):
        for path, heading in HEADINGS[locale].items():
            page.goto(bridge.url + path)
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            shoot(page, f"{locale}{path.replace('/', '-')}-{state}")
        if state == "empty":
            seed(bridge, simulator)
            bridge.post("/v1/chat/completions", json={"model": "gpt-4.1", "messages": [], "n": 2})


def test_requests_are_filtered_opened_and_refreshed_without_a_script(
    bridge: Bridge, simulator: Simulator, visit: Any, shoot: Any
) -> None:
    seed(bridge, simulator)
    page = enter(bridge, visit(java_script_enabled=False), "/requests")
    page.get_by_role("link", name="Refresh every 5 seconds").click()
    rows = page.locator("details.call")
    expect(rows).to_have_count(7)  # those of the other worker come within a second
    page.get_by_role("link", name="Stop refreshing").click()
    page.get_by_label("Error").select_option("any")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(3)
    rows.first.locator("summary").click()
    expect(rows.first).to_contain_text("Calls to Copilot")
    page.get_by_role("link", name="Refresh every 5 seconds").click()
    expect(page.get_by_role("link", name="Stop refreshing")).to_be_visible()
    bridge.chat("hello", model="no-such-model")
    expect(rows).to_have_count(4)  # by itself


SHIFTS = """async () => {
  for (const _ of [1, 2]) await new Promise(requestAnimationFrame); // what was done before is over
  window.shifted = 0;
  window.shifts?.disconnect();
  window.shifts = new PerformanceObserver(list => list.getEntries().forEach(shift => window.shifted += shift.value));
  window.shifts.observe({ type: "layout-shift" });
}"""


def test_requests_are_followed_while_one_is_read(bridge: Bridge, simulator: Simulator, visit: Any, shoot: Any) -> None:
    seed(bridge, simulator)
    page = enter(bridge, visit(), "/requests")
    rows, news, count = page.locator("details.call"), page.locator("#news"), page.locator("#count")
    page.get_by_role("link", name="Follow live").click()
    expect(page.get_by_text("New calls appear by themselves.")).to_be_visible()
    expect(rows).to_have_count(7)
    page.evaluate(SHIFTS)
    bridge.chat("hello")
    expect(rows).to_have_count(8)
    expect(count).to_have_text("Calls: 8")
    expect(news).to_have_text("New calls: 1")
    assert page.evaluate("window.shifted") < 0.01
    # One that is open stays open, the same element, and at its place.
    page.evaluate("() => { window.read = document.querySelectorAll('details.call')[2]; }")
    rows.nth(2).locator("summary").click()
    page.mouse.move(0, 0)
    expect(rows.nth(2)).to_contain_text("Request id")
    page.evaluate(SHIFTS)
    place = page.evaluate("window.read.getBoundingClientRect().top")
    for more in (9, 10):
        bridge.chat("hello", model="no-such-model")
        expect(rows).to_have_count(more)
    assert page.evaluate("[...document.querySelectorAll('details.call')].indexOf(window.read)") == 4
    assert page.evaluate("window.read.isConnected && window.read.open")
    assert abs(page.evaluate("window.read.getBoundingClientRect().top") - place) < 1
    assert page.evaluate("window.shifted") < 0.01
    shoot(page, "requests-live")


def test_what_is_followed_can_be_narrowed_and_left(bridge: Bridge, simulator: Simulator, visit: Any) -> None:
    page = enter(bridge, visit(), "/requests")
    rows = page.locator("details.call")
    page.get_by_role("link", name="Follow live").click()
    expect(page.get_by_text("No calls yet")).to_be_visible()
    bridge.chat("hello")
    expect(rows).to_have_count(1)  # of an empty page too
    page.get_by_label("Error").select_option("any")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(0)
    bridge.chat("hello")
    bridge.chat("hello", model="no-such-model")
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Stop following").click()
    expect(page.get_by_role("link", name="Follow live")).to_be_visible()
    assert "live=1" not in page.url


def test_too_many_follow_and_the_page_asks_by_itself(bridge: Bridge, visit: Any) -> None:
    page = enter(bridge, visit(), "/requests")
    page.route("**/requests/events*", lambda route: route.fulfill(status=503))
    page.get_by_role("link", name="Follow live").click()
    bridge.chat("hello")
    expect(page.locator("details.call")).to_have_count(1)


def test_a_call_is_recorded_and_fetched(bridge: Bridge, visit: Any, shoot: Any) -> None:
    page = enter(bridge, visit(), "/admin/recording")
    page.get_by_label("Minutes").fill("5")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_contain_text("Calls are being recorded.")
    expect(page.get_by_text("No call was recorded")).to_be_visible()
    shoot(page, "recording-on")
    for _ in range(8):  # the other worker learns of it within a second
        bridge.chat(WORD)
        page.reload()
        if page.get_by_role("link", name="Download").count():
            break
        page.wait_for_timeout(300)
    shoot(page, "recording-kept")
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Download").first.click()
    content = Path(fetched.value.path()).read_text()
    assert json.loads(content)["format"] == "copilot-bridge-bundle-1"
    assert WORD not in content
    page.get_by_role("button", name="Stop recording").click()
    expect(page.get_by_text("Nothing is recorded now.")).to_be_visible()


def test_a_model_is_asked_for_and_tried(bridge: Bridge, visit: Any, shoot: Any) -> None:
    page = enter(bridge, visit(), "/catalogue")
    page.get_by_label("Why is a model missing?").fill("gpt-4.2")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#answer")).to_contain_text("Close to it: gpt-4.1")
    shoot(page, "models-asked")
    page.get_by_role("link", name="Try claude-haiku-4.5", exact=True).click()
    expect(page.get_by_label("Model")).to_have_value("claude-haiku-4.5")


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
@pytest.mark.parametrize("model", ["gpt-4.1", "claude-haiku-4.5"])
def test_a_conversation_in_each_dialect(
    bridge: Bridge, visit: Any, shoot: Any, simulator: Simulator, dialect: str, model: str
) -> None:
    page = enter(bridge, visit(), "/try")
    page.get_by_label("Model").select_option(model)
    page.get_by_label("Dialect").select_option(dialect)
    page.get_by_label("Image").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": PNG})
    page.get_by_label("Your message").fill("[[say: one two three]]")
    page.get_by_role("button", name="Send").click()
    turns = page.locator(".turn")
    expect(turns.nth(1)).to_have_text("one two three")
    expect(page.locator("#events")).to_contain_text("data:")
    expect(page.locator("#cost")).to_contain_text("Credits:")
    assert any("base64" in json.dumps(it) for it in simulator.requests() if it["path"] != "/models")
    page.get_by_label("Offer a tool").check()
    page.get_by_label("Your message").fill('[[tool: get_weather {"city": "Oslo"}]]')
    page.get_by_role("button", name="Send").click()
    expect(turns.nth(3)).to_contain_text("The model calls the tool: get_weather")
    expect(turns.nth(3)).to_contain_text("Oslo")
    expect(page.get_by_role("button", name="New conversation")).to_be_visible()
    shoot(page, f"try-{dialect}-{model}")
    page.get_by_role("button", name="New conversation").click()
    expect(turns).to_have_count(0)


def test_trouble_is_shown_on_the_page(bridge: Bridge, visit: Any, shoot: Any, simulator: Simulator) -> None:
    page = enter(bridge, visit(), "/try")
    page.get_by_label("Model").select_option("gpt-4.1")
    for fault, says in (("rate_limited_429", "rate limit"), ("in_stream_error", "rate limit")):
        simulator.fault(fault, endpoint="/chat/completions")
        page.get_by_label("Your message").fill("hello")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".turn.bad").last).to_contain_text(re.compile(says))
        expect(page.get_by_role("button", name="Send")).to_be_enabled()
    shoot(page, "try-trouble")
    page.get_by_label("Image").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no"})
    page.get_by_label("Your message").fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#problem")).to_contain_text("Only PNG")


def test_a_lost_cache_is_found(bridge: Bridge, visit: Any, shoot: Any, simulator: Simulator) -> None:
    page = enter(bridge, visit(), "/admin/cache")
    page.get_by_label("Watch for hours").fill("2")
    page.get_by_role("button", name="Watch").click()
    expect(page.get_by_role("status")).to_contain_text("Conversations are watched until")
    found = page.locator(".found li")
    text = "one " * 4000
    for n in range(12):  # the other worker learns of it within a second, and tells within another
        simulator.config(cached_tokens=0 if n % 2 else 3000)
        tools = [{"type": "function", "function": {"name": f"tool_{n}", "parameters": {"type": "object"}}}]
        assert bridge.chat(text, tools=tools).ok
        page.reload()
        if found.count():
            break
        page.wait_for_timeout(500)
    expect(found.first).to_contain_text("tools[0]: the client changed it")
    expect(found.first).to_contain_text("Read from the cache: 0 tokens, before: 3,000.")
    shoot(page, "cache-lost")
