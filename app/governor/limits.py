"""Until when Copilot takes no more calls, and of what: as it said itself, known to all workers.

Nothing is sent for such a scope until then. Whoever asks is told until when; a rule of the mapping that falls back goes
on to its next model, as if Copilot had said so once more.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from app.converters.wire.named_limit import NamedLimit, Scope
from app.errors import Sentence, StoreError, UpstreamStatusError
from app.logs import loggable_name, logger
from app.store.base import Store
from app.store.record import record, told_by

_PREFIX: Final = "limits:"
_FRESH_S: Final = 0.25
"""How soon the other workers know."""
_QUOTA_S: Final = 300.0
"""What a plan includes may be more in a moment, if its owner says so: after so long it is asked again."""
_MOST: Final = 200
_MOST_ACCOUNTS: Final = 1000


class LimitedError(UpstreamStatusError):
    """Copilot has said that it takes no such call before a certain time, which has not come."""

    quotes = False
    status = 429
    code = "rate_limit_exceeded"


@dataclass(frozen=True, slots=True)
class Asks:
    """What is asked of Copilot, and for whom. key: for the fair queue. vendor: the model's maker, "" if unknown.
    is_agents: an agent makes the call, without a turn of the person."""

    key: str
    model: str
    vendor: str = ""
    is_agents: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """A scope for which nothing is sent. of: the model or vendor. ends_at: as Copilot said; opens_at: when a call may
    find out whether it is still so; both in epoch seconds. code: Copilot's word for the limit."""

    scope: Scope
    of: str
    ends_at: float
    opens_at: float
    code: str = ""
    is_quota: bool = False

    @property
    def words(self) -> Sentence:
        """What is limited."""
        return {
            "model": Sentence("calls of the model %(name)s", name=repr(self.of)),
            "vendor": Sentence("calls of all models of %(name)s", name=self.of),
            "agent": Sentence("calls of agents"),
            "account": Sentence("all calls of this account"),
        }[self.scope]

    @property
    def told(self) -> dict[str, str | None]:
        """As JSON. Times in UTC, as ISO 8601 has them."""
        times = {"until": _moment(self.ends_at), "asked_again_at": _moment(self.opens_at)}
        return {"scope": self.scope, "of": self.of or None, "code": self.code or None, **times}

    def holds_for(self, asks: Asks) -> bool:
        """Whether such a call must not be sent."""
        match self.scope:
            case "model":
                return self.of == asks.model
            case "vendor":
                return self.of == asks.vendor
            case "agent":
                return asks.is_agents
        return True


