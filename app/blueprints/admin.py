"""``/admin/mapping``: rename models while the service runs.

For a browser it is a page with a form. The GET addresses that change something are the original's, made for the
address bar; where a page of another site could be behind them, the person is asked. The REST forms do the same for
programs, which get JSON from all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import QUERY_KEY, is_meant, require_form, start_session, wants_html
from app.blueprints._endpoint import json_response, read_json
from app.blueprints._request_log import who
from app.errors import GatewayError, InvalidRequestError, NotFoundError, Sentence
from app.gateway import current_gateway
from app.logs import audit
from app.routing import Model, find_model
from app.schemas.admin import MAPPING_TARGET
from app.schemas.base import MAX_NAME_CHARACTERS, check, is_name

bp = Blueprint("admin", __name__, url_prefix="/admin/mapping")


class Row(NamedTuple):
    """One line of the page's table. known: whether the account's list has the target; None if there is no list."""

    source: str
    target: str
    known: bool | None


@bp.get("")
def show() -> Response:
    """``{"<from>": "<to>", …}``; for a browser the page."""
    if wants_html():
        if "reset" in request.args:
            return make_response(render_template("confirm.html", action="reset"))
        return make_response(_page(source=request.args.get("edit", "")))
    return json_response(current_gateway().mapping.all())


@bp.get("/set")
def set_by_get() -> Response | BaseResponse:
    source, target = _name("from"), _name("to")
    return _by_get("set", source, target) or _set(source, target)


@bp.get("/del")
def delete_by_get() -> Response | BaseResponse:
    source = _name("from")
    return _by_get("delete", source) or _delete(source)


@bp.get("/reset")
def reset_by_get() -> Response | BaseResponse:
    return _by_get("reset") or _reset()


@bp.post("")
def change() -> Response | BaseResponse:
    """The page's forms: ``action`` is ``set``, ``delete`` or ``reset``; ``from`` and ``to`` name the models."""
    require_form()
    action = request.form.get("action", "")
    source, target = request.form.get("from", "").strip(), request.form.get("to", "").strip()
    problems = _problems(action, source, target)
    if problems:
        return make_response(_page(source=source, target=target, problems=problems), 400)
    return _change_and_show(action, source, target)


@bp.post("/reset")
def reset() -> Response:
    return _reset()


@bp.put("/<path:source>")
def put(source: str) -> Response:
    """Body: ``{"to": "<model>"}``."""
    _, body = read_json()
    check(MAPPING_TARGET, body)
    return _set(_checked("from", source), body["to"].strip())


@bp.delete("/<path:source>")
def delete(source: str) -> Response:
    return _delete(source)


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _set(source: str, target: str) -> Response:
    before = current_gateway().mapping.all().get(source)
    mapping = current_gateway().mapping.set(source, target, by=who()["actor"])
    audit("mapping set", **who(), **{"from": source}, before=before, after=target)
    return json_response({"status": "ok", "added": {source: target}, "mapping": mapping})


def _delete(source: str) -> Response:
    mapping = current_gateway().mapping
    before = mapping.all().get(source)
    if not mapping.remove(source, by=who()["actor"]):
        return json_response({"error": f"'{source}' not found"}, 404)
    audit("mapping deleted", **who(), **{"from": source}, before=before)
    return json_response({"status": "ok", "deleted": source, "mapping": mapping.all()})


def _reset() -> Response:
    before = current_gateway().mapping.all()
    mapping = current_gateway().mapping.reset(by=who()["actor"])
    audit("mapping reset", **who(), before=before, after=mapping)
    return json_response({"status": "ok", "mapping": mapping})


def _name(parameter: str) -> str:
    """A model name from the query. Raises: InvalidRequestError."""
    value = request.args.get(parameter, "").strip()
    if not value:
        example = "/admin/mapping/set?from=gpt-4&to=gpt-4.1"
        raise InvalidRequestError(
            Sentence("'%(parameter)s' is missing; for example %(example)s", parameter=parameter, example=example),
            param=parameter,
        )
    return _checked(parameter, value)


def _checked(parameter: str, value: str) -> str:
    if not is_name(value):
        raise InvalidRequestError(
            Sentence(
                "'%(parameter)s' must be a string of 1 to %(most)s printable characters.",
                parameter=parameter,
                most=MAX_NAME_CHARACTERS,
            ),
            param=parameter,
        )
    return value


# ── for browsers ────────────────────────────────────────────────────────────────────────────────────────────────────


def _by_get(action: str, source: str = "", target: str = "") -> Response | BaseResponse | None:
    """What a browser gets at an address that changes something; None for programs, which get JSON."""
    is_clear = is_meant()
    if not wants_html():
        return None
    # The key goes out of the address bar, and the browser has to stay known.
    if QUERY_KEY in request.args:
        start_session(request.args[QUERY_KEY])
    if is_clear:
        return _change_and_show(action, source, target)
    return make_response(render_template("confirm.html", action=action, source=source, target=target, by_address=True))


def _change_and_show(action: str, source: str, target: str) -> BaseResponse:
    """Do it, and lead to the page. What that says is read from the mapping, so its address can pretend nothing."""
    if action == "set":
        _set(source, target)
    elif action == "delete":
        if _delete(source).status_code == 404:
            raise NotFoundError(Sentence("%(name)s is not in the mapping.", name=repr(source)))
    else:
        _reset()
    return redirect(url_for("admin.show", done=action, name=source or None), 303)


def _page(*, source: str = "", target: str = "", problems: dict[str, Sentence] | None = None) -> str:
    mapping = current_gateway().mapping.all()
    models, trouble = _models()
    return render_template(
        "mapping.html",
        rows=[
            Row(name, model, find_model(model, models) is not None if models is not None else None)
            for name, model in mapping.items()
        ],
        names=[model.id for model in models or ()],
        rules=current_gateway().mapping.rules(),
        source=source,
        target=target or mapping.get(source, ""),
        problems=problems or {},
        trouble=trouble,
        initial=dict(current_gateway().settings.model_mapping) == mapping,
        max_length=MAX_NAME_CHARACTERS,
    )


def _models() -> tuple[tuple[Model, ...] | None, GatewayError | None]:
    """The account's models, or why there is no list: the mapping can be changed without it."""
    try:
        return current_gateway().catalog.models(), None
    except GatewayError as error:
        return None, error


def _problems(action: str, source: str, target: str) -> dict[str, Sentence]:
    """What is wrong with a form, by field."""
    rule = Sentence("Enter a name of 1 to %(most)s printable characters.", most=MAX_NAME_CHARACTERS)
    if action not in ("set", "delete", "reset"):
        return {"action": Sentence("This form is incomplete. Load the page anew and send it again.")}
    wanted = {"set": {"from": source, "to": target}, "delete": {"from": source}, "reset": {}}[action]
    return {field: rule for field, value in wanted.items() if not is_name(value)}
