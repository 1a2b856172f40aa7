"""What an answer came to, in the same words whatever protocol it was given in; for the log."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from app.converters.neutral.vocabulary import Response, Usage
from app.converters.wire.accounting import account_of, nano_of

_COUNTS: Final = (*(field.name for field in fields(Usage)), "total_tokens")


@dataclass(frozen=True, slots=True)
class Outcome:
    """usage: as `counts` gives it. finish_reason: a `FinishReason`, or upstream's own word where none fits.

    nano_credits: what it cost, exactly; None if upstream did not tell.
    """

    usage: dict[str, int] | None = None
    finish_reason: str | None = None
    nano_credits: int | None = None


def counts(usage: Usage | None) -> dict[str, int] | None:
    """The tokens that an answer took, without what nobody reported; None if nothing was.

    ``{"input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "total_tokens"}``: input includes both cached shares, output includes reasoning, total is the two together.
    """
    if usage is None:
        return None
    return {name: count for name in _COUNTS if (count := getattr(usage, name)) is not None} or None


def outcome_of(response: Response) -> Outcome:
    """What a whole answer in the neutral vocabulary came to."""
    return Outcome(counts(response.usage), response.finish_reason, nano_of(account_of(response.extra)))
