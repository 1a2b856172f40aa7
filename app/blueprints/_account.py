"""What GitHub says of the account in use, for the pages: its plan, what is left, and until when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from app.auth.copilot_token import ACCOUNT_INFORMATION, NOT_SIGNED_IN, explain_refusal, no_plan_of_installations
from app.auth.github import expect_object
from app.auth.github_token import GitHubToken
from app.converters.listings.usage import summarize
from app.errors import GatewayError, SignInRequiredError
from app.gateway import Gateway
from app.schemas.usage import day_of
from app.seats import Seat


@dataclass(frozen=True, slots=True)
class Account:
    """linked: the sign-in in use, None without one. usage: as of `summarize`; None where GitHub did not tell, for the
    reason in trouble. skew_s: GitHub's clock minus ours, None if that is not known."""

    linked: GitHubToken | None = field(default=None, repr=False)
    usage: dict[str, Any] | None = None
    trouble: GatewayError | None = None
    skew_s: float | None = None

    @property
    def reset_on(self) -> date | None:
        """When the allowances start anew."""
        return day_of(str((self.usage or {}).get("quota_reset_date"))[:10])

    @property
    def days_left(self) -> int | None:
        return (self.reset_on - datetime.now(UTC).date()).days if self.reset_on is not None else None


def ask(gateway: Gateway, seat: Seat) -> Account:
    """Ask GitHub of this account. Raises: SignInRequiredError, AccountError, UpstreamError, StoreError."""
    token = seat.github_tokens.current()
    if token is None:
        raise SignInRequiredError(NOT_SIGNED_IN)
    if token.kind == "ghs":
        raise no_plan_of_installations()
    answer = gateway.github.account(token.secret)
    if answer.status != 200:
        if answer.status == 401:
            seat.copilot_tokens.note_refusal(token)
        raise explain_refusal(answer, token, what=ACCOUNT_INFORMATION)
    summary = summarize(expect_object(answer, ACCOUNT_INFORMATION))
    return Account(token, summary, skew_s=_skew(answer.headers.get("Date")))


def look(gateway: Gateway, seat: Seat) -> Account:
    """The same for a page that has more to show: what went wrong is in the answer."""
    try:
        return ask(gateway, seat)
    except GatewayError as error:
        return Account(seat.github_tokens.current(), trouble=error)


def _skew(told: str | None) -> float | None:
    try:
        return parsedate_to_datetime(told or "").timestamp() + 0.5 - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
