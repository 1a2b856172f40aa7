"""``GET /usage``: what the subscription has left, as JSON in the original's shape, or as a page for a browser."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from app.auth.copilot_token import explain_refusal
from app.auth.github import expect_object
from app.blueprints._access import wants_html
from app.blueprints._door import json_response
from app.converters.account import summarize
from app.errors import SignInRequiredError
from app.gateway import current_gateway

bp = Blueprint("usage", __name__)


@bp.get("/usage")
def usage() -> Response:
    gateway = current_gateway()
    token = gateway.github_tokens.current()
    if token is None:
        raise SignInRequiredError("Not signed in to GitHub yet. Open /auth/device in a browser to sign in.")
    answer = gateway.github.account(token.secret)
    if answer.status != 200:
        if answer.status == 401:
            gateway.copilot_tokens.note_refusal(token)
        raise explain_refusal(answer, token, what="account information")
    summary = summarize(expect_object(answer, "the account information"))
    if not wants_html():
        return json_response(summary)
    return make_response(render_template("usage.html", usage=summary, linked=token, warning=gateway.keys.warning))
