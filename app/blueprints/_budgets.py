"""What a key may spend, and what is left of it."""

from __future__ import annotations

from app.blueprints._endpoint import current_record
from app.errors import GatewayError
from app.gateway import Gateway
from app.keys.account import Account
from app.keys.key import Key


def standing(gateway: Gateway) -> tuple[Key | None, list[Account] | None]:
    """Of the key in use: itself, and its budgets; None while the database is away."""
    id = current_record().key_id
    if id is None:
        return None, []
    try:
        key = gateway.client_keys.registry.find(id)
        return key, gateway.client_keys.spending.accounts(key)
    except GatewayError:
        return None, None
