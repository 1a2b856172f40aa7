"""The Copilot token: exchanged when needed, shared between workers, one exchange at a time (contract §2).

Life of a token, counted from when we got it (never by comparing GitHub's clock with ours, §2.5):

    0 ───────────────────── refresh_after_s ─────────────── lifetime_s
      use it                 one caller renews it, the        unusable: everybody waits
                             others go on using it            for the exchange

A 401 from Copilot drops the token at once: the first caller that reports it exchanges anew, the others take the result.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from app.auth.github import Answer, GitHub, expect_object
from app.auth.github_token import GitHubToken, GitHubTokens
from app.errors import AccountError, GatewayError, SignInRequiredError, UpstreamError, UpstreamStatusError
from app.logs import logger
from app.settings import Secret, parse_url
from app.store.base import Store

# The share of a lifetime after which a token is renewed even if `refresh_in` says later.
_REFRESH_SHARE = 0.8
# How long a failed exchange is remembered, so that a crowd of waiting requests does not repeat it one by one.
_FAILURE_MEMORY_S = 3.0
_REFUSAL_MEMORY_S = 3600.0
# Copilot may refuse whatever token we bring; asking GitHub for more of them does not help then.
_RENEWALS_PER_MINUTE = 3
_EXCHANGE_LEASE_S = 30.0
_WAIT_STEP_S = 0.05
# GitHub's clock and ours may differ by this much before we mention it.
_SKEW_WORTH_MENTIONING_S = 120


@dataclass(frozen=True, slots=True)
class CopilotToken:
    """A credential for Copilot's API.

    value: the bearer. api_base: host to call, None if GitHub named none. direct: it is the GitHub token itself (§2.7),
    for which Copilot does not want the editor's headers. obtained_at: epoch seconds by our clock. account: fingerprint
    of the GitHub token it came from. skew_s: GitHub's clock minus ours.
    """

    value: Secret
    account: str
    api_base: str | None
    obtained_at: float
    refresh_after_s: float
    lifetime_s: float
    direct: bool = False
    skew_s: float = 0.0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.value.reveal().encode()).hexdigest()[:16]

    def to_json(self) -> str:
        fields = asdict(self) | {"value": self.value.reveal()}
        return orjson.dumps(fields).decode()

    @classmethod
    def from_json(cls, text: str) -> CopilotToken:
        fields = orjson.loads(text)
        return cls(**(fields | {"value": Secret(fields["value"])}))


class CopilotTokens:
    """Gives out the current Copilot token, exchanging it when needed. Safe for threads, greenlets and workers."""

    def __init__(
        self,
        *,
        store: Store,
        github: GitHub,
        github_tokens: GitHubTokens,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._github = github
        self._github_tokens = github_tokens
        self._clock = clock
        self._sleep = sleep
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._token: CopilotToken | None = None
        self._failure: tuple[str, float, GatewayError] | None = None
        self._renewed_at: deque[float] = deque(maxlen=_RENEWALS_PER_MINUTE)

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

    def renew(self, rejected: CopilotToken) -> CopilotToken:
        """The token to use after Copilot refused `rejected`: another one, or `rejected` itself if it was renewed so
        often lately that one more would not help.

        Raises: as current().
        """
        github_token = self._require_github_token()
        token = self._token
        if token is not None and token.account == github_token.fingerprint and self._is_usable(token, rejected):
            return token  # renewed meanwhile
        now = self._clock()
        if len(self._renewed_at) == _RENEWALS_PER_MINUTE and 0 <= now - self._renewed_at[0] < 60:
            return rejected
        self._renewed_at.append(now)
        return self._obtain(github_token, rejected=rejected)

    def is_signed_in(self) -> bool:
        """Whether there is a GitHub token that GitHub has not refused, without calling out."""
        token = self._github_tokens.current()
        return token is not None and self._store.get(_refused_key(token.fingerprint)) is None

    def note_refusal(self, github_token: GitHubToken) -> None:
        """GitHub answered 401 to this token: it is not tried again for an hour, or until somebody signs in."""
        if github_token.source != "environment":  # that one changes with a restart only, and is asked for anew then
            self._store.put(_refused_key(github_token.fingerprint), "1", ttl_s=_REFUSAL_MEMORY_S)

    def accept_anew(self) -> None:
        """Forget earlier refusals: somebody just signed in."""
        token = self._github_tokens.current()
        if token is not None:
            self._store.delete(_refused_key(token.fingerprint))
        self._token = None
        self._failure = None

    def forget_all(self) -> None:
        """Drop every stored Copilot token: the operator signed out."""
        for prefix in (_token_key(""), _refused_key("")):
            for key in self._store.scan(prefix):
                self._store.delete(key)
        self._token = None

    def _require_github_token(self) -> GitHubToken:
        token = self._github_tokens.current()
        if token is None:
            raise SignInRequiredError("Not signed in to GitHub yet. Open /auth/device in a browser to sign in.")
        return token

    def _renew_early(self, token: CopilotToken, github_token: GitHubToken) -> CopilotToken:
        if not self._lock.acquire(blocking=False):
            return token  # somebody in this worker is at it
        try:
            return self._load_or_exchange(github_token, rejected=token)
        except UpstreamError as error:
            # It still lives; the next caller tries again (§2.6: keep the old token while it lives).
            logger.warning("token renewal failed", extra={"fields": {"why": error.message}})
            return token
        finally:
            self._lock.release()

    def _obtain(self, github_token: GitHubToken, rejected: CopilotToken | None) -> CopilotToken:
        with self._lock:
            self._raise_recent_failure(github_token)
            token = self._token
            if token is not None and token.account == github_token.fingerprint and self._is_usable(token, rejected):
                return token  # somebody else got it while we waited for the lock
            try:
                return self._load_or_exchange(github_token, rejected)
            except GatewayError as error:
                self._failure = (github_token.fingerprint, self._clock() + _FAILURE_MEMORY_S, error)
                raise

    def _raise_recent_failure(self, github_token: GitHubToken) -> None:
        if self._failure is not None:
            account, until, error = self._failure
            if account == github_token.fingerprint and self._clock() < until:
                raise error
            self._failure = None

    def _is_usable(self, token: CopilotToken, rejected: CopilotToken | None) -> bool:
        if rejected is not None and token.fingerprint == rejected.fingerprint:
            return False
        return 0 <= self._clock() - token.obtained_at < token.refresh_after_s

    def _load_or_exchange(self, github_token: GitHubToken, rejected: CopilotToken | None) -> CopilotToken:
        """Take another worker's token if it has a good one, else exchange; one exchange over all workers at a time."""
        account = github_token.fingerprint
        if self._store.get(_refused_key(account)) is not None:
            raise _revoked()
        lease = f"exchange:{account}"
        while not (found := self._load(account, rejected)):
            if self._store.acquire(lease, owner=self._owner, ttl_s=_EXCHANGE_LEASE_S):
                try:
                    # It may have come between our look and our lease.
                    found = self._load(account, rejected) or self._exchange(github_token)
                finally:
                    self._store.release(lease, owner=self._owner)
                break
            self._sleep(_WAIT_STEP_S)
        self._token = found
        return found

    def _load(self, account: str, rejected: CopilotToken | None) -> CopilotToken | None:
        text = self._store.get(_token_key(account))
        token = CopilotToken.from_json(text) if text else None
        return token if token is not None and self._is_usable(token, rejected) else None

    def _exchange(self, github_token: GitHubToken) -> CopilotToken:
        answer = self._github.exchange(github_token.secret)
        now = self._clock()
        if answer.status == 200:
            token = _from_envelope(expect_object(answer, "the token exchange"), answer, github_token, now)
        elif answer.status == 404 and github_token.kind in ("gho", "github_pat"):
            token = _direct(github_token, now)
        else:
            error = explain_refusal(answer, github_token)
            if answer.status == 401:
                self.note_refusal(github_token)
            raise error
        self._store.put(_token_key(token.account), token.to_json(), ttl_s=max(1.0, token.lifetime_s))
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


