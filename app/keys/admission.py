"""One call of a named key: whether it may go on, what it holds meanwhile, and what its client is told of its limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.converters.neutral.cost import estimated_nano
from app.converters.neutral.price_list import PriceList
from app.converters.neutral.prices import multiplier_of
from app.converters.request_size import likely_tokens
from app.errors import ClientError, ForbiddenError, Sentence
from app.keys.account import Account, Amounts, Refused, Reservation
from app.keys.key import PER_UNIT, WARNS_AT, Key, Unit, moment, told
from app.keys.rates import RequestRates, Standing
from app.keys.spending import Spending
from app.reply import Ended

_UNKNOWN_PRICE: Final = PER_UNIT["credits"]
"""What is reserved of credits for a model without prices: one credit."""
_MOST_PROMPT_TOKENS: Final = 200_000
"""A body holds images as well, whose bytes are no tokens."""
_TRY_AGAIN_S: Final = 5

WARNING: Final = "x-bridge-budget-warning"


class LimitError(ClientError):
    """A limit of the key is reached."""

    quotes = False
    status = 429
    code = "rate_limit_exceeded"


class BudgetSpentError(LimitError):
    """A budget of the key is used up."""

    code = "insufficient_quota"


class Admission:
    """Made when a key has been recognised; the relay asks it before anything is sent."""

    def __init__(self, key: Key, rates: RequestRates, spending: Spending, prices: PriceList) -> None:
        self.key = key
        self._prices = prices
        self._rates = rates
        self._spending = spending
        self._standing: Standing | None = None
        self._accounts: tuple[Account, ...] = ()
        self._reservation: Reservation | None = None
        self._entry: Mapping[str, Any] = {}

    @property
    def is_admin(self) -> bool:
        """Whether the key may do what API_KEY may."""
        return self.key.is_admin

    def admits(self, model: str) -> bool:
        """Whether the key may use it."""
        return self.key.limits.admits(model)

    def enter(self, model: str, *, asked: str = "") -> None:
        """A call for this model, by the name under which Copilot serves it. asked: the name that the client has for it.
        Raises: ForbiddenError, LimitError."""
        limits = self.key.limits
        if not limits.admits(model):
            told = {"name": repr(self.key.name), "model": repr(model), "models": ", ".join(limits.models)}
            raise ForbiddenError(
                Sentence(
                    "The key %(name)s may not use the model %(model)s, only: %(models)s. GET /v1/models lists what it "
                    "may use.",
                    **told,
                )
                if asked in ("", model)
                else Sentence(
                    "The key %(name)s may not use the model %(model)s, which %(asked)s stands for here, only: "
                    "%(models)s. GET /v1/models lists what it may use.",
                    **told,
                    asked=repr(asked),
                ),
                param="model",
                code="model_not_allowed",
            )
        if limits.requests_per_minute is not None and self._standing is None:
            self._standing = self._rates.hit(self.key.id, limits.requests_per_minute)
            if not self._standing.is_admitted:
                wait_s = max(1, math.ceil(self._standing.resets_at - self._spending.now()))
                raise LimitError(
                    Sentence(
                        "The key %(name)s may make %(most)s requests per minute. Try again in %(seconds)s seconds.",
                        name=repr(self.key.name),
                        most=limits.requests_per_minute,
                        seconds=wait_s,
                    ),
                    retry_after=str(wait_s),
                )

    def reserve(
        self, body: Mapping[str, Any], *, size: int, entry: Mapping[str, Any] | None, is_turn: bool = True
    ) -> None:
        """Hold what the call may cost. size: of the body in bytes; entry: the model's in the catalogue, if it is known;
        is_turn: a premium request is billed for it.

        Raises: LimitError.
        """
        if not self.key.limits.are_counted or self._reservation is not None:
            return
        self._entry = entry or {}
        tokens_in, tokens_out = likely_tokens(body, size)
        tokens_in = min(tokens_in, _MOST_PROMPT_TOKENS)
        nano = self._credits({"input_tokens": tokens_in, "output_tokens": tokens_out})
        amounts: dict[Unit, int] = {
            "tokens": tokens_in + tokens_out,
            "credits": nano if nano is not None else _UNKNOWN_PRICE,
            "premium_requests": self._premium() if is_turn else 0,
        }
        found = self._spending.reserve(self.key, amounts)
        if isinstance(found, Refused):
            raise self._refusal(found)
        self._reservation, self._accounts = found.reservation, found.accounts

    def settle(self, ended: Ended) -> None:
        """The call has ended, however it did."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._spending.settle(reservation, self._cost(ended, reservation.amounts))

    def headers(self, *, is_anthropic: bool) -> dict[str, str]:
        """What is left, in the names of the client's vendor."""
        found: dict[str, str] = {}
        for name, limit, remaining, resets_at in self._told():
            if is_anthropic:
                start = f"anthropic-ratelimit-{name}"
                found |= {f"{start}-limit": limit, f"{start}-remaining": remaining}
                if resets_at is not None:
                    found[f"{start}-reset"] = moment(resets_at)
            else:
                found |= {f"x-ratelimit-limit-{name}": limit, f"x-ratelimit-remaining-{name}": remaining}
                if resets_at is not None:
                    found[f"x-ratelimit-reset-{name}"] = duration(resets_at - self._spending.now())
        warnings = [
            f"{int(account.share * 100)}% of {account.budget.words} used"
            for account in self._accounts
            if account.share >= WARNS_AT
        ]
        return found | ({WARNING: "; ".join(warnings)} if warnings else {})

    def _told(self) -> Iterator[tuple[str, str, str, float | None]]:
        """Name, limit, what remains, when it starts anew: of the requests, and for each unit of the tightest budget."""
        if (standing := self._standing) is not None:
            yield "requests", str(standing.limit), str(standing.remaining), standing.resets_at
        tightest: dict[Unit, Account] = {}
        for account in self._accounts:
            known = tightest.get(account.budget.unit)
            if known is None or account.left < known.left:
                tightest[account.budget.unit] = account
        for unit, account in tightest.items():
            limit, left = told(account.budget.amount, unit), told(account.left, unit)
            yield unit.replace("_", "-"), limit, left, account.ends_at

    def _refusal(self, found: Refused) -> LimitError:
        account, name = found.account, repr(self.key.name)
        if account is None:
            return LimitError(
                Sentence(
                    "The key %(name)s may have %(most)s answers in progress at a time. Try again when one has ended.",
                    name=name,
                    most=self.key.limits.concurrent,
                ),
                retry_after=str(_TRY_AGAIN_S),
            )
        self._accounts = (account,)
        if not found.is_spent:
            return LimitError(
                Sentence(
                    "What is left of the budget of the key %(name)s (%(budget)s) is reserved for answers in progress. "
                    "Try again when one has ended.",
                    name=name,
                    budget=account.budget.words,
                ),
                retry_after=str(_TRY_AGAIN_S),
            )
        if account.ends_at is None:
            return BudgetSpentError(
                Sentence(
                    "The budget of the key %(name)s is used up: %(budget)s. Ask the operator of the bridge for more.",
                    name=name,
                    budget=account.budget.words,
                )
            )
        wait_s = max(1, math.ceil(account.ends_at - self._spending.now()))
        return BudgetSpentError(
            Sentence(
                "The budget of the key %(name)s is used up: %(budget)s. It starts anew at %(moment)s.",
                name=name,
                budget=account.budget.words,
                moment=moment(account.ends_at),
            ),
            retry_after=str(wait_s),
        )

    # ── costs ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _cost(self, ended: Ended, held: Amounts) -> Amounts:
        """What it did cost. An error in place of an answer is free; what nobody can know counts as it was reserved."""
        record = ended.record
        if record.sent in ("no", "refused") and record.nano_credits is None:
            return {}
        tokens, nano = _total(record.usage), record.nano_credits
        if nano is None and record.usage:
            nano = self._credits(record.usage)
        return {
            "tokens": tokens if tokens is not None else held.get("tokens", 0),
            "credits": nano if nano is not None else held.get("credits", 0),
            "premium_requests": held.get("premium_requests", 0),
        }

    def _credits(self, usage: Mapping[str, int]) -> int | None:
        """None if the model has no prices."""
        prices = self._prices.of(self._entry)
        return estimated_nano(prices, usage) if prices is not None else None

    def _premium(self) -> int:
        multiplier = multiplier_of(self._entry)
        return round((1.0 if multiplier is None else multiplier) * PER_UNIT["premium_requests"])


def _total(usage: Mapping[str, int] | None) -> int | None:
    if not usage:
        return None
    if "total_tokens" in usage:
        return usage["total_tokens"]
    return usage.get("input_tokens", 0) + usage.get("output_tokens", 0)


def duration(seconds: float) -> str:
    """As OpenAI tells it: ``1h2m3s``, ``12s``."""
    left = max(0, math.ceil(seconds))
    hours, minutes = divmod(left, 3600)
    minutes, rest = divmod(minutes, 60)
    shown = f"{hours}h" if hours else ""
    shown += f"{minutes}m" if hours or minutes else ""
    return f"{shown}{rest}s"
