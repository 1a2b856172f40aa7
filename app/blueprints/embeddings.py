"""``POST /v1/embeddings``: OpenAI embeddings."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._door import current_record, read_json, to_response
from app.converters.registry import CODECS
from app.gateway import current_gateway
from app.schemas.base import check
from app.schemas.embeddings import EmbeddingsRequest

bp = Blueprint("embeddings", __name__)


@bp.post("/v1/embeddings")
@bp.post("/embeddings")
def create_embeddings() -> Response:
    _, body = read_json()
    check(EmbeddingsRequest(), body)
    return to_response(current_gateway().relay.embed(CODECS["chat"], body, current_record()))
