"""``/auth/device``: the page that signs the operator in to GitHub, and what it asks the server while waiting."""

from __future__ import annotations

import time

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as BaseResponse

from app.auth.device import SignIn
from app.blueprints._access import (
    PAGES,
    admits,
    form_token,
    limit_form,
    local,
    refuse_foreign_page,
    require_key,
    require_private_caller,
    set_session_cookie,
)
from app.blueprints._door import json_response
from app.errors import GatewayError, UnauthorizedError
from app.gateway import current_gateway

bp = Blueprint("auth", __name__, url_prefix="/auth")


def require_key_once_linked() -> BaseResponse | None:
    """First run: nobody is signed in, so private callers may open the page without a key. Afterwards it needs one."""
    if current_gateway().github_tokens.current() is not None:
        return require_key()
    try:
        require_private_caller()
    except GatewayError:
        return require_key()
    refuse_foreign_page()
    return None


def _require_key_or_sign_in_id() -> BaseResponse | None:
    """The page that began a sign-in may follow it to its end, although the end makes a key necessary.

    The id is a random 128-bit number that only that page knows.
    """
    current = current_gateway().sign_in.look()
    if current is not None and request.args.get("id") == current.id:
        try:
            require_private_caller()
        except GatewayError:
            return require_key()
        return None
    return require_key_once_linked()


@bp.get("/device")
@admits(_require_key_or_sign_in_id)
def device() -> Response | BaseResponse:
    """The sign-in page: begins a sign-in if nobody is signed in, continues a running one, shows how it ended."""
    gateway = current_gateway()
    linked = gateway.github_tokens.current()
    sign_in = gateway.sign_in.look()
    if request.args.get("id") != getattr(sign_in, "id", None) and (sign_in is None or sign_in.state != "pending"):
        sign_in = None  # an old one that ended; this visitor did not begin it
    trouble: GatewayError | None = None
    if sign_in is None and linked is None:
        try:
            sign_in = gateway.sign_in.begin()
        except GatewayError as error:
            trouble = error
    page = render_template(
        "device.html",
        sign_in=sign_in.public(time.time()) if sign_in is not None else None,
        linked=linked,
        signed_in=gateway.copilot_tokens.is_signed_in(),
        trouble=trouble,
        warning=gateway.keys.warning,
        token=form_token(),
    )
    return make_response(page, trouble.status if trouble is not None else 200)


@bp.get("/device/status")
@admits(_require_key_or_sign_in_id)
def device_status() -> Response:
    """How the sign-in stands: ``{"id", "state": "pending"|"done"|"failed"|"none", "user_code", "expires_in", …}``."""
    sign_in: SignIn | None = current_gateway().sign_in.look()
    if sign_in is None:
        return json_response({"state": "none"})
    return json_response(sign_in.public(time.time()))


@bp.post("/device/start")
@admits(require_key_once_linked)
def device_start() -> BaseResponse:
    """Begin a new sign-in, in place of a running, failed or finished one."""
    sign_in = current_gateway().sign_in.begin(anew=True)
    return redirect(local(f"/auth/device?id={sign_in.id}"), 303)


def _refuse_foreign_and_huge() -> None:
    limit_form()
    refuse_foreign_page()


@bp.post("/key")
@admits(_refuse_foreign_and_huge)
def enter_key() -> BaseResponse:
    """A person typed the API key into a page: remember the browser by a cookie.

    Raises: UnauthorizedError.
    """
    keys = current_gateway().keys
    cookie = keys.cookie_for([request.form.get("api_key", "").strip()])
    if cookie is None:
        raise UnauthorizedError("Wrong API key. It is the API_KEY that the bridge was started with.")
    target = request.form.get("next", "/")
    response: BaseResponse = redirect(local(target if target in PAGES else "/"), 303)
    set_session_cookie(response, cookie)
    return response
