"""Both units of prices become one, and what is missing says nothing (contract §4.3)."""

from __future__ import annotations

from typing import Any

import pytest

from app.converters.neutral.prices import Prices, Tier, cost_of, multiplier_of, prices_of
from tests.support.rows import rows

USUAL = {"input_price": 500, "cache_price": 50, "cache_write_price": 625, "output_price": 2500}
LONG = {"context_max": 936000, "input_price": 700, "cache_price": 70, "output_price": 3000}
NESTED = {"batch_size": 1000000, "default": {"context_max": 200000, **USUAL}, "long_context": LONG}
FLAT = {"batch_size": 1000000, "cache_price": 50 * 10**9, "input_price": 500 * 10**9, "output_price": 2500 * 10**9}
IN_CREDITS = Tier(500, 50, 625, 2500)


def priced(prices: Any, **billing: Any) -> dict[str, Any]:
    return {"billing": {"token_prices": prices, **billing}}


@rows()
@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            priced(NESTED),
            Prices(Tier(500, 50, 625, 2500, 200000), Tier(700, 70, None, 3000, 936000)),
        ),
        (priced(FLAT), Prices(Tier(500, 50, None, 2500))),
        # Small numbers in the flat form are small prices, large ones in the nested form are large.
        (priced({**FLAT, "input_price": 500}), Prices(Tier(0.000001, 50, None, 2500))),
        (priced({"default": {"input_price": 10**12}}), Prices(Tier(10**12))),
        (priced({"batch_size": 1000, "default": {"input_price": 0.5}}), Prices(Tier(500))),
        (priced({"default": USUAL}), Prices(IN_CREDITS)),
        (priced({"default": {**USUAL, "cache_read_price": 40}}), Prices(Tier(500, 40, 625, 2500))),
        (priced({"default": {**USUAL, "max_prompt_tokens": 9, "context_max": 8}}), Prices(Tier(500, 50, 625, 2500, 9))),
        (priced({"default": USUAL}, promo={"discount_percent": 12.5}), Prices(IN_CREDITS, None, 12.5)),
        (priced({"default": USUAL}, promo={"id": "x", "ends_at": None}), Prices(IN_CREDITS)),
        (priced({"default": USUAL}, promo={"discount_percent": 200}), Prices(IN_CREDITS)),
        (priced({"default": USUAL, "long_context": None}), Prices(IN_CREDITS)),
        (priced({"default": {"input_price": 0, "output_price": 0}}), Prices(Tier(0, None, None, 0))),
        (priced({"default": {"input_price": "5", "output_price": True, "cache_price": -1}}), None),
        (priced({"default": None}), None),
        (priced({"batch_size": 0, "default": USUAL}), None),
        (priced([]), None),
        (priced({}), None),
        ({"billing": None}, None),
        ({"billing": {"multiplier": 3}}, None),
        ({}, None),
    ],
)
def test_prices_are_credits_per_million_tokens_whatever_the_form(entry: Any, expected: Prices | None) -> None:
    assert prices_of(entry) == expected


def test_what_is_not_known_is_not_told() -> None:
    found = prices_of(priced(NESTED, promo={"discount_percent": 20}))
    assert found is not None
    assert found.told() == {
        "unit": "credits_per_million_tokens",
        "input": 500,
        "cached_input": 50,
        "cache_write": 625,
        "output": 2500,
        "max_prompt_tokens": 200000,
        "long_context": {"input": 700, "cached_input": 70, "output": 3000, "max_prompt_tokens": 936000},
        "discount_percent": 20,
    }


@pytest.mark.parametrize(
    ("billing", "multiplier"),
    [({"multiplier": 0}, 0), ({"multiplier": 0.33}, 0.33), ({}, None), ({"multiplier": True}, None), ([], None)],
)
def test_a_missing_multiplier_says_nothing(billing: Any, multiplier: float | None) -> None:
    assert multiplier_of({"billing": billing}) == multiplier
    assert cost_of({"billing": billing}) == multiplier


def test_prices_count_more_than_a_multiplier_that_stands_beside_them() -> None:
    assert cost_of(priced({"default": USUAL}, multiplier=0)) == 7500
    assert cost_of(priced({"default": USUAL}, promo={"discount_percent": 50})) == 3750
    assert cost_of(priced({"default": {"input_price": 1}}, multiplier=3)) == 3
