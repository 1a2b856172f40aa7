"""``/requests``: the last calls of all workers, for a browser as a page, for programs as JSON; and word of new ones.

A key of the role client is shown its own, and told of no others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from flask import Blueprint, Response, make_response, render_template, request

from app.blueprints import _live
from app.blueprints._access import still_admitted, wants_html
from app.blueprints._endpoint import current_record, json_response
from app.bundles.recorder import Switch
from app.converters.wire.accounting import NANO
from app.errors import InvalidRequestError, OverloadedError, Sentence, StoreError
from app.gateway import current_gateway
from app.metrics.recent import Row
from app.metrics.worker import WorkerMetrics
from app.reply import EVENT_STREAM

bp = Blueprint("calls", __name__)

ANY: Final = "any"
"""As an error: whatever was not finished."""
_ON_A_PAGE: Final = 40
_EVERY_S: Final = 5
_FILTERS: Final = ("key", "model", "error")
_STATE: Final = re.compile(r"[0-9a-f]{16}")


@bp.get("/requests")
def show() -> Response:
    """``{"calls": [{…}, …]}``, the newest first (see `row_of`); filtered by ``key``, ``model`` and ``error``."""
    rows, chosen = visible_calls(), _chosen()
    found = [_without_id(row) for row in rows if _fits(row, chosen)]
    if not wants_html():
        return json_response({"calls": found})
    pages = max(1, -(-len(found) // _ON_A_PAGE))
    page = min(_page(), pages)
    is_live = request.args.get("live") == "1"
    shown = found[(page - 1) * _ON_A_PAGE : page * _ON_A_PAGE]
    return make_response(
        render_template(
            "calls.html",
            calls=[_told(row) for row in shown],
            state=_state_of(found),
            chosen=chosen,
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


@bp.get("/requests/events")
def events() -> Response:
    """``event: news`` whenever the newest calls that who asks may see are others; filters as for ``/requests``.

    ``since``, or the header ``Last-Event-ID``: the state that is known already, as an event had it. No call itself.
    Raises: InvalidRequestError, OverloadedError if too many follow already.
    """
    gateway, own, chosen = current_gateway(), own_key_id(), _chosen()
    metrics, tally = gateway.metrics, gateway.books.tally
    since = request.headers.get("Last-Event-ID") or request.args.get("since")
    if since is not None and not _STATE.fullmatch(since):
        raise InvalidRequestError(Sentence("'since' must be the id of an event."), param="since")
    if metrics.followers >= _live.MOST:
        raise OverloadedError(Sentence("As many pages as a worker can serve follow the calls already."))
    metrics.followers += 1
    tally.in_flight -= 1  # it is no request that anybody waits for, and none that could be lost

    def leave() -> None:
        metrics.followers -= 1
        tally.in_flight += 1

    def state() -> str:
        return _state_of(row for row in _seen_by(own, metrics) if _fits(row, chosen))

    stops = request.environ.get("bridge.stops", lambda: False)  # the worker's
    lines = _live.news(metrics.calls_version, state, since, stops=stops, may_follow=still_admitted())
    response = Response(lines, headers=EVENT_STREAM)
    response.call_on_close(leave)
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
    return _seen_by(own_key_id(), current_gateway().metrics)


def _seen_by(own: str | None, metrics: WorkerMetrics) -> list[Row]:
    rows = metrics.calls()
    return rows if own is None else [row for row in rows if row.get("key_id") == own]


def own_key_id() -> str | None:
    """The id of the key whose calls its bearer may see; None: everybody's."""
    record = current_record()
    return record.key_id if record.admission is not None and not record.admission.is_admin else None


def _chosen() -> dict[str, str]:
    """What to narrow the list to; "": not at all."""
    return {name: request.args.get(name, "") for name in _FILTERS}


def _fits(row: Row, chosen: Mapping[str, str]) -> bool:
    key, model, error = (chosen[name] for name in _FILTERS)
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


def _state_of(found: Iterable[Row]) -> str:
    """Another one whenever the first page of these calls is another."""
    hash_ = hashlib.blake2b(digest_size=8)
    for row in islice(found, _ON_A_PAGE):
        hash_.update(_id_of(row).encode("utf-8", "replace"))
    return hash_.hexdigest()


def _id_of(row: Row) -> str:
    """Clients may name two requests alike."""
    return f"{row['request_id']} {row['ended_at']}"


def _without_id(row: Row) -> Row:
    """The name says which key it was; its id is nobody's business. The hashes of a prefix are the cache doctor's."""
    return {name: value for name, value in row.items() if name not in ("key_id", "prefix")}


def _told(row: Row) -> dict[str, Any]:
    """What the page needs more."""
    at = datetime.fromtimestamp(row["ended_at"], UTC)
    credits_ = None if row["nano_credits"] is None else row["nano_credits"] / NANO
    losses = [(path, reason if isinstance(reason, Sentence) else Sentence(reason)) for path, reason in row["losses"]]
    return {**row, "id": _id_of(row), "at": at, "credits": credits_, "phases": phases_of(row), "losses": losses}


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