class LimitClock:
    """One per process. longest_s: how long a scope stays closed at most before one call finds out. clock: epoch
    seconds."""

    def __init__(self, store: Store, *, longest_s: float, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._longest_s = longest_s
        self._clock = clock
        self._known: dict[str, tuple[float, tuple[Closed, ...]]] = {}

    def check(self, account: str, asks: Asks) -> None:
        """Nothing, if the call may be sent. Raises: LimitedError."""
        known = self._fresh(account)
        if not known:
            return
        holding = [closed for closed in self._still(known) if closed.holds_for(asks)]
        if holding:
            raise self._error(max(holding, key=lambda closed: closed.ends_at))

    def note(self, account: str, asks: Asks, limit: NamedLimit) -> None:
        """Copilot has refused a call, and has named a limit."""
        of = {"model": asks.model, "vendor": asks.vendor}.get(limit.scope, "")
        scope = limit.scope
        if scope == "vendor" and not of:
            scope, of = "model", asks.model
        now = self._clock()
        opens_at = min(limit.ends_at, now + self._longest_s)
        if limit.is_quota:
            opens_at = min(opens_at, now + _QUOTA_S)
        code = limit.code if limit.code == loggable_name(limit.code) else ""
        new = Closed(scope, of, limit.ends_at, opens_at, code, limit.is_quota)
        try:
            text = self._store.update(_PREFIX + account, lambda old: _text([*self._still(_read(old)), new]))
        except StoreError as error:  # the other workers will be told by Copilot
            logger.warning("a limit is not told the other workers", extra={"fields": {"why": error.message}})
            text = _text([*self._still(self._known.get(account, (0.0, ()))[1]), new])
        self._known[account] = self._clock(), _read(text)
        fields = {"scope": scope, "of": of or None, "code": code or None, "seconds": round(limit.ends_at - now)}
        logger.warning("Copilot limits calls", extra={"fields": fields})

    def closed(self, account: str) -> list[Closed]:
        """For which scopes nothing is sent now. Where the store is away: what this process knew last."""
        return self._still(self._fresh(account))

    @property
    def count(self) -> int:
        """How many scopes this process knows to be closed, of whatever account; asks nobody."""
        return sum(len(self._still(closed)) for _, closed in list(self._known.values()))

    def forget(self, account: str) -> int:
        """Open all of them; how many there were. The workers know within a moment. Raises: StoreError."""
        found = self._still(_read(self._store.get(_PREFIX + account)))
        self._store.delete(_PREFIX + account)
        self._known.pop(account, None)
        return len(found)

    def _fresh(self, account: str) -> tuple[Closed, ...]:
        """As the store has it, or had it a moment ago."""
        now = self._clock()
        read_at, known = self._known.get(account, (0.0, ()))
        if 0 <= now - read_at < _FRESH_S:
            return known
        with contextlib.suppress(StoreError):
            known = _read(self._store.get(_PREFIX + account))
        if len(self._known) >= _MOST_ACCOUNTS:
            self._known.clear()
        self._known[account] = now, known
        return known

    def _still(self, closed: tuple[Closed, ...]) -> list[Closed]:
        """Without those that are over; and those that no clock of ours can have closed, for it was set back."""
        now = self._clock()
        return [one for one in closed if now < one.opens_at <= now + self._longest_s]

    def _error(self, closed: Closed) -> LimitedError:
        left_s = max(1, math.ceil(closed.ends_at - self._clock()))
        until = _moment(closed.ends_at)
        told = {
            "what": closed.words,
            "code": f" ({closed.code})" if closed.code else "",
            "until": until,
            "left": in_words(left_s),
        }
        what = (
            Sentence(
                "The quota of the GitHub Copilot subscription is spent for %(what)s%(code)s until %(until)s, %(left)s "
                "from now.",
                **told,
            )
            if closed.is_quota
            else Sentence("GitHub Copilot limits %(what)s%(code)s until %(until)s, %(left)s from now.", **told)
        )
        asks_in_s = math.ceil(closed.opens_at - self._clock())
        asked = Sentence("Until then the bridge sends none.")
        if asks_in_s < left_s:
            asked = Sentence("The bridge asks again in %(time)s.", time=in_words(asks_in_s))
        advice = Sentence("Wait, or use another model.") if closed.scope in ("model", "vendor") else Sentence("Wait.")
        return LimitedError(
            Sentence.joined(what, asked, advice),
            code="insufficient_quota" if closed.is_quota else None,
            retry_after=str(left_s),
        )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def in_words(seconds: int) -> str:
    """``3 d 4 h``, ``2 h 5 min``, ``12 s``."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    told = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((at for at, (count, _) in enumerate(told) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in told[first : first + 2] if count) or "0 s"


def _text(closed: list[Closed]) -> str:
    """Of each scope the limit that holds longest; bounded, for names may come from outside."""
    longest: dict[tuple[str, str], Closed] = {}
    for one in sorted(closed, key=lambda one: one.opens_at):
        longest[one.scope, one.of] = one
    kept = sorted(longest.values(), key=lambda one: one.opens_at)[-_MOST:]
    return json.dumps([asdict(one) for one in kept])


def _read(text: str | None) -> tuple[Closed, ...]:
    """What cannot be read counts as open."""
    try:
        return tuple(record(Closed, one) for one in told_by(text) or ())
    except (ValueError, TypeError):
        return ()
