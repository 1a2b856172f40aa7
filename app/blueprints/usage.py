"""``GET /usage``: what the subscription has left, as JSON in the original's shape, or as a page for a browser.

And ``/usage/ledger``: what went through this bridge.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from flask import Blueprint, Response, make_response, render_template, request

from app.auth.copilot_token import ACCOUNT_INFORMATION, NOT_SIGNED_IN, explain_refusal, no_plan_of_installations
from app.auth.github import expect_object
from app.blueprints._access import wants_html
from app.blueprints._endpoint import current_record, current_seat, json_response
from app.blueprints._own_usage import own_key, own_usage
from app.converters.listings.usage import summarize
from app.errors import SignInRequiredError
from app.gateway import current_gateway
from app.ledger import report
from app.schemas.usage import day_of, read_query

bp = Blueprint("usage", __name__)


@bp.get("/usage")
def usage() -> Response:
    gateway, seat = current_gateway(), current_seat()
    token = seat.github_tokens.current()
    if token is None:
        raise SignInRequiredError(NOT_SIGNED_IN)
    if token.kind == "ghs":
        raise no_plan_of_installations()
    answer = gateway.github.account(token.secret)
    if answer.status != 200:
        if answer.status == 401:
            seat.copilot_tokens.note_refusal(token)
        raise explain_refusal(answer, token, what=ACCOUNT_INFORMATION)
    summary = summarize(expect_object(answer, ACCOUNT_INFORMATION))
    if not wants_html():
        bound = current_record().account
        account = bound[0] if bound is not None else gateway.account()[0]
        told = own_usage(gateway, summary, account=account, key=own_key(), is_own=bound is not None)
        return json_response({**summary, **told})
    reset_on = day_of(str(summary["quota_reset_date"])[:10])
    days_left = (reset_on - datetime.now(UTC).date()).days if reset_on is not None else None
    return make_response(
        render_template("usage.html", usage=summary, linked=token, reset_on=reset_on, days_left=days_left)
    )


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
