"""What an answer cost, as Copilot tells it beside the usage (contract §6.3.6, §10.8). One credit is 10⁹ nano-AIU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fractions import Fraction

FIELD: Final = "copilot_usage"
MARK: Final = b'"copilot_usage"'
"""What the bytes of an answer hold that tells its cost. Searched for before anything is parsed for its sake."""

COPILOT: Final = "copilot"
"""Under this name the account rides in the ``extra`` of a neutral answer: it belongs to no dialect."""

NANO: Final = 10**9
"""Nano-credits in a credit. Sums of money are whole numbers of them: floats do not add up to what was billed."""
_ABSURD: Final = 10**24  # nano-AIU; what costs more was not told, but made up


def account_in(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The account in an answer or in an event: at its top, or in its ``response`` or ``usage``. None without one."""
    for holder in (answer, answer.get("response"), answer.get("usage")):
        found = holder.get(FIELD) if isinstance(holder, Mapping) else None
        if isinstance(found, dict) and found:
            return found
    return None


def extra_with(account: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The account as a part of the ``extra`` of a neutral answer."""
    return {COPILOT: {FIELD: account}} if account else {}


def account_of(extra: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The account in the ``extra`` of a neutral answer."""
    return extra.get(COPILOT, {}).get(FIELD)


def nano_of(account: Mapping[str, Any] | None) -> int | None:
    """What an answer cost, in nano-credits; None if the account does not tell, which is not 0.

    The total counts; without one, the sum of the parts.
    """
    if account is None:
        return None
    total: int | float | Fraction | None = _amount(account.get("total_nano_aiu"))
    details = account.get("token_details")
    if total is None and isinstance(details, list) and details:
        total = _sum(_cost(entry) for entry in details)
    return None if total is None or total > _ABSURD else round(total)


def both(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """The account of two answers that are one to the client."""
    if one is None or other is None:
        return one or other
    details = [
        entry
        for account in (one, other)
        if isinstance(account.get("token_details"), list)
        for entry in account["token_details"]
    ]
    known = sum(total for total in (nano_of(one), nano_of(other)) if total is not None)
    return {"token_details": details, "total_nano_aiu": known}


def credits_text(nano: int) -> str:
    """Nano-credits as credits: a plain decimal number, exact, without needless zeros."""
    whole, fraction = divmod(abs(nano), NANO)
    sign, decimals = "-" if nano < 0 else "", f"{fraction:09}".rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def _cost(entry: Any) -> Fraction | None:
    from fractions import Fraction  # seldom needed

    if not isinstance(entry, dict):
        return None
    count, price, batch = (_amount(entry.get(name)) for name in ("token_count", "cost_per_batch", "batch_size"))
    return None if count is None or price is None or not batch else Fraction(count) * Fraction(price) / Fraction(batch)


def _sum(costs: Iterable[Fraction | None]) -> Fraction | None:
    """None if a part is not known: half a bill is none."""
    told = list(costs)
    known = [cost for cost in told if cost is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(told) else None


def _amount(value: Any) -> int | float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _ABSURD else None
