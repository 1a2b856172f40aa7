"""The pages, walked through by a real browser: Chromium, gunicorn with two workers, the simulator as GitHub."""

import base64
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
expect = playwright.expect
pytestmark = pytest.mark.browser

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_SIZES = {"desktop": (1280, 900), "phone": (375, 812)}
_CODE = re.compile(r"^[A-Z0-9]{4}-[A-Z0-9]{4}$")
_WAIT_MS = 15_000  # longest wait for anything; nothing takes that long unless it is broken
expect.set_options(timeout=_WAIT_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def sim(simulator: Simulator) -> Simulator:
    """For the impatient: GitHub's real pause between two polls is five seconds."""
    simulator.config(device_interval_s=0.2)
    return simulator


@pytest.fixture
def start_bridge(sim: Simulator, tmp_path: Path) -> Iterator[Callable[..., Bridge]]:
    """Starts two workers to which nobody is signed in, unless the environment variables given say otherwise."""
    with ExitStack() as stack:
        yield lambda **env: stack.enter_context(Bridge({**sim.settings_env(), **env}, tmp_path, workers=2))


@pytest.fixture
def bridge(start_bridge: Callable[..., Bridge]) -> Bridge:
    return start_bridge()


class Visitor:
    """One browser profile. Keeps what the server sent to it and what its console complained about."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.bodies: list[str] = []
        self.complaints: list[str] = []
        context.set_default_timeout(_WAIT_MS)
        context.on("page", self._watch)

    def open(self, url: str) -> Any:
        page = self.context.new_page()
        page.goto(url)
        return page

    def _watch(self, page: Any) -> None:
        page.on("requestfinished", self._keep)
        page.on("console", lambda line: self._complain(line.type, line.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _keep(self, request: Any) -> None:
        response = request.response()
        self.bodies.append(json.dumps(dict(response.headers)))
        if response.status == 303:
            return  # has no body to speak of
        try:
            self.bodies.append(response.text())
        except playwright.Error:  # the page has moved on, and the browser dropped what it had
            self.bodies.append("")

    def _complain(self, kind: str, text: str) -> None:
        # A 401, 404 or 502 that a test provokes is no fault of the page; a broken policy or script is.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.complaints.append(text)


@pytest.fixture
def visit(chromium: Any, sim: Simulator) -> Iterator[Callable[..., Visitor]]:
    """Opens browser profiles; afterwards none of them may have seen a device code or had reason to complain."""
    visitors: list[Visitor] = []

    def start(**options: Any) -> Visitor:
        visitors.append(Visitor(chromium.new_context(**options)))
        return visitors[-1]

    yield start
    for visitor in visitors:
        visitor.context.close()
    secrets = [device[name] for device in sim.devices() for name in ("device_code", "token") if device[name]]
    for visitor in visitors:
        seen = "\n".join(visitor.bodies)
        assert "copilot-bridge" in seen
        assert not [secret for secret in secrets if secret in seen]
        assert not re.search(r"\b[0-9a-f]{40}\b", seen)
        assert visitor.complaints == []


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[[Any, str], None]:
    """Pictures of a page as it is: desktop and phone, and if somebody wants to look at them, in the dark too."""
    wanted = os.environ.get("SCREENSHOTS_DIR")
    schemes = ("light", "dark") if wanted else ("light",)
    folder = Path(wanted or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Any, name: str) -> None:
        for size, (width, height) in _SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than a {size}"
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)

    return take


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


def test_sign_in_from_first_visit_to_first_request(bridge: Bridge, sim: Simulator, visit: Any, shoot: Any) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open(bridge.url)  # the front door leads to the sign-in
    expect(page).to_have_url(bridge.url + "/auth/device")
    expect(page.get_by_role("status").filter(has_text="Waiting for GitHub")).to_be_visible()
    code = _code_on(page)
    assert code == sim.devices()[0]["user_code"]
    expect(page.locator("#countdown")).to_have_text(re.compile(r"^1[45]:\d\d min$"))
    shoot(page, "sign-in-pending")

    page.get_by_role("button", name="Copy code").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert _clipboard(visitor) == code
    link = page.get_by_role("link", name="Open GitHub")
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
        expect(tab.get_by_role("heading", level=1)).to_have_text("You are signed in as octocat")
    expect(page.locator("#base-url")).to_have_text(bridge.url + "/v1")
    page.get_by_role("button", name="Copy URL").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert _clipboard(visitor) == bridge.url + "/v1"
    page.reload()  # also puts the button's words back
    shoot(page, "signed-in")
    assert bridge.get("/v1/models").json()["data"]
    # The browser drops the answer that made it move on, so this one is looked at here.
    assert device["device_code"] not in bridge.get("/auth/device/status").text


def test_copying_works_without_the_clipboard_api(bridge: Bridge, visit: Any) -> None:
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


def test_ended_sign_in_is_explained_and_can_be_repeated(bridge: Bridge, sim: Simulator, visit: Any, shoot: Any) -> None:
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


def test_without_javascript_the_page_moves_on_too(bridge: Bridge, sim: Simulator, visit: Any) -> None:
    page = visit(java_script_enabled=False).open(bridge.url + "/auth/device")
    code = _code_on(page)
    expect(page.get_by_role("button", name="Copy code")).to_be_hidden()
    sim.approve_device(code)
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed in as octocat")


def test_passing_trouble_is_shown_and_overcome(bridge: Bridge, sim: Simulator, visit: Any, shoot: Any) -> None:
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
    bridge: Bridge, sim: Simulator, visit: Any, shoot: Any
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
    bridge: Bridge, sim: Simulator, visit: Any, shoot: Any
) -> None:
    visitor = visit()
    page = visitor.open(bridge.url + "/auth/device")
    first = _code_on(page)
    _approve(sim, page, first)

    page.goto(bridge.url + "/auth/device")
    expect(page.get_by_role("heading", level=1)).to_have_text("Enter the API key")
    expect(page.get_by_label("API key")).to_be_focused()
    shoot(page, "key-asked")
    _enter_key(page, "a wrong one")
    expect(page.get_by_role("alert")).to_contain_text("Wrong API key")
    shoot(page, "key-wrong")
    _enter_key(page, bridge.api_key)
    expect(page).to_have_url(bridge.url + "/auth/device")  # where the visitor was going
    expect(page.get_by_role("heading", level=1)).to_have_text("Signed in as octocat")
    expect(page.get_by_role("main")).to_contain_text("A sign-in on this page")
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
    assert bridge.get("/v1/models").status_code == 403
    page.goto(bridge.url + "/auth/device")
    expect(page.get_by_role("heading", level=1)).to_have_text("GitHub no longer accepts this sign-in")
    shoot(page, "linked-refused")
    page.goto(bridge.url + "/usage")
    expect(page.get_by_role("alert")).to_contain_text("no longer accepts the stored sign-in")
    shoot(page, "usage-refused")
    page.get_by_role("link", name="Go to the sign-in page").click()
    page.get_by_role("button", name="Sign in anew").click()
    assert _code_on(page)


def test_usage(start_bridge: Bridge, sim: Simulator, visit: Any, shoot: Any) -> None:
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

    page.get_by_role("link", name="Sign-in").click()
    expect(page.get_by_role("main")).to_contain_text("The GH_COPILOT_TOKEN variable")
    shoot(page, "linked-environment")
    page.get_by_role("link", name="Mapping").click()
    expect(page.locator("body")).to_contain_text('"gpt-4o-mini"')


def test_usage_of_the_free_plan(start_bridge: Bridge, sim: Simulator, visit: Any, shoot: Any) -> None:
    bridge = start_bridge(GH_COPILOT_TOKEN="ghu_test_free_old", API_KEY="")  # no key: open to this machine
    sim.set_account("ghu_test_free_old", chat={"remaining": 40})
    page = visit().open(bridge.url)
    expect(page).to_have_url(bridge.url + "/usage")
    expect(page.locator("#plan")).to_have_text("Free")
    expect(page.locator("#quota-premium_interactions")).to_contain_text("Not part of this plan")
    expect(page.locator("#quota-chat")).to_contain_text("460 of 500 used (92%)")
    expect(page.get_by_role("main")).to_contain_text("API_KEY is empty")
    shoot(page, "usage-free")
    page.goto(bridge.url + "/nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    shoot(page, "not-found")


def test_editors_sign_in_is_told_apart(start_bridge: Bridge, tmp_path: Path, visit: Any, shoot: Any) -> None:
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


@pytest.fixture
def linked(start_bridge: Callable[..., Bridge]) -> Bridge:
    return start_bridge(GH_COPILOT_TOKEN="ghu_test_individual")


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
