"""A walk through every page of the navigation, and those below: by keyboard, weighed, and watched for jumps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.blueprints._navigation import PAGES
from tests.simulator.client import Simulator
from tests.support.bridge import LocalBridge
from tests.support.browser import SIZES, WAIT_MS, Visitor
from tests.support.sample_team import TOKEN, call_all, made, settle, write_month

playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
expect = playwright.expect
pytestmark = pytest.mark.browser
expect.set_options(timeout=WAIT_MS)

WALK = (
    *(page.path for page in PAGES), "/admin/keys/alice-laptop", "/admin/mapping/rules", "/admin/mapping?reset=1",
    "/usage?group=model", "/requests?error=any&page=1", "/setup/claude-code", "/docs", "/nowhere",
)  # fmt: skip
FIRST_LOAD_BYTES = 150_000
MOST_SHIFT = 0.01
_PARTS_OF_A_DATE = 5  # each takes a Tab

# What a keyboard must reach, in this order: all that can be pressed, chosen, opened or filled in.
_STOPS = """
() => [...document.querySelectorAll(
  "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
)].filter(it => !it.disabled && it.checkVisibility({ visibilityProperty: true }))
"""
_WATCH_FOCUS = f"""
() => {{
  const stops = ({_STOPS})();
  window.stops = stops.map(it => it.outerHTML.slice(0, 120));
  window.walked = [];
  window.unseen = [];
  document.addEventListener("focusin", ({{ target }}) => {{
    const style = getComputedStyle(target), box = target.getBoundingClientRect(), n = stops.indexOf(target);
    if (n !== window.walked.at(-1)) window.walked.push(n < 0 ? target.outerHTML.slice(0, 120) : n);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    if (!outlined || box.width < 8 || box.height < 8) window.unseen.push(target.outerHTML.slice(0, 120));
  }});
}}
"""
_WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => {
  for (const it of list.getEntries()) {
    const moved = it.sources.map(({ node }) => node?.outerHTML?.slice(0, 120));
    if (!it.hadRecentInput) window.shifts.push([it.value, ...moved]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""
# Where everything is.
_PLACES = """
() => {
  const parts = "h1, h2, h3, p, label, input:not([type=hidden]), select, button, summary, table, pre, .card";
  return [...document.querySelectorAll(parts)].filter(it => it.checkVisibility()).map(it => {
    const { x, y } = it.getBoundingClientRect(), words = it.textContent.trim().replace(/\\s+/g, " ").slice(0, 20);
    return [`${it.tagName} ${words}`, Math.round(x), Math.round(y)];
  });
}
"""


@pytest.fixture(scope="module")
def team(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBridge]:
    """Many keys, a month of figures, more calls than a list shows at a time."""
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": TOKEN}
    with LocalBridge(env, tmp_path_factory.mktemp("team")) as running:
        secrets = settle(running, simulator_process)
        for number in range(12):
            made(running, {"name": f"guest-{number}", "owner": "Guest"})
        write_month(running, calls_a_day=8)
        for _ in range(4):
            call_all(running, simulator_process, secrets)
        yield running


def entered(visitor: Visitor, bridge: LocalBridge) -> Any:
    """A page of a browser that knows the key."""
    page = visitor.open(f"{bridge.url}/admin/learned?api_key={bridge.api_key}")
    expect(page).to_have_url(bridge.url + "/admin/learned")
    return page


def test_by_the_keyboard_everything_is_reached_in_order_and_seen(team: LocalBridge, visit: Any) -> None:
    page = entered(visit(reduced_motion="reduce"), team)
    faults = []
    for path in WALK:
        page.goto(team.url + path)
        if path.startswith("/setup"):  # what is folded away is reached once it is open
            page.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true; })")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.evaluate(_WATCH_FOCUS)
        stops = page.evaluate("stops")
        for _ in range(len(stops) + _PARTS_OF_A_DATE * sum('type="date"' in it for it in stops) + 2):
            page.keyboard.press("Tab")
        walked = page.evaluate("walked")
        order = [it for it in walked if isinstance(it, int)]
        if 0 in order[1:]:  # at the end it begins anew
            order = order[: order.index(0, 1)]
        missed = [stops[number] for number in range(len(stops)) if number not in order]
        assert len(stops) > 8, path
        assert "skip" in stops[0], path
        faults += [f"{path}: not reached: {it}" for it in missed]
        faults += [f"{path}: focus is not seen: {it}" for it in page.evaluate("unseen")]
        if not missed and order != list(range(len(stops))):
            faults.append(f"{path}: out of order: {[stops[number] for number in order]}")
    assert not faults, "\n".join(faults)


def test_first_load_is_light_and_nothing_moves(team: LocalBridge, visit: Any) -> None:
    """Nor does anything once a script has run: pages come at once here, in a slow network they are read before that."""
    visitor, faults, weights = visit(), [], {}
    page = entered(visitor, team)
    page.context.add_init_script(_WATCH_SHIFTS)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    came: list[float] = []
    devtools.on("Network.loadingFinished", lambda event: came.append(event["encodedDataLength"]))
    for path in WALK:
        page.route("**/*", without_scripts)
        page.goto(team.url + path)
        before = places(page)
        page.unroute("**/*")
        came.clear()
        page.goto(team.url + path, wait_until="networkidle")
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        weights[path] = sum(came)
        shifts = page.evaluate("shifts")
        if sum(it[0] for it in shifts) > MOST_SHIFT:
            faults.append(f"{path} moves: {shifts}")
        page.evaluate("scrollTo(0, 0)")
        after = places(page)
        assert before, path
        faults += [f"{path}: {was} to {now}" for was, now in zip(before, after, strict=False) if was != now][:3]
        if len(before) != len(after):
            faults.append(f"{path} has {len(before)} parts, then {len(after)}")
    assert min(weights.values()) > 1000, "nothing was weighed"
    faults += [f"{path} weighs {weight} bytes" for path, weight in weights.items() if weight > FIRST_LOAD_BYTES]
    assert not faults, "\n".join(faults)


def places(page: Any) -> list[Any]:
    """Where everything is, on a desktop and then on a phone."""
    found = []
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        found += page.evaluate(_PLACES)
    return found


def without_scripts(route: Any) -> None:
    """The page as it is before its script has run, to a browser that runs scripts."""
    answer = route.fetch()
    route.fulfill(response=answer, body=re.sub(r"(</?)script\b", r"\1template", answer.text()))


def tab_to(page: Any, locator: Any) -> None:
    """Press Tab until it has the focus."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if locator.evaluate("it => it === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {locator}")


