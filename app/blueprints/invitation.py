"""``/auth/invitation``: where the holder of an API key connects a GitHub account of their own, by a link that was sent.

Whoever has the link may do that and nothing else. It is swapped at once for a cookie, so that it stays in no address
bar, and in a log neither; only the press of the button uses it up, so that programs which look into links harm nobody.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import admits, local, refuse_after_wrong_keys, require_form
from app.blueprints._endpoint import json_response
from app.blueprints._language import translate
from app.blueprints._request_log import who
from app.errors import GatewayError, NotFoundError
from app.gateway import current_gateway

bp = Blueprint("invitation", __name__, url_prefix="/auth/invitation")

_COOKIE = "bridge_invitation"
_LINK = "link"


def _require_invitation() -> BaseResponse | None:
    """Admit whoever has an invitation that is good. Raises: NotFoundError, TooManyKeysError."""
    bindings = current_gateway().bindings
    link = request.args.get(_LINK)
    try:
        if link is None:
            g.ticket = request.cookies.get(_COOKIE, "")
            g.invitation = bindings.look(g.ticket)
            return None
        ticket = request.cookies.get(_COOKIE, "")
        if ticket.startswith(f"{link}."):
            bindings.look(ticket)
        else:
            ticket = bindings.ticket(link)
    except NotFoundError:
        refuse_after_wrong_keys()
        raise
    answer = redirect(local(bp.url_prefix or ""), 303)
    # "Lax", for the link may stand on a page of another site, and a browser brings no "Strict" one along from there.
    path = local(bp.url_prefix or "")
    answer.set_cookie(_COOKIE, ticket, path=path, httponly=True, samesite="Lax", secure=request.is_secure)
    return answer


@bp.get("")
@admits(_require_invitation)
def show() -> BaseResponse:
    """What the sign-in would mean, or how it stands."""
    return _page()


@bp.get("/status")
@admits(_require_invitation)
def status() -> Response:
    """As ``/auth/device/status``, of this sign-in."""
    sign_in = current_gateway().bindings.sign_in(g.invitation).look()
    if sign_in is None:
        return json_response({"state": "none"})
    told = sign_in.public(time.time())
    return json_response({**told, "message": translate(told["message"]), "trouble": translate(told["trouble"])})


@bp.post("/start")
@admits(_require_invitation)
def start() -> BaseResponse:
    """Take the invitation for this browser, and begin the sign-in; another one, if that before has failed."""
    require_form()
    try:
        current_gateway().bindings.begin(g.ticket, address=who()["address"])
    except NotFoundError:
        raise
    except GatewayError as error:
        return _page(error)
    return redirect(local(bp.url_prefix or ""), 303)


def _page(trouble: GatewayError | None = None) -> Response:
    gateway = current_gateway()
    key = gateway.client_keys.registry.find(g.invitation.key_id)
    sign_in = gateway.bindings.sign_in(g.invitation).look()
    page = render_template(
        "invitation.html",
        key=key,
        is_used=g.invitation.is_used,
        sign_in=sign_in.public(time.time()) if sign_in is not None else None,
        trouble=trouble,
    )
    return make_response(page, trouble.status if trouble is not None else 200)
