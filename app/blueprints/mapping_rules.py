"""``/admin/mapping/rules``, ``/history``, ``/undo`` and ``/dry-run``: the rules of the mapping, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request

from app.blueprints._endpoint import json_response, read_json
from app.blueprints._request_log import who
from app.dry_run import dry_run
from app.errors import GatewayError, InvalidRequestError, NotFoundError, Sentence
from app.gateway import current_gateway
from app.logs import audit
from app.schemas.admin import MAPPING_RULE, MAPPING_RULES, NEW_MAPPING_RULE, PURPOSES, UNDO
from app.schemas.base import check, is_name
from app.store.mapping_history import Change
from app.store.rules import MOST_RULES, Rule

bp = Blueprint("mapping_rules", __name__, url_prefix="/admin/mapping")

Rules = tuple[Rule, ...]


@bp.get("/rules")
def show() -> Response:
    """``{"rules": [{"number": 1, "match": …, "to": […], …}, …]}``, in their order."""
    return _shown(current_gateway().mapping.rules())


@bp.put("/rules")
def replace() -> Response:
    """Set all at once. Body: ``{"rules": […]}``."""
    _, body = read_json()
    check(MAPPING_RULES, body)
    rules = [Rule.of(told) for told in body["rules"]]
    _refuse_too_many(rules)
    before = len(current_gateway().mapping.rules())
    changed = current_gateway().mapping.replace_rules(rules, by=who()["actor"])
    audit("mapping rules replaced", **who(), before=before, after=len(changed))
    return _shown(changed)


@bp.post("/rules")
def add() -> Response:
    """One more, behind the others or at the place that ``number`` says."""
    _, body = read_json()
    check(NEW_MAPPING_RULE, body)
    number, rule = body.get("number"), Rule.of(body)

    def change(rules: Rules) -> Sequence[Rule]:
        at = len(rules) if number is None else min(number - 1, len(rules))
        changed = [*rules[:at], rule, *rules[at:]]
        _refuse_too_many(changed)
        return changed

    return _changed(change, f"rule for {rule.match} added", after=rule.told())


@bp.put("/rules/<number>")
def put(number: str) -> Response:
    """One rule in the place of another."""
    _, body = read_json()
    check(MAPPING_RULE, body)
    rule = Rule.of(body)

    def change(rules: Rules) -> Sequence[Rule]:
        at = _place(number, rules)
        return [*rules[:at], rule, *rules[at + 1 :]]

    return _changed(change, f"rule {number} changed", after=rule.told())


@bp.delete("/rules/<number>")
def delete(number: str) -> Response:
    def change(rules: Rules) -> Sequence[Rule]:
        at = _place(number, rules)
        return [*rules[:at], *rules[at + 1 :]]

    return _changed(change, f"rule {number} deleted")


@bp.get("/history")
def history() -> Response:
    """The last changes of names and rules, the newest first, each with what was before it."""
    return json_response({"changes": [_told(change) for change in current_gateway().mapping.history()]})


@bp.post("/undo")
def undo() -> Response:
    """Bring back what was before the last change, or before the one that ``number`` names."""
    _, body = read_json(may_be_empty=True)
    check(UNDO, body)
    mapping = current_gateway().mapping
    undone = mapping.undo(body.get("number"), by=who()["actor"])
    if undone is None:
        raise NotFoundError(Sentence("There is no such change: GET /admin/mapping/history lists those remembered."))
    audit("mapping change undone", **who(), number=undone.number, change=undone.what)
    return json_response({"undone": _told(undone), "mapping": mapping.all(), "rules": _numbered(mapping.rules())})


@bp.get("/dry-run")
def try_out() -> Response:
    """What a call would get: ``model`` as asked for; ``key`` by its name, ``purpose``, if they matter."""
    model, key, purpose = (request.args.get(name) or None for name in ("model", "key", "purpose"))
    for name, value in (("model", model), ("key", key)):
        if not is_name(value) and (value is not None or name == "model"):
            raise InvalidRequestError(
                Sentence(
                    "'%(parameter)s' is missing or no name; for example %(example)s",
                    parameter=name,
                    example="/admin/mapping/dry-run?model=claude-haiku-4.5&purpose=title",
                ),
                param=name,
            )
    if purpose is not None and purpose not in PURPOSES:
        raise InvalidRequestError(f"'purpose' must be one of {', '.join(PURPOSES)}.", param="purpose")
    gateway = current_gateway()
    try:
        models = gateway.seat_of(key).catalog.models()
    except GatewayError:
        models = None
    return json_response(dry_run(gateway.mapping, models, str(model), key=key, purpose=purpose).told())


def _changed(change: Callable[[Rules], Sequence[Rule]], what: str, **more: Any) -> Response:
    rules = current_gateway().mapping.change_rules(change, what=what, by=who()["actor"])
    audit("mapping rules changed", **who(), change=what, **more)
    return _shown(rules)


def _place(number: str, rules: Rules) -> int:
    """Where the rule of this number stands. Raises: NotFoundError."""
    if number.isascii() and number.isdigit() and len(number) < 5 and 1 <= int(number) <= len(rules):
        return int(number) - 1
    raise NotFoundError(
        Sentence("There is no rule %(number)s: there are %(count)s.", number=number[:20], count=len(rules))
    )


def _refuse_too_many(rules: Sequence[Rule]) -> None:
    if len(rules) > MOST_RULES:
        raise InvalidRequestError(f"'rules' must not be more than {MOST_RULES}.", param="rules")


def _shown(rules: Sequence[Rule]) -> Response:
    return json_response({"rules": _numbered(rules)})


def _numbered(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [{"number": number, **rule.told()} for number, rule in enumerate(rules, 1)]


def _told(change: Change) -> dict[str, Any]:
    return {
        "number": change.number,
        "at": datetime.fromtimestamp(change.at, UTC).isoformat(timespec="seconds"),
        "by": change.by,
        "what": change.what,
        "before": {"mapping": change.before.names, "rules": _numbered(change.before.rules)},
    }
