"""``/admin/mapping/rules``, ``/history``, ``/undo`` and ``/dry-run``: the rules of the mapping, as JSON.

For a browser ``/admin/mapping/rules`` is a page, with a form for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints import _rule_form
from app.blueprints._access import require_form, wants_html
from app.blueprints._endpoint import json_response, read_json
from app.blueprints._request_log import who
from app.blueprints._rule_form import Typed
from app.dry_run import Outcome, dry_run
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
    """``{"rules": [{"number": 1, "match": …, "to": […], …}, …]}``, in their order; for a browser the page."""
    if wants_html():
        return make_response(_page())
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
    return _shown(_add(Rule.of(body), body.get("number")))


@bp.put("/rules/<number>")
def put(number: str) -> Response:
    """One rule in the place of another."""
    _, body = read_json()
    check(MAPPING_RULE, body)
    return _shown(_put(number, Rule.of(body)))


@bp.delete("/rules/<number>")
def delete(number: str) -> Response:
    return _shown(_delete(number))


@bp.post("/rules/form")
def change_by_form() -> BaseResponse:
    """The page's forms: ``action`` is ``add``, ``change``, ``delete``, ``up`` or ``undo``. ``was``: the rule that the
    page showed at this number, for somebody else may have moved it meanwhile."""
    require_form()
    form = request.form
    action, number, typed = form.get("action", ""), form.get("number", ""), Typed.of(form)
    try:
        if action in ("change", "delete", "up"):
            _refuse_another(number, form.get("was", ""))
        if action in ("add", "change"):
            told = typed.told()
            check(MAPPING_RULE, told)
            if action == "add":
                _add(Rule.of(told), typed.place())
            else:
                _put(number, Rule.of(told))
        elif action == "delete":
            _delete(number)
        elif action == "up":
            _move_up(number)
        elif action == "undo":
            _undo(int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0)
        else:
            raise InvalidRequestError(Sentence("This form is incomplete. Load the page anew and send it again."))
    except InvalidRequestError as error:
        edited = number if action == "change" else ""
        return make_response(_page(typed=typed, edited=edited, problem=_rule_form.problem_of(error)), 400)
    return redirect(url_for("mapping_rules.show", done=action), 303)


@bp.get("/history")
def history() -> Response:
    """The last changes of names and rules, the newest first, each with what was before it."""
    return json_response({"changes": [_told(change) for change in current_gateway().mapping.history()]})


@bp.post("/undo")
def undo() -> Response:
    """Bring back what was before the last change, or before the one that ``number`` names."""
    _, body = read_json(may_be_empty=True)
    check(UNDO, body)
    mapping, undone = current_gateway().mapping, _undo(body.get("number"))
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
    return json_response(_outcome(str(model), key, purpose).told())


# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add(rule: Rule, number: int | None) -> Rules:
    def change(rules: Rules) -> Sequence[Rule]:
        at = len(rules) if number is None else min(number - 1, len(rules))
        changed = [*rules[:at], rule, *rules[at:]]
        _refuse_too_many(changed)
        return changed

    return _changed(change, Sentence("rule for %(name)s added", name=rule.match), after=rule.told())


def _put(number: str, rule: Rule) -> Rules:
    def change(rules: Rules) -> Sequence[Rule]:
        at = _place(number, rules)
        return [*rules[:at], rule, *rules[at + 1 :]]

    return _changed(change, Sentence("rule %(number)s changed", number=number), after=rule.told())


def _delete(number: str) -> Rules:
    def change(rules: Rules) -> Sequence[Rule]:
        at = _place(number, rules)
        return [*rules[:at], *rules[at + 1 :]]

    return _changed(change, Sentence("rule %(number)s deleted", number=number))


def _move_up(number: str) -> Rules:
    def change(rules: Rules) -> Sequence[Rule]:
        at = _place(number, rules)
        return [*rules[: at - 1], rules[at], rules[at - 1], *rules[at + 1 :]] if at else rules

    return _changed(change, Sentence("rule %(number)s moved up", number=number))


def _undo(number: int | None) -> Change:
    undone = current_gateway().mapping.undo(number, by=who()["actor"])
    if undone is None:
        raise NotFoundError(Sentence("There is no such change: GET /admin/mapping/history lists those remembered."))
    audit("mapping change undone", **who(), number=undone.number, change=undone.what)
    return undone


def _changed(change: Callable[[Rules], Sequence[Rule]], what: str, **more: Any) -> Rules:
    rules = current_gateway().mapping.change_rules(change, what=what, by=who()["actor"])
    audit("mapping rules changed", **who(), change=what, **more)
    return rules


def _refuse_another(number: str, was: str) -> None:
    """Raises: InvalidRequestError if at this place stands another rule than the page has shown."""
    rules = current_gateway().mapping.rules()
    if rules[_place(number, rules)].said != was:
        raise InvalidRequestError(
            Sentence("Somebody has changed the rules meanwhile. Nothing was saved; look at them as they are now.")
        )


# ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────────


def _page(*, typed: Typed | None = None, edited: str = "", problem: tuple[str, str] | None = None) -> str:
    """edited: the number of the rule whose form is open. typed: what stands in it."""
    mapping = current_gateway().mapping
    rules, wanted = mapping.rules(), edited or request.args.get("rule", "")
    shown = rules[_place(wanted, rules)] if wanted else None
    try:
        names = [model.id for model in current_gateway().catalog.models()]
    except GatewayError:
        names = []
    tried = {name: request.args.get(name, "").strip() for name in ("model", "key", "purpose")}
    is_meant = is_name(tried["model"]) and (not tried["key"] or is_name(tried["key"]))
    is_meant = is_meant and tried["purpose"] in ("", *PURPOSES)
    asks = "model" in request.args
    if asks and not is_meant:
        tried["problem"] = Sentence("Enter a model, and a key and a purpose of the list if they matter.")
    return render_template(
        "rules.html",
        rules=rules,
        edited=wanted,
        was=shown.said if shown is not None else "",
        typed=typed or (Typed.as_is(shown) if shown is not None else Typed()),
        problem=problem or ("", ""),
        purposes=PURPOSES,
        names=names,
        tried=tried,
        outcome=_outcome(tried["model"], tried["key"] or None, tried["purpose"] or None) if asks and is_meant else None,
        changes=mapping.history(),
    )


def _outcome(model: str, key: str | None, purpose: str | None) -> Outcome:
    gateway = current_gateway()
    try:
        models = gateway.seat_of(key).catalog.models()
    except GatewayError:
        models = None
    return dry_run(gateway.mapping, models, model, key=key, purpose=purpose)


def _place(number: str, rules: Rules) -> int:
    """Where the rule of this number stands. Raises: NotFoundError."""
    if number.isascii() and number.isdigit() and len(number) < 5 and 1 <= int(number) <= len(rules):
        return int(number) - 1
    raise NotFoundError(
        Sentence("There is no rule %(number)s: there are %(count)s.", number=number[:20], count=len(rules))
    )


def _refuse_too_many(rules: Sequence[Rule]) -> None:
    if len(rules) > MOST_RULES:
        raise InvalidRequestError(f"'rules' must not hold more than {MOST_RULES}.", param="rules")


def _shown(rules: Sequence[Rule]) -> Response:
    return json_response({"rules": _numbered(rules)})


def _numbered(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    return [{"number": number, **rule.told()} for number, rule in enumerate(rules, 1)]


def _told(change: Change) -> dict[str, Any]:
    return {
        "number": change.number,
        "at": datetime.fromtimestamp(change.at, UTC).isoformat(timespec="seconds"),
        "by": change.by,
        "what": str(change.what),
        "before": {"mapping": change.before.names, "rules": _numbered(change.before.rules)},
    }
