"""The life of a Copilot token, with a clock that the test turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from app.auth.copilot_token import ACCOUNT_INFORMATION, CopilotToken, CopilotTokens, explain_refusal, skew_hint
from app.auth.github import Answer
from app.auth.github_token import GitHubToken, GitHubTokens
from app.errors import AccountError, GatewayError, SignInRequiredError, UpstreamConnectError, UpstreamStatusError
from app.settings import Secret
from app.store.sqlite import SqliteStore

START = 1_800_000_000.0


class FakeGitHub:
    """Exchanges as told; counts."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.exchanges = 0
        self.skew_s = 0.0
        self.lifetime_s, self.refresh_in_s = 1800, 1500
        self.trouble: GatewayError | None = None
        self.answer: Answer | None = None
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def exchange(self, token: Secret) -> Answer:
        self.exchanges += 1
        self.entered.set()
        assert self.go_on.wait(60)
        if self.trouble is not None:
            raise self.trouble
        if self.answer is not None:
            return self.answer
        now = self.clock() + self.skew_s
        body = {
            "token": f"tid=test{self.exchanges};exp=1:mac",
            "expires_at": int(now) + self.lifetime_s,
            "refresh_in": self.refresh_in_s,
            "endpoints": {"api": "https://api.individual.test/"},
        }
        return Answer(200, CaseInsensitiveDict({"Date": formatdate(now, usegmt=True)}), body)


