"""What setups are made from, as the caller sees this bridge: its address, the key, the account's models, the system."""

from __future__ import annotations

from flask import request

from app.blueprints._endpoint import current_seat
from app.clients.models import Selection, select
from app.clients.record import Facts, Platform
from app.clients.text import NO_KEY, PLACEHOLDER
from app.gateway import current_gateway
from app.settings import DEFAULT_API_KEY


def models(wish: str | None = None) -> Selection:
    """wish: the model to set clients up with, by any name that the bridge takes.

    Raises: InvalidRequestError for a wish that is no model; SignInRequiredError, AccountError, UpstreamError.
    """
    return select(current_seat().catalog.models(), main=current_gateway().mapping.resolve(wish) if wish else None)


def facts(models: Selection) -> Facts:
    return Facts(request.url_root.rstrip("/"), shown_key(), models, _platform())


def shown_key() -> str:
    """The key for clients. Only the well-known default is shown: everybody knows it."""
    keys = current_gateway().settings.api_keys
    if not keys:
        return NO_KEY
    return DEFAULT_API_KEY if keys[0].reveal() == DEFAULT_API_KEY else PLACEHOLDER


def _platform() -> Platform:
    """Of the browser: some clients keep their files elsewhere on other systems."""
    agent = request.user_agent.string
    return "win32" if "Windows" in agent else "darwin" if "Macintosh" in agent else "linux"
