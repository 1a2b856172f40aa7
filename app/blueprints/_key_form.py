"""The forms of the page of keys: what a person typed, as the fields that ``/admin/keys`` takes, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from app.errors import InvalidRequestError, Sentence
from app.keys.key import MOST_HOURS, PERIODS, UNITS, Key, told

_MOST_BUDGETS: Final = len(UNITS) * len(PERIODS)
_PROBLEMS: Final = {
    "name": Sentence("A name has 1 to 64 letters, digits or ._@-, and does not begin with one of these marks."),
    "owner": Sentence("The owner is one line of at most 500 characters."),
    "note": Sentence("The note is one line of at most 500 characters."),
    "role": Sentence("The role is client or admin."),
    "expires_at": Sentence("The key expires on a day like 2027-01-31, or never."),
    "models": Sentence("Models are at most 100 patterns, one on each line, such as gpt-5*."),
    "requests_per_minute": Sentence("Requests per minute are a whole number above 0, or empty."),
    "concurrent": Sentence("Answers at a time are a whole number above 0, or empty."),
    "budgets": Sentence("Each budget has an amount above 0, and there is one for each unit and period at most."),
    "hours": Sentence("An invitation is good for 1 to %(most)s hours.", most=MOST_HOURS),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the form: as typed, or as a key is."""

    name: str = ""
    owner: str = ""
    note: str = ""
    role: str = "client"
    expires_on: str = ""
    models: str = ""
    requests_per_minute: str = ""
    concurrent: str = ""
    budgets: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def of(cls, form: MultiDict[str, str]) -> Typed:
        rows = zip(*(form.getlist(f"budget_{word}") for word in ("amount", "unit", "per")), strict=False)
        plain = ("owner", "note", "role", "expires_on", "models", "requests_per_minute", "concurrent")
        return cls(
            name=form.get("name", "").strip(),
            budgets=tuple((amount.strip(), unit, per) for amount, unit, per in rows if amount.strip()),
            **{word: form.get(word, "").strip() for word in plain},
        )

    @classmethod
    def as_is(cls, key: Key) -> Typed:
        limits = key.limits
        return cls(
            name=key.name,
            owner=key.owner,
            note=key.note,
            role=key.role,
            expires_on=_day(key.expires_at),
            models="\n".join(limits.models),
            requests_per_minute=str(limits.requests_per_minute or ""),
            concurrent=str(limits.concurrent or ""),
            budgets=tuple((told(it.amount, it.unit), it.unit, it.per) for it in limits.budgets),
        )

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """The budgets, and room for more."""
        free = [("", UNITS[0], "month"), ("", UNITS[0], "day")]
        return [*self.budgets, *free][: max(_MOST_BUDGETS, len(self.budgets))]

    def fields(self, key: Key | None = None) -> dict[str, Any]:
        """As JSON would have it. key: which is changed; a day of expiry that stays keeps its time."""
        found: dict[str, Any] = {
            "owner": self.owner,
            "note": self.note,
            "role": self.role,
            "models": [line for line in self.models.splitlines() if line.strip()],
            "requests_per_minute": _number(self.requests_per_minute),
            "concurrent": _number(self.concurrent),
            "budgets": [{"amount": _amount(amount), "unit": unit, "per": per} for amount, unit, per in self.budgets],
        }
        if key is None:
            found["name"] = self.name
        if key is None or self.expires_on != _day(key.expires_at):
            found["expires_at"] = self.expires_on or None
        return found


def problem_of(error: InvalidRequestError) -> tuple[str, str]:
    """Which field is wrong, and what to do: in words of the page, for those of the API are for programs."""
    field = (error.param or "").partition(".")[0].partition("[")[0]
    if error.code == "key_exists":
        return "name", error.message
    return field, _PROBLEMS.get(field, error.message)


def hours_of(form: Mapping[str, str]) -> dict[str, Any]:
    return {"hours": _number(form.get("hours", ""))} if form.get("hours", "").strip() else {}


def _day(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat() if at is not None else ""


def _number(text: str) -> int | str | None:
    if not text.strip():
        return None
    return int(text) if text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 20 else text


def _amount(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
