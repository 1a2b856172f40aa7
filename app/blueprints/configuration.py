"""``/admin/settings``: what the service runs with, for its operators. Of secrets it says that they are set."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response, make_response, render_template

from app.blueprints._access import wants_html
from app.blueprints._endpoint import json_response
from app.errors import Sentence
from app.gateway import current_gateway
from app.settings import NEED_A_RESTART, SettingRow, rows

bp = Blueprint("configuration", __name__, url_prefix="/admin/settings")

GROUPS: Final = {
    "HOST": Sentence("Where to listen"),
    "API_KEY": Sentence("Who may call"),
    "MODEL_MAPPING": Sentence("Models"),
    "GH_COPILOT_TOKEN": Sentence("Sign-in and state"),
    "GITHUB_HOST": Sentence("GitHub and Copilot hosts"),
    "GITHUB_CLIENT_ID": Sentence("How the bridge introduces itself"),
    "UPSTREAM_CONNECT_TIMEOUT_S": Sentence("Limits and timeouts"),
    "LEDGER_QUEUE": Sentence("Ledger and numbers"),
    "LOG_LEVEL": Sentence("Log"),
}
"""The setting that each group begins with: the groups of ``.env.example``."""


@bp.get("")
def show() -> Response:
    """``{"settings": [{"name", "value", "default", "is_set", "needs_restart", "meaning"}, …]}``: value is null for a
    secret; is_set: something else than the default is in force. For a browser the page."""
    table = rows(current_gateway().settings)
    if not wants_html():
        return json_response({"settings": [_told(row) for row in table]})
    return make_response(
        render_template(
            "settings.html",
            groups=_grouped(table),
            need_a_restart=NEED_A_RESTART,
            set_number=sum(row.is_set for row in table),
        )
    )


def _grouped(table: list[SettingRow]) -> list[tuple[Sentence, list[SettingRow]]]:
    found: list[tuple[Sentence, list[SettingRow]]] = []
    for row in table:
        if row.env in GROUPS:
            found.append((GROUPS[row.env], []))
        found[-1][1].append(row)
    return found


def _told(row: SettingRow) -> dict[str, Any]:
    return {
        "name": row.env,
        "value": None if row.is_secret else row.value,
        "default": row.default,
        "is_set": row.is_set,
        "needs_restart": row.env in NEED_A_RESTART,
        "meaning": row.help,
    }
