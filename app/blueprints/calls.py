"""``/requests``: the last calls of all workers, for a browser as a page, for programs as JSON.

A key of the role client is shown its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from flask import Blueprint, Response, make_response, render_template, request

from app.blueprints._access import wants_html
from app.blueprints._endpoint import current_record, json_response
from app.bundles.recorder import Switch
from app.converters.wire.accounting import NANO
from app.errors import InvalidRequestError, Sentence, StoreError
from app.gateway import current_gateway
from app.metrics.recent import Row

bp = Blueprint("calls", __name__)

ANY: Final = "any"
"""As an error: whatever was not finished."""
_ON_A_PAGE: Final = 40
_EVERY_S: Final = 5


@bp.get("/requests")
def show() -> Response:
    """``{"calls": [{…}, …]}``, the newest first (see `row_of`); filtered by ``key``, ``model`` and ``error``."""
    rows = visible_calls()
    found = [_without_id(row) for row in rows if _fits(row)]
    if not wants_html():
        return json_response({"calls": found})
    pages = max(1, -(-len(found) // _ON_A_PAGE))
    page = min(_page(), pages)
    is_live = request.args.get("live") == "1"
    shown = found[(page - 1) * _ON_A_PAGE : page * _ON_A_PAGE]
    response = make_response(
        render_template(
            "calls.html",
            calls=[_told(row) for row in shown],
            found_number=len(found),
            filters=_filters(rows),
            page_number=page,
            last_page=pages,
            is_live=is_live,
            every_s=_EVERY_S,
            own_only=own_key_id() is not None,
            recorded=_recorded(),
        )
    )
    if is_live:  # a header, for that works without a script, and only after the person has asked for it
        response.headers["Refresh"] = str(_EVERY_S)
    return response


def _recorded() -> Switch | None:
    """What is recorded now, for who may know: everybody whose calls it is, and those who could have switched it on."""
    try:
        switch = current_gateway().recorder.switch()
    except StoreError:
        return None
    return switch if switch is None or own_key_id() is None or switch.key == current_record().key else None


def visible_calls() -> list[Row]:
    """The last calls that who asks may see, the newest first."""
    rows = current_gateway().metrics.calls()
    own = own_key_id()
    return rows if own is None else [row for row in rows if row.get("key_id") == own]


def own_key_id() -> str | None:
    """The id of the key whose calls its bearer may see; None: everybody's."""
    record = current_record()
    return record.key_id if record.admission is not None and not record.admission.is_admin else None


def _fits(row: Row) -> bool:
    key, model, error = (request.args.get(name, "") for name in ("key", "model", "error"))
    return (
        (not key or row["key"] == key)
        and (not model or model in (row["model"], row["served_model"]))
        and (not error or error in (row["error"], row["outcome"]) or (error == ANY and row["outcome"] != "finished"))
    )


def _filters(rows: Iterable[Row]) -> dict[str, list[str]]:
    """What can be chosen of each, and what was chosen."""
    found: dict[str, set[str]] = {"key": set(), "model": set(), "error": set()}
    for row in rows:
        found["key"].add(row["key"])
        found["model"] |= {row["model"], row["served_model"]}
        found["error"].add(row["error"])
    for name, known in found.items():
        known.add(request.args.get(name, ""))
    return {name: sorted(known - {"", ANY}) for name, known in found.items()}


def _page() -> int:
    text = request.args.get("page", "1")
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise InvalidRequestError(Sentence("'page' must be a whole number, from 1 on."), param="page")
    return int(text[:9])


def _without_id(row: Row) -> Row:
    """The name says which key it was; its id is nobody's business. The hashes of a prefix are the cache doctor's."""
    return {name: value for name, value in row.items() if name not in ("key_id", "prefix")}


def _told(row: Row) -> dict[str, Any]:
    """What the page needs more."""
    at = datetime.fromtimestamp(row["ended_at"], UTC)
    credits_ = None if row["nano_credits"] is None else row["nano_credits"] / NANO
    losses = [(path, reason if isinstance(reason, Sentence) else Sentence(reason)) for path, reason in row["losses"]]
    return {**row, "at": at, "credits": credits_, "phases": phases_of(row), "losses": losses}


def phases_of(row: Row) -> list[tuple[str, float, float]]:
    """The bars of a waterfall: what it is, where it begins and how wide it is, in percent of the call's time.

    ``bridge``: before Copilot was asked. ``wait``: until it answered. ``first``: until the first words went out.
    ``rest``: until the end.
    """
    whole = max(row["duration_ms"], 1)
    marks: list[tuple[str, int, int]] = []
    at = 0
    for attempt in row["attempts"]:
        began = attempt["began_ms"]
        answered = row["duration_ms"] if attempt["answered_ms"] is None else attempt["answered_ms"]
        marks += [("bridge", at, began), ("wait", began, answered)]
        at = answered
    first = row["first_byte_ms"]
    if first is not None and first > at:
        marks.append(("first", at, first))
        at = first
    marks.append(("rest" if row["attempts"] else "bridge", at, row["duration_ms"]))
    bars = []
    for kind, begins, ends in marks:
        left, right = (min(max(it / whole * 100, 0.0), 100.0) for it in (begins, ends))
        if right > left:
            bars.append((kind, round(left, 2), round(right - left, 2)))
    return bars
