"""``GET /v1/models`` and ``/v1/models/{id}``: the live catalogue, in OpenAI's form, in Anthropic's or in Codex's."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.blueprints._dialect import speaks
from app.blueprints._endpoint import current_record, current_seat, json_response
from app.converters.codec import ClientCodec
from app.converters.listings.codex_models import codex_list
from app.converters.listings.models import anthropic_list, anthropic_model, openai_list, openai_model, with_aliases
from app.converters.registry import CLIENTS
from app.errors import NotFoundError
from app.gateway import current_gateway
from app.routing import AUTO, Model, auto_entry, find_model, near_matches

bp = Blueprint("models", __name__)


def _wants_anthropic() -> bool:
    return "anthropic-version" in request.headers


def _dialect() -> ClientCodec:
    return CLIENTS["messages" if _wants_anthropic() else "chat"]


@bp.get("/v1/models")
@bp.get("/models")
@speaks(_dialect)
def list_models() -> Response:
    models = _models()
    listed = with_aliases(models, _aliases(models))
    client_version = request.args.get("client_version")
    if client_version is not None and not _wants_anthropic():
        return _unless_known(json_response(codex_list(listed, client_version=client_version)))
    if not _wants_anthropic():
        return json_response(openai_list(listed))
    return json_response(
        anthropic_list(
            listed,
            limit=request.args.get("limit"),
            after_id=request.args.get("after_id"),
            before_id=request.args.get("before_id"),
        )
    )


@bp.get("/v1/models/<path:name>")
@bp.get("/models/<path:name>")
@speaks(_dialect)
def get_model(name: str) -> Response:
    models = _models()
    alias = _aliases(models).get(name)
    model = alias or find_model(name, models)
    if model is None:
        close = near_matches(name, (model.id for model in models))
        hint = f" Did you mean: {', '.join(close)}?" if close else ""
        raise NotFoundError(
            f"The model {name!r} does not exist or this account has no access to it.{hint}",
            param="model",
            code="model_not_found",
        )
    form = anthropic_model if _wants_anthropic() else openai_model
    return json_response(form(model, alias=name if alias else None))


def _models() -> tuple[Model, ...]:
    """The catalogue, and auto mode where the account has it: of this, what the key may use."""
    seat = current_seat()
    models = seat.catalog.models()
    if not any(model.id == AUTO for model in models) and seat.auto.is_offered():
        models = (*models, auto_entry(models))
    admission = current_record().admission
    return models if admission is None else tuple(model for model in models if admission.admits(model.id))


def _aliases(models: tuple[Model, ...]) -> dict[str, Model]:
    """Mapped names whose target this account has."""
    mapped = current_gateway().mapping.all()
    return {name: model for name, target in mapped.items() if (model := find_model(target, models)) is not None}


def _unless_known(response: Response) -> Response:
    """With an ETag, by which Codex knows its copy of the list; 304 if the caller has this very list."""
    response.add_etag()
    response.make_conditional(request)
    return response
