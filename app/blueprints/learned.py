"""``/admin/learned``: what Copilot refused by name and is left out since, when that ends, and a way to forget it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import require_form, wants_html
from app.blueprints._endpoint import json_response
from app.blueprints._request_log import who
from app.errors import InvalidRequestError, NotFoundError, Sentence
from app.gateway import current_gateway
from app.keys.key import moment
from app.logs import audit

bp = Blueprint("learned", __name__, url_prefix="/admin/learned")


@bp.get("")
def show() -> Response:
    """``{"learned": [{"model", "path", "names", "expires_at"}, …]}``; for a browser the page, with ``?format=json`` a
    file of the same."""
    rows = current_gateway().refusals.remembered()
    now = time.time()
    if request.args.get("format") == "json" or not wants_html():
        response = json_response(
            {
                "learned": [
                    {
                        "model": row.model,
                        "path": row.path,
                        "names": list(row.names),
                        "expires_at": moment(now + row.ttl_s) if row.ttl_s is not None else None,
                    }
                    for row in rows
                ]
            }
        )
        if request.args.get("format") == "json":
            response.headers["Content-Disposition"] = 'attachment; filename="learned.json"'
        return response
    at = [datetime.fromtimestamp(now + row.ttl_s, UTC) if row.ttl_s is not None else None for row in rows]
    return make_response(render_template("learned.html", rows=list(zip(rows, at, strict=True))))


@bp.post("")
def forget() -> BaseResponse:
    """The page's form: ``model``, and ``name`` for one of its names."""
    require_form()
    model, name = request.form.get("model", ""), request.form.get("name") or None
    if not model:
        raise InvalidRequestError(Sentence("This form is incomplete. Load the page anew and send it again."))
    count = current_gateway().refusals.forget(model, name)
    if not count:
        raise NotFoundError(Sentence("Nothing of that is remembered any more."))
    audit("learned names forgotten", **who(), model=model, name=name, count=count)
    return redirect(url_for("learned.show"), 303)
