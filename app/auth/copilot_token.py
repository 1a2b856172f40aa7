"""The Copilot token: exchanged when needed, shared between workers, one exchange at a time (contract §2).

Life of a token, counted from when we got it (never by comparing GitHub's clock with ours, contract §2.5):

    0 ───────────────────── refresh_after_s ─────────────── lifetime_s
      use it                 it is renewed in the background, unusable: everybody waits
                             and all go on using it           for the exchange

When Copilot refuses a token it is dropped at once: the first caller that reports it exchanges anew, the others take the
result.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard

import orjson

from app.auth.github import Answer, GitHub, expect_object
from app.auth.github_app import GitHubApp, forget_installation_tokens
from app.auth.github_token import GitHubToken, TokenSource
from app.auth.renewals import RenewalLimit
from app.errors import (
    AccountError,
    GatewayError,
    Sentence,
    SignInRequiredError,
    StoreError,
    UpstreamStatusError,
)
from app.logs import logger
from app.settings import Secret, parse_url
from app.store.base import Store

# The share of a lifetime after which a token is renewed even if `refresh_in` says later.
_REFRESH_SHARE = 0.8
# The longest that GitHub's own word of when to ask again (Retry-After) keeps us from asking.
_LONGEST_WAIT_S = 60.0
# How long a refusal of the account is told without asking again: the next second will not change it, and a crowd of
# requests must not ask GitHub one by one. Passing trouble is not remembered.
_REFUSAL_SHARED_S = 3.0
_REFUSAL_MEMORY_S = 3600.0
_EXCHANGE_LEASE_S = 30.0
# Whoever waits for another worker's exchange makes one itself after so long: that worker may be gone.
_TAKE_OVER_S = 3.0
_WAIT_STEP_S = 0.05
# After an early renewal that failed: until the next try, unless GitHub names a time.
_RENEWAL_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 600.0
# However soon GitHub says that a token is to be renewed, or has ended: GitHub recognises those who ask for token after
# token (contract §2.6), and Copilot will say that it is dead.
_LEAST_S = 10.0
_SHORTEST_LIFE_S = 30.0
# What says more says nothing; Redis could not even keep it.
_LONGEST_LIFE_S = 10 * 365 * 86_400.0
# GitHub's clock and ours may differ by this much before we mention it.
_SKEW_WORTH_MENTIONING_S = 120

TOKEN_REVOKED = "github_token_revoked"  # noqa: S105 - the code of an error
NOT_SIGNED_IN = Sentence("Not signed in to GitHub yet. Open /auth/device in a browser to sign in.")
# What was asked of GitHub, as errors name it.
TOKEN_EXCHANGE = Sentence("token exchange")
ACCOUNT_INFORMATION = Sentence("account information")


@dataclass(frozen=True, slots=True)
class CopilotToken:
    """A credential for Copilot's API.

    value: the bearer. api_base: host to call, None if GitHub named none. direct: it is the GitHub token itself
    (contract §2.7), for which Copilot does not want the editor's headers.
    obtained_at: epoch seconds by our clock. account: fingerprint
    of the GitHub token it came from. skew_s: GitHub's clock minus ours. kind: of the GitHub token (contract §1.7).
    """

    value: Secret
    account: str
    api_base: str | None
    obtained_at: float
    refresh_after_s: float
    lifetime_s: float
    direct: bool = False
    skew_s: float = 0.0
    kind: str = ""

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.value.reveal().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        fields = asdict(self) | {"value": self.value.reveal()}
        return orjson.dumps(fields).decode()

    @classmethod
    def from_json(cls, text: str) -> CopilotToken | None:
        """A stored token; None if it cannot be read: damaged, or written by a version with other fields."""
        try:
            told = orjson.loads(text)
            if not Secret.can_be_sent(told["value"]) or not isinstance(told["account"], str):
                return None
            numbers = {name: float(told[name]) for name in ("obtained_at", "refresh_after_s", "lifetime_s")}
            return cls(
                value=Secret(told["value"]),
                account=told["account"],
                api_base=_base_url(told["api_base"]),
                direct=bool(told.get("direct", False)),
                skew_s=float(told.get("skew_s", 0.0)),
                kind=str(told.get("kind", "")),
                **numbers,
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def _pause_told(error: GatewayError) -> float | None:
    """The seconds after which GitHub wants to be asked again, if it says so."""
    told = error.retry_after or ""
    return float(told) if told.isdecimal() and len(told) < 6 else None


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="token-renewal", daemon=True).start()


class CopilotTokens:
    """Gives out the current Copilot token, exchanging it when needed. Safe for threads, greenlets and workers."""

    def __init__(
        self,
        *,
        store: Store,
        github: GitHub,
        github_tokens: TokenSource,
        app: GitHubApp | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        spawn: Callable[[Callable[[], None]], None] = _in_background,
        is_copilot_address: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._store = store
        self._github = github
        self._github_tokens = github_tokens
        self._app = app
        self._clock = clock
        self._sleep = sleep
        self._monotonic = monotonic
        self._spawn = spawn
        self._is_copilot_address = is_copilot_address
        self._renew_early_at = 0.0
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._token: CopilotToken | None = None
        self._failure: tuple[str, float, GatewayError] | None = None
        self.renewals = RenewalLimit(monotonic)
        self.exchanges = 0
        """How often this process has asked GitHub for a token."""

    def current(self) -> CopilotToken:
        """The token to call Copilot with.

        Raises: SignInRequiredError, AccountError, UpstreamError.
        """
        github_token = self._require_github_token()
        token = self._token
        if token is not None and token.account == github_token.fingerprint:
            age_s = self._clock() - token.obtained_at
            if 0 <= age_s < token.refresh_after_s:
                return token
            if 0 <= age_s < token.lifetime_s:
                return self._renew_early(token, github_token)
        return self._obtain(github_token, rejected=None)

    def renew(self, rejected: CopilotToken, *, endpoint: str = "") -> CopilotToken:
        """The token to use after Copilot refused `rejected` at this endpoint: another one, or `rejected` itself if
        there is no other, or renewed ones were refused there so often lately that one more would not help.

        Whoever uses it tells `renewals` what became of it.
        Raises: as current().
        """
        github_token = self._require_github_token()
        token = self._token
        if token is not None and token.account == github_token.fingerprint and self._is_usable(token, rejected):
            return token  # renewed meanwhile
        is_final = rejected.direct and rejected.account == github_token.fingerprint and github_token.source != "app"
        if is_final or self.renewals.is_reached(endpoint):
            return rejected
        return self._obtain(github_token, rejected=rejected)

    def github_secret(self, *, other_than: Secret | None = None) -> Secret:
        """GitHub's own token, for what Copilot serves with no other (contract §14.2).

        other_than: one that was refused; an App makes another, a person has but the one.
        Raises: SignInRequiredError, AccountError, UpstreamError.
        """
        github_token = self._require_github_token()
        app = self._app_of(github_token)
        if app is None:
            return github_token.secret
        with self._lock:
            return app.token(other_than=other_than).value

    def is_signed_in(self) -> bool:
        """Whether there is a GitHub token that GitHub has not refused, without calling out."""
        token = self._github_tokens.current()
        return token is not None and not self._is_refused(token.fingerprint)

    def note_refusal(self, github_token: GitHubToken) -> None:
        """GitHub answered 401 to this token: it is not tried again for an hour, or until somebody signs in.

        One from the environment is no sign-in either, but nobody can sign in to have it tried again.
        """
        # That of the environment is tried all the same (see `_load_or_exchange`): it is remembered to be shown.
        with contextlib.suppress(StoreError):
            self._store.put(_refused_key(github_token.fingerprint), "1", ttl_s=_REFUSAL_MEMORY_S)

    def accept_anew(self) -> None:
        """Forget earlier refusals: somebody just signed in."""
        token = self._github_tokens.current()
        if token is not None:
            self._store.delete(_refused_key(token.fingerprint))
        self._token = None
        self._failure = None
        self._renew_early_at = 0.0

    def forget(self) -> None:
        """Drop what is stored of this account: its key is bound to it no longer."""
        token = self._github_tokens.current()
        if token is not None:
            self._store.delete(_token_key(token.fingerprint))
            self._store.delete(_refused_key(token.fingerprint))
        self._token = None

    def forget_all(self) -> None:
        """Drop every stored Copilot token: the operator signed out."""
        for prefix in (_token_key(""), _refused_key("")):
            for key in self._store.scan(prefix):
                self._store.delete(key)
        forget_installation_tokens(self._store)
        self._token = None

    def _require_github_token(self) -> GitHubToken:
        token = self._github_tokens.current()
        if token is None:
            raise SignInRequiredError(NOT_SIGNED_IN)
        return token

    def _renew_early(self, token: CopilotToken, github_token: GitHubToken) -> CopilotToken:
        """The token, which still lives; it is renewed behind the caller's back, unless that failed lately."""
        if self._monotonic() < self._renew_early_at or not self._lock.acquire(blocking=False):
            return token

        def renew() -> None:
            try:
                self._load_or_exchange(github_token, rejected=token)
            except GatewayError as error:
                self._note_failed_renewal(error)
            finally:
                self._lock.release()

        self._spawn(renew)
        renewed = self._token
        return renewed if renewed is not None and renewed.account == token.account else token

    def _note_failed_renewal(self, error: GatewayError) -> None:
        logger.warning("token renewal failed", extra={"fields": {"why": error.message}})
        if isinstance(error, SignInRequiredError) or error.code == TOKEN_REVOKED:
            self._token = None  # the next caller is to hear of it
            return
        # It goes on being used while it lives (contract §2.6), whatever the trouble is.
        pause_s = _pause_told(error)
        self._renew_early_at = self._monotonic() + min(
            _RENEWAL_PAUSE_S if pause_s is None else pause_s, _LONGEST_PAUSE_S
        )

    def _obtain(self, github_token: GitHubToken, rejected: CopilotToken | None) -> CopilotToken:
        came_at = self._monotonic()
        with self._lock:
            self._raise_shared_failure(github_token, came_at)
            token = self._token
            if token is not None and token.account == github_token.fingerprint and self._is_usable(token, rejected):
                return token  # somebody else got it while we waited for the lock
            try:
                return self._load_or_exchange(github_token, rejected)
            except GatewayError as error:
                # A crowd that waited for this exchange shares its failure; whoever comes later tries anew, unless
                # GitHub said when, or refused the account.
                pause_s = min(_pause_told(error) or 0.0, _LONGEST_WAIT_S)
                if isinstance(error, AccountError | SignInRequiredError):
                    pause_s = max(pause_s, _REFUSAL_SHARED_S)
                self._failure = (github_token.fingerprint, self._monotonic() + pause_s, error)
                raise

    def _raise_shared_failure(self, github_token: GitHubToken, came_at: float) -> None:
        if self._failure is not None:
            account, until, error = self._failure
            if account == github_token.fingerprint and came_at <= until:
                raise error
            self._failure = None

    def _is_usable(self, token: CopilotToken, rejected: CopilotToken | None) -> bool:
        if rejected is not None and token.fingerprint == rejected.fingerprint:
            return False
        return 0 <= self._clock() - token.obtained_at < token.refresh_after_s

    def _load_or_exchange(self, github_token: GitHubToken, rejected: CopilotToken | None) -> CopilotToken:
        """Take another worker's token if it has a good one, else exchange; one exchange over all workers at a time."""
        account = github_token.fingerprint
        if not github_token.is_configured and self._is_refused(account):
            raise _revoked(github_token)
        lease = f"exchange:{account}"
        # Monotonic, and bounded: whoever holds the lease may have died, and clocks may jump.
        take_over_at = time.monotonic() + _TAKE_OVER_S
        while not (found := self._load(account, rejected)):
            is_ours = self._acquired(lease)
            if is_ours or time.monotonic() > take_over_at:
                try:
                    # It may have come between our look and our lease.
                    found = self._load(account, rejected) or self._exchange(github_token, rejected)
                finally:
                    if is_ours:
                        with contextlib.suppress(StoreError):
                            self._store.release(lease, owner=self._owner)
                break
            self._sleep(_WAIT_STEP_S)
        self._token = found
        return found

    def _acquired(self, lease: str) -> bool:
        try:
            return self._store.acquire(lease, owner=self._owner, ttl_s=_EXCHANGE_LEASE_S)
        except StoreError:
            return True  # the store is away: each worker gets a token of its own

    def _is_refused(self, account: str) -> bool:
        try:
            return self._store.get(_refused_key(account)) is not None
        except StoreError:
            return False  # GitHub will say

    def _load(self, account: str, rejected: CopilotToken | None) -> CopilotToken | None:
        try:
            text = self._store.get(_token_key(account))
        except StoreError:
            return None
        token = CopilotToken.from_json(text) if text else None
        if token is None or token.account != account or not self._is_usable(token, rejected):
            return None
        # One from before the settings were changed may name another GitHub's.
        return token if token.api_base is None or self._is_copilot_address(token.api_base) else None

    def _exchange(self, github_token: GitHubToken, rejected: CopilotToken | None) -> CopilotToken:
        secret, left_s = github_token.secret, None
        if (app := self._app_of(github_token)) is not None:
            made = app.token(other_than=rejected.value if rejected and rejected.direct else None)
            if (answer := self._github.exchange(made.value)).status == 401:
                # It may have been revoked. When another one is refused too, it is the organization that does.
                made = app.token(other_than=made.value)
                answer = self._github.exchange(made.value)
            secret, left_s = made.value, made.left_s(self._clock())
        else:
            answer = self._github.exchange(secret)
        self.exchanges += 1
        now = self._clock()
        if answer.status == 200:
            token = self._checked(_from_envelope(expect_object(answer, TOKEN_EXCHANGE), answer, github_token, now))
        elif answer.status == 404 and github_token.kind in ("gho", "ghs", "github_pat"):
            token = _direct(github_token, secret, now, left_s)
        else:
            error = explain_refusal(answer, github_token)
            if answer.status == 401:
                self.note_refusal(github_token)
            raise error
        try:
            self._store.put(_token_key(token.account), token.to_json(), ttl_s=max(1.0, token.lifetime_s))
            if github_token.is_configured:
                self._store.delete(_refused_key(token.account))
        except StoreError as error:  # it serves this worker all the same
            logger.warning("copilot token not stored", extra={"fields": {"why": error.message}})
        logger.info(
            "copilot token obtained",
            extra={
                "fields": {
                    "direct": token.direct,
                    "refresh_after_s": round(token.refresh_after_s),
                    "api_base": token.api_base,
                    "clock_skew_s": round(token.skew_s) if abs(token.skew_s) > _SKEW_WORTH_MENTIONING_S else None,
                }
            },
        )
        return token

    def _app_of(self, github_token: GitHubToken) -> GitHubApp | None:
        return self._app if github_token.source == "app" else None

    def _checked(self, token: CopilotToken) -> CopilotToken:
        """The token without a host that is none of Copilot's: prompts and the token itself would go there."""
        if token.api_base is None or self._is_copilot_address(token.api_base):
            return token
        logger.warning("host for Copilot refused", extra={"fields": {"api_base": token.api_base}})
        return replace(token, api_base=None)


