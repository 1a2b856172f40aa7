"""Which of the account's models a client is set up with. Pure: catalogue entries in, a selection out.

The rules, in short: a model that is switched off is never taken; finished ones go before previews, and ones that
Copilot's own picker shows before hidden ones; then the newest of the family, the plain one before its variants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.converters.neutral.prices import cost_of, is_dear, prices_of
from app.errors import AccountError, InvalidRequestError, Sentence
from app.routing import EMBEDDINGS, MESSAGES, RESPONSES, Model, find_model, near_matches

FAMILIES = ("opus", "sonnet", "haiku")
_POLICY_PAGE = "https://github.com/settings/copilot/features"


class NoModelsError(AccountError):
    """The account has no chat model that could be used."""

    code = "no_models"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client's settings tell of one model. Token numbers are None where the catalogue is silent.

    efforts: values for a reasoning effort, weakest first. thinks: the model reasons before it answers.
    """

    id: str
    name: str
    endpoints: tuple[str, ...]
    context: int | None = None
    prompt: int | None = None
    output: int | None = None
    vision: bool = False
    tools: bool = False
    efforts: tuple[str, ...] = ()
    thinks: bool = False

    @property
    def is_claude(self) -> bool:
        return _is_claude(self.id)

    @property
    def protocol(self) -> str:
        """``messages``, ``responses`` or ``chat``: Copilot's own endpoint for it, where the most is kept."""
        if self.is_claude and MESSAGES in self.endpoints:
            return "messages"
        return "responses" if RESPONSES in self.endpoints else "chat"

    @property
    def window(self) -> int | None:
        """How many tokens a client may send: Copilot refuses more than its prompt limit, whatever the window holds."""
        return min((size for size in (self.prompt, self.context) if size), default=None)


@dataclass(frozen=True, slots=True)
class Selection:
    """The models that setups are made from.

    listed: what is offered in a client's model list. main: for agents that write code. responses: for clients of
    ``/v1/responses``. chat: an all-rounder for first steps, included in the plan where there is one. small: for
    titles and summaries.
    """

    listed: tuple[Offer, ...]
    main: Offer
    responses: Offer
    chat: Offer
    small: Offer
    opus: Offer | None = None
    sonnet: Offer | None = None
    haiku: Offer | None = None
    embeddings: Offer | None = None

    @property
    def has_claude(self) -> bool:
        return any((self.opus, self.sonnet, self.haiku))

    def of_size(self, family: str) -> Offer:
        """The model for one of Claude Code's three sizes; the next best where the account has none of that family."""
        found = {"opus": self.opus, "sonnet": self.sonnet, "haiku": self.haiku}[family]
        return found or (self.small if family == "haiku" else self.main)


def select(models: Sequence[Model], *, main: str | None = None, small: str | None = None) -> Selection:
    """Choose from the catalogue. main, small: names that the user asked for, in any spelling the bridge takes.

    Raises: InvalidRequestError for a name that is no model, NoModelsError if the account may use none.
    """
    usable = [model for model in models if model.type == "chat" and model.endpoints and _is_enabled(model)]
    if not usable:
        raise NoModelsError(_why_none(models))
    wished, wished_small = _wish(main, usable, "model"), _wish(small, usable, "small_model")
    opus, sonnet, haiku = (_newest(usable, _of_family(name)) for name in FAMILIES)
    gpts = [model for model in usable if model.is_openai and RESPONSES in model.endpoints and not _is_small(model)]
    gpt = _newest_of_the_least_dear(gpts)
    large = gpt or _newest(usable, lambda m: not _is_small(m)) or _best(usable)
    are_priced = any(prices_of(model.raw) for model in usable)
    cheap = wished_small or min(usable, key=lambda model: _cheapness(model, are_priced=are_priced))
    first = wished or min(filter(None, (sonnet, opus, large)), key=_dearness)
    included = next((m for m in usable if m.raw.get("is_chat_default") is True and _rank(m)[0] == 0), None)
    embeds = [m for m in models if m.type == "embeddings" and EMBEDDINGS in m.endpoints and _is_enabled(m)]
    return Selection(
        listed=tuple(map(offer, _listed(usable, first, cheap))),
        main=offer(first),
        responses=offer(wished or large),
        chat=offer(wished or included or cheap),
        small=offer(cheap),
        opus=_maybe(opus),
        sonnet=_maybe(sonnet),
        haiku=_maybe(wished_small or haiku),
        embeddings=_maybe(min(embeds, key=lambda m: (len(m.id), m.id), default=None)),
    )


def offer(model: Model) -> Offer:
    """What a client must know of a catalogue entry."""
    raw = model.raw
    limits, supports = _part(raw, "limits"), _part(raw, "supports")
    efforts = supports.get("reasoning_effort")
    known = tuple(e for e in efforts if isinstance(e, str)) if isinstance(efforts, list) else ()
    return Offer(
        id=model.id,
        name=_text(raw.get("name")) or model.id,
        endpoints=model.endpoints,
        context=_count(limits.get("max_context_window_tokens")),
        prompt=_count(limits.get("max_prompt_tokens")),
        output=_count(limits.get("max_output_tokens")),
        vision=bool(supports.get("vision")),
        tools=bool(supports.get("tool_calls")),
        efforts=known,
        thinks=bool(known or supports.get("max_thinking_budget") or supports.get("adaptive_thinking")),
    )


