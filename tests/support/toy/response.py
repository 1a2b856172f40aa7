"""Neutral answers and errors → a toy client's."""

from __future__ import annotations

from typing import Any

from app.converters.codec import Identity
from app.converters.neutral.vocabulary import Request, Response, Text
from app.errors import GatewayError


def encode_response(response: Response, _request: Request, identity: Identity) -> dict[str, Any]:
    said = "".join(part.text for part in response.parts if isinstance(part, Text))
    return {"from": identity.model, "id": response.id, "said": said}


def encode_error(error: GatewayError, _request_id: str) -> dict[str, Any]:
    return {"sorry": error.message, "code": error.code}