def choose(page: Any, locator: Any, words: str) -> None:
    """Choose in a list by typing what the choice is called."""
    tab_to(page, locator)
    page.keyboard.type(words)


def test_everything_is_done_by_the_keyboard_alone(team: LocalBridge, visit: Any) -> None:
    page = visit(reduced_motion="reduce").open(team.url + "/admin/keys")
    expect(page.get_by_label("API key")).to_be_focused()  # the sign-in form begins where one types
    page.keyboard.type(team.api_key)
    page.keyboard.press("Enter")
    expect(page).to_have_url(team.url + "/admin/keys")

    tab_to(page, page.get_by_label("Name", exact=True))
    page.keyboard.type("by-keyboard")
    tab_to(page, page.get_by_role("button", name="Make the key"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="The new key by-keyboard")).to_be_visible()
    tab_to(page, page.get_by_role("link", name="Change by-keyboard"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Revoke by-keyboard for ever"))
    page.keyboard.press("Space")
    expect(page.get_by_text("by-keyboard is revoked")).to_be_visible()

    page.goto(team.url + "/admin/mapping/rules")
    edit = page.locator("#edit")
    tab_to(page, edit.get_by_label("Client asks for"))
    page.keyboard.type("o1-*")
    tab_to(page, edit.get_by_label("Goes to"))
    page.keyboard.type("gpt-5.2")
    tab_to(page, edit.get_by_label("title", exact=True))
    page.keyboard.press("Space")
    tab_to(page, edit.get_by_role("button", name="Save"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("Saved.")
    row = page.locator("tbody tr").filter(has_text="o1-*").first
    expect(row).to_contain_text("title")

    page.goto(team.url + "/requests")
    choose(page, page.get_by_label("Error"), "Everything")
    tab_to(page, page.get_by_role("button", name="Filter"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("error=any"))
    call = page.locator("details.call").first
    tab_to(page, call.locator("summary"))
    page.keyboard.press("Enter")
    expect(call).to_contain_text("Dialect of the client")

    page.goto(team.url + "/try")
    choose(page, page.get_by_label("Model"), "gpt-4.1")
    choose(page, page.get_by_label("Dialect"), "Messages")
    tab_to(page, page.get_by_label("Your message"))
    page.keyboard.type("[[say: one two three]]")
    tab_to(page, page.get_by_role("button", name="Send"))
    page.keyboard.press("Enter")
    expect(page.locator(".turn").nth(1)).to_have_text("one two three")
    expect(page.locator("#cost")).to_contain_text("Credits:")

    page.goto(team.url + "/setup")
    client = page.locator("#codex")
    tab_to(page, client.locator("summary"))
    page.keyboard.press("Space")
    expect(client.locator("pre").first).to_be_visible()

    tab_to(page, page.get_by_role("link", name="简体中文"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("设置客户端")
