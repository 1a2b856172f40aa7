"""The pages, walked through by a real browser: Chromium, gunicorn, the simulator as GitHub."""

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from app.settings import DEFAULT_API_KEY
from tests.simulator.client import Simulator
from tests.support.bridge import Bridge, LocalBridge
from tests.support.browser import WAIT_MS, Onlooker, Visitor, serving_page
from tests.support.secrets import API_KEY

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
expect = playwright.expect
pytestmark = pytest.mark.browser

_CODE = re.compile(r"^[A-Z0-9]{4}-[A-Z0-9]{4}$")
expect.set_options(timeout=WAIT_MS)


@pytest.fixture
def sim(simulator: Simulator) -> Simulator:
    """For the impatient: GitHub's real pause between two polls is five seconds."""
    simulator.config(device_interval_s=0.2)
    return simulator


@pytest.fixture
def start_bridge(sim: Simulator, tmp_path: Path) -> Iterator[Callable[..., LocalBridge]]:
    """Starts a service to which nobody is signed in, unless the environment variables given say otherwise."""
    with ExitStack() as stack:
        yield lambda **env: stack.enter_context(
            LocalBridge({**sim.settings_env(), **env}, tmp_path, api_key=env.get("API_KEY", API_KEY))
        )


@pytest.fixture
def bridge(start_bridge: Callable[..., LocalBridge]) -> LocalBridge:
    """As on the first start: the key is the well-known default."""
    return start_bridge(API_KEY=DEFAULT_API_KEY)


@pytest.fixture
def whole_service(sim: Simulator, tmp_path: Path) -> Iterator[Bridge]:
    """The same with gunicorn around it, and two workers, which have to agree on a sign-in."""
    env = {**sim.settings_env(), "API_KEY": DEFAULT_API_KEY}
    with Bridge(env, tmp_path, api_key=DEFAULT_API_KEY, workers=2) as running:
        yield running


@pytest.fixture
def visit(visit: Callable[..., Visitor], sim: Simulator) -> Iterator[Callable[..., Visitor]]:
    """The same, and none of them may have seen a device code."""
    visitors: list[Visitor] = []

    def start(**options: Any) -> Visitor:
        visitors.append(visit(**options))
        return visitors[-1]

    yield start
    secrets = [device[name] for device in sim.devices() for name in ("device_code", "token") if device[name]]
    for visitor in visitors:
        seen = "\n".join(visitor.bodies)
        assert "copilot-bridge" in seen
        assert not [secret for secret in secrets if secret in seen]
        assert not re.search(r"\b[0-9a-f]{40}\b", seen)


@pytest.fixture(scope="module")
def shoot() -> Onlooker:
    """``shoot(page, name)`` looks at a page as it is."""
    return Onlooker(AXE_SCRIPT)


