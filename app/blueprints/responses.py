"""``POST /v1/responses``: OpenAI Responses."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._door import client_headers, current_record, read_json, to_response
from app.converters.registry import CODECS
from app.gateway import current_gateway
from app.schemas.base import check
from app.schemas.responses import ResponsesRequest

bp = Blueprint("responses", __name__)


@bp.post("/v1/responses")
@bp.post("/responses")
def create_response() -> Response:
    raw, body = read_json()
    check(ResponsesRequest(), body)
    return to_response(
        current_gateway().relay.answer(CODECS["responses"], raw, body, client_headers(), current_record())
    )
