"""The state that all workers (with Redis: all hosts) agree on: tokens, catalogue, sign-ins, model mapping, leases."""

from app.store.base import Store, open_store
from app.store.mapping import ModelMapping

__all__ = ["ModelMapping", "Store", "open_store"]