def _maybe(model: Model | None) -> Offer | None:
    return offer(model) if model is not None else None


def _is_claude(name: str) -> bool:
    return name.lower().startswith("claude")


def _is_enabled(model: Model) -> bool:
    """A policy that the account's owner has not agreed to makes every call fail (contract §4.6)."""
    policy = model.raw.get("policy")
    return not isinstance(policy, dict) or policy.get("state", "enabled") == "enabled"


def _is_small(model: Model) -> bool:
    small = re.search(r"(^|-)(mini|nano|haiku|flash|lite|fast)(-|$)", model.id.lower()) is not None
    return small or model.raw.get("model_picker_category") == "lightweight"


def _of_family(name: str) -> Callable[[Model], bool]:
    return lambda model: _is_claude(model.id) and name in model.id.lower()


_DATED = re.compile(r"-(20\d{6}|20\d\d-\d\d-\d\d)\b")
_NUMBER = re.compile(r"(?<![a-z0-9])[0-9]{1,9}(?![a-z0-9])|(?<=gpt-)[0-9]{1,9}|(?<=^o)[0-9]{1,9}")


def _version(model: Model) -> tuple[int, ...]:
    """The numbers in a name: ``claude-opus-4.6`` (4, 6), ``gpt-5.3-codex`` (5, 3), ``gpt-4o`` (4,)."""
    return tuple(int(number) for number in _NUMBER.findall(_DATED.sub("", model.id.lower()).replace(".", "-")))


def _rank(model: Model) -> tuple[int, int]:
    """Lower is better: shown in Copilot's picker, and finished."""
    return (0 if model.raw.get("model_picker_enabled") is not False else 1, int(model.raw.get("preview") is True))


def _order(model: Model) -> tuple[Any, ...]:
    """Best first: rank, newest version, a model made for code, the plain name."""
    newest = tuple(-number for number in _version(model))
    hidden, preview = _rank(model)
    # (4, 6) is newer than (4,), and compared as tuples of negatives the longer one must not lose: pad it.
    padded = (*newest, *([0] * (4 - len(newest))))
    plain_codex = 0 if model.id.lower().endswith("codex") else 1
    return hidden, preview, padded, plain_codex, len(model.id), model.id


def _newest(models: Iterable[Model], fits: Callable[[Model], bool]) -> Model | None:
    return min((model for model in models if fits(model)), key=_order, default=None)


def _best(models: Sequence[Model]) -> Model:
    return min(models, key=_order)


def _newest_of_the_least_dear(models: Sequence[Model]) -> Model | None:
    """Nobody should find out afterwards that the default cost a multiple."""
    least = min(map(_dearness, models), default=0)
    return _newest(models, lambda model: _dearness(model) == least)


def _dearness(model: Model) -> int:
    """0: known to cost no more than usual. 1: not known, which is neither. 2: known to cost more."""
    dear = is_dear(model.raw)
    return 1 if dear is None else 2 * dear


def _cheapness(model: Model, *, are_priced: bool) -> tuple[Any, ...]:
    """Cheapest first. are_priced: the account has prices, beside which a multiplier says nothing."""
    cost = cost_of(model.raw) if not are_priced or prices_of(model.raw) else None
    dearness = _dearness(model) if cost is not None else 1
    return (*_rank(model), dearness, cost or 0.0, not _is_small(model), *_order(model))


def _listed(usable: Sequence[Model], *chosen: Model) -> list[Model]:
    """What a client's picker should show: what Copilot's own shows (or all, if it shows none), by vendor and age."""
    shown = [model for model in usable if _rank(model)[0] == 0] or list(usable)
    shown += [model for model in chosen if model not in shown]
    unique = {model.id: model for model in shown}
    return sorted(unique.values(), key=lambda m: (not _is_claude(m.id), not m.is_openai, *_order(m)))


def _wish(name: str | None, usable: Sequence[Model], param: str) -> Model | None:
    if name is None:
        return None
    found = find_model(name, usable)
    if found is None:
        near = near_matches(name, (model.id for model in usable))
        if near:
            words = Sentence(
                "Your account has no model %(name)s. Did you mean %(near)s?", name=repr(name), near=", ".join(near[:3])
            )
        else:
            others = ", ".join(sorted(model.id for model in usable))
            words = Sentence(
                "Your account has no model %(name)s. There are: %(others)s.", name=repr(name), others=others
            )
        raise InvalidRequestError(words, param=param)
    return found


def _why_none(models: Sequence[Model]) -> Sentence:
    closed = sorted(model.id for model in models if model.type == "chat" and not _is_enabled(model))
    if closed:
        return Sentence(
            "Copilot lists models for this account, but none is switched on (%(models)s …). "
            "Enable them at %(page)s, or ask who manages the licence, then try again.",
            models=", ".join(closed[:3]),
            page=_POLICY_PAGE,
        )
    return Sentence(
        "Copilot lists no chat model for this account, so there is nothing to set a client up with. "
        "Look at https://github.com/settings/copilot whether the subscription is active."
    )


def _part(raw: dict[str, Any], name: str) -> dict[str, Any]:
    capabilities = raw.get("capabilities")
    found = capabilities.get(name) if isinstance(capabilities, dict) else None
    return found if isinstance(found, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
