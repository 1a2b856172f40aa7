"""What ``/admin/keys`` reads. Unlike a vendor's API it takes no field that it does not know: a limit with a slip in its
name would be none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from app.errors import InvalidRequestError, Sentence
from app.keys.key import HOURS, MOST_HOURS, PER_UNIT, PERIODS, ROLES, UNITS, Budget, Limits, is_key_name
from app.schemas.base import Count

_LONGEST = 500
_MOST_PATTERNS = 100
_MOST_BUDGETS = 9
_OF_LIMITS = ("models", "requests_per_minute", "concurrent", "budgets")
_MOST = 10**9

NAME_RULE = Sentence(
    "must be 1 to 64 letters, digits or ._@-, not begin with one of these marks, and not look like a key's hash"
)


class KeyName(fields.Field[str]):
    """What a key is called."""

    shape: ClassVar[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 64}
    default_error_messages = {"required": Sentence("is required"), "null": NAME_RULE, "invalid": NAME_RULE}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not is_key_name(value):
            raise self.make_error("invalid")
        return str(value)


class Line(fields.Field[str]):
    """A line of text for people."""

    shape: ClassVar[dict[str, Any]] = {"type": "string", "maxLength": _LONGEST}
    default_error_messages = {
        "invalid": Sentence("must be one line of text, of %(most)s characters at most", most=_LONGEST)
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or len(value) > _LONGEST or not (value.isprintable() or not value):
            raise self.make_error("invalid")
        return value


class Moment(fields.Field[float]):
    """A time as of ISO 8601, with its zone, or null."""

    shape: ClassVar[dict[str, Any]] = {"type": "string", "format": "date-time"}
    default_error_messages = {"invalid": Sentence("must be a time like 2027-01-31T00:00:00Z, or null")}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        try:
            found = datetime.fromisoformat(value)
            at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (TypeError, ValueError, OverflowError):
            raise self.make_error("invalid") from None
        return at


class Patterns(fields.Field[tuple[str, ...]]):
    """Patterns of model names."""

    shape: ClassVar[dict[str, Any]] = {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_PATTERNS}
    default_error_messages = {
        "invalid": Sentence("must be a list of at most %(most)s patterns, e.g. ['gpt-5*']", most=_MOST_PATTERNS)
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > _MOST_PATTERNS:
            raise self.make_error("invalid")
        if not all(isinstance(one, str) and one.strip() and one.isprintable() and len(one) <= 256 for one in value):
            raise self.make_error("invalid")
        return tuple(one.strip() for one in value)


class Amount(fields.Field[float]):
    """How much of a unit."""

    shape: ClassVar[dict[str, Any]] = {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST}
    default_error_messages = {
        "required": Sentence("is required"),
        "invalid": Sentence("must be a number above 0, and %(most)s at most", most=_MOST),
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not 0 < value <= _MOST:
            raise self.make_error("invalid")
        return float(value)


def _one_of(words: Sequence[str], **more: Any) -> fields.String:
    told = Sentence("must be one of: %(words)s", words=", ".join(words))
    return fields.String(
        validate=validate.OneOf(words, error=told),
        error_messages={"required": Sentence("is required"), "null": told, "invalid": told},
        **more,
    )


class BudgetFields(Schema):
    """``{"amount": 5, "unit": "credits", "per": "day"}``."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": Sentence("is no field of a budget"), "type": Sentence("must be an object")}

    amount = Amount(required=True)
    unit = _one_of(UNITS, load_default="credits")
    per = _one_of(PERIODS, required=True)


class KeyChange(Schema):
    """``PATCH /admin/keys/{name}``: what is not named stays. null takes a limit away. The name cannot be changed: the
    ledger, the rules of the mapping and stored responses go by it, and nobody may come by those of another."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": Sentence("is no field of a key that can be changed")}

    role = _one_of(ROLES)
    owner = Line()
    note = Line()
    expires_at = Moment(allow_none=True)
    models = Patterns(allow_none=True)
    requests_per_minute = Count(allow_none=True, validate=validate.Range(max=_MOST, error=Sentence("is too large")))
    concurrent = Count(allow_none=True, validate=validate.Range(max=_MOST, error=Sentence("is too large")))
    budgets = fields.List(
        fields.Nested(BudgetFields),
        allow_none=True,
        validate=validate.Length(
            max=_MOST_BUDGETS, error=Sentence("must not hold more than %(most)s", most=_MOST_BUDGETS)
        ),
        error_messages={"invalid": Sentence("must be a list of objects with amount, unit and per")},
    )


class NewKey(KeyChange):
    """``POST /admin/keys``."""

    error_messages = {"unknown": Sentence("is no field of a key")}

    name = KeyName(required=True)


class NewInvitation(Schema):
    """``POST /admin/keys/{name}/invitation``."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": Sentence("is no field of an invitation")}

    hours = Count(
        load_default=HOURS,
        validate=validate.Range(min=1, max=MOST_HOURS, error=Sentence("must be from 1 to %(most)s", most=MOST_HOURS)),
    )


KEY_CHANGE = KeyChange()
NEW_KEY = NewKey()
NEW_INVITATION = NewInvitation()


def read_key(schema: Schema, body: Any) -> dict[str, Any]:
    """The fields of a key that a body names, as `Key` and `Limits` have them. Raises: InvalidRequestError."""
    found = _loaded(schema, body)
    for name in ("models", "budgets"):
        if name in found:
            found[name] = tuple(found[name] or ())
    if "budgets" in found:
        found["budgets"] = budgets_of(found["budgets"])
    return found


def read_invitation(body: Any) -> int:
    """For how many hours it is to be good. Raises: InvalidRequestError."""
    return int(_loaded(NEW_INVITATION, body)["hours"])


def placed(before: Limits, fields: dict[str, Any]) -> dict[str, Any]:
    """What `read_key` found as fields of a `Key`: limits in their place, those that are not named as before."""
    own = {name: value for name, value in fields.items() if name not in _OF_LIMITS}
    limits = {name: value for name, value in fields.items() if name in _OF_LIMITS}
    return own | {"limits": replace(before, **limits)}


def budgets_of(given: tuple[dict[str, Any], ...]) -> tuple[Budget, ...]:
    """Raises: InvalidRequestError for two of one kind, or an amount that is less than can be counted."""
    found = tuple(Budget.of(one["amount"], one["unit"], one["per"]) for one in given)
    if len({(budget.unit, budget.per) for budget in found}) < len(found):
        raise InvalidRequestError(Sentence("'budgets' must hold one of each unit and period."), param="budgets")
    for budget in found:
        if budget.amount < 1:
            least = 1 / PER_UNIT[budget.unit]
            what = Sentence("'budgets' must hold at least %(least)s of a unit.", least=f"{least:g}")
            raise InvalidRequestError(what, param="budgets")
    return found


def _loaded(schema: Schema, body: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = schema.load(body)
    except ValidationError as problem:
        path, words = _first(problem.messages)
        raise InvalidRequestError(Sentence("'%(path)s' %(what)s.", path=path, what=words), param=path) from None
    return found


def _first(messages: Any, path: str = "") -> tuple[str, str]:
    """The first problem: where it is, and what."""
    if isinstance(messages, dict) and messages:
        name, inner = next(iter(messages.items()))
        part = f"[{name}]" if isinstance(name, int) else f".{name}" if path else str(name)
        return _first(inner, path if name == "_schema" else path + part)
    if isinstance(messages, list) and messages:
        # marshmallow's own end with a full stop.
        said = messages[0]
        return path or "body", said if isinstance(said, Sentence) else str(said).rstrip(".")
    return path or "body", Sentence("is invalid")
