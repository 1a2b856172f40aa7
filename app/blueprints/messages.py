"""``POST /v1/messages`` and ``/v1/messages/count_tokens``: Anthropic Messages."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._dialect import speaks
from app.blueprints._endpoint import client_headers, current_record, current_seat, json_response, read_json
from app.blueprints._generation import generates
from app.converters.registry import CLIENTS
from app.schemas.base import check
from app.schemas.messages import COUNT_TOKENS_REQUEST, MESSAGES_REQUEST

bp = Blueprint("messages", __name__)
MESSAGES = CLIENTS["messages"]

generates(bp, MESSAGES, MESSAGES_REQUEST, "/v1/messages", "/messages")


@bp.post("/v1/messages/count_tokens")
@bp.post("/messages/count_tokens")
@speaks(MESSAGES)
def count_tokens() -> Response:
    current_record().protocol = "count_tokens"
    raw, body = read_json()
    check(COUNT_TOKENS_REQUEST, body)
    relay = current_seat().relay
    return json_response({"input_tokens": relay.count_tokens(MESSAGES, raw, body, client_headers(), current_record())})
