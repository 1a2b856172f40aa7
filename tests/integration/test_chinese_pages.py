"""Who reads Chinese meets no English sentence: every page of the navigation, those below, and their errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final

import pytest

from app.blueprints._navigation import PAGES
from tests.simulator.client import Simulator
from tests.support.bridge import LocalBridge
from tests.support.english import SENTENCE
from tests.support.sample_team import TOKEN, settle
from tests.support.waiting import until

SPOKEN: Final = {"alt", "aria-label", "content", "data-title", "placeholder", "title"}
"""Attributes that are shown, or read aloud."""
CHINESE: Final = re.compile("[\u4e00-\u9fff]")
VOID: Final = {"br", "col", "hr", "img", "input", "link", "meta", "wbr"}
QUOTED: Final = {
    "This model is currently degraded.": "Copilot's",
    "Enable access to this xAI model. [Learn more](https://gh.io/copilot-xai).": "Copilot's",
    "reviews of pull requests": "a note of the operator",
    "titles need no Claude": "a note of the operator",
    "设为默认模型：llm models default copilot/gpt-4.1": "a command",
    "Override OpenAI Base URL：ADDRESS/v1": "what the switch is called in Cursor",
}
"""What stays as somebody else has said it, and whose it is."""
PATHS: Final = (
    *(page.path for page in PAGES), "/admin/keys/alice-laptop", "/admin/mapping/rules", "/admin/mapping?reset=1",
    "/admin/mapping/rules?rule=1", "/admin/mapping/rules?model=claude-opus-9", "/usage?group=key", "/usage?from=x",
    "/requests?error=any", "/requests?page=x", "/catalogue?ask=gpt-4.2", "/docs", "/nowhere", "/admin/keys/nobody",
    "/admin/mapping/rules?rule=99", "/auth/invitation", "/auth/invitation?link=nonsense", "/setup/nothing",
    "/setup?model=x",
)  # fmt: skip


class Texts(HTMLParser):
    """All that a page says outside code."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in SPOKEN and value]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not {"code", "pre", "script", "style"} & set(self._open):
            self.found.append(data.strip())


@pytest.fixture(scope="module")
def team(simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBridge]:
    simulator_process.reset()
    env = {**simulator_process.settings_env(), "GH_COPILOT_TOKEN": TOKEN}
    with LocalBridge(env, tmp_path_factory.mktemp("team")) as running:
        settle(running, simulator_process)
        yield running


def english(bridge: LocalBridge, path: str, *, key: bool = True) -> list[str]:
    headers = {"Accept": "text/html", "Accept-Language": "zh-CN"}
    page = bridge.get(path, headers=headers, key=key).text.replace(bridge.url, "ADDRESS")
    assert '<html lang="zh-Hans">' in page
    return [text for text in Texts(page).found if SENTENCE.search(text) and text not in QUOTED]


@pytest.mark.parametrize("path", PATHS)
def test_no_english_sentence_is_left(team: LocalBridge, path: str) -> None:
    assert english(team, path) == []


LOST: Final = re.compile("<dt>省略或改动的内容</dt><dd>(.*?)</dd>")
REASON: Final = re.compile(r"</code>: ([^<]*)</li>")
LOSSES: Final[dict[str, dict[str, Any]]] = {
    "chat": {"service_tier": "flex", "metadata": {"a": "b"}, "stream_options": {"include_usage": True}},
    "messages": {"top_k": 5, "thread": None, "mcp_servers": [], "defer": 1, "speed": "fast"},
    "responses": {"moderation": {"model": "x"}, "tools": [{"type": "mcp", "server_label": "x"}]},
}
"""Fields that Copilot, or a model of another protocol, does not take."""


def test_why_something_was_left_out_is_told_in_chinese(team: LocalBridge) -> None:
    """Each dialect, natively and converted; short reasons too, which the tests above take for names."""
    said = [{"role": "user", "content": "hi"}]
    asked = [
        team.post(path, json={"model": model, **body, **LOSSES[dialect]}).headers["x-request-id"]
        for model in ("gpt-4.1", "claude-sonnet-4.6", "gpt-5.3-codex")
        for dialect, path, body in (
            ("chat", "/v1/chat/completions", {"messages": said}),
            ("messages", "/v1/messages", {"max_tokens": 9, "messages": said}),
            ("responses", "/v1/responses", {"input": "hi"}),
        )
    ]

    def listed() -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = team.get("/requests").json()["calls"]
        return calls

    until(lambda: {*asked} <= {call["request_id"] for call in listed()})  # a moment after they have ended
    told = {reason for call in listed() for _, reason in call["losses"]}
    assert len(told) > 8
    assert any("only the messages protocol has it" in reason for reason in told)
    assert not [reason for reason in told if CHINESE.search(reason)]  # for programs they stay what the log has
    page = team.get("/requests", headers={"Accept": "text/html", "Accept-Language": "zh-CN"}).text
    reasons = [reason for lost in LOST.findall(page) for reason in REASON.findall(lost)]
    assert len(set(reasons)) == len(told)
    assert [reason for reason in reasons if not CHINESE.search(reason)] == []


def test_nor_where_a_key_is_asked_for(team: LocalBridge) -> None:
    assert english(team, "/", key=False) == []


def test_an_english_sentence_would_be_found() -> None:
    page = '<p title="One is left out here">四 <b>This one was not <br>translated yet</b> <code>a b c d e</code></p>'
    assert [text for text in Texts(page).found if SENTENCE.search(text)] == [
        "One is left out here", "This one was not",
    ]  # fmt: skip
