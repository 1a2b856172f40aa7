"""Which models a setup names, on ordinary and on odd catalogues."""

from __future__ import annotations

from typing import Any

import pytest

from app.clients.models import NoModelsError, offer, select
from app.errors import InvalidRequestError
from tests.unit.clients.models import model, observed


def test_of_the_observed_catalogue() -> None:
    chosen = select(observed())
    assert (chosen.opus and chosen.opus.id, chosen.sonnet and chosen.sonnet.id, chosen.haiku and chosen.haiku.id) == (
        "claude-opus-4.6",
        "claude-sonnet-4.6",
        "claude-haiku-4.5",
    )
    assert chosen.main.id == "claude-sonnet-4.6"
    assert chosen.responses.id == "gpt-5.3-codex"
    assert chosen.small.id == "gpt-5-mini"
    assert chosen.chat.id == "gpt-4.1"
    assert chosen.embeddings is not None
    assert chosen.embeddings.id == "text-embedding-3-small"
    assert [m.id for m in chosen.listed][:2] == ["claude-opus-4.6", "claude-sonnet-4.6"]
    assert {m.id for m in chosen.listed}.isdisjoint({"text-embedding-3-small", "gpt-41-copilot"})


def test_a_number_of_any_length_is_no_failure() -> None:
    assert select([model("gpt-5.4"), model("gpt-" + "9" * 5000)]).listed


def test_the_order_of_the_catalogue_does_not_matter() -> None:
    assert select(observed()) == select(observed()[::-1])


def test_newest_of_a_family_counts_numbers_not_letters() -> None:
    chosen = select([model("claude-opus-4.9"), model("claude-opus-4.10"), model("claude-opus-4.10-1m")])
    assert chosen.opus is not None
    assert chosen.opus.id == "claude-opus-4.10"


def test_a_dated_name_is_no_newer_version() -> None:
    chosen = select([model("gpt-5.4"), model("gpt-4.1-2025-04-14")])
    assert chosen.responses.id == "gpt-5.4"


def test_a_whole_version_is_newer_than_any_point_of_the_one_before() -> None:
    assert select([model("claude-sonnet-5"), model("claude-sonnet-4.6")]).main.id == "claude-sonnet-5"
    assert select([model("claude-sonnet-4"), model("claude-sonnet-4.6")]).main.id == "claude-sonnet-4.6"


def test_of_one_version_the_one_for_code_goes_first() -> None:
    names = ["gpt-5.1-codex-mini", "gpt-5.1", "gpt-5.1-codex-max", "gpt-5.1-codex"]
    assert select([model(name) for name in names]).responses.id == "gpt-5.1-codex"


def test_a_gpt_model_that_costs_several_requests_is_no_default() -> None:
    dear = model("gpt-5.5", billing={"multiplier": 7.5})
    assert select([dear, model("gpt-5.4")]).responses.id == "gpt-5.4"
    assert select([dear]).responses.id == "gpt-5.5"
    assert select([dear, model("gpt-5.4")], main="gpt-5.5").responses.id == "gpt-5.5"


def credits(input: float, output: float) -> dict[str, Any]:
    """The billing of a model on an account with prices; there is no multiplier any more."""
    return {"token_prices": {"batch_size": 1_000_000, "default": {"input_price": input, "output_price": output}}}


def test_with_prices_a_dear_model_is_no_default_however_new() -> None:
    dear = model("gpt-5.6-sol", billing=credits(500, 3000))
    usual, small = model("gpt-5.4", billing=credits(250, 1500)), model("gpt-5-mini", billing=credits(25, 200))
    chosen = select([dear, usual, small])
    assert (chosen.main.id, chosen.responses.id, chosen.small.id) == ("gpt-5.4", "gpt-5.4", "gpt-5-mini")
    sonnet = model("claude-sonnet-5", billing=credits(1000, 5000))
    assert select([sonnet, usual]).main.id == "gpt-5.4"
    assert select([sonnet, dear]).main.id == "claude-sonnet-5"
    assert select([dear, usual], main="gpt-5.6-sol").main.id == "gpt-5.6-sol"


def test_a_missing_multiplier_makes_a_model_neither_cheap_nor_dear() -> None:
    silent = model("gpt-5.5", billing={})
    assert select([silent, model("gpt-5.4")]).responses.id == "gpt-5.4"
    assert select([silent, model("gpt-5.4", billing={"multiplier": 3})]).responses.id == "gpt-5.5"
    category = model("gpt-5.6", billing={}, model_picker_price_category="very_high")
    assert select([silent, category]).responses.id == "gpt-5.5"


