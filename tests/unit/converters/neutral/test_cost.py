"""What tokens cost by the prices of a model (contract §4.3, §10.8)."""

from __future__ import annotations

import pytest

from app.converters.neutral.cost import estimated_nano
from app.converters.neutral.prices import Prices, Tier

USUAL = Tier(input=250, cached_input=25, cache_write=312.5, output=1500, max_prompt_tokens=1000)
LONG = Tier(input=500, cached_input=50, output=2250)
USAGE = {"input_tokens": 1000, "cached_input_tokens": 600, "cache_write_tokens": 100, "output_tokens": 10}


@pytest.mark.parametrize(
    ("prices", "usage", "nano"),
    [
        (Prices(USUAL), USAGE, 300 * 250_000 + 600 * 25_000 + 100 * 312_500 + 10 * 1_500_000),
        (Prices(USUAL), {"input_tokens": 1}, 250_000),
        (Prices(USUAL), {"output_tokens": 5}, None),
        (Prices(USUAL), {}, None),
        # more cached than there is input: nobody is paid for it
        (Prices(USUAL), {"input_tokens": 5, "cached_input_tokens": 9}, 9 * 25_000),
        # without a price of its own a share costs what input costs
        (Prices(Tier(input=250, output=1)), {"input_tokens": 10, "cached_input_tokens": 4}, 2_500_000),
        (Prices(Tier(output=1)), {"input_tokens": 10}, None),
        (Prices(Tier(input=1)), {"input_tokens": 10, "output_tokens": 3}, None),
        (Prices(Tier(input=1)), {"input_tokens": 10, "output_tokens": 0}, 10_000),
        # long prompts have their own tier
        (Prices(USUAL, LONG), {"input_tokens": 1000}, 250_000_000),
        (Prices(USUAL, LONG), {"input_tokens": 1001}, 500_500_000),
        (Prices(USUAL, LONG), {"input_tokens": 1001, "cache_write_tokens": 1}, 500_500_000),
        # a campaign
        (Prices(USUAL, None, 50), {"input_tokens": 10}, 1_250_000),
        (Prices(USUAL, None, 12.5), {"input_tokens": 8}, 1_750_000),
        # to the nano-credit, rounded half up
        (Prices(Tier(input=0.0005)), {"input_tokens": 1}, 1),
        (Prices(Tier(input=0.0004)), {"input_tokens": 1}, 0),
        (Prices(Tier(input=0.33)), {"input_tokens": 3}, 990),
    ],
)
def test_cost(prices: Prices, usage: dict[str, int], nano: int | None) -> None:
    assert estimated_nano(prices, usage) == nano
