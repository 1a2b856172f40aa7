"""What a soak asks for: from a seed, so that the same numbers make the same requests."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from tests.support import dialects

Ending = Literal["right", "told", "left"]
"""How an answer ends for its client: as upstream meant it, with an error in the client's dialect, or unheard."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What becomes of a request. share: of so many in a hundred. status, error: what the log has to say of it.

    Where Copilot has not answered after KEEP_ALIVE_S, a stream begins without it, and its status is 200 whatever comes.
    """

    name: str
    stream: bool
    share: int
    ending: Ending
    status: int = 200
    error: str | None = None

    def may_end(self, status: int, error: str | None) -> bool:
        """Whether this is what has to be told of it."""
        return error == self.error and (status == self.status or (self.stream and status == 200))


BROKEN: Final = "upstream_protocol_error"
GONE: Final = "client_gone"
KINDS: Final = (
    Kind("stream, finished", True, 85, "right"),
    Kind("stream, client left", True, 3, "left", error=GONE),
    Kind("stream, client left with a reset", True, 2, "left", error=GONE),
    Kind("stream, client left before the answer", True, 2, "left", 499, GONE),
    Kind("stream, upstream reset", True, 2, "told", error=BROKEN),
    Kind("stream, upstream closed within a piece", True, 2, "told", error=BROKEN),
    Kind("stream, upstream ended without an end mark", True, 2, "told", error=BROKEN),
    Kind("stream, refused by upstream", True, 2, "told", 429, "rate_limit_exceeded"),
    Kind("whole, finished", False, 85, "right"),
    Kind("whole, client left", False, 5, "left", 499, GONE),
    Kind("whole, upstream closed within the body", False, 5, "told", 502, BROKEN),
    Kind("whole, refused by upstream", False, 5, "told", 429, "rate_limit_exceeded"),
)
BY_NAME: Final = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request. pieces: of the text, all told; at: so many of them come before what is special happens."""

    id: str
    door: str
    protocol: str
    kind: Kind
    pieces: int
    at: int

    @property
    def texts(self) -> list[str]:
        return [f"{self.id}:{number} " for number in range(self.pieces)]

    def body(self) -> bytes:
        asked = {"id": self.id, "kind": self.kind.name, "pieces": self.pieces, "at": self.at}
        request = dialects.request(self.door, f"{self.protocol}-model", json.dumps(asked), stream=self.kind.stream)
        return json.dumps(request).encode()

    @classmethod
    def seen_upstream(cls, protocol: str, body: Any) -> Wanted:
        """What is wanted, by the body that upstream was sent."""
        asked = json.loads(dialects.asked_for(body))
        return cls(asked["id"], "", protocol, BY_NAME[asked["kind"]], asked["pieces"], asked["at"])


def plan(*, stream: bool, pieces: tuple[int, int], seed: int = 1) -> Iterator[Wanted]:
    """Requests without end, all pairs of protocols in turn. pieces: the fewest and the most of an answer."""
    chance = random.Random(f"{seed} {stream}")
    kinds = [kind for kind in KINDS if kind.stream == stream]
    pairs = itertools.cycle(itertools.product(dialects.PROTOCOLS, dialects.PROTOCOLS))
    for number, (door, protocol) in enumerate(pairs):
        # The first of each pair and kind are certain to be there, however few are taken.
        kind = chance.choices(kinds, [kind.share for kind in kinds])[0]
        count = chance.randint(*pieces)
        name = f"{'stream' if stream else 'whole'}-{number}"
        yield Wanted(name, door, protocol, kind, count, chance.randint(1, count - 1))


def one_of_each() -> list[Wanted]:
    """Every kind on every pair of protocols, short."""
    cases = itertools.product(KINDS, dialects.PROTOCOLS, dialects.PROTOCOLS)
    return [Wanted(f"each-{number}", door, protocol, kind, 3, 2) for number, (kind, door, protocol) in enumerate(cases)]
