"""``/admin/cache``: where conversations lost their prompt cache, by which field and by whom, and what that cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import require_form, wants_html
from app.blueprints._endpoint import json_response
from app.blueprints._request_log import who
from app.caching.findings import Finding, findings
from app.caching.watch import LONGEST_S
from app.converters.neutral.prices import Prices, prices_of
from app.errors import GatewayError, InvalidRequestError, Sentence
from app.gateway import current_gateway
from app.keys.key import moment
from app.logs import audit

bp = Blueprint("cache", __name__, url_prefix="/admin/cache")

_MOST_HOURS: Final = int(LONGEST_S // 3600)
_SHOWN: Final = 50


@bp.get("")
def show() -> Response:
    """``{"watched_until": … | null, "findings": [{…}, …]}``, the newest first; for a browser the page."""
    gateway = current_gateway()
    watched = gateway.cache_watch.watched()
    calls = [row for row in gateway.metrics.calls() if row.get("prefix")]
    found = findings(calls, prices=_prices())
    if not wants_html():
        until = moment(watched.until) if watched is not None else None
        return json_response({"watched_until": until, "findings": [_shown(it) for it in found]})
    return make_response(
        render_template(
            "cache.html",
            watched=watched,
            until=_at(watched.until) if watched is not None else None,
            found=[(it, _at(it.at)) for it in found[:_SHOWN]],
            calls=len(calls),
            lost=sum(it.lost for it in found),
            cost=sum(it.cost or 0 for it in found),
            most_hours=_MOST_HOURS,
        )
    )


@bp.post("")
def change() -> BaseResponse:
    """The page's forms: ``action`` is ``start`` with ``hours``, or ``stop``."""
    require_form()
    watch, action = current_gateway().cache_watch, request.form.get("action", "")
    if action == "start":
        hours = request.form.get("hours", "")
        if not (hours.isascii() and hours.isdigit() and 1 <= int(hours[:9]) <= _MOST_HOURS):
            raise InvalidRequestError(
                Sentence("'hours' must be a whole number from 1 to %(most)s.", most=_MOST_HOURS), param="hours"
            )
        watch.start(for_s=int(hours) * 3600, by=who()["actor"])
        audit("cache watched", **who(), hours=int(hours))
    elif action == "stop":
        if watch.stop():
            audit("cache not watched any more", **who())
    else:
        raise InvalidRequestError(Sentence("This form is incomplete. Load the page anew and send it again."))
    return redirect(url_for("cache.show"), 303)


def _prices() -> Callable[[str], Prices | None]:
    """Of each model that is at hand; of others none is known."""
    try:
        known = {model.id: prices_of(model.raw) for model in current_gateway().catalog.known()}
    except GatewayError:
        return lambda _: None
    return known.get


def _shown(it: Finding) -> dict[str, object]:
    return {**asdict(it), "at": moment(it.at), "lost": it.lost}


def _at(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
