"""``POST /v1/chat/completions``: OpenAI Chat Completions, and the bodies that Cursor sends there."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._dialect import speaks
from app.blueprints._endpoint import client_headers, current_record, current_seat, read_json, to_response
from app.converters import cursor
from app.converters.registry import CLIENTS
from app.schemas.base import check
from app.schemas.chat import CHAT_REQUEST, INPUT_REQUEST

bp = Blueprint("chat", __name__)


@bp.post("/v1/chat/completions")
@bp.post("/chat/completions")
@speaks(CLIENTS["chat"])
def create_chat_completion() -> Response:
    current_record().protocol = "chat"
    raw, body = read_json()
    client = cursor.codec_for(body)
    check(INPUT_REQUEST if client is cursor.CLIENT else CHAT_REQUEST, body)
    return to_response(current_seat().relay.answer(client, raw, body, client_headers(), current_record()))