def skew_hint(token: CopilotToken) -> str:
    """A sentence about this machine's clock if it is far off GitHub's, else nothing."""
    if abs(token.skew_s) <= _SKEW_WORTH_MENTIONING_S:
        return ""
    minutes = round(abs(token.skew_s) / 60)
    if token.skew_s > 0:
        return Sentence(
            " The clock of this machine is %(minutes)s minutes behind GitHub's; set it right.", minutes=minutes
        )
    return Sentence(
        " The clock of this machine is %(minutes)s minutes ahead of GitHub's; set it right.", minutes=minutes
    )


def _token_key(account: str) -> str:
    return f"copilot-token:{account}"


def _refused_key(account: str) -> str:
    return f"github-token-refused:{account}"


def _from_envelope(body: dict[str, Any], answer: Answer, github_token: GitHubToken, now: float) -> CopilotToken:
    """Contract §2.2. Only `token`, `expires_at` and `refresh_in` are needed; everything else may be missing."""
    value, expires_at, refresh_in = body.get("token"), body.get("expires_at"), body.get("refresh_in")
    if value == "" and github_token.kind == "ghs":
        raise AccountError(_NOT_FOR_INSTALLATIONS, code="installation_not_entitled")
    if not Secret.can_be_sent(value):
        raise UpstreamStatusError(Sentence("GitHub's token exchange gave no token. Try again in a minute."), status=502)
    skew_s = _server_time(answer, now) - now
    refresh_in_s = max(float(refresh_in), _LEAST_S) if _is_number(refresh_in) and refresh_in > 0 else 1500.0
    lifetime_s = refresh_in_s + 60
    if _is_number(expires_at):
        # By GitHub's own clock on both sides, so that ours does not matter.
        lifetime_s = min(max(float(expires_at) - (now + skew_s), _SHORTEST_LIFE_S), _LONGEST_LIFE_S)
    endpoints = body.get("endpoints")
    api_base = endpoints.get("api") if isinstance(endpoints, dict) else None
    return CopilotToken(
        value=Secret(value),
        account=github_token.fingerprint,
        api_base=_base_url(api_base),
        obtained_at=now,
        refresh_after_s=min(refresh_in_s, lifetime_s * _REFRESH_SHARE),
        lifetime_s=lifetime_s,
        skew_s=skew_s,
        kind=github_token.kind,
    )


