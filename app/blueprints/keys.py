"""``/admin/keys``: client keys for those who operate the bridge, as JSON and as a page.

And ``/v1/key``: what a client may know of its own.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import require_form, wants_html
from app.blueprints._endpoint import current_record, json_response, read_json
from app.blueprints._key_form import Typed, hours_of, problem_of
from app.blueprints._request_log import who
from app.errors import DatabaseError, InvalidRequestError, Sentence
from app.gateway import current_gateway
from app.keys.account import Account
from app.keys.key import HOURS, PERIODS, ROLES, UNITS, Key, Limits, moment
from app.logs import audit
from app.schemas.keys import KEY_CHANGE, NEW_KEY, placed, read_invitation, read_key

bp = Blueprint("keys", __name__)


_MOST_SHOWN = 200


@bp.get("/admin/keys")
def list_keys() -> Response:
    """``{"keys": [{…}, …]}``, the oldest first; revoked ones as well. For a browser the page."""
    client_keys = current_gateway().client_keys
    client_keys.known.note_use(at_once=True)
    if wants_html():
        return make_response(_page())
    return json_response({"keys": [shown(key) for key in client_keys.registry.all()]})


@bp.post("/admin/keys")
def make() -> Response:
    """A new key. The answer has it as ``secret``; nobody can show it again."""
    _, body = read_json()
    key, secret = _make(body)
    return json_response({**shown(key), "secret": secret})


@bp.post("/admin/keys/form")
def change_by_form() -> BaseResponse:
    """The page's forms: ``action`` is ``make``, ``change``, ``revoke``, ``invite`` or ``unbind``."""
    require_form()
    form = request.form
    action, name = form.get("action", ""), form.get("name", "").strip()
    try:
        if action == "make":
            key, secret = _make(Typed.of(form).fields())
            return make_response(_page(made=key, secret=secret))
        if action == "change":
            key = current_gateway().client_keys.registry.find(name)
            _change(name, Typed.of(form).fields(key))
        elif action == "revoke":
            _revoke(name)
        elif action == "unbind":
            _unbind(name)
        elif action == "invite":
            invitation = _invite(name, hours_of(form))
            return make_response(_page(edited=name, invitation=invitation))
        else:
            raise InvalidRequestError(Sentence("This form is incomplete. Load the page anew and send it again."))
    except InvalidRequestError as error:
        edited = name if action in ("change", "invite") else None
        return make_response(_page(edited=edited, typed=Typed.of(form), problem=problem_of(error)), 400)
    return redirect(url_for("keys.list_keys", done=action, name=name), 303)


@bp.get("/admin/keys/<path:name>")
def show(name: str) -> Response:
    key = current_gateway().client_keys.registry.find(name)
    if wants_html():
        return make_response(_page(edited=name))
    return json_response({**shown(key), "budgets": _standing(key)})


@bp.patch("/admin/keys/<path:name>")
def change(name: str) -> Response:
    """What the body names is changed, from the next second on everywhere; the rest stays."""
    _, body = read_json()
    return json_response(shown(_change(name, body)))


@bp.delete("/admin/keys/<path:name>")
def revoke(name: str) -> Response:
    """It counts no longer, from the next second on everywhere. It stays in the list, for the ledger names it."""
    return json_response(shown(_revoke(name)))


@bp.post("/admin/keys/<name>/invitation")
def invite(name: str) -> Response:
    """A link by which the key's holder binds it to a GitHub account of their own. Nobody can show it again, and the one
    before it is good no longer. Body: ``{"hours": 24}``, or none."""
    _, body = read_json(may_be_empty=True)
    return json_response(_invite(name, body))


@bp.delete("/admin/keys/<name>/binding")
def unbind(name: str) -> Response:
    """From the next second on the bridge's own account serves the key; the sign-in of the other one is forgotten, and
    an invitation is good no longer."""
    return json_response(shown(_unbind(name)))


@bp.get("/v1/key")
def own() -> Response:
    """The key that was shown, its limits and what is left of them."""
    record, client_keys = current_record(), current_gateway().client_keys
    if record.key_id is None:
        return json_response({"name": record.key, "role": "admin", "limits": None})
    key = client_keys.registry.find(record.key_id)
    limits = {**limits_shown(key.limits), "budgets": _standing(key)}
    expires = moment(key.expires_at) if key.expires_at is not None else None
    return json_response(
        {
            "name": key.name,
            "role": key.role,
            "owner": key.owner,
            "account": key.binding.account if key.binding is not None else None,
            "expires_at": expires,
            "limits": limits,
        }
    )


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _make(body: dict[str, Any]) -> tuple[Key, str]:
    fields = read_key(NEW_KEY, body)
    client_keys = current_gateway().client_keys
    key, secret = client_keys.registry.make(fields.pop("name"), **placed(Limits(), fields))
    client_keys.known.forget()
    audit("key made", **who(), name=key.name, role=key.role, prefix=key.prefix, limits=limits_shown(key.limits))
    return key, secret


