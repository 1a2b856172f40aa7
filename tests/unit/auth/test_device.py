"""The device sign-in, step by step, with a GitHub that answers as scripted and a clock that only pauses move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from requests.structures import CaseInsensitiveDict

from app.auth.copilot_token import CopilotTokens
from app.auth.device import DeviceSignIn, OwnAccount, SignIn
from app.auth.github import Answer
from app.auth.github_token import GitHubTokens
from app.errors import UpstreamConnectError, UpstreamStatusError
from app.store.sqlite import SqliteStore

CODE = "2db2896418a92f046216caef1598aa5b5a93d650"


def says(status: int = 200, **body: Any) -> Answer:
    return Answer(status, CaseInsensitiveDict(), body)


PENDING = says(error="authorization_pending")
GRANTED = says(access_token="ghu_test_granted", token_type="bearer", scope="")


class ScriptedGitHub:
    def __init__(self) -> None:
        self.codes = 0
        self.polls: list[Answer | Exception] = []
        self.polled = 0
        self.no_code: Answer | Exception | None = None

    def request_device_code(self) -> Answer:
        if isinstance(self.no_code, Exception):
            raise self.no_code
        if self.no_code is not None:
            return self.no_code
        self.codes += 1
        return says(
            device_code=CODE,
            user_code=f"K7QF-000{self.codes}",
            verification_uri="https://github.test/login/device",
            expires_in=899,
            interval=5,
        )

    def poll_device_code(self, device_code: str) -> Answer:
        assert device_code == CODE
        self.polled += 1
        answer = self.polls.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def account(self, token: Any) -> Answer:
        return says(login="octocat")


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_800_000_000.0
        self.pauses: list[float] = []
        self.github = ScriptedGitHub()
        self.background: list[Callable[[], None]] = []
        self.store = SqliteStore(folder / "state.db", clock=lambda: self.now)
        self.tokens = GitHubTokens(
            environment=None, data_dir=folder, editor_config_dir=folder / "none", github_base_url="https://github.com"
        )

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def worker(self) -> DeviceSignIn:
        github: Any = self.github
        copilot = CopilotTokens(store=self.store, github=github, github_tokens=self.tokens, clock=lambda: self.now)
        return DeviceSignIn(
            store=self.store,
            github=github,
            keeper=OwnAccount(github=github, github_tokens=self.tokens, copilot_tokens=copilot),
            github_base_url="https://github.test",
            clock=lambda: self.now,
            sleep=self.sleep,
            spawn=self.background.append,
        )

    def run_background(self) -> None:
        while self.background:
            self.background.pop(0)()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def look(worker: DeviceSignIn) -> SignIn:
    found = worker.look()
    assert found is not None
    return found


def test_grant_is_saved_and_the_secret_forgotten(world: World) -> None:
    worker = world.worker()
    began = worker.begin()
    world.github.polls = [PENDING, PENDING, GRANTED]
    world.run_background()

    ended = look(worker)
    assert (ended.state, ended.user, ended.id) == ("done", "octocat", began.id)
    assert ended.device_code == ""
    token = world.tokens.current()
    assert token is not None
    assert (token.secret.reveal(), token.user) == ("ghu_test_granted", "octocat")


def test_browser_never_gets_the_device_code(world: World) -> None:
    public = world.worker().begin().public(world.now)
    assert CODE not in str(public)
    assert public["user_code"] == "K7QF-0001"
    assert public["expires_in"] == 899


def test_server_waits_the_interval_before_every_poll_and_obeys_slow_down_for_good(world: World) -> None:
    world.worker().begin()
    world.github.polls = [PENDING, says(error="slow_down", interval=10), PENDING, says(error="slow_down"), GRANTED]
    world.run_background()
    assert world.pauses == [6.0, 6.0, 11.0, 11.0, 16.0]


def test_two_tabs_and_two_workers_share_one_sign_in_and_one_poller(world: World) -> None:
    one, other = world.worker(), world.worker()
    first, second = one.begin(), other.begin()
    assert first == second
    look(one)
    look(other)
    assert world.github.codes == 1
    world.github.polls = [PENDING, GRANTED]
    world.run_background()  # four were asked to poll
    assert world.github.polled == 2


def test_second_poller_ends_at_once(world: World) -> None:
    worker = world.worker()
    worker.begin()
    poll = world.background[0]
    entered: list[int] = []

    def poll_again(seconds: float) -> None:
        if not entered:
            entered.append(1)
            poll()  # while the first one sleeps
            entered.append(world.github.polled)
        world.sleep(seconds)

    worker._sleep = poll_again
    world.github.polls = [GRANTED]
    world.run_background()
    assert entered == [1, 0]
    assert world.github.polled == 1


def test_worker_that_died_while_it_asked_for_a_code_is_not_waited_for_whatever_the_clock_says(world: World) -> None:
    world.store.acquire("device-start", owner="dead", ttl_s=200)
    world.sleep = world.pauses.append  # type: ignore[method-assign, assignment]  # the clock stands still
    assert world.worker().begin().state == "pending"
    assert sum(world.pauses) == pytest.approx(5.0)


def test_worker_that_was_only_slow_to_get_its_code_shares_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, other = world.worker(), world.worker()
    shown = []
    ask = world.github.request_device_code

    def ask_while_the_slow_one_ends() -> Answer:
        monkeypatch.setattr(world.github, "request_device_code", ask)
        shown.append(slow.begin(poll=False))
        return ask()

    monkeypatch.setattr(world.github, "request_device_code", ask_while_the_slow_one_ends)
    world.store.acquire("device-start", owner="slow", ttl_s=200)
    monkeypatch.setattr(world, "sleep", world.pauses.append)  # nobody waits: the other worker counts its looks
    assert [other.begin()] == shown


def test_poller_that_died_with_its_worker_is_replaced_by_whoever_looks(world: World) -> None:
    world.worker().begin()
    world.background.clear()  # it never ran
    survivor = world.worker()
    look(survivor)
    world.github.polls = [GRANTED]
    world.run_background()
    assert look(survivor).state == "done"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (says(error="access_denied"), "access_denied", "cancelled"),
        (says(error="expired_token"), "expired_token", "ran out"),
        (says(error="incorrect_device_code"), "incorrect_device_code", "new one"),
        (says(error="incorrect_client_credentials"), "incorrect_client_credentials", "GITHUB_CLIENT_ID"),
        (says(error="something_new"), "something_new", "something_new"),
        (says(404, error="Not Found"), "Not Found", "refused"),
    ],
)
def test_end_without_a_grant_is_explained_and_can_be_begun_anew(
    world: World, answer: Answer, error: str, words: str
) -> None:
    worker = world.worker()
    began = worker.begin()
    world.github.polls = [answer]
    world.run_background()
    ended = look(worker)
    assert (ended.state, ended.error) == ("failed", error)
    assert words in ended.message
    assert world.tokens.current() is None
    assert worker.begin().id != began.id


def test_passing_trouble_is_shown_and_polling_goes_on(world: World) -> None:
    worker = world.worker()
    worker.begin()
    world.github.polls = [
        UpstreamConnectError("The network is gone."),
        says(502),
        Answer(200, CaseInsensitiveDict(), None),
        says(nonsense=1),
        GRANTED,
    ]
    seen = []

    def note(seconds: float) -> None:
        seen.append(SignIn.from_json(str(world.store.get("device-sign-in"))).trouble)
        world.sleep(seconds)

    worker._sleep = note
    world.run_background()
    assert [bool(trouble) for trouble in seen] == [False, True, True, True, True]
    assert "network is gone" in seen[1]
    assert look(worker).state == "done"


def test_code_runs_out_by_our_clock_even_if_github_never_says_so(world: World) -> None:
    worker = world.worker()
    worker.begin()
    world.github.polls = [PENDING] * 1000
    world.run_background()
    assert look(worker).error == "expired_token"
    assert world.github.polled == pytest.approx(899 / 6, abs=2)


def test_grant_after_a_new_code_was_asked_for_does_not_end_the_new_sign_in(world: World) -> None:
    worker = world.worker()
    first = worker.begin()
    assert worker.begin(anew=True) == first  # a second click within moments
    world.now += 10
    second = worker.begin(anew=True)
    assert first.id != second.id
    worker._finish(first, "done", user="octocat")
    assert look(worker) == second


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(404, error="Not Found"), "GITHUB_CLIENT_ID"),
        (says(429), "no more codes"),
        (says(200, error="device_flow_disabled"), "may not sign in by code"),
        (says(503), "Try again"),
    ],
)
def test_no_code_is_explained(world: World, answer: Answer, words: str) -> None:
    world.github.no_code = answer
    with pytest.raises(UpstreamStatusError, match=words):
        world.worker().begin()


@pytest.mark.parametrize(
    "told",
    [
        "javascript:alert(1)",
        "http://evil.test/phish",
        "https://evil.test/login/device",
        "http://github.test/login/device",
        "https://github.test@evil.test/",
        "https://evil.test\\@github.test/",
        "https://github.test:8443/login/device",
        "https://github.com.evil.test/login/device",
        "//github.test/login/device",
        "https://[github.test/",
        "https://github.test/\r\nx",
        "https://\u0261ithub.test/",
        7,
        None,
        {},
    ],
)
def test_button_leads_nowhere_but_to_github(world: World, told: object) -> None:
    world.github.no_code = says(device_code=CODE, user_code="A", verification_uri=told, expires_in=9, interval=5)
    assert world.worker().begin().verification_uri == "https://github.test/login/device"


@pytest.mark.parametrize("told", ["https://github.com/login/device", "https://github.test/login/device?a=b"])
def test_address_at_github_is_shown_as_it_came(world: World, told: str) -> None:
    world.github.no_code = says(device_code=CODE, user_code="A", verification_uri=told, expires_in=9, interval=5)
    assert world.worker().begin().verification_uri == told


def test_command_line_polls_in_the_foreground(world: World) -> None:
    worker = world.worker()
    began = worker.begin(anew=True, poll=False)
    assert world.background == []
    world.github.polls = [PENDING, GRANTED]
    assert worker.wait(began).state == "done"


def test_a_sign_in_that_a_newer_version_began_can_be_read(world: World) -> None:
    began = world.worker().begin()
    newer = orjson.loads(began.to_json()) | {"invented_later": 1}
    assert SignIn.from_json(orjson.dumps(newer).decode()) == began


def test_the_log_tells_who_signed_in_and_from_where(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="copilot_bridge")
    world.worker().begin(actor="key:0123abcd", address="10.1.2.3")
    world.github.polls = [GRANTED]
    world.run_background()
    [line] = [record.__dict__["fields"] for record in caplog.records if record.message == "signed in"]
    assert (line["audit"], line["actor"], line["address"]) == (True, "key:0123abcd", "10.1.2.3")
    assert (line["before"], line["after"]) == (None, "octocat")
