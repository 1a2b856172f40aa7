"""What the ledger is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from marshmallow import fields

from app.errors import InvalidRequestError, Sentence
from app.schemas.base import Boundary, check

Group = Literal["day", "model", "key", "client", "account"]
GROUPS: Final[tuple[Group, ...]] = ("day", "model", "key", "client", "account")
FORMATS: Final = ("json", "csv")
_MOST_DAYS: Final = 36_600


class Day(fields.Field[date]):
    """A day as ``2026-11-30``, in UTC."""

    shape: ClassVar[dict[str, Any]] = {"type": "string", "format": "date"}
    default_error_messages = {"invalid": Sentence("must be a day like 2026-11-30")}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        found = day_of(value)
        if found is None:
            raise self.make_error("invalid")
        return found


class Word(fields.Field[str]):
    """One of a few words."""

    def __init__(self, *allowed: str) -> None:
        super().__init__(error_messages={"invalid": Sentence("must be one of %(words)s", words=", ".join(allowed))})
        self.allowed = allowed

    @property
    def shape(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.allowed)}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value not in self.allowed:
            raise self.make_error("invalid")
        return str(value)


LedgerQuery: Final = Boundary.from_dict(
    {"from": Day(), "to": Day(), "group": Word(*GROUPS), "format": Word(*FORMATS)}, name="LedgerQuery"
)
_QUERY: Final = LedgerQuery()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report: both days are in it."""

    first: date
    last: date
    group: Group
    as_csv: bool


def day_of(text: Any) -> date | None:
    """The day that a text names in this form and no other; None if it names none."""
    try:
        found = date.fromisoformat(text) if isinstance(text, str) and len(text) == 10 else None
    except ValueError:
        return None
    return found if found is not None and found.isoformat() == text else None


def read_query(query: dict[str, Any], *, now: float) -> Wanted:
    """Without a word the last thirty days, by day. now: epoch seconds. Raises: InvalidRequestError."""
    check(_QUERY, query)
    today = datetime.fromtimestamp(now, UTC).date()
    last = day_of(query.get("to")) or max(today, day_of(query.get("from")) or today)
    first = day_of(query.get("from")) or last - timedelta(days=min(29, last.toordinal() - 1))
    if first > last:
        what = Sentence("'from' must not be after 'to' (%(day)s).", day=last.isoformat())
        raise InvalidRequestError(what, param="from")
    if (last - first).days > _MOST_DAYS:
        what = Sentence("'from' must not be more than %(days)s days before 'to'.", days=_MOST_DAYS)
        raise InvalidRequestError(what, param="from")
    return Wanted(
        first, last, next((it for it in GROUPS if it == query.get("group")), "day"), query.get("format") == "csv"
    )