def _is_number(told: object) -> TypeGuard[float]:
    return isinstance(told, int | float) and not isinstance(told, bool)


def _base_url(told: object) -> str | None:
    """A host that GitHub names, if it can be called; otherwise the public one serves."""
    try:
        return parse_url(told) if isinstance(told, str) else None
    except ValueError:
        return None


def _direct(github_token: GitHubToken, secret: Secret, now: float, left_s: float | None) -> CopilotToken:
    """Contract §2.7. No exchange knows this kind of token, but Copilot takes it as it is. Asked again after an hour.

    left_s: for how long it is good, None where that is not known.
    """
    lifetime_s = 7200.0 if left_s is None else max(1.0, left_s)
    return CopilotToken(
        value=secret,
        account=github_token.fingerprint,
        api_base=None,
        obtained_at=now,
        refresh_after_s=3600 if left_s is None else lifetime_s * _REFRESH_SHARE,
        lifetime_s=lifetime_s,
        direct=True,
        kind=github_token.kind,
    )


def _server_time(answer: Answer, now: float) -> float:
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return now


def _revoked(token: GitHubToken) -> AccountError:
    if token.source == "key":
        return AccountError(
            Sentence(
                "GitHub no longer accepts the sign-in of %(account)s, the account that this API key is bound to "
                "(revoked or expired). %(advice)s",
                account=token.user,
                advice=_NO_OTHER_ACCOUNT,
            ),
            code=TOKEN_REVOKED,
        )
    return SignInRequiredError(
        Sentence(
            "GitHub no longer accepts the stored sign-in (revoked or expired). Open /auth/device in a browser to sign "
            "in again."
        )
    )


