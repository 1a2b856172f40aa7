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

from app.auth.copilot_token import CopilotToken, CopilotTokens, explain_refusal, skew_hint
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
        assert self.go_on.wait(10)
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
        return CopilotTokens(store=store, github=github, github_tokens=tokens, clock=lambda: self.now)


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


def test_while_one_renews_early_the_others_go_on_with_the_old_token(world: World) -> None:
    tokens = world.worker()
    first = tokens.current()
    world.now += 1600
    world.github.entered.clear()
    world.github.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(tokens.current)
        assert world.github.entered.wait(10)
        assert tokens.current() is first  # does not wait
        world.github.go_on.set()
        assert renewing.result(10).value != first.value
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
    world.github.trouble = None
    world.now += 5
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


def test_renewing_again_and_again_stops_and_comes_back_after_a_minute(world: World) -> None:
    tokens = world.worker()
    token = tokens.current()
    for _ in range(10):
        token = tokens.renew(token)
    assert world.github.exchanges == 4
    world.now += 61
    assert tokens.renew(token).value != token.value


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


def test_refusal_fills_the_editor_into_the_link() -> None:
    details = {
        "message": "No access.",
        "notification_id": "no_copilot_access",
        "url": "https://g.test/?editor={EDITOR}",
    }
    assert "https://g.test/?editor=vscode" in refusal(403, {"error_details": details}).message
