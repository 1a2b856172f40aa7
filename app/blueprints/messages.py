"""``POST /v1/messages`` and ``/v1/messages/count_tokens``: Anthropic Messages."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._door import client_headers, current_record, json_response, read_json, to_response
from app.converters.registry import CODECS
from app.gateway import current_gateway
from app.schemas.base import check
from app.schemas.messages import CountTokensRequest, MessagesRequest

bp = Blueprint("messages", __name__)


@bp.post("/v1/messages")
@bp.post("/messages")
def create_message() -> Response:
    raw, body = read_json()
    check(MessagesRequest(), body)
    return to_response(
        current_gateway().relay.answer(CODECS["messages"], raw, body, client_headers(), current_record())
    )


@bp.post("/v1/messages/count_tokens")
@bp.post("/messages/count_tokens")
def count_tokens() -> Response:
    raw, body = read_json()
    check(CountTokensRequest(), body)
    return json_response(
        {"input_tokens": current_gateway().relay.count_tokens(raw, body, client_headers(), current_record())}
    )