# Contract §2.6: what GitHub calls the trouble → what to do about it.
_ADVICE = {
    "no_copilot_access": Sentence("Get a Copilot plan for this account, or sign in with another one at /auth/device."),
    "not_signed_up": Sentence("Get a Copilot plan for this account, or sign in with another one at /auth/device."),
    "subscription_ended": Sentence("Renew the Copilot subscription, or sign in with another account at /auth/device."),
    "enterprise_managed_user_account": Sentence("Ask the administrator of your enterprise for a Copilot seat."),
    "feature_flag_blocked": Sentence("Contact GitHub support."),
    "spammy_user": Sentence("Contact GitHub support."),
    "snippy_not_configured": Sentence("Choose the policy for public code at https://github.com/settings/copilot."),
    "billing_locked": Sentence("Settle the billing problem at https://github.com/settings/billing."),
    "access_revoked": Sentence("Access was withdrawn: ask the administrator or GitHub support."),
}


_OF_KEY = Sentence(
    "This API key is bound to it, and no other account is used in its place. Get a Copilot plan for it, or ask the "
    "operator of the bridge to unbind the key."
)
_NO_OTHER_ACCOUNT = Sentence(
    "No other account is used in its place: ask the operator of the bridge for a new invitation, or to unbind the key."
)
_NOT_FOR_INSTALLATIONS = Sentence(
    "GitHub gives Copilot no token for this installation of the GitHub App. An owner of the organization has to allow "
    "Copilot requests of Apps, and the App needs the permission “Copilot Requests”."
)
_NO_PLAN_OF_INSTALLATIONS = Sentence(
    "GitHub tells a GitHub App nothing about plan and quota. What it uses is billed to the organization, whose owners "
    "see it in their billing settings."
)
_CLASSIC = Sentence("Classic personal access tokens do not work with Copilot. Sign in at /auth/device instead.")
_SIGN_IN_AGAIN = Sentence("Sign in again at /auth/device, and check GITHUB_API_BASE_URL.")


