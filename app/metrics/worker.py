"""One worker's part in the numbers: what it counts, how it stands, and the answer when it is the one that is asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs

from app.ledger.booking import Booking
from app.ledger.books import Books
from app.metrics.numbers import Numbers
from app.metrics.recent import RecentCalls, Row, read_rows
from app.metrics.share import Told, WorkerShare
from app.reply import Ended

_QUOTA = "x-quota-snapshot-"


class WorkerMetrics:
    """An observer of requests, told of them in the background. One per process.

    streams: how many are being given out. followers: pages that are told of new calls.
    """

    def __init__(self) -> None:
        self.streams = 0
        self.followers = 0
        self._numbers = Numbers()
        self._recent = RecentCalls()
        self._told_version = 0
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._headers: Mapping[str, str] = {}
        self._quotas: dict[str, dict[str, float]] = {"quota_percent": {}, "quota_remaining": {}}
        self._counters: dict[str, Callable[[], int]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._share: WorkerShare | None = None

    def watch(
        self, books: Books, counters: Mapping[str, Callable[[], int]], gauges: Mapping[str, Callable[[], float]]
    ) -> None:
        """Where to look for what is counted elsewhere, when somebody wants to know."""
        self._books = books
        self._counters |= counters
        self._gauges |= gauges
        self._gauges["requests_in_flight"] = lambda: books.tally.in_flight
        self._gauges["streams_in_flight"] = lambda: self.streams
        self._gauges["ledger_queue"] = lambda: books.waiting

    def join(self, folder: Path, name: str) -> None:
        """Share the numbers with the other workers of the same master."""
        share = WorkerShare(folder, name)
        with contextlib.suppress(OSError):  # then nobody learns what a kill -9 took along
            self._books.tally.move_to(share.tally)
        self._share = share

    def stream_ended(self) -> None:
        self.streams -= 1

    def observe(self, ended: Ended, booking: Booking | None) -> None:
        with self._lock:
            self._numbers.note(ended, booking)
            if ended.record.quotas and ended.record.account is None:  # what is left of the bridge's own account
                self._headers = ended.record.quotas  # read when somebody wants to know
        if booking is not None:
            self._recent.note(ended, booking)

    def tell(self) -> None:
        """Let the other workers know; nothing happens where there are none."""
        if self._share is not None:
            self._tell_numbers(self._share)
            if (version := self._recent.version) != self._told_version:
                self._told_version = version
                self._share.tell_calls(self._recent.lines())

    def all(self) -> list[Told]:
        """What this worker and all others tell.

        The others know what is told here before anybody else does. Else the one that is asked next would tell less:
        for Prometheus a counter that falls has begun anew, and all of it would count a second time.
        """
        self._books.settle()
        if self._share is None:
            return [self._told()]
        return [self._tell_numbers(self._share), *self._share.others()]

    def _tell_numbers(self, share: WorkerShare) -> Told:
        with self._telling:  # nothing older may come after it
            told = self._told()
            share.tell(told)
        return told

    def calls(self) -> list[Row]:
        """The last calls of this worker and all others, the newest first; those of others as they were a second ago."""
        self._books.settle()
        others = self._share.calls_of_others() if self._share is not None else []
        return read_rows([self._recent.lines(), *others])

    def calls_version(self) -> tuple[object, ...]:
        """Another one whenever `calls` may be; cheap enough to be asked for all the time."""
        self._books.settle()
        return self._recent.version, *(self._share.calls_versions() if self._share is not None else ())

    def _told(self) -> Told:
        tally = self._books.tally
        with self._lock:
            written = tally.written  # before the rest: what is written was counted before
            for header, value in self._headers.items():
                if header.lower().startswith(_QUOTA):
                    self._note_quota(header[len(_QUOTA) :].lower(), value)
            dump = self._numbers.dump()
            counters = {name: [[[], count()]] for name, count in self._counters.items()}
            counters["calls_booked"] = [[[], written]]
            if tally.dropped:
                counters["calls_not_booked"] = [[["dropped"], tally.dropped]]
            dump["counters"] |= counters
            gauges = {name: {"": float(value())} for name, value in self._gauges.items()}
            return Told(dump, gauges | {name: dict(found) for name, found in self._quotas.items() if found})

    def _note_quota(self, quota: str, value: str) -> None:
        """A snapshot of what is left: ``ent=300&rem=99.6&totRem=298.8`` (contract §10.5); -1 is no limit."""
        told = parse_qs(value)
        for name, word in (("quota_percent", "rem"), ("quota_remaining", "totRem")):
            try:
                left = float(told[word][0])
            except (KeyError, ValueError):
                continue
            if left >= 0 and (quota in self._quotas[name] or len(self._quotas[name]) < 10):
                self._quotas[name][quota] = left