def test_beside_prices_a_multiplier_is_not_compared() -> None:
    stale = model("gpt-5.1-mini", billing={"multiplier": 0})
    priced = model("gpt-5-mini", billing=credits(25, 200))
    assert select([stale, priced, model("gpt-5.4", billing=credits(250, 1500))]).small.id == "gpt-5-mini"


def test_finished_models_go_before_previews_and_shown_ones_before_hidden() -> None:
    newer = model("claude-opus-5", preview=True)
    hidden = model("claude-opus-4.8", model_picker_enabled=False)
    chosen = select([newer, hidden, model("claude-opus-4.6")])
    assert chosen.main.id == "claude-opus-4.6"
    assert [m.id for m in chosen.listed] == ["claude-opus-4.6", "claude-opus-5"]
    assert select([newer]).main.id == "claude-opus-5"


@pytest.mark.parametrize("state", ["disabled", "unconfigured"])
def test_a_model_that_is_switched_off_is_never_taken(state: str) -> None:
    off = model("claude-opus-4.8", policy={"state": state})
    chosen = select([off, model("claude-opus-4.6")])
    assert chosen.main.id == "claude-opus-4.6"
    assert "claude-opus-4.8" not in {m.id for m in chosen.listed}
    with pytest.raises(NoModelsError, match=r"claude-opus-4\.8.*settings/copilot"):
        select([off])


def test_plans_that_a_model_is_restricted_to_do_not_hide_it() -> None:
    """The list is this account's own; what its plan does not include Copilot leaves out."""
    restricted = model("gpt-5.4", billing={"multiplier": 1, "restricted_to": ["enterprise"]})
    assert select([restricted]).main.id == "gpt-5.4"


def test_without_claude_gpt_takes_all_its_places() -> None:
    chosen = select([model("gpt-5.4"), model("gpt-5-mini")])
    assert not chosen.has_claude
    assert [chosen.of_size(size).id for size in ("opus", "sonnet", "haiku")] == ["gpt-5.4", "gpt-5.4", "gpt-5-mini"]


def test_without_gpt_claude_takes_all_its_places() -> None:
    chosen = select([model("claude-sonnet-4.6"), model("claude-haiku-4.5", billing={"multiplier": 0.33})])
    assert (chosen.responses.id, chosen.chat.id, chosen.small.id) == (
        "claude-sonnet-4.6",
        "claude-haiku-4.5",
        "claude-haiku-4.5",
    )


def test_one_model_alone_is_everything() -> None:
    chosen = select([model("gpt-5-mini")])
    assert {chosen.main.id, chosen.responses.id, chosen.chat.id, chosen.small.id} == {"gpt-5-mini"}


def test_nothing_to_choose_from_is_said() -> None:
    for nothing in ([], [model("e", capabilities={"type": "embeddings"})]):
        with pytest.raises(NoModelsError, match="no chat model"):
            select(nothing)


def test_wishes_are_found_in_any_spelling() -> None:
    chosen = select(observed(), main="Claude-Opus-4-6", small="gpt-4o")
    assert (chosen.main.id, chosen.responses.id, chosen.chat.id) == ("claude-opus-4.6",) * 3
    assert (chosen.small.id, chosen.of_size("haiku").id) == ("gpt-4o", "gpt-4o")


def test_a_wish_for_a_hidden_model_is_listed_too() -> None:
    hidden = model("gpt-4-0613", model_picker_enabled=False)
    assert "gpt-4-0613" in {m.id for m in select([*observed(), hidden], main="gpt-4-0613").listed}


def test_a_wish_that_is_no_model_names_near_ones() -> None:
    with pytest.raises(InvalidRequestError, match=r"'claude-opus-9'\. Did you mean claude-opus-4\.6"):
        select(observed(), main="claude-opus-9")
    with pytest.raises(InvalidRequestError, match=r"no model 'zzz'\. There are: .*gpt-4\.1"):
        select(observed(), small="zzz")


def test_odd_fields_are_no_problem() -> None:
    odd = model("gpt-5.4", name=7, capabilities={"limits": [], "supports": "x"}, billing=[], policy="no", preview="yes")
    found = offer(odd)
    assert (found.name, found.window, found.output, found.efforts) == ("gpt-5.4", None, None, ())
    assert select([odd]).main == found


def test_a_client_may_send_what_both_limits_allow() -> None:
    limits = {"max_context_window_tokens": 400000, "max_prompt_tokens": 272000, "max_output_tokens": 128000}
    found = offer(model("gpt-5.4", capabilities={"limits": limits}))
    assert (found.context, found.window, found.output) == (400000, 272000, 128000)
