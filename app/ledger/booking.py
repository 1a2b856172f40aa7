"""What is kept of a call: made of its record when its answer has ended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.converters.neutral.cost import estimated_nano
from app.converters.neutral.price_list import PriceList
from app.converters.neutral.prices import multiplier_of
from app.errors import CLIENT_GONE, RestartingError
from app.reply import Ended, Record

Outcome = Literal["finished", "refused", "cut", "client_gone", "stopped"]
"""finished: the whole answer was given. refused: an error in its place. cut: an error in the middle. client_gone: the
client hung up. stopped: the worker was told to stop and could not wait."""

_LIST: Final = PriceList()
_MOST: Final = 2**63 - 1
_NAME: Final = 100
_CODE: Final = 60


# Not frozen: that makes one three times as dear, and there is one for each call.
@dataclass(slots=True, kw_only=True)
class Booking:
    """One call. Times: epoch seconds, and milliseconds where the name says so; None is what nobody told.

    key: the name of the client's key. account: of GitHub. client: the program, without its version. model: as asked
    for. purpose, initiator: see `request_purpose`. conversation: the same for all calls of one, and nothing else. Input
    tokens include both cached shares, output includes reasoning. nano_credits: exact if `is_estimated` is False,
    None if nobody knows.
    premium_milli: thousandths of a premium request, on plans that count those. error: its code.
    """

    ended_at: float
    request_id: str
    upstream_request_id: str
    key: str
    account: str
    client: str
    dialect: str
    model: str
    served_model: str
    upstream: str
    initiator: str
    purpose: str
    conversation: str
    streamed: bool
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    nano_credits: int | None
    is_estimated: bool
    premium_milli: int | None
    first_byte_ms: int | None
    duration_ms: int
    outcome: Outcome
    status: int
    error: str


def booking_of(ended: Ended, *, account: str, secret: bytes, prices: PriceList = _LIST) -> Booking:
    """What to keep of a call. secret: without it nobody can tell which words a conversation began with. prices: to
    estimate by."""
    record = ended.record
    usage = record.usage or {}
    nano, is_estimated = _cost(record, usage, prices)
    return Booking(
        ended_at=ended.ended_at,
        request_id=_text(record.request_id, 128),
        upstream_request_id=_text(record.upstream_request_id or "", 128),
        key=_text(record.key or "", _NAME),
        account=_text(account, _NAME),
        client=_text(ended.client or "", _NAME),
        dialect=record.protocol,
        model=_text(record.model, _NAME),
        # A name that is no model's may be anything; it stands in `model` already.
        served_model=_text(record.served_model, _NAME) if record.entry is not None else "",
        upstream=record.upstream if record.answered is None else record.answered,
        initiator=record.initiator or "",
        purpose=record.purpose or "",
        conversation=_conversation(record.conversation, secret),
        streamed=record.stream,
        input_tokens=_count(usage, "input_tokens"),
        cached_input_tokens=_count(usage, "cached_input_tokens"),
        cache_write_tokens=_count(usage, "cache_write_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_count(usage, "reasoning_tokens"),
        nano_credits=nano,
        is_estimated=is_estimated,
        premium_milli=_premium(record),
        first_byte_ms=record.first_byte_ms,
        duration_ms=ended.duration_ms,
        outcome=outcome_of(record.error, ended.status),
        status=ended.status,
        error=_text(record.error or "", _CODE),
    )


def outcome_of(error: str | None, status: int) -> Outcome:
    """How a call ended, by the code of its error and the status that the client was told."""
    if error == CLIENT_GONE:
        return "client_gone"
    if error == RestartingError.code:
        return "stopped"
    if status >= 400:
        return "refused"
    return "finished" if error is None else "cut"


def _cost(record: Record, usage: Mapping[str, int], listed: PriceList) -> tuple[int | None, bool]:
    """What the call cost, and whether that is an estimate."""
    if record.nano_credits is not None:
        return (record.nano_credits if record.nano_credits <= _MOST else None), record.is_partial
    if record.sent in ("no", "refused"):
        return 0, False
    prices = listed.of(record.entry) if record.entry is not None else None
    nano = estimated_nano(prices, usage) if prices is not None else None
    return (nano, True) if nano is not None and nano <= _MOST else (None, False)


def _premium(record: Record) -> int | None:
    """A request of a person costs what the model's multiplier says, further calls of its turn nothing (contract §5.5).

    None on a plan that counts no premium requests: its list tells no multipliers.
    """
    multiplier = multiplier_of(record.entry) if record.entry is not None else None
    if multiplier is None:
        return None
    is_counted = record.sent == "answered" and record.initiator == "user"
    return min(round(multiplier * 1000), _MOST) if is_counted else 0


def _conversation(key: bytes, secret: bytes) -> str:
    return hashlib.blake2b(key, key=secret[:64], digest_size=8).hexdigest() if key else ""


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and 0 <= value <= _MOST else None


def _text(text: str, longest: int) -> str:
    """What any database can hold of a text that others wrote."""
    cut = text[:longest]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)
