"""``/catalogue``: the account's models for people: what each can do and costs, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import is_client, require_form, wants_html
from app.blueprints._endpoint import current_record, current_seat, json_response
from app.blueprints._request_log import who
from app.converters.listings.models import display_name, openai_list
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.prices import Prices, multiplier_of, prices_of
from app.errors import GatewayError, InvalidRequestError, Sentence
from app.gateway import current_gateway
from app.logs import audit
from app.routing import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Model, find_model, near_matches
from app.schemas.base import MAX_NAME_CHARACTERS

bp = Blueprint("catalogue", __name__, url_prefix="/catalogue")

_DIALECTS = {CHAT: "Chat", MESSAGES: "Messages", RESPONSES: "Responses", EMBEDDINGS: "Embeddings"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One model of the page. why: it cannot be used, in words; can_enable: by accepting its terms."""

    id: str
    name: str
    vendor: str
    limits: ModelLimits
    dialects: tuple[str, ...]
    prices: Prices | None
    multiplier: float | None
    badges: tuple[Sentence, ...]
    plans: tuple[str, ...]
    names: tuple[str, ...]
    why: Sentence | None
    can_enable: bool
    terms: str


@bp.get("")
def show() -> Response:
    """``{"object": "list", "data": […]}`` as ``/v1/models`` has it, of what the key may use; for a browser the page."""
    models, trouble = _models()
    if not wants_html():
        if trouble is not None:
            raise trouble
        return json_response(openai_list([(model, None) for model in models]))
    mapping = current_gateway().mapping.all()
    name = request.args.get("name", "").strip()[:MAX_NAME_CHARACTERS]
    return make_response(
        render_template(
            "catalogue.html",
            models=sorted((shown(model, _names_of(model, mapping, models)) for model in models), key=_order),
            trouble=trouble,
            asked=name,
            answer=_why(name, models, mapping) if name and trouble is None else None,
            max_length=MAX_NAME_CHARACTERS,
            own_only=is_client(),
        )
    )


@bp.post("")
def enable() -> BaseResponse:
    """The page's form: ``model`` names one whose terms are accepted (contract §4.6); ``accept`` says so."""
    require_form()
    name = request.form.get("model", "")
    if request.form.get("accept") != "yes":
        raise InvalidRequestError(Sentence("Confirm that you accept the terms of the model."), param="accept")
    catalog = current_seat().catalog
    if name not in {model.id for model in catalog.models()}:
        raise InvalidRequestError(
            Sentence("The account's list has no model %(name)s.", name=repr(name[:MAX_NAME_CHARACTERS])), param="model"
        )
    catalog.enable(name)
    audit("model enabled", **who(), model=name)
    return redirect(url_for("catalogue.show", name=name), 303)


def shown(model: Model, names: Iterable[str] = ()) -> Shown:
    """What the page tells of a model."""
    raw, limits = model.raw, ModelLimits.of(model.raw)
    policy = raw.get("policy")
    terms = policy.get("terms") if isinstance(policy, dict) else None
    state = policy.get("state") if isinstance(policy, dict) else None
    billing = raw.get("billing")
    restricted = billing.get("restricted_to") if isinstance(billing, dict) else None
    return Shown(
        id=model.id,
        name=display_name(model),
        vendor=model.vendor,
        limits=limits,
        dialects=tuple(_DIALECTS[path] for path in model.endpoints if path in _DIALECTS),
        prices=prices_of(raw),
        multiplier=multiplier_of(raw),
        badges=tuple(_badges(model, limits)),
        plans=tuple(str(plan) for plan in restricted) if isinstance(restricted, list) else (),
        names=tuple(names),
        why=_trouble(model, state),
        can_enable=not model.is_enabled,
        terms=terms if isinstance(terms, str) else "",
    )


def _badges(model: Model, limits: ModelLimits) -> Iterable[Sentence]:
    is_chat = model.type == "chat"
    if limits.vision:
        yield Sentence("sees images")
    if is_chat and limits.tool_calls:
        yield Sentence("calls tools")
    if limits.reasoning_effort or limits.adaptive_thinking or limits.max_thinking_budget:
        yield Sentence("reasons")
    if limits.structured_outputs:
        yield Sentence("keeps to schemas")
    if limits.caches_for_an_hour:
        yield Sentence("caches for an hour")
    if is_chat and not limits.streaming:
        yield Sentence("does not stream")
    if model.raw.get("preview") is True:
        yield Sentence("preview")
    if model.raw.get("model_picker_enabled") is False:
        yield Sentence("not in Copilot's picker")
    if model.type == "embeddings":
        yield Sentence("embeddings")


def _trouble(model: Model, state: Any) -> Sentence | None:
    """Why it cannot be used, as far as the list tells."""
    admission = current_record().admission
    if admission is not None and not admission.admits(model.id):
        return Sentence("Your key may not use it.")
    if not model.is_enabled:
        if state == "unconfigured":
            return Sentence("Its terms have not been accepted yet.")
        return Sentence("It is disabled by a policy of the account or its organisation.")
    if not any(path in _DIALECTS for path in model.endpoints):
        return Sentence("It is served in a way that the bridge does not speak.")
    return None


def _why(name: str, models: tuple[Model, ...], mapping: dict[str, str]) -> Sentence:
    """What becomes of a name, or why it leads nowhere."""
    target = mapping.get(name, name)
    model = find_model(target, models)
    if model is not None:
        trouble = shown(model).why
        if trouble is not None:
            return Sentence("%(name)s means %(model)s. %(why)s", name=name, model=model.id, why=trouble)
        return Sentence("%(name)s means %(model)s, which can be used.", name=name, model=model.id)
    close = near_matches(target, (known.id for known in models))
    if close:
        return Sentence(
            "Copilot does not list %(name)s for this account: the plan, the organisation or the name may be the reason."
            " Close to it: %(names)s.",
            name=target,
            names=", ".join(close),
        )
    return Sentence(
        "Copilot does not list %(name)s for this account: the plan, the organisation or the name may be the reason.",
        name=target,
    )


def _names_of(model: Model, mapping: dict[str, str], models: tuple[Model, ...]) -> list[str]:
    """The mapped names that lead to a model."""
    led = {name: find_model(target, models) for name, target in mapping.items()}
    return [name for name, found in led.items() if found is not None and found.id == model.id]


def _order(it: Shown) -> tuple[bool, str, str]:
    return it.why is not None, it.vendor, it.id


def _models() -> tuple[tuple[Model, ...], GatewayError | None]:
    """The account's models, or why there is no list; with what a person has just enabled, whichever worker did it."""
    catalog = current_seat().catalog
    catalog.look()
    try:
        return catalog.models(), None
    except GatewayError as error:
        return (), error
