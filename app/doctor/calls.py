"""One tiny call per protocol, through the relay as every other request. May cost, so somebody must have agreed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.commands import own_command
from app.converters.neutral.prices import cost_of as compared_cost
from app.converters.neutral.prices import prices_of
from app.converters.neutral.request_traits import ProtocolName
from app.converters.registry import CLIENTS, UPSTREAMS
from app.doctor.finding import Finding, note, ok, problem
from app.doctor.models import cost_of, is_enabled
from app.errors import GatewayError, Sentence
from app.relay import Relay
from app.reply import Record
from app.routing import Model

_TOKENS = 16  # about as many in as out
_PROMPT = "Reply with the single word OK."
_BODIES: dict[ProtocolName, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": _PROMPT}], "max_tokens": 16},
    "responses": {"input": _PROMPT, "max_output_tokens": 16},
    "messages": {"messages": [{"role": "user", "content": _PROMPT}], "max_tokens": 16},
}


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call to make.

    cost: premium requests it may cost; None if the model list does not tell. credits: the same where it tells prices.
    """

    protocol: ProtocolName
    model: str
    cost: float | None
    credits: float | None = None

    @property
    def price(self) -> Sentence:
        if self.credits:
            return Sentence("about %(number)s credits", number=f"{self.credits:.2g}")
        if self.credits is None and self.cost is None:
            return Sentence("cost unknown")
        if self.credits is not None or not self.cost:
            return Sentence("free of charge")
        return (
            Sentence("1 premium request")
            if self.cost == 1
            else Sentence("%(number)s premium requests", number=f"{self.cost:g}")
        )


def plan(models: Sequence[Model], resolve: Callable[[str], str]) -> list[PlannedCall]:
    """For each protocol the cheapest model that Copilot serves in it; none where there is no such model.

    resolve: the model mapping. A mapped name is not called: it would be answered, and billed, as another model.
    """
    planned = []
    for protocol in _BODIES:
        path = UPSTREAMS[protocol].path
        fit = [
            m for m in models if m.type == "chat" and path in m.endpoints and is_enabled(m) and resolve(m.id) == m.id
        ]
        if fit:
            best = min(fit, key=_preference)
            planned.append(PlannedCall(protocol, best.id, cost_of(best), _credits(best)))
    return planned


def _preference(model: Model) -> tuple[bool, float, bool, bool]:
    """Known and low cost first; then models that every plan has, and that people may pick."""
    cost, billing = compared_cost(model.raw), model.raw.get("billing")
    restricted = isinstance(billing, dict) and bool(billing.get("restricted_to"))
    return cost is None, cost or 0.0, restricted, model.raw.get("model_picker_enabled") is False


def _credits(model: Model) -> float | None:
    """What the few tokens of such a call cost at most; None without prices."""
    found = prices_of(model.raw)
    if found is None or found.usual.input is None or found.usual.output is None:
        return None
    return (_TOKENS * found.usual.input + _TOKENS * found.usual.output) / 1_000_000


def check_calls(relay: Relay, calls: Sequence[PlannedCall]) -> Iterator[Finding]:
    """Make the calls, one after the other."""
    for call in calls:
        title = Sentence("%(protocol)s call", protocol=call.protocol)
        body = {"model": call.model, **_BODIES[call.protocol]}
        record = Record(f"doctor-{uuid.uuid4()}")
        started_at = time.monotonic()
        try:
            reply = relay.answer(CLIENTS[call.protocol], orjson.dumps(body), body, {}, record)
            reply.close()
        except GatewayError as error:
            yield problem(title, Sentence("%(model)s: %(message)s", model=call.model, message=error.message))
            continue
        yield ok(
            title,
            Sentence(
                "%(model)s answered in %(seconds)s s (%(price)s)",
                model=call.model,
                seconds=f"{time.monotonic() - started_at:.1f}",
                price=call.price,
            ),
        )
    missing = [name for name in _BODIES if name not in {call.protocol for call in calls}]
    if missing:
        yield note(
            Sentence("not called"),
            Sentence("No model of this account is served as %(names)s.", names=" or ".join(missing)),
            Sentence("Clients of such a protocol work all the same: the bridge converts."),
        )


def announce(calls: Sequence[PlannedCall]) -> Finding:
    """Which calls would be made, and what each may cost: told before anybody is asked."""
    return ok(Sentence("planned"), Sentence.joined(*map(_told, calls), by=", "))


def _told(call: PlannedCall) -> Sentence:
    return Sentence(
        "%(protocol)s with %(model)s (%(price)s)", protocol=call.protocol, model=call.model, price=call.price
    )


def skipped() -> Finding:
    """The finding when nobody agreed to the calls."""
    return note(
        Sentence("calls"),
        Sentence("None of them was made."),
        Sentence("To make them:\n    %(command)s", command=own_command("doctor --calls yes")),
    )
