"""The pages by which a team is run, in a real browser: overview, usage, keys and rules, by an admin and by a client."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.simulator.client import Simulator
from tests.support.bridge import LocalBridge
from tests.support.browser import WAIT_MS, Onlooker
from tests.unit.ledger.test_entries import booking

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
expect = playwright.expect
pytestmark = pytest.mark.browser
expect.set_options(timeout=WAIT_MS)

HOSTILE = "<script>alert(1)</script>"
DAY_S = 86_400
WORDS = {
    "en-US": {
        "overview": "Overview of octocat", "usage": "Usage", "keys": "Keys", "mapping": "Mapping", "health": "Health",
        "by": "By", "show": "Show", "name": "Name", "owner": "Owner", "amount": "Amount", "make": "Make the key",
        "made": "The new key carol", "copy": "Copy", "copied": "Copied", "change": "Change carol", "save": "Save",
        "saved": "Saved: carol is changed", "revoke": "Revoke carol for ever", "revoked": "carol is revoked",
        "rules": "Rules, trying out, history and undo", "from": "Client asks for", "to": "Goes to", "title": "title",
        "try": "Try it out", "by rule": "by rule 1", "undo": "Undo change 1", "undone": "as they were before",
        "no rules": "There are no rules", "invite": re.compile("Make an invitation"), "send": "Send this link",
    },
    "zh-CN": {
        "overview": "octocat 的概览", "usage": "用量", "keys": "密钥", "mapping": "映射", "health": "健康状况",
        "by": "按", "show": "显示", "name": "名称", "owner": "所有者", "amount": "数量", "make": "创建密钥",
        "made": "新密钥 carol", "copy": "复制", "copied": "已复制", "change": "更改 carol", "save": "保存",
        "saved": "已保存：carol", "revoke": "永久撤销 carol", "revoked": "carol 已撤销",
        "rules": "规则、试运行、历史与撤销", "from": "客户端请求", "to": "实际使用", "title": "title",
        "try": "试运行", "by rule": "依据规则 1", "undo": "撤销第 1 次更改", "undone": "已恢复到该更改之前",
        "no rules": "没有规则", "invite": re.compile("创建邀请"), "send": "请把此链接发给",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def shoot() -> Onlooker:
    return Onlooker(AXE_SCRIPT)


@pytest.fixture
def bridge(simulator: Simulator, tmp_path: Path) -> Iterator[LocalBridge]:
    """A team of two, a month of calls, and names that somebody chose to do harm."""
    env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with LocalBridge(env, tmp_path) as running:
        assert running.get("/v1/models").ok
        budgets = [{"amount": 50, "unit": "credits", "per": "month"}]
        running.post("/admin/keys", json={"name": "bob", "owner": HOSTILE, "note": HOSTILE}).raise_for_status()
        made = running.post("/admin/keys", json={"name": "alice", "owner": "Alice", "budgets": budgets})
        running.secret = made.json()["secret"]  # type: ignore[attr-defined]
        now, names = time.time(), ("gpt-4.1", "claude-sonnet-4.6", HOSTILE)
        running.gateway.ledger.write(
            [
                booking(
                    ended_at=now - number % 30 * DAY_S,
                    key=("alice", "bob", HOSTILE)[number % 3],
                    client=("codex", HOSTILE)[number % 2],
                    served_model=names[number % 3],
                    account="octocat",
                    nano_credits=number * 10**8,
                    is_estimated=number % 5 == 0,
                    input_tokens=1000 * number,
                    cached_input_tokens=600 * number,
                    output_tokens=100 * number,
                    outcome="refused" if number % 11 == 0 else "finished",
                )
                for number in range(90)
            ]
        )
        yield running


@pytest.mark.parametrize("locale", WORDS)
def test_a_team_is_run_from_the_pages(bridge: LocalBridge, visit: Any, shoot: Any, locale: str) -> None:
    words = WORDS[locale]
    page = visit(locale=locale, permissions=["clipboard-read", "clipboard-write"]).open(
        f"{bridge.url}/?api_key={bridge.api_key}"
    )
    expect(page).to_have_url(bridge.url + "/")
    expect(page.get_by_role("heading", level=1)).to_have_text(words["overview"])
    expect(page.get_by_role("heading", name=words["health"])).to_be_visible()
    expect(page.locator("#spending svg[role=img]")).to_be_visible()
    shoot(page, f"{locale}-overview")

    page.get_by_role("link", name=words["usage"], exact=True).click()
    page.get_by_label(words["by"], exact=True).select_option("model")
    page.get_by_role("button", name=words["show"], exact=True).click()
    expect(page).to_have_url(re.compile(r"group=model"))
    expect(page.locator("#ledger tbody tr")).to_have_count(3)
    shoot(page, f"{locale}-usage-by-model")

    page.get_by_role("link", name=words["keys"], exact=True).click()
    shoot(page, f"{locale}-keys")
    page.get_by_label(words["name"], exact=True).fill("carol")
    page.get_by_label(words["amount"]).first.fill("5")
    page.get_by_role("button", name=words["make"]).click()
    expect(page.get_by_role("heading", name=words["made"])).to_be_visible()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("button", name=words["copy"], exact=True).click()
    expect(page.get_by_role("button", name=words["copied"])).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret
    shoot(page, f"{locale}-key-made")
    page.get_by_role("link", name=words["change"]).click()
    page.get_by_label(words["owner"]).fill("Carol")
    shoot(page, f"{locale}-key-edited")
    page.get_by_role("button", name=words["invite"]).click()
    expect(page.get_by_text(words["send"])).to_be_visible()
    page.get_by_role("button", name=words["save"]).click()
    expect(page.get_by_text(words["saved"])).to_be_visible()
    page.get_by_role("link", name=words["change"]).click()
    page.get_by_role("button", name=words["revoke"]).click()
    expect(page.get_by_text(words["revoked"])).to_be_visible()
    assert bridge.get("/v1/key", key=False, headers={"x-api-key": secret}).status_code == 401

    page.get_by_role("link", name=words["mapping"], exact=True).click()
    page.get_by_role("link", name=words["rules"]).click()
    edit = page.locator("#edit")
    edit.get_by_label(words["from"]).fill("claude-*")
    edit.get_by_label(words["to"]).fill("gpt-4.1")
    edit.get_by_label("title", exact=True).check()
    edit.get_by_role("button", name=words["save"]).click()
    tried = page.locator("#try")
    tried.get_by_label(words["from"]).fill("claude-haiku-4.5")
    tried.get_by_role("combobox").last.select_option("title")
    tried.get_by_role("button", name=words["try"]).click()
    expect(page.locator("#outcome")).to_contain_text(words["by rule"])
    shoot(page, f"{locale}-rules")
    page.get_by_role("button", name=words["undo"], exact=True).click()
    expect(page.get_by_text(words["undone"])).to_be_visible()
    expect(page.get_by_text(words["no rules"])).to_be_visible()


def test_a_client_sees_what_is_its_own_and_is_told_what_is_not(bridge: LocalBridge, visit: Any, shoot: Any) -> None:
    visitor = visit()
    page = visitor.open(bridge.url + "/")
    page.get_by_label("API key").fill(bridge.secret)  # type: ignore[attr-defined]
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview of the key alice")
    expect(page.locator("#budgets")).to_contain_text("0 of 50 used")
    shoot(page, "client-overview")
    page.get_by_role("link", name="Usage", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage of the key alice")
    shoot(page, "client-usage")
    expect(page.get_by_role("link", name="Keys", exact=True)).to_have_count(0)
    page.goto(bridge.url + "/admin/keys")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not allowed")
    expect(page.get_by_role("alert")).to_contain_text("a key of the role admin")
    shoot(page, "client-not-allowed")
    assert "octocat" not in "".join(visitor.bodies)
    assert "bob" not in "".join(visitor.bodies)

    bridge.call("DELETE", "/admin/keys/alice").raise_for_status()
    bridge.gateway.client_keys.known.forget()
    page.goto(bridge.url + "/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the API key")


def test_forms_work_without_javascript(bridge: LocalBridge, visit: Any) -> None:
    page = visit(java_script_enabled=False).open(f"{bridge.url}/admin/keys?api_key={bridge.api_key}")
    page.get_by_label("Name", exact=True).fill("dave")
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator("#secret")).to_have_text(re.compile(r"^cb-[A-Za-z0-9_-]{43}$"))
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_hidden()
    page.get_by_role("link", name="Change dave").click()
    page.get_by_role("button", name="Revoke dave for ever").click()
    expect(page.get_by_text("dave is revoked")).to_be_visible()
    page.goto(bridge.url + "/usage")
    page.get_by_role("link", name="7 days").click()
    expect(page.locator("#ledger table")).to_be_visible()


def test_by_the_keyboard_one_gets_past_the_navigation(bridge: LocalBridge, visit: Any) -> None:
    page = visit(reduced_motion="reduce").open(f"{bridge.url}/?api_key={bridge.api_key}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
