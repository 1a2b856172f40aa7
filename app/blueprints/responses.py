"""``POST /v1/responses``: OpenAI Responses; and what is stored of them."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.blueprints._dialect import speaks
from app.blueprints._endpoint import current_record, json_response, not_stored
from app.blueprints._generation import generates
from app.converters.codec import ClientStorage, StoredAnswer
from app.converters.registry import CLIENTS
from app.converters.responses.stored import page_of
from app.errors import InvalidRequestError, NotFoundError
from app.gateway import current_gateway
from app.schemas.responses import RESPONSES_REQUEST
from app.stored_responses import StoredResponses, owner_of

bp = Blueprint("responses", __name__)

_CODEC = CLIENTS["responses"]

generates(bp, _CODEC, RESPONSES_REQUEST, "/v1/responses", "/responses")


@bp.get("/v1/responses/<id>")
@bp.get("/responses/<id>")
@speaks(_CODEC)
def show(id: str) -> Response:
    """A stored answer as its client got it."""
    if request.args.get("stream", "").lower() == "true":
        raise InvalidRequestError(
            "'stream' is not supported here: a stored response is complete, so ask for it whole.", param="stream"
        )
    return json_response(_stored(id)[-1].answer)


@bp.delete("/v1/responses/<id>")
@bp.delete("/responses/<id>")
@speaks(_CODEC)
def delete(id: str) -> Response:
    """Forget a stored answer. What goes on from it is not found any more."""
    stored, storage = _service()
    if not stored.delete(storage, id, owner=owner_of(current_record())):
        raise _not_found(id)
    return json_response({"id": id, "object": "response", "deleted": True})


@bp.get("/v1/responses/<id>/input_items")
@bp.get("/responses/<id>/input_items")
@speaks(_CODEC)
def input_items(id: str) -> Response:
    """The items that a stored answer was made of, by pages."""
    return json_response(page_of(_stored(id), request.args))


def _stored(id: str) -> list[StoredAnswer]:
    """A stored answer and those that it went on from, oldest first. Raises: NotFoundError."""
    stored, storage = _service()
    chain = stored.read(storage, id, owner=owner_of(current_record()))
    if chain is None:
        raise _not_found(id)
    return chain


def _service() -> tuple[StoredResponses, ClientStorage]:
    """Raises: NotFoundError where nothing is stored."""
    stored = current_gateway().stored_responses
    if not stored.is_on or _CODEC.storage is None:
        raise not_stored()
    return stored, _CODEC.storage


def _not_found(id: str) -> NotFoundError:
    return NotFoundError(f"Response with id '{id[:100]}' not found.", code="response_not_found")
