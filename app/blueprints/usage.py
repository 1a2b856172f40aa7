"""``GET /usage``: what the subscription has left, as JSON in the original's shape, or as a page for a browser.

And ``/usage/ledger``: what went through this bridge. The page shows both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from flask import Blueprint, Response, make_response, render_template, request

from app.blueprints import _account, _charts
from app.blueprints._access import wants_html
from app.blueprints._budgets import standing
from app.blueprints._endpoint import current_record, current_seat, json_response
from app.blueprints._own_usage import own_account, own_key, own_sums, own_usage
from app.converters.wire.accounting import NANO
from app.errors import AccountError, InvalidRequestError, Sentence, StoreError
from app.gateway import Gateway, current_gateway
from app.ledger import report
from app.ledger.sums import Sums
from app.schemas.usage import GROUPS, Wanted, read_query

bp = Blueprint("usage", __name__)

_MOST_ROWS: Final = 100


@bp.get("/usage")
def usage() -> Response:
    gateway = current_gateway()
    key, account = own_key(), own_account(gateway)
    if wants_html():
        return _page(gateway, key, account)
    if account is None:  # what the bridge's account has is none of its business
        return json_response(own_sums(gateway, datetime.now(UTC).date().replace(day=1), key=key))
    seat = current_seat()
    summary = _account.ask(gateway, seat).usage
    assert summary is not None
    limits = [closed.told for closed in seat.governor.closed()]
    return json_response({**summary, "limits": limits, **own_usage(gateway, summary, account=account, key=key)})


@bp.get("/usage/ledger")
def ledger() -> Response:
    """Sums of calls by day, model, key, client or account, as JSON or CSV."""
    wanted = read_query(request.args.to_dict(), now=time.time())
    if request.accept_mimetypes.best == "text/csv" and "format" not in request.args:
        wanted = replace(wanted, as_csv=True)
    gateway = current_gateway()
    gateway.books.flush(within_s=1.0)
    first, last = wanted.first.isoformat(), wanted.last.isoformat()
    rows = gateway.ledger.report(first, last, wanted.group, key=own_key())
    if not wanted.as_csv:
        return json_response(report.as_json(wanted.first, wanted.last, wanted.group, rows))
    response = Response(report.as_csv(wanted.group, rows), content_type="text/csv; charset=utf-8")
    name = f"usage-{wanted.group}-{first}-{last}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _page(gateway: Gateway, key: str | None, account: str | None) -> Response:
    facts, reconciled = _account.Account(), None
    if account is not None:
        facts = _account.look(gateway, current_seat())
        if isinstance(facts.trouble, AccountError):
            raise facts.trouble  # somebody must act before anything else
        if facts.usage is not None:
            reconciled = own_usage(gateway, facts.usage, account=account, key=key)["reconciliation"]
    wanted, problem = _wanted()
    gateway.books.flush(within_s=0.2)
    try:
        figures, trouble = _figures(gateway, wanted, key), None
    except StoreError as error:
        figures, trouble = None, error
    page = render_template(
        "usage.html",
        account=facts if account is not None else None,
        reconciled=reconciled,
        budgets=standing(gateway) if key is not None else None,
        name=current_record().key,
        wanted=wanted,
        groups=GROUPS if key is None else tuple(group for group in GROUPS if group not in ("key", "account")),
        periods=_periods(datetime.now(UTC).date()),
        problem=problem,
        trouble=trouble,
        figures=figures,
        most=_MOST_ROWS,
    )
    return make_response(page, 400 if problem is not None else 200)


def _wanted() -> tuple[Wanted, Sentence | None]:
    """What the page is asked for; the usual, and what is wrong, if that cannot be meant."""
    given = {name: request.args[name] for name in ("from", "to", "group") if request.args.get(name)}
    try:
        return read_query(given, now=time.time()), None
    except InvalidRequestError:
        return read_query({}, now=time.time()), Sentence(
            "This period cannot be shown. Give two days like 2026-11-30, the first one not after the last."
        )


def _periods(today: date) -> list[tuple[Sentence, date, date]]:
    """What one usually wants to see."""
    this_month = today.replace(day=1)
    before = this_month - timedelta(days=1)
    return [
        (Sentence("Today"), today, today),
        (Sentence("7 days"), today - timedelta(days=6), today),
        (Sentence("30 days"), today - timedelta(days=29), today),
        (Sentence("90 days"), today - timedelta(days=89), today),
        (Sentence("This month"), this_month, today),
        (Sentence("Last month"), before.replace(day=1), before),
    ]


def _figures(gateway: Gateway, wanted: Wanted, key: str | None) -> dict[str, Any]:
    """What the ledger has of the period. Raises: StoreError."""
    first, last = wanted.first.isoformat(), wanted.last.isoformat()
    ledger = gateway.ledger
    if wanted.group == "day":
        rows = ledger.report(first, last, "day", key=key)[::-1]
        total = report.added_up(rows)
    else:
        rows = ledger.report(first, last, wanted.group, key=key, most=_MOST_ROWS + 1)
        total = report.added_up(rows) if len(rows) <= _MOST_ROWS else ledger.total(first, last, key=key)
    by_credits = _nano(total) > 0 or not total["premium_milli"]

    def cost(sums: Sums) -> float:
        return _nano(sums) / NANO if by_credits else sums["premium_milli"] / 1000

    whole = cost(total)
    if wanted.group == "day":
        days = {date.fromisoformat(day): cost(sums) for day, sums in rows}
    else:
        days = {
            date.fromisoformat(day): nano / NANO if by_credits else milli / 1000
            for day, nano, milli in ledger.costs(first, last, key=key)
        }
    return {
        "chart": _charts.by_day(days, *_shown(wanted, days)),
        "by_credits": by_credits,
        "rows": [(name, sums, cost(sums) / whole if whole else 0.0) for name, sums in rows[:_MOST_ROWS]],
        "has_more": len(rows) > _MOST_ROWS,
        "total": total,
    }


def _shown(wanted: Wanted, days: Mapping[date, float]) -> tuple[date, date]:
    """The days of the chart: of centuries without a call nothing would be seen."""
    if days and (wanted.last - wanted.first).days > 366:
        return max(wanted.first, min(days)), wanted.last
    return wanted.first, wanted.last


def _nano(sums: Sums) -> int:
    return sums["exact_nano"] + sums["estimated_nano"]
