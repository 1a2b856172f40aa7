"""The setup page in a real browser: copying, the key that never leaves it, both languages, narrow and wide."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.e2e.test_browser import bridge, chromium, shoot, sim, start_bridge, visit  # noqa: F401 - fixtures
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
expect = playwright.expect
pytestmark = pytest.mark.browser

TYPED = "test-typed-key"


@pytest.fixture
def linked(start_bridge: Any) -> Bridge:  # noqa: F811
    found: Bridge = start_bridge(GH_COPILOT_TOKEN="ghu_test_individual")
    return found


def _enter(page: Any, bridge: Bridge) -> None:  # noqa: F811
    page.get_by_label("API key").fill(bridge.api_key)
    page.get_by_role("button", name="Continue").click()


def test_from_the_key_to_a_copied_setting(linked: Bridge, visit: Any, shoot: Any) -> None:  # noqa: F811
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open(linked.url + "/setup")
    _enter(page, linked)
    expect(page).to_have_url(linked.url + "/setup")
    expect(page.get_by_role("heading", level=1)).to_have_text("Set up a client")
    expect(page.get_by_role("link", name="Setup")).to_have_attribute("aria-current", "page")
    shoot(page, "setup")

    claude = page.locator("#claude-code")
    claude.get_by_text("Claude Code", exact=True).click()
    settings = page.locator("#claude-code-file1")
    expect(settings).to_contain_text('"ANTHROPIC_AUTH_TOKEN": "<your API_KEY>"')
    page.get_by_label("API key").fill(TYPED)
    expect(settings).to_contain_text(f'"ANTHROPIC_AUTH_TOKEN": "{TYPED}"')
    claude.get_by_role("button", name="Copy: Merge into ~/.claude/settings.json").click()
    expect(page.locator("#copy-status")).to_have_text("Copied")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["env"]["ANTHROPIC_BASE_URL"] == linked.url
    assert copied["env"]["ANTHROPIC_AUTH_TOKEN"] == TYPED
    shoot(page, "setup-open")

    page.get_by_label("API key").fill("")
    expect(settings).to_contain_text("<your API_KEY>")
    sent = "".join(visitor.bodies)
    assert linked.api_key not in sent, "the page does not tell the key"
    assert TYPED not in linked.log


def test_the_import_link_gets_the_typed_key(linked: Bridge, visit: Any) -> None:  # noqa: F811
    page = visit().open(f"{linked.url}/setup/cherry-studio?api_key={linked.api_key}")
    expect(page.locator("#cherry-studio")).to_have_attribute("open", "")
    link = page.locator("#cherry-studio a[data-link]")
    expect(link).to_be_hidden()
    page.get_by_label("API key").fill("k>?>?~~")
    expect(page.locator("#key-help")).to_contain_text("by hand")
    expect(link).to_be_hidden()
    page.get_by_label("API key").fill("~~~///+++" + TYPED)
    expect(link).to_be_visible()
    data = link.get_attribute("href").split("data=")[1].replace("_", "+").replace("-", "/")
    provider = json.loads(base64.b64decode(data + "=" * (-len(data) % 4), validate=True))
    assert provider["apiKey"] == "~~~///+++" + TYPED
    assert provider["baseUrl"] == linked.url


def test_without_the_clipboard_the_text_is_selected(linked: Bridge, visit: Any) -> None:  # noqa: F811
    """A plain http address in the network is no secure context: there is no clipboard API."""
    visitor = visit()
    visitor.context.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page = visitor.open(f"{linked.url}/setup/codex?api_key={linked.api_key}")
    page.locator("#codex").get_by_role("button", name="config.toml").click()
    expect(page.locator("#copy-status")).to_have_text("Copied")
    assert page.evaluate("getSelection().toString()").strip() == page.locator("#codex-file1").text_content().strip()


def test_in_chinese_with_another_model(linked: Bridge, visit: Any, shoot: Any) -> None:  # noqa: F811
    page = visit(locale="zh-CN").open(f"{linked.url}/setup/opencode?api_key={linked.api_key}")
    expect(page.get_by_role("heading", level=1)).to_have_text("设置客户端")
    page.get_by_label("模型").select_option("claude-opus-4.6")
    expect(page.locator("#opencode-file1")).to_contain_text('"model": "copilot-bridge-messages/claude-opus-4.6"')
    expect(page.get_by_label("模型")).to_have_value("claude-opus-4.6")
    page.locator("#opencode").evaluate("element => element.open = true")
    shoot(page, "setup-chinese")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Set up a client")
    expect(page.get_by_label("Model")).to_have_value("claude-opus-4.6")


def test_before_the_sign_in(start_bridge: Any, visit: Any, shoot: Any) -> None:  # noqa: F811
    bridge = start_bridge()  # noqa: F811
    page = visit().open(f"{bridge.url}/setup?api_key={bridge.api_key}")
    expect(page.get_by_role("alert")).to_contain_text("Not signed in")
    shoot(page, "setup-signed-out")
    page.get_by_role("link", name="Go to the sign-in page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to GitHub")


def test_without_a_script_nothing_is_missing(chromium: Any, linked: Bridge, simulator: Simulator) -> None:  # noqa: F811
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{linked.url}/setup/claude-code?api_key={linked.api_key}")
    expect(page.locator("#claude-code-file1")).to_be_visible()
    page.get_by_label("Model").select_option("claude-opus-4.6")
    page.get_by_role("button", name="Use").click()
    page.goto(page.url.replace("/setup?", "/setup/claude-code?"))
    expect(page.locator("#claude-code-file1")).to_contain_text('"ANTHROPIC_MODEL": "claude-opus-4.6"')
    context.close()
