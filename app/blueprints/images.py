"""``POST /v1/images/generations`` and ``/v1/images/edits``: images of the models that list these paths, as they are."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from app.blueprints._endpoint import current_record, current_seat, read_body, read_json, to_response
from app.converters.listings.images import ImageRequest, form_field
from app.converters.registry import UPSTREAMS
from app.errors import InvalidRequestError
from app.schemas.base import check
from app.schemas.images import IMAGES_REQUEST

bp = Blueprint("images", __name__)


@bp.post("/v1/images/generations")
@bp.post("/images/generations")
def generate() -> Response:
    current_record().protocol = "images"
    raw, body = read_json()
    return _passed("/v1/images/generations", raw, body)


@bp.post("/v1/images/edits")
@bp.post("/images/edits")
def edit() -> Response:
    current_record().protocol = "images"
    if request.mimetype != "multipart/form-data":
        raw, body = read_json()
        return _passed("/v1/images/edits", raw, body)
    raw = read_body()
    content_type = request.headers.get("Content-Type", "")
    body = {name: value for name in ("model", "stream") if (value := _text(raw, content_type, name)) is not None}
    if "stream" in body:
        body["stream"] = body["stream"].lower() == "true"
    return _passed("/v1/images/edits", raw, body, form=content_type)


def _text(raw: bytes, content_type: str, name: str) -> Any:
    at = form_field(raw, content_type, name)
    if at is None:
        return None
    try:
        return raw[at[0] : at[1]].decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"'{name}' must be text.", param=name) from None


def _passed(path: str, raw: bytes, body: dict[str, Any], *, form: str | None = None) -> Response:
    check(IMAGES_REQUEST, body)
    asked = ImageRequest(path, raw, body, form)
    return to_response(current_seat().relay.pass_through(UPSTREAMS["chat"], asked, current_record()))