class World:
    def __init__(self, folder: Path) -> None:
        self.now = START
        self.folder = folder
        self.github = FakeGitHub(lambda: self.now)
        self.stores: list[SqliteStore] = []
        self.value = "ghu_test_one"
        self.spawn: Callable[[Callable[[], None]], None] = lambda work: work()  # the background, done at once

    def worker(self) -> CopilotTokens:
        store = SqliteStore(self.folder / "state.db", clock=lambda: self.now)
        self.stores.append(store)
        tokens = GitHubTokens(
            environment=Secret(self.value),
            data_dir=self.folder,
            editor_config_dir=self.folder / "none",
            github_base_url="https://github.com",
        )
        github: Any = self.github
        return CopilotTokens(
            store=store,
            github=github,
            github_tokens=tokens,
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            spawn=self.spawn,
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for store in made.stores:
        store.close()


def test_token_is_exchanged_once_and_kept(world: World) -> None:
    tokens = world.worker()
    first = tokens.current()
    world.now += 1000
    assert tokens.current() is first
    assert first.api_base == "https://api.individual.test"
    assert world.github.exchanges == 1


def test_other_worker_takes_the_stored_token(world: World) -> None:
    assert world.worker().current().value == world.worker().current().value
    assert world.github.exchanges == 1


def test_token_is_renewed_by_refresh_in_before_it_runs_out(world: World) -> None:
    tokens = world.worker()
    world.github.refresh_in_s = 1000
    first = tokens.current()
    world.now += 999
    assert tokens.current() is first
    world.now += 2
    assert tokens.current().value != first.value
    assert world.github.exchanges == 2


@pytest.mark.parametrize(
    "date",
    ["", "yesterday", "Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +99999999999999", "\x00"],
)
def test_a_date_that_makes_no_sense_is_none(world: World, date: str) -> None:
    body = {"token": "tid=test;exp=1:mac", "expires_at": int(world.now) + 1800, "refresh_in": 1500}
    world.github.answer = Answer(200, CaseInsensitiveDict({"Date": date}), body)
    assert world.worker().current().skew_s == 0


@pytest.mark.parametrize(
    ("refresh_in", "ends_in_s"),
    [(0.001, 1800), (1, 1800), (True, 1800), (1500, -3600), (1500, 0), (1500, 0.5), (0.001, -1e9), (-5, 1e300)],
)
def test_however_soon_a_token_is_said_to_end_github_is_not_asked_with_each_call(
    world: World, refresh_in: float, ends_in_s: float
) -> None:
    body = {"token": "tid=test;exp=1:mac", "expires_at": world.now + ends_in_s, "refresh_in": refresh_in}
    world.github.answer = Answer(200, CaseInsensitiveDict(), body)
    tokens = world.worker()
    for _ in range(9):
        tokens.current()
        world.now += 1
    assert world.github.exchanges == 1
    world.now += 4e8
    tokens.current()
    assert world.github.exchanges == 2


@pytest.mark.parametrize("skew_s", [-7200.0, 7200.0])
def test_clock_far_off_githubs_changes_nothing(world: World, skew_s: float) -> None:
    world.github.skew_s = skew_s
    tokens = world.worker()
    first = tokens.current()
    world.now += 1300
    assert tokens.current() is first
    assert first.lifetime_s == pytest.approx(1800, abs=2)
    assert "clock" in skew_hint(first)


def test_lifetime_is_what_github_says_and_not_assumed(world: World) -> None:
    world.github.lifetime_s, world.github.refresh_in_s = 86_400, 82_000
    tokens = world.worker()
    first = tokens.current()
    world.now += 60_000
    assert tokens.current() is first


def test_failing_renewal_goes_on_with_the_old_token_while_it_lives(world: World) -> None:
    tokens = world.worker()
    first = tokens.current()
    world.github.trouble = UpstreamConnectError("no network")
    world.now += 1600
    assert tokens.current() is first
    world.now += 300
    with pytest.raises(UpstreamConnectError):
        tokens.current()


def test_caller_does_not_wait_for_an_early_renewal(world: World) -> None:
    later: list[Callable[[], None]] = []
    world.spawn = later.append
    tokens = world.worker()
    first = tokens.current()
    world.now += 1600
    assert tokens.current() is tokens.current() is first
    (work,) = later
    work()
    assert tokens.current().value != first.value


@pytest.mark.parametrize(
    ("trouble", "pause_s"),
    [
        (UpstreamConnectError("no network"), 30),
        (UpstreamStatusError("slow down", status=429, retry_after="100"), 100),
        (UpstreamStatusError("slow down", status=429, retry_after="Sun, 29 Nov 2026 12:00:00 GMT"), 30),
        (UpstreamStatusError("slow down", status=429, retry_after="99999"), 600),
        (AccountError("GitHub refuses Copilot for this account."), 30),
    ],
)
def test_failed_renewal_of_a_living_token_hurts_nobody_and_is_not_repeated_at_once(
    world: World, trouble: GatewayError, pause_s: int
) -> None:
    world.github.lifetime_s, world.github.refresh_in_s = 10_000, 1500
    tokens = world.worker()
    first = tokens.current()
    world.now += 1600
    world.github.trouble = trouble
    for _ in range(5):
        assert tokens.current() is first
    world.now += pause_s - 1
    assert tokens.current() is first
    assert world.github.exchanges == 2
    world.github.trouble = None
    world.now += 1
    assert tokens.current().value != first.value
    assert world.github.exchanges == 3


def test_renewal_that_finds_the_sign_in_revoked_is_heard_of(world: World) -> None:
    tokens = world.worker()
    tokens.current()
    world.now += 1600
    world.github.answer = Answer(401, CaseInsensitiveDict(), {"message": "Bad credentials"})
    tokens.current()
    with pytest.raises(AccountError, match="GH_COPILOT_TOKEN"):
        tokens.current()


def test_worker_that_died_in_the_middle_of_an_exchange_is_not_waited_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease is still there, and a clock that was set back would keep it for ever."""
    monkeypatch.setattr("app.auth.copilot_token._TAKE_OVER_S", 0.1)
    tokens = world.worker()
    account = GitHubToken(Secret(world.value), "environment").fingerprint
    assert world.stores[0].acquire(f"exchange:{account}", owner="the dead", ttl_s=30)
    world.now -= 3600
    assert tokens.current().value
    assert world.github.exchanges == 1


def test_while_one_renews_early_the_others_go_on_with_the_old_token(world: World) -> None:
    tokens = world.worker()
    first = tokens.current()
    world.now += 1600
    world.github.entered.clear()
    world.github.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(tokens.current)
        assert world.github.entered.wait(60)
        assert tokens.current() is first  # does not wait
        world.github.go_on.set()
        assert renewing.result(60).value != first.value
    assert world.github.exchanges == 2


def test_many_first_callers_in_two_workers_cause_one_exchange(world: World) -> None:
    workers = [world.worker(), world.worker()]
    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda number: workers[number % 2].current().value, range(40)))
    assert len(set(found)) == 1
    assert world.github.exchanges == 1


def test_many_first_callers_share_a_failure(world: World) -> None:
    world.github.trouble = UpstreamConnectError("no network")
    tokens = world.worker()
    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(tokens.current).exception() for _ in range(20)]
    assert {type(error) for error in results} == {UpstreamConnectError}
    assert world.github.exchanges == 1


@pytest.mark.parametrize(
    ("trouble", "remembered_s"),
    [
        (AccountError("no licence", code="no_copilot_access"), 3),
        (SignInRequiredError("revoked"), 3),
        (UpstreamConnectError("no network"), 0),
        (UpstreamStatusError("broken", status=502), 0),
        (UpstreamStatusError("slow down", status=429), 0),
    ],
    ids=lambda value: getattr(value, "message", None),
)
def test_a_refused_account_is_remembered_for_seconds_and_passing_trouble_is_not(
    world: World, trouble: GatewayError, remembered_s: float
) -> None:
    world.github.trouble = trouble
    tokens = world.worker()
    with pytest.raises(type(trouble)):
        tokens.current()
    world.github.trouble = None
    if remembered_s:
        world.now += remembered_s - 0.001
        with pytest.raises(type(trouble)):
            tokens.current()
        assert world.github.exchanges == 1
    world.now += 0.002
    assert tokens.current().value
    assert world.github.exchanges == 2


def test_whoever_is_limited_asks_again_when_github_says(world: World) -> None:
    world.github.trouble = UpstreamStatusError("slow down", status=429, retry_after="7")
    tokens = world.worker()
    for _ in range(3):
        world.now += 2
        with pytest.raises(UpstreamStatusError):
            tokens.current()
    assert world.github.exchanges == 1
    world.github.trouble = None
    world.now += 4
    assert tokens.current().value


def test_rejected_token_is_exchanged_once_for_all_who_report_it(world: World) -> None:
    one, other = world.worker(), world.worker()
    rejected = one.current()
    other.current()
    renewed = one.renew(rejected)
    assert renewed.value != rejected.value
    assert other.renew(rejected).value == renewed.value
    assert one.renew(rejected).value == renewed.value
    assert world.github.exchanges == 2


def test_renewals_in_vain_stop_and_come_back_after_a_minute(world: World) -> None:
    tokens = world.worker()
    token = tokens.current()
    for _ in range(10):
        token = tokens.renew(token, endpoint="/models")
        tokens.renewals.note_refused("/models", token.fingerprint)
    assert world.github.exchanges == 4
    world.now += 61
    assert tokens.renew(token, endpoint="/models").value != token.value


def test_renewals_that_worked_are_not_counted(world: World) -> None:
    tokens = world.worker()
    token = tokens.current()
    for _ in range(10):
        token = tokens.renew(token)
        tokens.renewals.note_served("/models")
    assert world.github.exchanges == 11


def test_token_that_is_used_as_it_is_has_no_other(world: World) -> None:
    world.value = "gho_test_direct"
    world.github.answer = Answer(404, CaseInsensitiveDict(), {"message": "Not Found"})
    tokens = world.worker()
    token = tokens.current()
    assert tokens.renew(token) is token
    assert world.github.exchanges == 1


def test_host_that_is_none_of_copilots_is_not_used_and_neither_is_a_stored_token_for_it(world: World) -> None:
    world.worker().current()
    github: Any = world.github
    sign_ins = GitHubTokens(
        environment=Secret(world.value),
        data_dir=world.folder,
        editor_config_dir=world.folder / "none",
        github_base_url="https://github.com",
    )
    careful = CopilotTokens(
        store=world.stores[0],
        github=github,
        github_tokens=sign_ins,
        clock=lambda: world.now,
        is_copilot_address=lambda url: False,
    )
    assert careful.current().api_base is None
    assert world.github.exchanges == 2


def test_other_account_gets_a_token_of_its_own(world: World) -> None:
    first = world.worker().current()
    world.value = "ghu_test_two"
    assert world.worker().current().value != first.value


def test_unknown_oauth_token_is_used_directly(world: World) -> None:
    world.value = "gho_test_direct"
    world.github.answer = Answer(404, CaseInsensitiveDict(), {"message": "Not Found"})
    token = world.worker().current()
    assert token.direct
    assert token.value.reveal() == "gho_test_direct"


def test_stored_token_does_not_show_itself(world: World) -> None:
    token = world.worker().current()
    assert "tid=" not in repr(token)
    assert CopilotToken.from_json(token.to_json()) == token


def refusal(status: int, body: dict[str, Any] | None, value: str = "ghu_test", source: Any = "bridge") -> GatewayError:
    return explain_refusal(
        Answer(status, CaseInsensitiveDict({"Retry-After": "60"}), body), GitHubToken(Secret(value), source)
    )


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (refusal(401, {"message": "Bad credentials"}), SignInRequiredError, "/auth/device"),
        (refusal(401, None, source="environment"), AccountError, "GH_COPILOT_TOKEN"),
        (refusal(404, None), AccountError, "GITHUB_API_BASE_URL"),
        (refusal(404, None, "ghp_test"), AccountError, "Classic personal access tokens"),
        (refusal(403, {"message": "API rate limit exceeded for user ID 1."}), UpstreamStatusError, "Wait"),
        (refusal(403, {"message": "You have exceeded a secondary rate limit."}), UpstreamStatusError, "Wait"),
        (refusal(500, None), UpstreamStatusError, "GitHub's side"),
        (
            refusal(403, {"error_details": {"notification_id": "spammy_user", "message": "No."}}),
            AccountError,
            "support",
        ),
        (refusal(403, None), AccountError, "access denied"),
    ],
)
def test_refusals_say_whose_fault_it_is_and_what_to_do(error: GatewayError, kind: type, words: str) -> None:
    assert isinstance(error, kind)
    assert words in error.message


@pytest.mark.parametrize("value", ["ghu_test", "gho_test"])
def test_account_without_a_plan_is_told_so_and_not_to_check_addresses(value: str) -> None:
    answer = Answer(404, CaseInsensitiveDict(), {"message": "Not Found"})
    error = explain_refusal(answer, GitHubToken(Secret(value), "bridge"), what=ACCOUNT_INFORMATION)
    assert (error.code, error.status) == ("no_copilot_access", 403)
    assert "no Copilot plan" in error.message
    assert "GITHUB_API_BASE_URL" not in error.message


def test_refusal_fills_the_editor_into_the_link() -> None:
    details = {
        "message": "No access.",
        "notification_id": "no_copilot_access",
        "url": "https://g.test/?editor={EDITOR}",
    }
    assert "https://g.test/?editor=vscode" in refusal(403, {"error_details": details}).message