def _enter_key(page: Any, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Continue").click()


def _code_on(page: Any) -> str:
    code = page.locator("#user-code")
    expect(code).to_have_text(_CODE)
    text: str = code.inner_text()
    return text


def _come_back(page: Any) -> None:
    """The person returns to this tab from another one; the page then asks at once how things stand."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def _await_polls(sim: Simulator, count: int) -> None:
    sim.wait("device_polls", sim.state()["device_polls"] + count)


def _approve(sim: Simulator, page: Any, code: str) -> None:
    known = sim.state()["user_info"]
    sim.approve_device(code)
    sim.wait("user_info", known + 1)  # the last call of a sign-in
    _come_back(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed in as octocat")


def _clipboard(visitor: Visitor) -> Any:
    return visitor.context.pages[0].evaluate("navigator.clipboard.readText()")


WORDS = {
    "en-US": {
        "status": "Waiting for GitHub…", "left": r"^1[45]:\d\d min$", "copy code": "Copy code", "copied": "Copied",
        "open": "Open GitHub", "done": "You are signed in as octocat", "copy command": "Copy command",
        "copy url": "Copy URL", "set up": "Set up your tools", "setup": "Set up a client", "usage": "Usage",
        "usage of": "Usage of octocat", "overview of": "Overview of octocat",
        "mapping": "Mapping", "from": "Client asks for", "to": "Goes to",
        "save": "Save", "unknown": "not in your list", "saved": "Saved: gpt-4 now goes to gpt-4o-nano.",
        "other": "简体中文", "other title": "模型映射", "back": "English", "log out": "Log out",
        "key": "Enter the API key", "go on": "Go on with this key", "nowhere": "There is nothing here",
    },
    "zh-CN": {
        "status": "正在等待 GitHub 确认…", "left": r"^1[45]:\d\d$", "copy code": "复制激活码", "copied": "已复制",
        "open": "打开 GitHub", "done": "已以 octocat 身份登录", "copy command": "复制命令",
        "copy url": "复制地址", "set up": "设置你的工具", "setup": "设置客户端", "usage": "用量",
        "usage of": "octocat 的用量", "overview of": "octocat 的概览",
        "mapping": "映射", "from": "客户端请求", "to": "实际使用",
        "save": "保存", "unknown": "不在模型列表中", "saved": "已保存：gpt-4 现在对应 gpt-4o-nano。",
        "other": "English", "other title": "Model mapping", "back": "简体中文", "log out": "退出",
        "key": "输入 API 密钥", "go on": "使用此密钥继续", "nowhere": "页面不存在",
    },
}  # fmt: skip


@pytest.mark.parametrize("locale", WORDS)
def test_from_a_first_start_to_a_first_answer_with_one_paste(
    whole_service: Bridge, sim: Simulator, visit: Any, shoot: Any, locale: str
) -> None:
    bridge, words = whole_service, WORDS[locale]
    visitor = visit(locale=locale, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open(bridge.url)  # the front door leads to the sign-in
    expect(page).to_have_url(bridge.url + "/auth/device")
    expect(page.locator("#status")).to_have_text(words["status"])
    code = _code_on(page)
    assert code == sim.devices()[0]["user_code"]
    expect(page.locator("#countdown")).to_have_text(re.compile(words["left"]))
    shoot(page, f"{locale}-1-sign-in")

    page.get_by_role("button", name=words["copy code"]).click()
    expect(page.get_by_role("button", name=words["copied"])).to_be_visible()
    assert _clipboard(visitor) == code
    link = page.get_by_role("link", name=words["open"])
    assert link.get_attribute("href") == sim.web + "/login/device"
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer")
    page.reload()
    expect(page.locator("#user-code")).to_have_text(code)
    other_tab = visitor.open(bridge.url + "/auth/device")
    expect(other_tab.locator("#user-code")).to_have_text(code)
    sim.wait("device_polls", 4)
    # Two pollers would come too early for each other, and GitHub would raise the pause.
    (device,) = sim.devices()
    assert device["interval"] == 0.2
    sim.approve_device(code)
    for tab in (page, other_tab):
        expect(tab.get_by_role("heading", level=1)).to_have_text(words["done"])
    other_tab.close()
    expect(page.locator("#base-url")).to_have_text(bridge.url + "/v1")
    expect(page.locator("#api-key")).to_have_text(DEFAULT_API_KEY)
    page.get_by_role("button", name=words["copy url"]).click()
    expect(page.get_by_role("button", name=words["copied"])).to_be_visible()
    assert _clipboard(visitor) == bridge.url + "/v1"
    page.reload()  # also puts the button's words back
    shoot(page, f"{locale}-2-signed-in")

    page.get_by_role("button", name=words["copy command"]).click()
    expect(page.get_by_role("button", name=words["copied"])).to_be_visible()
    assert _answer_to_pasted(_clipboard(visitor))["role"] == "assistant"

    page.get_by_role("link", name=words["set up"]).click()  # and nobody asks for a key that was never set
    expect(page.get_by_role("heading", level=1)).to_have_text(words["setup"])
    page.locator("#claude-code summary").click()
    expect(page.locator("#claude-code-file1")).to_contain_text(DEFAULT_API_KEY)
    shoot(page, f"{locale}-3-setup")
    page.get_by_role("link", name=words["usage"], exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(words["usage of"])
    shoot(page, f"{locale}-4-usage")

    page.get_by_role("link", name=words["mapping"], exact=True).click()
    page.get_by_label(words["from"]).fill("gpt-4")
    page.get_by_label(words["to"]).fill("gpt-4o-nano")
    page.get_by_role("button", name=words["save"]).click()
    expect(page.get_by_text(words["saved"])).to_be_visible()
    expect(page.locator(".changed .badge")).to_have_text(words["unknown"])
    shoot(page, f"{locale}-5-mapping")
    page.get_by_role("link", name=words["other"]).click()
    page.goto(bridge.url + "/admin/mapping")
    expect(page.get_by_role("heading", level=1)).to_have_text(words["other title"])  # the choice is remembered
    page.get_by_role("link", name=words["back"]).click()

    page.get_by_role("button", name=words["log out"]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(words["key"])
    shoot(page, f"{locale}-6-key")
    page.get_by_role("button", name=words["go on"]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(words["overview of"])
    page.goto(bridge.url + "/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text(words["nowhere"])
    shoot(page, f"{locale}-7-nowhere")
    # The browser drops the answer that made it move on, so this one is looked at here.
    assert device["device_code"] not in bridge.get("/auth/device/status").text


def _answer_to_pasted(command: str, typed: str = "") -> dict[str, Any]:
    """The message that a model answers to a command pasted into a shell; typed: what the person types then."""
    shell = subprocess.run(["sh", "-c", command], input=typed, capture_output=True, text=True, timeout=30, check=True)
    message: dict[str, Any] = json.loads(shell.stdout[shell.stdout.index("{") :])["choices"][0]["message"]
    return message


def test_copying_works_without_the_clipboard_api(bridge: LocalBridge, visit: Any) -> None:
    """As on plain http in the home network, where browsers withhold it."""
    visitor = visit(permissions=["clipboard-read"])
    reader = visitor.open("about:blank")
    reader.goto(bridge.url + "/auth/device")
    page = visitor.context.new_page()
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto(bridge.url + "/auth/device")
    page.get_by_role("button", name="Copy code").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    reader.bring_to_front()
    assert _clipboard(visitor) == page.locator("#user-code").inner_text()


def test_ended_sign_in_is_explained_and_can_be_repeated(
    bridge: LocalBridge, sim: Simulator, visit: Any, shoot: Any
) -> None:
    page = visit().open(bridge.url + "/auth/device")
    codes = [_code_on(page)]
    for end, explanation, name in [
        (sim.deny_device, "cancelled on GitHub", "sign-in-denied"),
        (sim.expire_device, "ran out before it was entered", "sign-in-expired"),
    ]:
        known = sim.state()["device_polls"]
        end(codes[-1])  # the next poll learns of it and is the last
        sim.wait("device_polls", known + 1)
        _come_back(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Not signed in")
        expect(page.get_by_role("alert")).to_contain_text(explanation)
        shoot(page, name)
        page.get_by_role("button", name="Try again").click()
        codes.append(_code_on(page))
    assert len(set(codes)) == 3
    _approve(sim, page, codes[-1])


def test_without_javascript_the_page_moves_on_too(bridge: LocalBridge, sim: Simulator, visit: Any) -> None:
    page = visit(java_script_enabled=False).open(bridge.url + "/auth/device")
    code = _code_on(page)
    expect(page.get_by_role("button", name="Copy code")).to_be_hidden()
    sim.approve_device(code)
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed in as octocat")


def test_passing_trouble_is_shown_and_overcome(bridge: LocalBridge, sim: Simulator, visit: Any, shoot: Any) -> None:
    page = visit().open(bridge.url + "/auth/device")
    code = _code_on(page)
    sim.fault(endpoint="/login/oauth/access_token", status=503, body={}, times=None)
    _await_polls(sim, 2)  # at the second one, the first was answered and judged
    _come_back(page)
    status = page.locator("#status")
    expect(status).to_have_text("GitHub answered HTTP 503; still trying.")
    shoot(page, "sign-in-trouble")
    page.context.set_offline(True)
    _come_back(page)
    expect(status).to_have_text("The bridge does not answer. Still trying…")
    page.context.set_offline(False)
    sim.clear_faults()
    _await_polls(sim, 2)
    _come_back(page)
    expect(status).to_have_text("Waiting for GitHub…")
    expect(page.locator("#user-code")).to_have_text(code)
    _approve(sim, page, code)


def test_way_from_usage_to_the_sign_in_and_no_code_from_github(
    bridge: LocalBridge, sim: Simulator, visit: Any, shoot: Any
) -> None:
    page = visit().open(f"{bridge.url}/usage?api_key={bridge.api_key}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to GitHub")
    shoot(page, "sign-in-required")
    sim.fault(endpoint="/login/device/code", status=503, body={})
    page.get_by_role("link", name="Go to the sign-in page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("No sign-in code yet")
    expect(page.get_by_role("alert")).to_contain_text("HTTP 503")
    shoot(page, "no-code")
    page.get_by_role("link", name="Try again").click()
    assert _code_on(page)


def test_linked_account_is_shown_to_those_who_know_the_key(
    start_bridge: Any, sim: Simulator, visit: Any, shoot: Any
) -> None:
    bridge = start_bridge()
    visitor = visit()
    page = visitor.open(bridge.url + "/auth/device")
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the API key")
    expect(page.get_by_label("API key")).to_be_focused()
    shoot(page, "key-asked")
    _enter_key(page, "a wrong one")
    expect(page.get_by_role("alert")).to_contain_text("Wrong API key")
    shoot(page, "key-wrong")
    _enter_key(page, bridge.api_key)
    expect(page).to_have_url(bridge.url + "/auth/device")  # where the visitor was going
    first = _code_on(page)
    _approve(sim, page, first)

    page.goto(bridge.url + "/auth/device")
    expect(page.get_by_role("heading", level=1)).to_have_text("Signed in as octocat")
    expect(page.get_by_role("main")).to_contain_text("A sign-in on this page")
    expect(page.get_by_role("main")).to_contain_text("It asks for your API key.")
    assert _answer_to_pasted(page.locator("#example").inner_text(), typed=bridge.api_key + "\n")["content"]
    shoot(page, "linked")

    page.get_by_role("button", name="Sign in anew").click()
    expect(page.get_by_role("main")).to_contain_text("goes on with the present sign-in of octocat")
    second = _code_on(page)
    assert second != first
    shoot(page, "sign-in-anew")
    _approve(sim, page, second)

    # GitHub stops accepting the token; the bridge learns of it at the next exchange.
    for device in sim.devices():
        sim.revoke_github_token(device["token"])
    sim.invalidate_copilot_tokens()
    assert bridge.chat("hi").status_code == 403
    page.goto(bridge.url + "/auth/device")
    expect(page.get_by_role("heading", level=1)).to_have_text("GitHub no longer accepts this sign-in")
    shoot(page, "linked-refused")
    page.goto(bridge.url + "/usage")
    expect(page.get_by_role("alert")).to_contain_text("no longer accepts the stored sign-in")
    shoot(page, "usage-refused")
    page.get_by_role("link", name="Go to the sign-in page").click()
    page.get_by_role("button", name="Sign in anew").click()
    assert _code_on(page)


def test_usage(start_bridge: Callable[..., LocalBridge], sim: Simulator, visit: Any, shoot: Any) -> None:
    token = "ghu_test_individual"
    bridge = start_bridge(GH_COPILOT_TOKEN=token)
    sim.set_account(token, premium={"entitlement": 300, "remaining": 251.67})
    visitor = visit()
    page = visitor.open(f"{bridge.url}/usage?api_key={bridge.api_key}")
    expect(page).to_have_url(bridge.url + "/usage")  # the key is gone from the address
    assert bridge.api_key not in "".join(visitor.bodies)
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage of octocat")
    expect(page.locator("#plan")).to_have_text("Individual")
    expect(page.locator("#reset")).to_contain_text(re.compile(r"^[A-Z][a-z]+ 1, 20\d\d \("))
    expect(page.locator("#quota-chat")).to_contain_text("Unlimited")
    premium = page.locator("#quota-premium_interactions")
    expect(premium).to_contain_text("49 of 300 used")
    shoot(page, "usage")

    sim.set_account(token, premium={"remaining": -12, "overage_permitted": True, "overage_count": 12})
    page.reload()
    expect(premium).to_contain_text("312 of 300 used (104%), which is 12 more than the plan includes")
    shoot(page, "usage-beyond")
    page.get_by_text("What GitHub said").click()
    expect(page.locator("pre")).to_contain_text('"copilot_plan": "individual"')
    shoot(page, "usage-raw")

    page.get_by_role("link", name="Sign-in", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("The GH_COPILOT_TOKEN variable")
    shoot(page, "linked-environment")
    page.get_by_role("link", name="Mapping").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    shoot(page, "mapping")


def test_image_on_a_foreign_page_changes_nothing(whole_service: Bridge, sim: Simulator, visit: Any, shoot: Any) -> None:
    """To a plain http:// name in the network Chromium sends neither Sec-Fetch-Site nor Origin nor Referer."""
    bridge = whole_service
    before = bridge.get("/admin/mapping").json()
    target = bridge.url.replace("127.0.0.1", "nas")
    change = f"{target}/admin/mapping/set?api_key={DEFAULT_API_KEY}&from=csrf&to=gpt-4.1"
    bait = f'<meta name="referrer" content="no-referrer"><img src="{change}"><a href="{change}">win</a>'
    bait += f'<a href="{bridge.url}/auth/device">sign in</a>'
    with serving_page(bait) as port:
        page = visit().open("about:blank")
        with page.expect_request(lambda request: request.url.startswith(target)) as loading:
            page.goto(f"http://evil.example:{port}/")
    assert "sec-fetch-site" not in loading.value.all_headers()
    assert bridge.log_line('"path": "/admin/mapping/set"')["status"] == 403
    assert bridge.get("/admin/mapping").json() == before
    page.get_by_role("link", name="win").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Change the mapping?")
    shoot(page, "confirm")
    assert bridge.get("/admin/mapping").json() == before
    page.get_by_role("button", name="Change it").click()  # the person meant it
    expect(page.get_by_text("Saved: csrf now goes to gpt-4.1.")).to_be_visible()

    # A link to the sign-in begins nothing by itself, to a host where browsers tell who asks.
    with serving_page(bait) as port:
        page.goto(f"http://evil.example:{port}/")
        page.get_by_role("link", name="sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to GitHub")
    assert not sim.devices()
    shoot(page, "sign-in-ready")
    page.get_by_role("button", name="Begin").click()
    assert _code_on(page)


def test_usage_of_the_free_plan(
    start_bridge: Callable[..., LocalBridge], sim: Simulator, visit: Any, shoot: Any
) -> None:
    bridge = start_bridge(GH_COPILOT_TOKEN="ghu_test_free_old", API_KEY="")  # no key: open to this machine
    sim.set_account("ghu_test_free_old", chat={"remaining": 40})
    page = visit().open(bridge.url)
    expect(page.locator("#plan")).to_have_text("Free")
    expect(page.locator("#quota-chat")).to_contain_text("460 of 500 used (92%)")
    page.get_by_role("link", name="Usage", exact=True).click()
    expect(page.locator("#plan")).to_have_text("Free")
    expect(page.locator("#quota-premium_interactions")).to_contain_text("Not part of this plan")
    expect(page.locator("#quota-chat")).to_contain_text("460 of 500 used (92%)")
    expect(page.get_by_role("main")).to_contain_text("API_KEY is empty")
    shoot(page, "usage-free")
    page.goto(bridge.url + "/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    shoot(page, "not-found")


def test_editors_sign_in_is_told_apart(
    start_bridge: Callable[..., LocalBridge], tmp_path: Path, visit: Any, shoot: Any
) -> None:
    folder = tmp_path / "editor"
    folder.mkdir()
    entry = {"127.0.0.1": {"user": "hubot", "oauth_token": "ghu_test_business"}}
    (folder / "hosts.json").write_text(json.dumps(entry), "utf-8")
    bridge = start_bridge(COPILOT_CONFIG_DIR=str(folder))
    page = visit().open(f"{bridge.url}/auth/device?api_key={bridge.api_key}")
    expect(page).to_have_url(bridge.url + "/auth/device")
    expect(page.get_by_role("heading", level=1)).to_have_text("Signed in as hubot")
    expect(page.get_by_role("main")).to_contain_text("an editor on this machine")
    shoot(page, "linked-editor")


_TYPED = "test-typed-key"


@pytest.fixture(scope="module")
def linked(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """Signed in by a token, with a key of the operator's own; one for all tests of the setup page."""
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": "ghu_test_individual"}
    with Bridge(env, tmp_path_factory.mktemp("linked")) as running:
        yield running


def test_setup_from_the_key_to_a_copied_setting(linked: Bridge, visit: Any, shoot: Any) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open(linked.url + "/setup")
    _enter_key(page, linked.api_key)
    expect(page).to_have_url(linked.url + "/setup")
    expect(page.get_by_role("heading", level=1)).to_have_text("Set up a client")
    expect(page.get_by_role("link", name="Setup")).to_have_attribute("aria-current", "page")
    shoot(page, "setup")

    claude = page.locator("#claude-code")
    claude.get_by_text("Claude Code", exact=True).click()
    settings = page.locator("#claude-code-file1")
    expect(settings).to_contain_text('"ANTHROPIC_AUTH_TOKEN": "<your API_KEY>"')
    page.get_by_label("API key").fill(_TYPED)
    expect(settings).to_contain_text(f'"ANTHROPIC_AUTH_TOKEN": "{_TYPED}"')
    claude.get_by_role("button", name="Copy: Merge into ~/.claude/settings.json").click()
    expect(page.locator("#copy-status")).to_have_text("Copied")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied["env"]["ANTHROPIC_BASE_URL"] == linked.url
    assert copied["env"]["ANTHROPIC_AUTH_TOKEN"] == _TYPED
    shoot(page, "setup-open")

    page.get_by_label("API key").fill("")
    expect(settings).to_contain_text("<your API_KEY>")
    sent = "".join(visitor.bodies)
    assert linked.api_key not in sent, "the page does not tell the key"
    assert _TYPED not in linked.log


def test_setup_import_link_gets_the_typed_key(linked: Bridge, visit: Any) -> None:
    page = visit().open(f"{linked.url}/setup/cherry-studio?api_key={linked.api_key}")
    expect(page.locator("#cherry-studio")).to_have_attribute("open", "")
    link = page.locator("#cherry-studio a[data-link]")
    expect(link).to_be_hidden()
    page.get_by_label("API key").fill("k>?>?~~")
    expect(page.locator("#key-help")).to_contain_text("by hand")
    expect(link).to_be_hidden()
    page.get_by_label("API key").fill("~~~///+++" + _TYPED)
    expect(link).to_be_visible()
    data = link.get_attribute("href").split("data=")[1].replace("_", "+").replace("-", "/")
    provider = json.loads(base64.b64decode(data + "=" * (-len(data) % 4), validate=True))
    assert provider["apiKey"] == "~~~///+++" + _TYPED
    assert provider["baseUrl"] == linked.url


def test_setup_without_the_clipboard_the_text_is_selected(linked: Bridge, visit: Any) -> None:
    """A plain http address in the network is no secure context: there is no clipboard API."""
    visitor = visit()
    visitor.context.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page = visitor.open(f"{linked.url}/setup/codex?api_key={linked.api_key}")
    page.locator("#codex").get_by_role("button", name="config.toml").click()
    expect(page.locator("#copy-status")).to_have_text("Copied")
    assert page.evaluate("getSelection().toString()").strip() == page.locator("#codex-file1").text_content().strip()


def test_setup_in_chinese_with_another_model(linked: Bridge, visit: Any, shoot: Any) -> None:
    page = visit(locale="zh-CN").open(f"{linked.url}/setup/opencode?api_key={linked.api_key}")
    expect(page.get_by_role("heading", level=1)).to_have_text("设置客户端")
    expect(page.get_by_role("link", name="客户端")).to_have_attribute("aria-current", "page")
    page.get_by_label("模型", exact=True).select_option("claude-opus-4.6")
    expect(page.locator("#opencode-file1")).to_contain_text('"model": "copilot-bridge-messages/claude-opus-4.6"')
    expect(page.get_by_label("模型", exact=True)).to_have_value("claude-opus-4.6")
    page.locator("#opencode").evaluate("element => element.open = true")
    shoot(page, "setup-chinese")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Set up a client")
    expect(page.get_by_label("Model", exact=True)).to_have_value("claude-opus-4.6")


def test_setup_another_model_keeps_key_and_open_sections(linked: Bridge, visit: Any) -> None:
    visitor = visit()
    page = visitor.open(f"{linked.url}/setup?api_key={linked.api_key}")
    page.locator("#codex summary").click()
    page.get_by_label("API key").fill(_TYPED)
    page.get_by_label("Model", exact=True).select_option("gpt-4.1")
    expect(page.locator("#codex-file1")).to_contain_text('model = "gpt-4.1"')
    expect(page.locator("#codex-file2")).to_contain_text(_TYPED)
    expect(page.locator("details[open]")).to_have_count(1)
    assert page.evaluate("sessionStorage.length") == 0, "the key is not left lying about"
    assert _TYPED not in "".join(visitor.bodies) + linked.log


def test_setup_before_the_sign_in(start_bridge: Any, visit: Any, shoot: Any) -> None:
    bridge = start_bridge()
    page = visit().open(f"{bridge.url}/setup?api_key={bridge.api_key}")
    expect(page.get_by_role("alert")).to_contain_text("Not signed in")
    shoot(page, "setup-signed-out")
    page.get_by_role("link", name="Go to the sign-in page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to GitHub")


def test_setup_without_a_script(linked: Bridge, visit: Any) -> None:
    page = visit(java_script_enabled=False).open(f"{linked.url}/setup/claude-code?api_key={linked.api_key}")
    expect(page.locator("#claude-code-file1")).to_be_visible()
    page.get_by_label("Model", exact=True).select_option("claude-opus-4.6")
    page.get_by_role("button", name="Use").click()
    expect(page.locator("#claude-code-file1")).to_contain_text('"ANTHROPIC_MODEL": "claude-opus-4.6"')
