"""A client key and its limits, as values."""

from __future__ import annotations

import fnmatch
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from app.errors import Sentence

Role = Literal["client", "admin"]
Unit = Literal["credits", "premium_requests", "tokens"]
Period = Literal["day", "month", "total"]

ROLES: Final[tuple[Role, ...]] = ("client", "admin")
UNITS: Final[tuple[Unit, ...]] = ("credits", "premium_requests", "tokens")
PERIODS: Final[tuple[Period, ...]] = ("day", "month", "total")

_UNIT_WORDS: Final[dict[Unit, Sentence]] = {
    "credits": Sentence("credits"),
    "premium_requests": Sentence("premium requests"),
    "tokens": Sentence("tokens"),
}
_PERIOD_WORDS: Final[dict[Period, Sentence]] = {
    "day": Sentence("per day"),
    "month": Sentence("per month"),
    "total": Sentence("in total"),
}
PER_UNIT: Final[dict[Unit, int]] = {"credits": 10**9, "premium_requests": 1000, "tokens": 1}
"""In what amounts are counted: nano-credits, thousandths of a premium request, tokens. Whole numbers, so that sums are
exact."""

WARNS_AT: Final = 0.8
HOURS: Final = 24
"""How long an invitation is good, unless somebody says otherwise; and at most."""
MOST_HOURS: Final = 7 * 24

_MARK: Final = "cb-"
_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"cb-[A-Za-z0-9_-]{43}")
_SHOWN: Final = 9
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
# What the log calls a key of API_KEY.
_TAKEN: Final = re.compile(r"default|[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Budget:
    """How much in which period. amount: as counted, see `PER_UNIT`."""

    amount: int
    unit: Unit
    per: Period

    def begins(self, now: float) -> float:
        """When the period began that `now` lies in (epoch seconds, by UTC); 0 for a total."""
        moment = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.per == "day":
            return moment.timestamp()
        return moment.replace(day=1).timestamp() if self.per == "month" else 0.0

    def ends(self, now: float) -> float | None:
        """When the next period begins; None for a total, which never does."""
        begin = self.begins(now)
        if self.per == "day":
            return begin + 24 * 3600
        if self.per == "total":
            return None
        first = datetime.fromtimestamp(begin, UTC)
        after = (first.year + 1, 1) if first.month == 12 else (first.year, first.month + 1)
        return datetime(*after, 1, tzinfo=UTC).timestamp()

    @property
    def words(self) -> Sentence:
        """``5 credits per day``."""
        return Sentence(
            "%(amount)s %(unit)s %(per)s",
            amount=told(self.amount, self.unit),
            unit=_UNIT_WORDS[self.unit],
            per=_PERIOD_WORDS[self.per],
        )

    def as_json(self) -> dict[str, Any]:
        amount = self.amount / PER_UNIT[self.unit]
        return {"amount": int(amount) if amount.is_integer() else amount, "unit": self.unit, "per": self.per}

    @classmethod
    def of(cls, amount: float, unit: Unit, per: Period) -> Budget:
        return cls(round(amount * PER_UNIT[unit]), unit, per)


@dataclass(frozen=True, slots=True)
class Limits:
    """models: patterns as of a shell, () means all. requests_per_minute, concurrent: None means without a limit.

    concurrent: answers in progress at a time, streamed or whole.
    """

    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    concurrent: int | None = None
    budgets: tuple[Budget, ...] = ()

    def admits(self, model: str) -> bool:
        """Whether this model may be used: by the name under which Copilot serves it."""
        return not self.models or any(fnmatch.fnmatchcase(model.lower(), pattern.lower()) for pattern in self.models)

    @property
    def are_counted(self) -> bool:
        """Whether what is in flight has to be known."""
        return self.concurrent is not None or bool(self.budgets)


@dataclass(frozen=True, slots=True)
class Binding:
    """The GitHub account that a key's calls go by. account: its login. sealed: the token of its sign-in, encrypted."""

    account: str
    bound_at: float
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, without itself. Times: epoch seconds. digest: SHA-256 of it, in hex. prefix: what may be shown of it.

    binding: None, if the bridge's own account serves it.
    """

    id: str
    name: str
    prefix: str
    digest: str = field(repr=False)
    role: Role = "client"
    owner: str = ""
    note: str = ""
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    limits: Limits = Limits()
    binding: Binding | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    def state(self, now: float) -> Literal["active", "expired", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def may_share(one: Key, other: Key) -> bool:
    """Whether both may be bound to one GitHub account: they are keys of one person, and the operator has said so.

    A seat is licensed to a person. One that served several people would be spread over them, and one that several keys
    took turns at would be a pool.
    """
    return bool(one.owner.strip()) and one.owner.strip().casefold() == other.owner.strip().casefold()


def new_secret() -> str:
    """A key that nobody can guess: 256 bits."""
    return _MARK + secrets.token_urlsafe(_SECRET_BYTES)


def looks_like_key(text: str) -> bool:
    """Whether this could be a key of ours, so that it is worth a look; no other one ever costs any."""
    return _FORM.fullmatch(text) is not None


def digest_of(secret: str) -> str:
    """What is stored of it. So much chance needs no slow hash: nobody can try them all."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def prefix_of(secret: str) -> str:
    return secret[:_SHOWN]


def is_key_name(text: object) -> bool:
    """Whether a key can be called so: it stands in the log, in commands and in addresses."""
    return isinstance(text, str) and bool(_NAME.fullmatch(text)) and not _TAKEN.fullmatch(text)


def told(amount: int, unit: Unit) -> str:
    """A counted amount in its unit, as a plain decimal number."""
    per = PER_UNIT[unit]
    if per == 1:
        return str(amount)
    whole, rest = divmod(abs(amount), per)
    digits = len(str(per)) - 1
    fraction = str(rest).rjust(digits, "0").rstrip("0") if rest else ""
    return ("-" if amount < 0 else "") + (f"{whole}.{fraction}" if fraction else str(whole))


def moment(at: float) -> str:
    """A time as people and programs read it: ``2026-12-01T00:00:00Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