def explain_refusal(answer: Answer, github_token: GitHubToken, what: str = TOKEN_EXCHANGE) -> GatewayError:
    """What GitHub's refusal of `what` means, whose fault it is and what to do (contract §2.6, §3.7)."""
    body = answer.body or {}
    if github_token.kind == "ghs" and (told := _refusal_of_installation(answer, github_token, what)):
        return told
    if answer.status == 401:
        if github_token.source == "environment":
            return AccountError(
                Sentence(
                    "GitHub does not accept the token in GH_COPILOT_TOKEN (revoked, expired or mistyped). Set a new "
                    "one, or unset it and sign in at /auth/device."
                ),
                code=TOKEN_REVOKED,
            )
        return _revoked(github_token)
    if answer.is_rate_limited:
        return UpstreamStatusError(
            Sentence("GitHub limits how often this account may ask for tokens. Wait and try again."),
            status=429,
            code="github_rate_limited",
            retry_after=answer.headers.get("Retry-After"),
        )
    if answer.status == 403:
        return _no_access(body, github_token)
    if answer.status == 404 and what == ACCOUNT_INFORMATION and github_token.kind in ("ghu", "gho"):
        # A token of a sign-in is known there; what is not is a plan (contract §3.7).
        return AccountError(
            Sentence(
                "GitHub has no Copilot plan for this account. %(advice)s",
                advice=_advice("no_copilot_access", github_token),
            ),
            code="no_copilot_access",
        )
    if answer.status == 404:
        return AccountError(
            Sentence(
                "GitHub's %(what)s does not know this token (%(kind)s_…). %(advice)s",
                what=what,
                kind=github_token.kind,
                advice=_CLASSIC if github_token.kind == "ghp" else _again(github_token),
            ),
            code="token_not_exchangeable",
        )
    return UpstreamStatusError(
        Sentence(
            "GitHub's %(what)s failed with HTTP %(status)s. This is on GitHub's side; try again in a minute.",
            what=what,
            status=answer.status,
        ),
        status=502,
    )


