"""A toy request → neutral."""

from __future__ import annotations

from typing import Any

from app.converters.neutral.request_traits import Traits
from app.converters.neutral.vocabulary import Message, Request, Text
from app.errors import InvalidRequestError


def traits(body: dict[str, Any]) -> Traits:
    return Traits(
        model=str(body.get("to")),
        stream=body.get("bit_by_bit") is True,
        has_images=False,
        initiator="user",
        interaction_key=str(body.get("say")).encode(),
    )


def image_urls(_body: dict[str, Any]) -> list[str]:
    return []


def decode_request(body: dict[str, Any]) -> Request:
    said = body.get("say")
    if not isinstance(said, str):
        raise InvalidRequestError("'say' must be a string.", param="say")
    return Request(model=str(body["to"]), messages=(Message("user", (Text(said),)),))
