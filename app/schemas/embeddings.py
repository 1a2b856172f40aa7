"""What the bridge itself reads of an embeddings request. `input` has several shapes and is read by its converter."""

from __future__ import annotations

from app.schemas.base import Boundary, Name


class EmbeddingsRequest(Boundary):
    """``POST /v1/embeddings``."""

    model = Name(required=True)


EMBEDDINGS_REQUEST = EmbeddingsRequest()
