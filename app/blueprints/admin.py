"""``/admin/mapping``: rename models while the service runs.

The GET forms that change something are the original's, made for the address bar; a page of another site cannot use
them. The REST forms do the same for programs.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.blueprints._access import refuse_change_by_foreign_page
from app.blueprints._door import json_response, read_json
from app.errors import InvalidRequestError
from app.gateway import current_gateway
from app.logs import logger
from app.schemas.admin import MappingTarget
from app.schemas.base import NAME_RULE, check, is_name

bp = Blueprint("admin", __name__, url_prefix="/admin/mapping")


@bp.get("")
def show() -> Response:
    """``{"<from>": "<to>", …}``."""
    return json_response(current_gateway().mapping.all())


@bp.get("/set")
def set_by_get() -> Response:
    refuse_change_by_foreign_page()
    return _set(_name("from"), _name("to"))


@bp.get("/del")
def delete_by_get() -> Response:
    refuse_change_by_foreign_page()
    return _delete(_name("from"))


@bp.get("/reset")
def reset_by_get() -> Response:
    refuse_change_by_foreign_page()
    return _reset()


@bp.post("/reset")
def reset() -> Response:
    return _reset()


@bp.put("/<path:source>")
def put(source: str) -> Response:
    """Body: ``{"to": "<model>"}``."""
    _, body = read_json()
    check(MappingTarget(), body)
    return _set(_checked("from", source), body["to"].strip())


@bp.delete("/<path:source>")
def delete(source: str) -> Response:
    return _delete(source)


def _set(source: str, target: str) -> Response:
    mapping = current_gateway().mapping.set(source, target)
    logger.info("mapping set", extra={"fields": {"from": source, "to": target}})
    return json_response({"status": "ok", "added": {source: target}, "mapping": mapping})


def _delete(source: str) -> Response:
    mapping = current_gateway().mapping
    if not mapping.remove(source):
        return json_response({"error": f"'{source}' not found"}, 404)
    logger.info("mapping deleted", extra={"fields": {"from": source}})
    return json_response({"status": "ok", "deleted": source, "mapping": mapping.all()})


def _reset() -> Response:
    mapping = current_gateway().mapping.reset()
    logger.info("mapping reset")
    return json_response({"status": "ok", "mapping": mapping})


def _name(parameter: str) -> str:
    """A model name from the query. Raises: InvalidRequestError."""
    value = request.args.get(parameter, "").strip()
    if not value:
        example = "/admin/mapping/set?from=gpt-4&to=gpt-4.1"
        raise InvalidRequestError(f"'{parameter}' is missing; for example {example}", param=parameter)
    return _checked(parameter, value)


def _checked(parameter: str, value: str) -> str:
    if not is_name(value):
        raise InvalidRequestError(f"'{parameter}' {NAME_RULE}.", param=parameter)
    return value
