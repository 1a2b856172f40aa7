"""What the model mapping would do with a call, without making it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.converters.neutral.prices import multiplier_of, prices_of
from app.errors import Sentence
from app.routing import Model, find_model, is_auto, usable
from app.store.mapping import ModelMapping


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a call would go.

    served: the model. then: those that are tried next where it is limited or overloaded. rule: the rule's number.
    is_mapped: whether the table of names says so. is_known: whether the account has the model; None if nobody knows.
    missing: the rule's models that the account does not have. prices: as ``/v1/models`` tells them. multiplier: premium
    requests for a request.
    """

    model: str
    key: str | None
    purpose: str | None
    served: str
    then: tuple[str, ...] = ()
    rule: int | None = None
    is_mapped: bool = False
    is_known: bool | None = None
    missing: tuple[str, ...] = ()
    prices: dict[str, Any] | None = None
    multiplier: float | None = None

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "said": self.said}

    @property
    def said(self) -> Sentence:
        """In a sentence."""
        who = Sentence("A client with key %(key)s", key=self.key) if self.key is not None else Sentence("A client")
        what = Sentence("asks for %(model)s", model=self.model)
        if self.purpose is not None:
            what = Sentence("%(asks)s for a call of purpose %(purpose)s", asks=what, purpose=self.purpose)
        said = Sentence(
            "%(who)s that %(asks)s gets %(model)s, %(why)s, %(cost)s.",
            who=who,
            asks=what,
            model=self.served,
            why=self._why,
            cost=self._cost,
        )
        then = lacks = Sentence("")
        if self.then:
            then = Sentence("Where that is limited or overloaded: %(models)s.", models=", ".join(self.then))
        if self.missing:
            lacks = Sentence("The account does not have %(models)s.", models=", ".join(self.missing))
        elif self.is_known is False:
            lacks = Sentence("The account does not have %(model)s: the call would be refused.", model=self.served)
        return Sentence.joined(said, then, lacks)

    @property
    def _why(self) -> Sentence:
        if self.rule is not None:
            return Sentence("by rule %(number)s", number=self.rule)
        return Sentence("by the table of names") if self.is_mapped else Sentence("because nothing maps it")

    @property
    def _cost(self) -> Sentence:
        prices = self.prices or {}
        if "input" in prices and "output" in prices:
            return Sentence(
                "at %(input)s credits per million tokens in and %(output)s out",
                input=f"{prices['input']:g}",
                output=f"{prices['output']:g}",
            )
        if self.multiplier is not None:
            return Sentence("at %(number)s premium requests per request", number=f"{self.multiplier:g}")
        return Sentence("at a price that is not known")


def dry_run(
    mapping: ModelMapping, models: Sequence[Model] | None, model: str, *, key: str | None, purpose: str | None
) -> Outcome:
    """Where a call would go. models: the account's, None if there is no list. key: its name. Raises: StoreError."""
    choice = mapping.choose(model, key=key, purpose=purpose)
    there = usable(choice.targets, models) if models is not None else choice.targets
    found = find_model(there[0], models) if models is not None else None
    prices = prices_of(found.raw) if found is not None else None
    return Outcome(
        model,
        key,
        purpose,
        served=found.id if found is not None else there[0],
        then=there[1:] if choice.falls_back else (),
        rule=choice.rule,
        is_mapped=choice.is_mapped,
        is_known=None if models is None else found is not None or is_auto(there[0]),
        missing=tuple(one for one in choice.targets if find_model(one, models or ()) is None)
        if models is not None and choice.rule is not None
        else (),
        prices=prices.told() if prices is not None else None,
        multiplier=multiplier_of(found.raw) if found is not None else None,
    )