def skew_hint(token: CopilotToken) -> str:
    """A sentence about this machine's clock if it is far off GitHub's, else nothing."""
    if abs(token.skew_s) <= _SKEW_WORTH_MENTIONING_S:
        return ""
    direction = "behind" if token.skew_s > 0 else "ahead of"
    return f" The clock of this machine is {round(abs(token.skew_s) / 60)} minutes {direction} GitHub's; set it right."


def _token_key(account: str) -> str:
    return f"copilot-token:{account}"


def _refused_key(account: str) -> str:
    return f"github-token-refused:{account}"


def _from_envelope(body: dict[str, Any], answer: Answer, github_token: GitHubToken, now: float) -> CopilotToken:
    """§2.2. Only `token`, `expires_at` and `refresh_in` are needed; everything else may be missing."""
    value, expires_at, refresh_in = body.get("token"), body.get("expires_at"), body.get("refresh_in")
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise UpstreamStatusError("GitHub's token exchange gave no token. Try again in a minute.", status=502)
    skew_s = _server_time(answer, now) - now
    refresh_in_s = float(refresh_in) if isinstance(refresh_in, int | float) and refresh_in > 0 else 1500.0
    lifetime_s = refresh_in_s + 60
    if isinstance(expires_at, int | float):
        # By GitHub's own clock on both sides, so that ours does not matter.
        lifetime_s = max(1.0, float(expires_at) - (now + skew_s))
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
    )


