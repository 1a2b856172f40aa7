"""Who calls Copilot now and who waits, as one value that all workers share: pure, with every change a function of it.

Fair over keys: those that wait have their turns one after the other, whichever has how many; within a key, whoever came
first goes first. Nobody passes by who waits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

from app.store.record import told_by

ALIVE_S: Final = 30.0
"""How long a worker counts that says nothing. What it had goes then."""


@dataclass(frozen=True, slots=True)
class Rules:
    """most_running: calls at a time, 0: any number. most_waiting: further ones that wait. interval_s: from the
    beginning of one call to that of the next."""

    most_running: int
    most_waiting: int
    interval_s: float

    @property
    def are_any(self) -> bool:
        return bool(self.most_running or self.interval_s)


@dataclass(slots=True)
class Line:
    """Tickets are ``<worker>.<number>``. running: their calls are under way. waiting: ticket → key, as they came.
    turns: the keys that wait, the next one first. last_at: epoch seconds, when a call began. alive: worker → epoch
    seconds until which it counts."""

    running: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    turns: list[str] = field(default_factory=list)
    last_at: float = 0.0
    alive: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None, now: float) -> Line:
        """From what is stored, without workers that are no more. What cannot be read counts as empty."""
        try:
            told = told_by(text) or {}
            line = cls(
                [str(one) for one in told.get("running", ())],
                {str(ticket): str(key) for ticket, key in told.get("waiting", {}).items()},
                [str(key) for key in told.get("turns", ())],
                # A clock that was set back, or goes before another host's: nobody waits for more than there is.
                min(float(told.get("last_at", 0.0)), now),
                {str(worker): min(float(until), now + ALIVE_S) for worker, until in told.get("alive", {}).items()},
            )
        except (ValueError, TypeError, AttributeError, OverflowError):
            return cls()
        line._forget_the_dead(now)
        return line

    def text(self, now: float, rules: Rules) -> str | None:
        """To be stored; None if there is nothing to remember."""
        if not self.running and not self.waiting and now >= self.last_at + rules.interval_s:
            return None
        told = {"running": self.running, "waiting": self.waiting, "turns": self.turns, "alive": self.alive}
        return json.dumps({**told, "last_at": self.last_at})

    def join(self, ticket: str, key: str, rules: Rules, now: float) -> bool:
        """Stand in line; False if that is full. Whoever need not wait has its turn at once."""
        self.waiting[ticket] = key
        if key not in self.turns:
            self.turns.append(key)
        self.grant(rules, now)
        if ticket in self.waiting and len(self.waiting) > rules.most_waiting:
            self.leave(ticket)
            return False
        return True

    def leave(self, ticket: str) -> None:
        """The call has ended, or is not wanted any more."""
        if ticket in self.running:
            self.running.remove(ticket)
        key = self.waiting.pop(ticket, None)
        if key is not None and key not in self.waiting.values():
            self.turns.remove(key)

    def grant(self, rules: Rules, now: float) -> None:
        """Let begin what may begin."""
        while self.waiting and self.due_at(rules) <= now:
            key = self.turns.pop(0)
            ticket = next(ticket for ticket, theirs in self.waiting.items() if theirs == key)
            del self.waiting[ticket]
            if key in self.waiting.values():
                self.turns.append(key)
            self.running.append(ticket)
            self.last_at = now

    def due_at(self, rules: Rules) -> float:
        """When the next call may begin, in epoch seconds; infinite: when another one has ended."""
        if rules.most_running and len(self.running) >= rules.most_running:
            return float("inf")
        return self.last_at + rules.interval_s if rules.interval_s else 0.0

    def _forget_the_dead(self, now: float) -> None:
        self.alive = {worker: until for worker, until in self.alive.items() if until > now}
        self.running = [ticket for ticket in self.running if worker_of(ticket) in self.alive]
        self.waiting = {ticket: key for ticket, key in self.waiting.items() if worker_of(ticket) in self.alive}
        still = set(self.waiting.values())
        self.turns = [key for key in self.turns if key in still]
        self.turns += [key for key in dict.fromkeys(self.waiting.values()) if key not in self.turns]


def worker_of(ticket: str) -> str:
    return ticket.rpartition(".")[0]
