"""What every client has to meet, brought about at the simulator or by what the client asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.simulator.client import Simulator

# A client's test module has a ``test_<name>`` for each of these; the last is done for all in test_silence.py.
NAMES = (
    "wrong_key",
    "rate_limit_with_retry_after",
    "server_error",
    "context_overflow",
    "unknown_model",
    "cut_stream",
    "thirty_seconds_of_silence",
)

WRONG_KEY = "key-that-is-wrong"
NO_MODEL = "gpt-99-of-the-future"
PATIENCE = "Patience is rewarded."
SILENT = f"[[say: {PATIENCE}]] [[silence: 30]]"
_ALL = ("/chat/completions", "/responses", "/v1/messages")
# The bridge repeats a call once of its own accord: the client sees one failure for that many upstream.
ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Troubles:
    """Scripts the next answers of generation calls, whatever their protocol."""

    simulator: Simulator

    def rate_limit(self, times: int | None = 1) -> None:
        """429 with ``retry-after: 1``."""
        self._script("rate_limited_429", times, headers={"retry-after": "1"})

    def server_error(self, times: int | None = 1) -> None:
        """500, as often as it takes for the client to see it so many times."""
        self._script("internal_500", None if times is None else times * ATTEMPTS)

    def context_overflow(self, times: int | None = None) -> None:
        """400: more tokens than the model takes, in upstream's words."""
        self._script("prompt_too_long", times)

    def cut(self, times: int | None = 1) -> None:
        """The stream ends after three events, and properly, as far as the connection goes."""
        self._script("truncate", times)

    def _script(self, preset: str, times: int | None, **fields: Any) -> None:
        for endpoint in _ALL:
            self.simulator.fault(preset, endpoint=endpoint, times=times, **fields)


def generations(simulator: Simulator) -> list[dict[str, Any]]:
    """The generation calls that arrived upstream since the last clearing, oldest first."""
    return [one for one in simulator.requests(host="capi") if one["path"] in _ALL]