def _refusal_of_installation(answer: Answer, token: GitHubToken, what: str) -> AccountError | None:
    """Contract §1.10: what is refused to an installation token in particular."""
    if what == ACCOUNT_INFORMATION and answer.status in (403, 404) and not answer.is_rate_limited:
        return no_plan_of_installations()
    if answer.status == 401 and token.source == "environment":
        return AccountError(
            Sentence(
                "GitHub does not accept the installation token in GH_COPILOT_TOKEN: such a token ends after an hour, "
                "or the organization does not allow Copilot requests of Apps. Set GITHUB_APP_ID, "
                "GITHUB_APP_INSTALLATION_ID and GITHUB_APP_PRIVATE_KEY_FILE in its place: the bridge then makes them."
            ),
            code=TOKEN_REVOKED,
        )
    if answer.status == 401:
        return AccountError(
            Sentence(
                "GitHub takes the GitHub App, but not its installation token for Copilot. An owner of the organization "
                "has to allow Copilot requests of Apps."
            ),
            code="installation_not_enabled",
        )
    if answer.status == 403 and not answer.is_rate_limited:
        return AccountError(
            Sentence(
                "GitHub refuses Copilot to this installation token (%(said)s). The App needs the permission “Copilot "
                "Requests”, the installation has to accept it, and an owner of the organization has to allow Copilot "
                "requests of Apps.",
                said=answer.message.strip().rstrip(".") or "forbidden",
            ),
            code="installation_not_enabled",
        )
    return None


def no_plan_of_installations() -> AccountError:
    return AccountError(_NO_PLAN_OF_INSTALLATIONS, code="no_account_information")


def _again(token: GitHubToken) -> Sentence:
    return _NO_OTHER_ACCOUNT if token.source == "key" else _SIGN_IN_AGAIN


def _advice(reason: str, token: GitHubToken) -> Sentence:
    advice = _ADVICE.get(reason) or Sentence("See https://github.com/settings/copilot.")
    return _OF_KEY if token.source == "key" and SignInRequiredError.path in advice else advice


def _no_access(body: dict[str, Any], token: GitHubToken) -> AccountError:
    details = body.get("error_details")
    details = details if isinstance(details, dict) else {}
    reason = str(details.get("notification_id") or "forbidden")
    said = str(details.get("message") or body.get("message") or "access denied").strip().rstrip(".")
    link = str(details.get("url") or "").replace("{EDITOR}", "vscode")
    advice = _advice(reason, token)
    more = Sentence(" More: %(link)s", link=link) if link.startswith("https://") else ""
    return AccountError(
        Sentence(
            "GitHub refuses Copilot for this account: %(said)s. %(advice)s%(more)s",
            said=said,
            advice=advice,
            more=more,
        ),
        code=reason,
    )
