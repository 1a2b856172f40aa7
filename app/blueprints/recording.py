"""``/admin/recording``: record the calls of one key for a time, and fetch what was recorded, redacted, as files."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import require_form, wants_html
from app.blueprints._endpoint import json_response
from app.blueprints._request_log import who
from app.bundles.recorder import LONGEST_S, MOST_KEPT, Switch
from app.errors import DatabaseError, InvalidRequestError, NotFoundError, Sentence
from app.gateway import current_gateway
from app.keys.key import moment
from app.logs import audit
from app.tape import MOST_BYTES

bp = Blueprint("recording", __name__, url_prefix="/admin/recording")

_ID: Final = re.compile(r"[0-9a-f]{16}")
_MOST_MINUTES: Final = int(LONGEST_S // 60)


@bp.get("")
def show() -> Response:
    """``{"recording": {…} | null, "bundles": [{…}, …]}``, the newest first; for a browser the page."""
    recorder = current_gateway().recorder
    switch, kept = recorder.switch(), recorder.kept()
    if not wants_html():
        return json_response(
            {
                "recording": _shown(switch) if switch is not None else None,
                "bundles": [
                    {**asdict(it), "made_at": moment(it.made_at), "gone_at": moment(it.gone_at)} for it in kept
                ],
            }
        )
    return make_response(
        render_template(
            "recording.html",
            switch=switch,
            until=_at(switch.until) if switch is not None else None,
            kept=[(it, _at(it.made_at), _at(it.gone_at)) for it in kept],
            names=_names(),
            most_minutes=_MOST_MINUTES,
            most_kept=MOST_KEPT,
            most_mb=MOST_BYTES // (1024 * 1024),
        )
    )


@bp.post("")
def change() -> BaseResponse:
    """The page's forms: ``action`` is ``start`` with ``key`` and ``minutes``, ``stop``, or ``forget`` with ``id``."""
    require_form()
    recorder, action = current_gateway().recorder, request.form.get("action", "")
    if action == "start":
        key, minutes = request.form.get("key", ""), _minutes()
        if key not in _names():
            raise InvalidRequestError(
                Sentence("There is no key named %(name)s that can be used.", name=repr(key[:100])), param="key"
            )
        recorder.start(key, for_s=minutes * 60, by=who()["actor"])
        audit("recording on", **who(), key=key, minutes=minutes)
    elif action == "stop":
        if recorder.stop():
            audit("recording off", **who())
    elif action == "forget":
        recorder.forget(_id(request.form.get("id", "")))
    else:
        raise InvalidRequestError(Sentence("This form is incomplete. Load the page anew and send it again."))
    return redirect(url_for("recording.show"), 303)


@bp.get("/<id>")
def fetch(id: str) -> Response:
    """The file of a recorded call."""
    content = current_gateway().recorder.content(_id(id))
    if content is None:
        raise _gone()
    audit("recorded call fetched", **who(), id=id)
    response = Response(content, content_type="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="call-{id}.json"'
    return response


def _names() -> list[str]:
    """The keys whose calls can be recorded; the empty name is of calls without a key, where none is needed."""
    gateway = current_gateway()
    own = gateway.keys.names()
    try:
        now = time.time()
        named = [key.name for key in gateway.client_keys.registry.all() if key.state(now) == "active"]
    except DatabaseError:
        named = []
    return [*own, *named] if own else ["", *named]


def _minutes() -> int:
    text = request.form.get("minutes", "")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_MINUTES):
        raise InvalidRequestError(
            Sentence("'minutes' must be a whole number from 1 to %(most)s.", most=_MOST_MINUTES), param="minutes"
        )
    return int(text)


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise _gone()
    return text


def _gone() -> NotFoundError:
    return NotFoundError(Sentence("This recorded call is gone: each is kept for an hour."))


def _at(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _shown(switch: Switch) -> dict[str, Any]:
    return {"key": switch.key, "until": moment(switch.until), "by": switch.by}
