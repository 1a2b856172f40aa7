"""The tables that say what becomes of each field, and the code that decides by them."""

from __future__ import annotations

import pytest

from app.converters.neutral.field_table import Field, drop_foreign, refuse, rest
from app.converters.neutral.losses import Losses
from app.errors import UnsupportedFeatureError

FIELDS = {
    "model": Field("mapped", "m"),
    "seed": Field("carried", "c"),
    "moderation": Field("dropped", "d"),
    "n": Field("refused", "one choice.", harmless=(1,)),
}


def test_refused_unless_it_asks_for_nothing() -> None:
    for body in ({}, {"n": 1}, {"n": None}, {"seed": 3}, {"unknown": 1}):
        refuse(body, FIELDS)
    for value in (2, True, 1.0, "1"):
        with pytest.raises(UnsupportedFeatureError, match="one choice") as caught:
            refuse({"n": value}, FIELDS)
        assert caught.value.param == "n"


def test_the_rest_is_what_no_code_reads() -> None:
    body = {"model": "m", "seed": 1, "moderation": {}, "n": 1, "unknown": 2, "absent": None}
    assert rest(body, FIELDS) == {"seed": 1, "moderation": {}, "unknown": 2}


def test_foreign_fields_are_recorded_but_for_notes() -> None:
    losses = Losses()
    drop_foreign({"chat": {"seed": 1}, "responses": {"truncation": "auto", "is_additional": True}}, "chat", losses)
    assert losses.names() == ["truncation"]
