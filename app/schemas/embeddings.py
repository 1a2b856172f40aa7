"""What the bridge itself reads of an embeddings request. `input` has several shapes and is read by its converter."""

from __future__ import annotations

from app.schemas.base import Boundary, Text


class EmbeddingsRequest(Boundary):
    """``POST /v1/embeddings``."""

    model = Text(required=True)
