"""Call ids of a conversation in its wire form, where it passes: each fits its upstream and is used once.

The counterpart of ``conversation.distinct_call_ids`` and ``map_call_ids`` for bodies that are not converted. A dialect
says where the ids stand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
Place = tuple[Json, str, bool]
"""An object, the name of its field with the id, and whether it is the call (or else a result)."""


def renamed(
    messages: list[Any], places: Callable[[Any], Iterator[Place]], fit: Callable[[str], str], *, distinct: bool
) -> dict[int, str]:
    """New ids by ``id()`` of the object that holds one; empty if all are well.

    fit: an id → one that upstream takes, e.g. `valid_call_id`. distinct: whether each call must have one of its own.
    An id that comes again in a later turn pairs with the results in their order. Prefix-stable.
    """
    changed: dict[int, str] = {}
    seen: set[str] = set()
    counts: dict[str, int] = {}
    open_calls: dict[str, deque[str]] = {}
    for message in messages:
        fresh_here: set[str] = set()
        for holder, field, is_call in places(message):
            given = holder.get(field)
            if not isinstance(given, str) or not given:
                continue
            if is_call:
                new = _fresh(fit(given), seen, counts, fit) if distinct else fit(given)
                if given not in fresh_here:
                    open_calls[given] = deque()
                    fresh_here.add(given)
                open_calls[given].append(new)
            else:
                waiting = open_calls.get(given)
                if not waiting:
                    new = fit(given)
                else:
                    new = waiting.popleft() if len(waiting) > 1 else waiting[0]
            if new != given:
                changed[id(holder)] = new
    return changed


def _fresh(call_id: str, seen: set[str], counts: dict[str, int], fit: Callable[[str], str]) -> str:
    fresh = call_id
    while fresh in seen:
        counts[call_id] = counts.get(call_id, 1) + 1
        fresh = fit(f"{call_id}-{counts[call_id]}")
    seen.add(fresh)
    return fresh
