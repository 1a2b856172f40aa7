"""What the bridge itself reads of a Responses request. `input` has several shapes and is read by its converter."""

from __future__ import annotations

from app.schemas.base import Boundary, Count, Flag, Name


class ResponsesRequest(Boundary):
    """``POST /v1/responses``."""

    model = Name(required=True)
    stream = Flag(allow_none=True)
    max_output_tokens = Count(allow_none=True)
    store = Flag(allow_none=True)


RESPONSES_REQUEST = ResponsesRequest()
