"""All numbers in Prometheus' own form. Imported when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.metrics.numbers import DURATION_MS, FIRST_BYTE_MS, WAITED_MS, Numbers
from app.metrics.share import Told
from app.version import VERSION

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_NANO: Final = 10**9

_COUNTERS: Final[tuple[tuple[str, str, str, tuple[str, ...], float], ...]] = (
    # our name, Prometheus' name, help, labels, what a unit of ours is of theirs
    ("requests", "bridge_requests", "Requests that have ended", ("dialect", "outcome", "status"), 1),
    ("errors", "bridge_errors", "Requests that ended with an error, by its code", ("code",), 1),
    ("tokens", "bridge_tokens", "Tokens of calls", ("kind", "model"), 1),
    ("nano_credits", "bridge_credits", "AI credits that calls cost", ("model", "basis"), 1 / _NANO),
    ("premium_milli", "bridge_premium_requests", "Premium requests that calls cost", ("model",), 1 / 1000),
    ("calls_of_unknown_cost", "bridge_calls_of_unknown_cost", "Calls of which nobody knows the cost", ("model",), 1),
    ("calls_booked", "bridge_calls_booked", "Calls that were written into the ledger", (), 1),
    ("calls_not_booked", "bridge_calls_not_booked", "Calls that will never be in the ledger", ("reason",), 1),
    ("refusals_learned", "bridge_refusals_learned", "Fields that Copilot refused and that are left out since", (), 1),
    ("token_exchanges", "bridge_token_exchanges", "Copilot tokens that were asked of GitHub", (), 1),
    ("upstream_connections", "bridge_upstream_connections_opened", "Connections to GitHub and Copilot", (), 1),
)
_SPREADS: Final = (
    ("waited", "bridge_waited_seconds", "Time that calls waited for a place, of those that had to", WAITED_MS),
    ("first_byte", "bridge_first_byte_seconds", "Time to the first piece of an answer", FIRST_BYTE_MS),
    ("duration", "bridge_duration_seconds", "Time to the end of an answer", DURATION_MS),
)
_GAUGES: Final[tuple[tuple[str, str, str, str | None, Callable[[Iterable[float]], float]], ...]] = (
    # our name, Prometheus' name, help, label, what the workers together have
    ("requests_in_flight", "bridge_requests_in_flight", "Requests that are being answered", None, sum),
    ("streams_in_flight", "bridge_streams_in_flight", "Streams that are being given out", None, sum),
    ("upstream_idle", "bridge_upstream_connections_idle", "Connections that wait for the next call", None, sum),
    ("ledger_queue", "bridge_ledger_queue", "Calls that wait to be written into the ledger", None, sum),
    ("memory_held", "bridge_memory_held_bytes", "Bodies and answers that are held", None, sum),
    ("quota_percent", "bridge_quota_remaining_percent", "What Copilot said is left, in percent", "quota", min),
    ("quota_remaining", "bridge_quota_remaining", "What Copilot said is left, in the plan's units", "quota", min),
    ("calls_waiting", "bridge_calls_waiting", "Calls that wait for a place among those to Copilot", None, sum),
    (
        "limits_closed",
        "bridge_limits_closed",
        "For how many scopes Copilot said to wait, and nothing is sent",
        None,
        max,
    ),
    ("database_up", "bridge_database_up", "1 while the database can be used", None, min),
)


def exposition(told: Iterable[Told]) -> bytes:
    """The numbers of all these workers together."""
    return generate_latest(_Collected(list(told)))


class _Collected(Collector):
    def __init__(self, told: list[Told]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        sum_ = Numbers.together(one.numbers for one in self._told)
        info = GaugeMetricFamily("bridge_info", "The bridge, and how many workers tell", labels=("version",))
        info.add_metric((VERSION,), sum(1 for one in self._told if one.gauges))
        yield info
        for name, theirs, about, labels, unit in _COUNTERS:
            yield _counter(sum_, name, theirs, about, labels, unit)
        for name, theirs, about, bounds in _SPREADS:
            yield _histogram(sum_, name, theirs, about, bounds)
        for name, theirs, about, label, join in _GAUGES:
            yield self._gauge(name, theirs, about, label, join)

    def _gauge(
        self, name: str, theirs: str, about: str, label: str | None, join: Callable[[Iterable[float]], float]
    ) -> Metric:
        family = GaugeMetricFamily(theirs, about, labels=(label,) if label else ())
        values: dict[str, list[float]] = {}
        for one in self._told:
            for of, value in one.gauges.get(name, {}).items():
                values.setdefault(of, []).append(value)
        for of, found in sorted(values.items()):
            family.add_metric((of,) if label else (), join(found))
        return family


def _counter(sum_: Numbers, name: str, theirs: str, about: str, labels: tuple[str, ...], unit: float) -> Metric:
    family = CounterMetricFamily(theirs, about, labels=labels)
    series = sum_.counters.get(name, {})
    if not labels and not series:
        family.add_metric((), 0)
    for of, count in sorted(series.items()):
        family.add_metric(of, count if unit == 1 else count * unit)
    return family


def _histogram(sum_: Numbers, name: str, theirs: str, about: str, bounds: tuple[int, ...]) -> Metric:
    family = HistogramMetricFamily(theirs, about, labels=("dialect", "form"))
    for of, counts in sorted(sum_.spreads.get(name, {}).items()):
        reached, buckets = 0, []
        for bound, count in zip((*bounds, None), counts[:-1], strict=True):
            reached += count
            buckets.append(("+Inf" if bound is None else str(bound / 1000), reached))
        family.add_metric(of, buckets, counts[-1] / 1000)
    return family
