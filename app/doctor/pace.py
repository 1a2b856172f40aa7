"""Whether events arrived as they were sent. Pure: times in, a verdict out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from enum import Enum

LEAST_EVENTS = 6
# In intervals between two events. Held back means: longer than the one that was held back least, so that neither the
# length of the way nor the two clocks' difference counts; the median, so that one hiccup of the network does not.
_HELD_INTERVALS = 1.25
# An arrival that takes less than this share of the sending is one arrival.
_AT_ONCE_SHARE = 0.25


class Pace(Enum):
    """How a stream arrived."""

    EVENLY = "evenly"
    IN_LUMPS = "in lumps"
    AT_ONCE = "all at once"


def judge(sent: Sequence[float], arrived: Sequence[float]) -> Pace:
    """Compare when events were sent (by the sender's clock) with when they arrived (by ours); seconds, any zero.

    Raises: ValueError for fewer than LEAST_EVENTS events, or if they were not sent over time.
    """
    if len(sent) != len(arrived) or len(sent) < LEAST_EVENTS:
        raise ValueError(f"needs at least {LEAST_EVENTS} events with both times")
    took = sent[-1] - sent[0]
    if took <= 0:
        raise ValueError("the events were not sent over time")
    delays = [there - here for here, there in zip(sent, arrived, strict=True)]
    held_back = statistics.median(delays) - min(delays)
    if held_back <= _HELD_INTERVALS * took / (len(sent) - 1):
        return Pace.EVENLY
    return Pace.AT_ONCE if arrived[-1] - arrived[0] < _AT_ONCE_SHARE * took else Pace.IN_LUMPS
