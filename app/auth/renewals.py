"""Whether one more Copilot token may help: seen by what became of the earlier ones, not by the status of a refusal.

A renewal whose token served was worth it, however often tokens die. One whose token was refused at once was not, and
GitHub recognises those who ask for token after token (contract §2.6).
"""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST_IN_VAIN = 3
_MEMORY_S = 60.0


class RenewalLimit:
    """What became of renewals, for each endpoint: one may refuse every token while another takes them all."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._in_vain: dict[str, dict[str, float]] = {}

    def is_reached(self, endpoint: str) -> bool:
        """Whether the tokens of so many renewals were refused at once there, within the last minute."""
        return len(self._lately(endpoint)) >= _MOST_IN_VAIN

    def note_refused(self, endpoint: str, fingerprint: str) -> None:
        """The token of a renewal was refused when it was first used. Several calls may find that of the same one."""
        self._in_vain[endpoint] = self._lately(endpoint) | {fingerprint: self._monotonic()}

    def note_served(self, endpoint: str) -> None:
        if self._in_vain:  # this is on the way of every call
            self._in_vain.pop(endpoint, None)

    def _lately(self, endpoint: str) -> dict[str, float]:
        now = self._monotonic()
        known = self._in_vain.get(endpoint, {})
        return {token: at for token, at in known.items() if now - at < _MEMORY_S}
