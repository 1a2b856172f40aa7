"""``POST /v1/embeddings``: OpenAI embeddings."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._endpoint import current_record, current_seat, read_json, to_response
from app.converters.registry import UPSTREAMS
from app.schemas.base import check
from app.schemas.embeddings import EMBEDDINGS_REQUEST

bp = Blueprint("embeddings", __name__)


@bp.post("/v1/embeddings")
@bp.post("/embeddings")
def create_embeddings() -> Response:
    current_record().protocol = "embeddings"
    _, body = read_json()
    check(EMBEDDINGS_REQUEST, body)
    return to_response(current_seat().relay.embed(UPSTREAMS["chat"], body, current_record()))
