"""``POST /v1/chat/completions``: OpenAI Chat Completions, and the bodies that Cursor sends there."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._door import client_headers, current_record, read_json, to_response
from app.converters import cursor
from app.gateway import current_gateway
from app.schemas.base import check
from app.schemas.chat import ChatRequest, InputRequest

bp = Blueprint("chat", __name__)


@bp.post("/v1/chat/completions")
@bp.post("/chat/completions")
def create_chat_completion() -> Response:
    raw, body = read_json()
    codec = cursor.codec_for(body)
    check(InputRequest() if codec is cursor.CODEC else ChatRequest(), body)
    return to_response(current_gateway().relay.answer(codec, raw, body, client_headers(), current_record()))
