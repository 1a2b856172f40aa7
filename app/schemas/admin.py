"""What the admin endpoints read."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

from marshmallow import RAISE, fields

from app.converters.request_purpose import Purpose
from app.errors import Sentence
from app.schemas.base import MAX_NAME_CHARACTERS, Boundary, Count, Flag, Name, is_name
from app.store.rules import LONGEST_NOTE, MOST_NAMES, MOST_RULES, MOST_TARGETS

PURPOSES: tuple[str, ...] = get_args(Purpose)
_NAME: dict[str, Any] = dict(Name.shape)


class MappingTarget(Boundary):
    """``PUT /admin/mapping/{from}``."""

    to = Name(required=True)


class Targets(fields.Field[Any]):
    """One name of a model, or a list of them."""

    shape: ClassVar[dict[str, Any]] = {
        "anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1, "maxItems": MOST_TARGETS}]
    }
    default_error_messages = {
        "required": Sentence("is required"),
        "null": Sentence("must be a name or a list of names, not null"),
        "invalid": Sentence(
            "must be a name, or a list of 1 to %(count)s names, of 1 to %(most)s printable characters each",
            count=MOST_TARGETS,
            most=MAX_NAME_CHARACTERS,
        ),
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        names = value if isinstance(value, list) else [value]
        if not 1 <= len(names) <= MOST_TARGETS or not all(map(is_name, names)):
            raise self.make_error("invalid")
        return value


class Names(fields.Field[list[str]]):
    """A list of names."""

    shape: ClassVar[dict[str, Any]] = {"type": "array", "items": _NAME, "maxItems": MOST_NAMES}
    default_error_messages = {
        "invalid": Sentence(
            "must be a list of at most %(count)s names of 1 to %(most)s printable characters",
            count=MOST_NAMES,
            most=MAX_NAME_CHARACTERS,
        )
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        if not isinstance(value, list) or len(value) > MOST_NAMES or not all(map(is_name, value)):
            raise self.make_error("invalid")
        return value


class Purposes(fields.Field[list[str]]):
    """A list of what calls are for."""

    shape: ClassVar[dict[str, Any]] = {
        "type": "array",
        "items": {"type": "string", "enum": list(PURPOSES)},
        "maxItems": MOST_NAMES,
    }
    default_error_messages = {
        "invalid": Sentence("must be a list of purposes; there are %(names)s", names=", ".join(PURPOSES))
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        # By comparing, not by a set: what is no text may have no hash.
        is_list = isinstance(value, list) and len(value) <= MOST_NAMES
        if not is_list or not all(any(one == known for known in PURPOSES) for one in value):
            raise self.make_error("invalid")
        found: list[str] = value
        return found


class Note(fields.Field[str]):
    """A line of the operator's own."""

    shape: ClassVar[dict[str, Any]] = {"type": "string", "maxLength": LONGEST_NOTE}
    default_error_messages = {
        "invalid": Sentence("must be a line of at most %(most)s printable characters", most=LONGEST_NOTE)
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or len(value) > LONGEST_NOTE or not (value.isprintable() or not value):
            raise self.make_error("invalid")
        return value


class Strict(Boundary):
    """What the bridge alone reads: a field that it does not know is a mistake."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": Sentence("is not known here")}


class MappingRule(Strict):
    """A rule of the mapping: ``PUT /admin/mapping/rules/{number}``."""

    match = Name(required=True)
    to = Targets(required=True)
    keys = Names()
    purposes = Purposes()
    fall_back = Flag()
    note = Note()


class NewMappingRule(MappingRule):
    """``POST /admin/mapping/rules``. number: where it is put; by default behind all others."""

    number = Count()


class MappingRules(Strict):
    """``PUT /admin/mapping/rules``."""

    rules = fields.List(fields.Nested(MappingRule), required=True, metadata={"maxItems": MOST_RULES})


class Undo(Strict):
    """``POST /admin/mapping/undo``. number: of the change that is undone, with all after it; by default the last."""

    number = Count()


MAPPING_TARGET = MappingTarget()
MAPPING_RULE = MappingRule()
NEW_MAPPING_RULE = NewMappingRule()
MAPPING_RULES = MappingRules()
UNDO = Undo()
