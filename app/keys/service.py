"""Everything of named keys that a worker needs, wired."""

from __future__ import annotations

import time
from collections.abc import Callable

from app.converters.neutral.price_list import PriceList
from app.database import Database
from app.keys.admission import Admission
from app.keys.key import Key
from app.keys.known import KnownKeys
from app.keys.rates import RequestRates
from app.keys.registry import KeyRegistry
from app.keys.spending import REFRESH_S, Spending
from app.reply import Ended
from app.store import Store


class ClientKeys:
    """Opens nothing, and costs nothing while nobody shows a named key."""

    def __init__(
        self,
        database: Database,
        store: Store,
        *,
        redis_url: str | None,
        workers: int,
        prices: PriceList | None = None,
    ) -> None:
        self._prices = prices or PriceList()
        self.registry = KeyRegistry(database)
        self.known = KnownKeys(self.registry)
        self.spending = Spending(database)
        self._rates = RequestRates(store, redis_url=redis_url, workers=workers)

    def admission(self, key: Key) -> Admission:
        """For one request that showed this key."""
        return Admission(key, self._rates, self.spending, self._prices)

    def settle(self, ended: Ended) -> None:
        """Observes all requests."""
        if ended.record.admission is not None:
            ended.record.admission.settle(ended)

    def tidy(self) -> None:
        """Now and then: keep reservations alive, write down when keys were used."""
        self.spending.renew()
        self.known.note_use()

    def hold_ahead(self, is_serving: Callable[[], bool]) -> None:
        """Until it serves no more: let calls of busy keys begin and end in memory. The worker runs this beside them."""
        self.spending.begin_leasing()
        try:
            while is_serving():
                time.sleep(REFRESH_S)
                self.spending.refresh()
        finally:
            self.spending.end_leasing()
        self.spending.refresh()

    def finish(self) -> None:
        """Before the worker ends."""
        self.spending.flush()
        self.known.note_use(at_once=True)
