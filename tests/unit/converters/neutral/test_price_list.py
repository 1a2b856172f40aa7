"""The list that estimates go by where nobody tells a price: it is the contract's, and all else goes before it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app.converters.neutral.cost import estimated_nano
from app.converters.neutral.price_list import AS_OF, PriceList
from app.converters.neutral.prices import Tier

CONTRACT = Path(__file__).parents[4] / "docs" / "reference" / "copilot-wire-contract.md"
ROW = re.compile(r"\| ([\w.,… -]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+|–) \| ([\d.]+) \|")
LIVE = {"billing": {"token_prices": {"default": {"input_price": 20, "output_price": 120}}}}


def listed(id: str, own: dict[str, dict[str, float]] | None = None, **fields: Any) -> Tier | None:
    prices = PriceList(own or {}).of({"id": id, **fields})
    return prices.usual if prices is not None else None


def rows_of_the_contract() -> dict[str, Tier]:
    """The table of contract §10.8, in credits: a dollar is a hundred of them. "sonnet-4 … 4.6, 5" is four names."""
    section = CONTRACT.read_text("utf-8").partition("### 10.8")[2].partition("\n## ")[0]
    found = {}
    for names, *prices in ROW.findall(section):
        tier = Tier(*(None if price == "–" else round(float(price) * 100, 6) for price in prices))  # type: ignore[arg-type]
        family, dots, ends = names.rpartition("-") if "…" in names else ("", "", names)
        for name in re.split(r", | … ", ends):
            found[f"{family}{dots}{name}"] = tier
    return found


def test_it_is_that_of_the_contract() -> None:
    table = rows_of_the_contract()
    assert len(table) > 15
    assert {name: listed(name) for name in table} == table
    assert f"{AS_OF[:4]})" in CONTRACT.read_text("utf-8").partition("Price list inside")[2][:80]


def test_names_between_those_of_the_contract_are_there_too() -> None:
    for name in ("claude-sonnet-4.5", "claude-opus-4.6", "claude-opus-4.7"):
        assert listed(name) is not None, name
    assert listed("Claude-Haiku-4.5") == listed("claude-haiku-4.5")


@pytest.mark.parametrize("id", ["gpt-9", "", "gpt-5-mini-2", "claude"])
def test_a_model_that_nobody_knows_has_no_price(id: str) -> None:
    assert listed(id) is None


def test_a_price_that_copilot_tells_goes_before_all() -> None:
    assert listed("gpt-5-mini", {"gpt-5-mini": {"input": 1, "output": 2}}, **LIVE) == Tier(20, None, None, 120)


def test_the_operators_price_goes_before_the_list() -> None:
    own: dict[str, dict[str, float]] = {
        "gpt-5-mini": {"input": 1, "output": 2},
        "gpt-9": {"input": 3, "cached_input": 0.5, "output": 4},
    }
    assert listed("gpt-5-mini", own) == Tier(1, None, None, 2)
    assert listed("gpt-9", own) == Tier(3, 0.5, None, 4)
    assert listed("gpt-5.4", own) == listed("gpt-5.4")


def test_an_account_that_counts_requests_has_no_prices() -> None:
    """A missing multiplier, and not a missing price, tells an account that is billed in credits (contract §4.3)."""
    assert listed("gpt-5-mini", {"gpt-5-mini": {"input": 1, "output": 2}}, billing={"multiplier": 0.33}) is None
    assert listed("gpt-5-mini", billing={"is_premium": True}) is not None


def test_what_a_call_costs_by_it() -> None:
    prices = PriceList().of({"id": "gpt-5-mini"})
    assert prices is not None
    usage = {"input_tokens": 1_000_000, "cached_input_tokens": 400_000, "output_tokens": 10_000}
    # 600,000 × $0.25 + 400,000 × $0.025 + 10,000 × $2, a million each: $0.18, which is 18 credits.
    assert estimated_nano(prices, usage) == 18 * 10**9
