"""``GET /metrics``: numbers for Prometheus, of all workers of this master, whichever of them is asked."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as BaseResponse

from app.auth.api_key import is_local_name
from app.blueprints._access import admits, is_foreign_page, require_key
from app.errors import NotFoundError, Sentence
from app.gateway import current_gateway

bp = Blueprint("metrics", __name__)

_LOOPBACK = ("127.", "::1", "::ffff:127.")
_OF_PROXIES = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via")


def _may_read() -> BaseResponse | None:
    """METRICS_ACCESS says who: names of models and sums of money are in it, but nothing of keys or conversations.

    Raises: NotFoundError, UnauthorizedError, ForbiddenError, TooManyKeysError.
    """
    rule = current_gateway().settings.metrics_access
    if rule == "off":
        raise NotFoundError(Sentence("METRICS_ACCESS=off: this bridge tells no metrics."), code="metrics_off")
    if rule == "anybody" or _is_of_this_machine():
        return None
    return require_key()


def _is_of_this_machine() -> bool:
    """A program on this machine, by itself: behind a proxy everybody comes from there, and a page of another site can
    be made to ask as well."""
    is_direct = not any(name in request.headers for name in _OF_PROXIES)
    return is_direct and _is_loopback(request.remote_addr) and is_local_name(request.host) and not is_foreign_page()


def _is_loopback(address: str | None) -> bool:
    return address is not None and address.startswith(_LOOPBACK)


@bp.get("/metrics")
@admits(_may_read)
def metrics() -> Response:
    from app.metrics.exposition import CONTENT_TYPE, exposition

    return Response(exposition(current_gateway().metrics.all()), content_type=CONTENT_TYPE)
