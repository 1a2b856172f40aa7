"""``POST /v1/chat/completions``: OpenAI Chat Completions."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._door import client_headers, current_record, read_json, to_response
from app.converters.registry import CODECS
from app.gateway import current_gateway
from app.schemas.base import check
from app.schemas.chat import ChatRequest

bp = Blueprint("chat", __name__)


@bp.post("/v1/chat/completions")
@bp.post("/chat/completions")
def create_chat_completion() -> Response:
    raw, body = read_json()
    check(ChatRequest(), body)
    return to_response(current_gateway().relay.answer(CODECS["chat"], raw, body, client_headers(), current_record()))
