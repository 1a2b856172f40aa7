"""Take the pictures in the documents anew: a sample team, the simulator behind it, a real browser before it.

    python -m tests.pictures [FOLDER]

They go into docs/images, or into `FOLDER`. Look at them before you commit them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from tests.simulator.client import Simulator
from tests.support.bridge import ROOT, LocalBridge
from tests.support.browser import FLAGS
from tests.support.sample_team import TOKEN, settle

ADDRESS: Final = "http://localhost:8000"
"""Where the bridge seems to be: what readers have, and not the free port of a test."""
SIZE: Final = {"width": 1120, "height": 820}
LOCALES: Final = {"": "en-US", ".zh-CN": "zh-CN"}
_QUESTION: Final = {"": "Why do my tests fail at night?", ".zh-CN": "为什么我的测试在夜里失败？"}
_ANSWER: Final = {
    "": "Two workers each ask their own clock. At midnight one of them is a day ahead: let both ask the database.",
    ".zh-CN": "两个进程各自读取自己的时钟。午夜时其中一个会早一天：让它们都以数据库的时间为准。",
}


def talk(page: Any, mark: str) -> None:
    page.get_by_role("combobox").first.select_option("claude-sonnet-4.6")
    page.get_by_role("combobox").nth(1).select_option("messages")
    page.get_by_role("textbox").fill(f"{_QUESTION[mark]}\n[[say: {_ANSWER[mark]}]]")
    page.locator("#send").click()
    page.locator("#cost:not(:empty)").wait_for()
    question, answer = (page.locator(".turn").nth(number) for number in (0, 1))
    question.evaluate("(it, words) => { it.textContent = words; }", _QUESTION[mark])
    assert answer.inner_text() == _ANSWER[mark]


def open_a_call(page: Any, _: str) -> None:
    page.locator("details.call summary").first.click()
    page.locator("details.call[open]").evaluate("it => { it.scrollIntoView({ block: 'end' }); scrollBy(0, 16); }")


def open_a_client(page: Any, _: str) -> None:
    page.locator("#claude-code summary").click()


def see_the_figures(page: Any, _: str) -> None:
    page.locator("#ledger").evaluate("it => { it.scrollIntoView(); scrollBy(0, -16); }")


def nothing(_: Any, __: str) -> None:
    """As it is."""


PICTURES: Final[dict[str, tuple[str, str, Callable[[Any, str], None]]]] = {
    "overview": ("/", "light", nothing),
    "usage": ("/usage?group=model", "dark", see_the_figures),
    "requests": ("/requests?key=ci-nightly", "light", open_a_call),
    "try": ("/try", "dark", talk),
    "keys": ("/admin/keys", "light", nothing),
    "setup": ("/setup", "dark", open_a_client),
}
"""Address, colours, and what is done before it is taken."""


def main(folder: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, Simulator.start() as simulator, sync_playwright() as runner:
        env = {**simulator.settings_env(), "GH_COPILOT_TOKEN": TOKEN}
        simulator.catalogue(patch={"grok-4.5": {"warning_messages": None}})
        with LocalBridge(env, Path(data)) as bridge:
            settle(bridge, simulator)
            seems = f"--host-resolver-rules=MAP {urlsplit(ADDRESS).netloc} {urlsplit(bridge.url).netloc}"
            browser = runner.chromium.launch(executable_path=chromium, args=[*FLAGS, seems])
            for mark, locale in LOCALES.items():
                for name, (path, scheme, prepare) in PICTURES.items():
                    options: dict[str, Any] = {"locale": locale, "color_scheme": scheme, "viewport": SIZE}
                    context = browser.new_context(**options)
                    page = context.new_page()
                    page.goto(f"{ADDRESS}/admin/learned?api_key={bridge.api_key}")
                    page.goto(ADDRESS + path)
                    prepare(page, mark)
                    page.mouse.move(0, 0)
                    page.screenshot(path=folder / f"{name}{mark}.png")
                    context.close()
                    print(folder / f"{name}{mark}.png")
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
