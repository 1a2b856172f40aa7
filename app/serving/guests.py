"""Who is connected to a worker, and who is one too many: pure counting, so that it can be tested without sockets."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

Surplus = Literal["full", "address"]
"""Why a connection is one too many: the worker has all it may hold, or its address has."""

RESERVE: Final = 64
"""Connections beyond the limit that are still served, shortly: to tell them so, and to answer health checks."""
_CALM: Final = 0.9  # below this share of the limit a crowd is over, and the next one is worth a line in the log again


class Guests:
    """Counts connections, in all and by address.

    most: connections of all together. most_per_address: of one address; 0 for no limit. An IPv6 address counts by its
    /64, which is what one household gets. Loopback and Unix sockets have no limit of their own: whoever is there may be
    a proxy that speaks for everybody.
    on_crowd: called with a reason when a limit is met; not again for as long as the crowd lasts.
    """

    def __init__(self, *, most: int, most_per_address: int, on_crowd: Callable[[Surplus, str], None]) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._on_crowd = on_crowd
        self._count = 0
        self._by_network: Counter[str] = Counter()
        self._told: set[tuple[Surplus, str]] = set()

    def enter(self, address: str) -> Surplus | None:
        """A connection has come; the reason if it is one too many. `leave` is called for it either way."""
        network = _network(address)
        self._count += 1
        if network:
            self._by_network[network] += 1
        if self._count > self._most:
            return self._tell("full", "")
        if network and 0 < self._most_per_address < self._by_network[network]:
            return self._tell("address", network)
        return None

    def leave(self, address: str) -> None:
        network = _network(address)
        self._count -= 1
        if self._count < self._most * _CALM:
            self._told.discard(("full", ""))
        if network:
            self._by_network[network] -= 1
            if self._by_network[network] < self._most_per_address * _CALM:
                self._told.discard(("address", network))
            if not self._by_network[network]:
                del self._by_network[network]

    def _tell(self, reason: Surplus, network: str) -> Surplus:
        if (reason, network) not in self._told:
            self._told.add((reason, network))
            self._on_crowd(reason, network)
        return reason


def _network(address: str) -> str:
    """What an address is counted by; empty for one that is not counted."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""  # a Unix socket has none
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return "" if found.is_loopback else str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
        found = found.ipv4_mapped
    return "" if found.is_loopback else str(found)
