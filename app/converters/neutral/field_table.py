"""What becomes of each field of a request: one table per protocol (``<protocol>/fields.py``), of this shape.

The codecs decide by these tables, the tests compare them with the specs, and docs/protocols.md is generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from app.converters.neutral.losses import Losses
from app.converters.neutral.vocabulary import Extra
from app.errors import Sentence, UnsupportedFeatureError

Verdict: TypeAlias = Literal["mapped", "carried", "dropped", "refused"]
"""mapped: has a home in ``vocabulary``. carried: rides in ``extra`` and comes back natively only. dropped: advisory,
recorded in ``Losses``. refused: 400, because to leave it out would change the meaning."""


@dataclass(frozen=True, slots=True)
class Field:
    """The fate of one field.

    note:     the reason, in one line.
    harmless: values of a refused field that ask for nothing and may stand (``n: 1``); null always may.
    """

    verdict: Verdict
    note: str
    harmless: tuple[Any, ...] = ()


def refuse(body: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    """Raises: UnsupportedFeatureError for the first top-level field in the body that the table refuses."""
    for name, value in body.items():
        field = fields.get(name)
        if field is None or field.verdict != "refused" or value is None:
            continue
        # By type too: True == 1, but `n: true` is not `n: 1`.
        if not any(type(value) is type(other) and value == other for other in field.harmless):
            raise UnsupportedFeatureError(f"{name} is not supported: {field.note}", param=name)


def rest(body: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """What goes into ``extra[<protocol>]``: carried and dropped fields and those nobody knows, but for nulls."""
    return {
        name: value
        for name, value in body.items()
        if value is not None and (name not in fields or fields[name].verdict in ("carried", "dropped"))
    }


def drop_foreign(extra: Extra, mine: str, losses: Losses, *, path: str = "") -> None:
    """Record what only other protocols know. path: what the fields hang on, e.g. ``"tools[]."``.

    Names like ``is_additional`` are a codec's notes to itself, which no client has written.
    """
    for origin, values in extra.items():
        if origin != mine:
            for name in (name for name in values if not name.startswith("is_")):
                losses.drop(f"{path}{name}", Sentence("only the %(origin)s protocol has it", origin=origin))
