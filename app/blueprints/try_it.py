"""``/try``: a page to talk to any model in any of the three dialects, and to see the events beside the answer.

The calls of the page are calls like any other: booked, limited and shown among the last requests. What a browser's
cookie opens here alone is guarded by the word of our forms, sent as a header, which no foreign page can do.
"""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, make_response, render_template, request

from app.blueprints._access import is_form_token
from app.blueprints._dialect import speaks
from app.blueprints._endpoint import client_headers, current_record, current_seat, read_json, to_response
from app.converters.codec import ClientCodec
from app.converters.registry import CLIENTS
from app.errors import ForbiddenError, GatewayError, Sentence
from app.routing import Model
from app.schemas.base import Boundary, check
from app.schemas.chat import CHAT_REQUEST
from app.schemas.messages import MESSAGES_REQUEST
from app.schemas.responses import RESPONSES_REQUEST

bp = Blueprint("try_it", __name__, url_prefix="/try")

TOKEN_HEADER: Final = "x-form-token"  # noqa: S105 - a name
_MOST_IMAGE_KB: Final = 2048


@bp.get("")
def show() -> Response:
    models, trouble = _models()
    return make_response(
        render_template(
            "try.html", models=[model.id for model in models], trouble=trouble, most_image_kb=_MOST_IMAGE_KB
        )
    )


@bp.before_request
def _require_token() -> None:
    if request.method == "POST" and not is_form_token(request.headers.get(TOKEN_HEADER, "")):
        raise ForbiddenError(
            Sentence("This form has expired. Load the page anew and send it again."), code="cross_site"
        )


def _answers(client: ClientCodec, schema: Boundary) -> None:
    @speaks(client)
    def create() -> Response:
        current_record().protocol = client.name
        raw, body = read_json()
        check(schema, body)
        return to_response(current_seat().relay.answer(client, raw, body, client_headers(), current_record()))

    bp.add_url_rule(f"/{client.name}", client.name, create, methods=["POST"])


for _name, _schema in (("chat", CHAT_REQUEST), ("messages", MESSAGES_REQUEST), ("responses", RESPONSES_REQUEST)):
    _answers(CLIENTS[_name], _schema)


def _models() -> tuple[list[Model], GatewayError | None]:
    """What the key may use for a conversation, or why there is no list."""
    admission = current_record().admission
    try:
        models = current_seat().catalog.models()
    except GatewayError as error:
        return [], error
    return [
        model
        for model in models
        if model.type == "chat" and model.is_enabled and (admission is None or admission.admits(model.id))
    ], None