def _change(name: str, body: dict[str, Any]) -> Key:
    fields = read_key(KEY_CHANGE, body)
    client_keys = current_gateway().client_keys
    before, after = client_keys.registry.change(name, lambda key: replace(key, **placed(key.limits, fields)))
    client_keys.known.forget()
    audit("key changed", **who(), name=before.name, **differences(before, after))
    return after


def _revoke(name: str) -> Key:
    before, after = current_gateway().bindings.revoke(name)
    current_gateway().client_keys.known.forget()
    if before.revoked_at is None:
        audit("key revoked", **who(), name=after.name)
    return after


def _invite(name: str, body: dict[str, Any]) -> dict[str, Any]:
    invitation, link = current_gateway().bindings.invite(name, hours=read_invitation(body))
    audit("key invited", **who(), name=invitation.name, expires_at=moment(invitation.expires_at))
    address = f"{request.url_root}auth/invitation?link={link}"
    return {"name": invitation.name, "link": address, "expires_at": moment(invitation.expires_at)}


def _unbind(name: str) -> Key:
    before, after = current_gateway().bindings.unbind(name)
    current_gateway().client_keys.known.forget()
    if before.binding is not None:
        audit("key unbound", **who(), name=after.name, before=before.binding.account)
    return after


# ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────────


def _page(
    *,
    edited: str | None = None,
    typed: Typed | None = None,
    problem: tuple[str, str] | None = None,
    made: Key | None = None,
    secret: str | None = None,
    invitation: dict[str, Any] | None = None,
) -> str:
    """edited: the key whose form is open. typed: what stands in it. secret, invitation: shown now and never again."""
    client_keys, now = current_gateway().client_keys, time.time()
    keys = client_keys.registry.all()
    wanted = request.args.get("q", "").strip().casefold()
    order = {"active": 0, "expired": 1, "revoked": 2}
    found = [key for key in keys if wanted in f"{key.name} {key.owner} {key.note}".casefold()]
    found.sort(key=lambda key: order[key.state(now)])
    rows = found[:_MOST_SHOWN]
    try:
        standing = client_keys.spending.accounts_of(rows)
    except DatabaseError:
        standing = {}
    key = client_keys.registry.find(edited) if edited is not None else None
    return render_template(
        "keys.html",
        rows=[(it, it.state(now), standing.get(it.id)) for it in rows],
        count=len(found),
        any=bool(keys),
        edited=key,
        state=key.state(now) if key is not None else None,
        typed=typed or (Typed.as_is(key) if key is not None else Typed()),
        problem=problem or ("", ""),
        made=made,
        secret=secret,
        invitation=invitation,
        invited_until=datetime.fromisoformat(invitation["expires_at"]).timestamp() if invitation is not None else None,
        roles=ROLES,
        units=UNITS,
        periods=PERIODS,
        hours=HOURS,
        wanted=request.args.get("q", ""),
    )


def shown(key: Key) -> dict[str, Any]:
    """A key as JSON. Of itself only how it begins."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "role": key.role,
        "state": key.state(time.time()),
        "owner": key.owner,
        "note": key.note,
        "created_at": moment(key.created_at),
        "last_used_at": _moment(key.last_used_at),
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
        "account": key.binding.account if key.binding is not None else None,
        **limits_shown(key.limits),
    }


def limits_shown(limits: Limits) -> dict[str, Any]:
    return {
        "models": list(limits.models) or None,
        "requests_per_minute": limits.requests_per_minute,
        "concurrent": limits.concurrent,
        "budgets": [budget.as_json() for budget in limits.budgets],
    }


def differences(before: Key, after: Key) -> dict[str, Any]:
    """What a change made of a key, for the log: ``{"before": {…}, "after": {…}}``."""
    one, other = shown(before), shown(after)
    names = [name for name in one if one[name] != other[name]]
    return {"before": {name: one[name] for name in names}, "after": {name: other[name] for name in names}}


def _standing(key: Key) -> list[dict[str, Any]]:
    """Its budgets, with what is used of them; without, while the database is away."""
    try:
        return [_account_shown(account) for account in current_gateway().client_keys.spending.accounts(key)]
    except DatabaseError:
        return [budget.as_json() for budget in key.limits.budgets]


def _account_shown(account: Account) -> dict[str, Any]:
    budget = account.budget
    amounts = {"used": account.used, "reserved": account.reserved, "left": account.left}
    counted = {name: replace(budget, amount=amount).as_json()["amount"] for name, amount in amounts.items()}
    return {**budget.as_json(), **counted, "resets_at": _moment(account.ends_at)}


def _moment(at: float | None) -> str | None:
    return moment(at) if at is not None else None
