"""The last calls of a worker, for people to look at: what was asked, what became of it, and when what happened.

Names, numbers and reasons; never what was said. Noting a call is an append; it becomes a row when somebody wants to
know, or when the other workers are told.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from app.converters.wire import json_bytes
from app.errors import Sentence
from app.ledger.booking import Booking
from app.logs import loggable_name
from app.reply import Ended

MOST: Final = 300
"""Calls that are kept, of each worker and of those that have ended."""

_MOST_PARTS: Final = 20
_LONGEST: Final = 100

Row = dict[str, Any]
"""A call as JSON, see `row_of`."""


class RecentCalls:
    """A ring of rows, as JSON. version: changes whenever something was noted."""

    def __init__(self, most: int = MOST) -> None:
        self.version = 0
        self._noted: deque[tuple[Ended, Booking]] = deque(maxlen=most)
        self._rows: deque[bytes] = deque(maxlen=most)
        self._lock = threading.Lock()

    def note(self, ended: Ended, booking: Booking) -> None:
        self._noted.append((ended, booking))
        self.version += 1

    def lines(self) -> bytes:
        """The rows, a line each, the oldest first."""
        with self._lock:
            while self._noted:
                ended, booking = self._noted.popleft()
                self._rows.append(json_bytes.dumps(row_of(ended, booking)))
            return b"\n".join(self._rows)


def read_rows(lines: Iterable[bytes]) -> list[Row]:
    """What others have told; what cannot be read is not there. The newest first."""
    rows = []
    for told in lines:
        for line in told.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("ended_at"), int | float):
                row["losses"] = [[path, Sentence.unpacked(reason)] for path, reason in row.get("losses", ())]
                rows.append(row)
    return sorted(rows, key=lambda row: float(row["ended_at"]), reverse=True)


def row_of(ended: Ended, booking: Booking) -> Row:
    """A call as plain data. Times: epoch seconds, and milliseconds since the request came.

    ``attempts``: the calls to Copilot, in order: ``{"model", "began_ms", "answered_ms", "status", "request_id",
    "repeats": [why, …]}``; answered_ms and status are null if no answer came. ``losses``: ``[path, reason]`` of what
    was dropped or carried in another form; a reason with values in it is packed, and a sentence again when read.
    ``prefix``: see `app.caching.prefix`; null unless caches are watched.
    """
    record = ended.record
    return {
        "request_id": booking.request_id,
        "ended_at": ended.ended_at,
        "duration_ms": ended.duration_ms,
        "first_byte_ms": booking.first_byte_ms,
        "key": booking.key,
        "key_id": record.key_id,
        "client": booking.client,
        "path": ended.path[:_LONGEST],
        "dialect": booking.dialect,
        "upstream": booking.upstream,
        "model": booking.model,
        "served_model": booking.served_model,
        "rule": record.rule,
        "streamed": booking.streamed,
        "purpose": booking.purpose,
        "initiator": booking.initiator,
        "answered": record.answered,
        "searches": record.searches,
        "status": booking.status,
        "outcome": booking.outcome,
        "error": booking.error,
        "finish_reason": record.finish_reason,
        "input_tokens": booking.input_tokens,
        "cached_input_tokens": booking.cached_input_tokens,
        "cache_write_tokens": booking.cache_write_tokens,
        "output_tokens": booking.output_tokens,
        "reasoning_tokens": booking.reasoning_tokens,
        "nano_credits": booking.nano_credits,
        "is_estimated": booking.is_estimated,
        "conversation": booking.conversation,
        "upstream_request_id": booking.upstream_request_id,
        "dropped": [loggable_name(name) for name in record.dropped[:_MOST_PARTS]],
        "losses": [[loggable_name(path), _packed(reason)] for path, reason in record.losses[:_MOST_PARTS]],
        "prefix": record.prefix.told() if record.prefix is not None else None,
        "attempts": [
            {
                "model": attempt.model[:_LONGEST],
                "began_ms": attempt.since(record.began, attempt.began),
                "answered_ms": attempt.since(record.began, attempt.answered),
                "status": attempt.status,
                "request_id": (attempt.request_id or "")[:_LONGEST] or None,
                "repeats": attempt.repeats[:_MOST_PARTS],
            }
            for attempt in record.attempts[:_MOST_PARTS]
        ],
    }


def _packed(reason: str) -> Any:
    return reason.packed() if isinstance(reason, Sentence) else reason
