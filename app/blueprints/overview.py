"""``GET /``: how things stand, for a person; a program is led on to what it may have meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints import _account, _charts, _health
from app.blueprints._access import admits, is_client, local, require_key_unless_first_run, wants_html
from app.blueprints._budgets import standing
from app.blueprints._endpoint import current_record, current_seat
from app.blueprints._own_usage import own_account, own_key
from app.converters.neutral.cost import saved_nano
from app.converters.neutral.prices import prices_of
from app.converters.wire.accounting import NANO
from app.errors import StoreError
from app.gateway import Gateway, current_gateway
from app.ledger import spending
from app.ledger.spending import SPANS, Spans, Spending, Spent
from app.routing import find_model

bp = Blueprint("overview", __name__)

_SHOWN = 8


def _anybody_may_probe() -> BaseResponse | None:
    return None if request.method == "HEAD" else require_key_unless_first_run()


@bp.get("/")
@admits(_anybody_may_probe)
def home() -> Response | BaseResponse:
    """A browser sees the page, or the sign-in while nobody is signed in; a program is led to ``/usage``."""
    if request.method == "HEAD":
        return Response()
    gateway = current_gateway()
    linked = gateway.github_tokens.current() is not None
    if not linked and not is_client():
        return redirect(local("/auth/device"), 303)
    if not wants_html():
        return redirect(local("/usage"), 303)
    return make_response(_page(gateway))


def _page(gateway: Gateway) -> str:
    gateway.books.flush(within_s=0.2)
    key, trouble = own_key(), None
    today = datetime.now(UTC).date()
    try:
        spent = gateway.ledger.spending(today, key=key)
    except StoreError as error:
        spent, trouble = spending.NOTHING, error
    by_credits = spent.all[-1].nano > 0 or not spent.all[-1].premium_milli
    days = {day: _cost(sums, by_credits) for day, sums in spent.by_day}
    account = _account.Account()
    page: dict[str, Any] = {
        "name": current_record().key,
        "trouble": trouble,
        "spans": SPANS,
        "spent": spent,
        "by_credits": by_credits,
        "models": _shortened(spent.by_model, spent.all),
        "keys": _shortened(spent.by_key, spent.all),
        "saved": _saved(gateway, spent) / NANO,
        "chart": _charts.by_day(days, today - timedelta(days=SPANS[-1] - 1), today),
    }
    if own_account(gateway) is not None:
        page["account"] = account = _account.look(gateway, current_seat())
    if key is not None:
        return render_template("overview.html", budgets=standing(gateway), **page)
    told = gateway.metrics.all()
    return render_template(
        "overview.html",
        findings=_health.findings(gateway, account, spent.all[0], trouble),
        doctor=_health.doctor_command(),
        in_flight=[
            int(sum(it.gauges.get(name, {}).get("", 0) for it in told))
            for name in ("requests_in_flight", "streams_in_flight")
        ],
        **page,
    )


def _cost(sums: Spent, by_credits: bool) -> float:
    return sums.nano / NANO if by_credits else sums.premium_milli / 1000


def _shortened(rows: Any, everything: Spans) -> list[tuple[str | None, Spans]]:
    """The dearest, and the others as one row without a name."""
    shown: list[tuple[str | None, Spans]] = list(rows[:_SHOWN])
    rest = tuple(
        Spent(
            **{
                name: getattr(all, name) - sum(getattr(spans[at], name) for _, spans in shown)
                for name in Spent.__slots__
            }
        )
        for at, all in enumerate(everything)
    )
    return [*shown, (None, rest)] if any(it.calls for it in rest) and shown else shown


def _saved(gateway: Gateway, spent: Spending) -> int:
    """Nano-credits of the longest span that cached input would have cost more, as far as prices are known."""
    models, saved = gateway.catalog.known(), 0
    for name, spans in spent.by_model:
        found = find_model(name, models) if models else None
        prices = prices_of(found.raw) if found is not None else None
        saved += saved_nano(prices, spans[-1].cached_input_tokens) if prices is not None else 0
    return saved