def _base_url(told: object) -> str | None:
    """A host that GitHub names, if it can be called; otherwise the public one serves."""
    try:
        return parse_url(told) if isinstance(told, str) else None
    except ValueError:
        return None


def _direct(github_token: GitHubToken, now: float) -> CopilotToken:
    """§2.7. The exchange does not know this kind of token, but Copilot takes it as it is. Asked again after an hour."""
    return CopilotToken(
        value=github_token.secret,
        account=github_token.fingerprint,
        api_base=None,
        obtained_at=now,
        refresh_after_s=3600,
        lifetime_s=7200,
        direct=True,
    )


def _server_time(answer: Answer, now: float) -> float:
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return now


def _revoked() -> SignInRequiredError:
    return SignInRequiredError(
        "GitHub no longer accepts the stored sign-in (revoked or expired). Open /auth/device in a browser to sign in "
        "again."
    )


# §2.6: what GitHub calls the trouble → what to do about it.
_ADVICE = {
    "no_copilot_access": "Get a Copilot plan for this account, or sign in with another one at /auth/device.",
    "not_signed_up": "Get a Copilot plan for this account, or sign in with another one at /auth/device.",
    "subscription_ended": "Renew the Copilot subscription, or sign in with another account at /auth/device.",
    "enterprise_managed_user_account": "Ask the administrator of your enterprise for a Copilot seat.",
    "feature_flag_blocked": "Contact GitHub support.",
    "spammy_user": "Contact GitHub support.",
    "snippy_not_configured": "Choose the policy for public code at https://github.com/settings/copilot.",
    "billing_locked": "Settle the billing problem at https://github.com/settings/billing.",
    "access_revoked": "Access was withdrawn: ask the administrator or GitHub support.",
}


def explain_refusal(answer: Answer, github_token: GitHubToken, what: str = "token exchange") -> GatewayError:
    """What GitHub's refusal of `what` means, whose fault it is and what to do (§2.6, §3.7)."""
    body = answer.body or {}
    message = str(body.get("message") or "")
    if answer.status == 401:
        if github_token.source == "environment":
            return AccountError(
                "GitHub does not accept the token in GH_COPILOT_TOKEN (revoked, expired or mistyped). Set a new one, "
                "or unset it and sign in at /auth/device.",
                code="github_token_revoked",
            )
        return _revoked()
    if (answer.status == 403 and message.lower().startswith("api rate limit exceeded")) or answer.status == 429:
        return UpstreamStatusError(
            "GitHub limits how often this account may ask for tokens. Wait and try again.",
            status=429,
            code="github_rate_limited",
            retry_after=answer.headers.get("Retry-After"),
        )
    if answer.status == 403:
        return _no_access(body)
    if answer.status == 404:
        return AccountError(
            f"GitHub's {what} does not know this token ({github_token.kind}_…). "
            + (
                "Classic personal access tokens do not work with Copilot. Sign in at /auth/device instead."
                if github_token.kind == "ghp"
                else "Sign in again at /auth/device, and check GITHUB_API_BASE_URL."
            ),
            code="token_not_exchangeable",
        )
    return UpstreamStatusError(
        f"GitHub's {what} failed with HTTP {answer.status}. This is on GitHub's side; try again in a minute.",
        status=502,
    )


def _no_access(body: dict[str, Any]) -> AccountError:
    details = body.get("error_details")
    details = details if isinstance(details, dict) else {}
    reason = str(details.get("notification_id") or "forbidden")
    said = str(details.get("message") or body.get("message") or "access denied").strip().rstrip(".")
    link = str(details.get("url") or "").replace("{EDITOR}", "vscode")
    advice = _ADVICE.get(reason, "See https://github.com/settings/copilot.")
    more = f" More: {link}" if link.startswith("https://") else ""
    return AccountError(f"GitHub refuses Copilot for this account: {said}. {advice}{more}", code=reason)
