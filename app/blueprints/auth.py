"""``/auth``: the page that signs the operator in to GitHub, and by which key a browser is known to the bridge."""

from __future__ import annotations

import time

from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from flask_babel import gettext
from werkzeug.wrappers import Response as BaseResponse

from app.auth.device import SignIn
from app.blueprints._access import (
    admits,
    end_session,
    is_foreign_page,
    limit_form,
    local,
    refuse_after_wrong_keys,
    refuse_foreign_page,
    require_form,
    require_key,
    require_key_unless_first_run,
    require_private_caller,
    start_session,
)
from app.blueprints._endpoint import json_response
from app.blueprints._facts import facts, models, shown_key
from app.blueprints._language import translate
from app.blueprints._navigation import page_at
from app.blueprints._request_log import who
from app.clients.first_call import first_call
from app.clients.text import NO_KEY, PLACEHOLDER
from app.errors import GatewayError, Sentence, UnauthorizedError
from app.gateway import current_gateway
from app.logs import audit

bp = Blueprint("auth", __name__, url_prefix="/auth")


def _require_key_or_sign_in_id() -> BaseResponse | None:
    """On the first run, the page that began a sign-in may follow it to its end, which makes a key necessary.

    A browser without cookies needs that. The id is a random 128-bit number that only that page knows.
    """
    gateway = current_gateway()
    current = gateway.sign_in.look()
    if not gateway.keys.has_own and current is not None and request.args.get("id") == current.id:
        try:
            require_private_caller()
        except GatewayError:
            return require_key()
        return None
    return require_key_unless_first_run()


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
    if sign_in is None and linked is None and not is_foreign_page():
        try:
            sign_in = gateway.sign_in.begin(**who())
        except GatewayError as error:
            trouble = error
    shows_next = linked is not None and (sign_in is None or sign_in.state == "done")
    page = render_template(
        "device.html",
        sign_in=sign_in.public(time.time()) if sign_in is not None else None,
        linked=linked,
        signed_in=gateway.copilot_tokens.is_signed_in(),
        trouble=trouble,
        **(_next_steps() if shows_next else {}),
    )
    return make_response(page, trouble.status if trouble is not None else 200)


@bp.get("/device/status")
@admits(_require_key_or_sign_in_id)
def device_status() -> Response:
    """How the sign-in stands: ``{"id", "state": "pending"|"done"|"failed"|"none", "user_code", "expires_in", …}``."""
    sign_in: SignIn | None = current_gateway().sign_in.look()
    if sign_in is None:
        return json_response({"state": "none"})
    told = sign_in.public(time.time())
    return json_response({**told, "message": translate(told["message"]), "trouble": translate(told["trouble"])})


@bp.post("/device/start")
@admits(require_key_unless_first_run)
def device_start() -> BaseResponse:
    """Begin a new sign-in, in place of a running, failed or finished one."""
    sign_in = current_gateway().sign_in.begin(**who(), anew=True)
    return redirect(local(f"/auth/device?id={sign_in.id}"), 303)


def _refuse_foreign_and_huge() -> None:
    limit_form()
    refuse_foreign_page()


@bp.post("/key")
@admits(_refuse_foreign_and_huge)
def enter_key() -> BaseResponse:
    """A person typed a key into a page: remember the browser by a cookie.

    Raises: UnauthorizedError, TooManyKeysError.
    """
    key = request.form.get("api_key", "").strip()
    name = start_session(key)
    if name is None:
        refuse_after_wrong_keys()
        raise UnauthorizedError(
            Sentence(
                "Wrong API key. It is the API_KEY that the bridge was started with, or one that its operator made."
            )
        )
    target = request.form.get("next", "/")
    g.record.key = name
    audit("browser let in", **who())
    return redirect(local(target if page_at(target) else "/"), 303)


@bp.post("/logout")
def log_out() -> BaseResponse:
    """Forget this browser. The sign-in to GitHub stays."""
    require_form()
    end_session()
    audit("browser logged out", **who())
    return redirect(local("/"), 303)


def _next_steps() -> dict[str, object]:
    """What the page says once somebody is signed in: the key, and a command that shows a first answer."""
    key = shown_key()
    shown: dict[str, object] = {"key": key if key != PLACEHOLDER else None, "needs_key": key != NO_KEY}
    try:
        found = facts(models())
        shown |= {"command": first_call(found, gettext("Say hello in one sentence.")), "platform": found.platform}
    except GatewayError as error:
        shown["obstacle"] = error
    return shown
