"""``GET /setup``: how to set up each client, with this bridge's address and the account's models filled in.

A page for browsers; ``/setup/<client>`` for programs is the text that ``configure`` prints. A key of the operator's own
is never in either: the page fills it in where it is shown, in the browser.
"""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template, request

from app.blueprints._access import wants_html
from app.blueprints._endpoint import json_response
from app.blueprints._facts import facts, models, shown_key
from app.blueprints._language import language
from app.clients.files.shell import exports
from app.clients.registry import CLIENTS
from app.clients.text import PLACEHOLDER, as_text, file_text
from app.commands import own_command
from app.errors import GatewayError, NotFoundError, Sentence

bp = Blueprint("setup", __name__)


@bp.get("/setup")
@bp.get("/setup/<client>")
def show(client: str | None = None) -> Response:
    if client is not None and client not in CLIENTS:
        raise NotFoundError(
            Sentence(
                "There is no setup for %(client)s. There are: %(clients)s.",
                client=repr(client),
                clients=", ".join(CLIENTS),
            )
        )
    if not wants_html():
        if client is None:
            return json_response({name: f"{request.base_url}/{name}" for name in CLIENTS})
        text = as_text(CLIENTS[client](facts(models(request.args.get("model")))), language())
        return Response(text, content_type="text/plain; charset=utf-8")
    return make_response(_page(client))


def _page(opened: str | None) -> str:
    trouble, found, setups = None, None, []
    try:
        found = models(request.args.get("model"))
        setups = [make(facts(found)) for make in CLIENTS.values()]
    except GatewayError as error:
        if error.status == 400:  # the caller's own wish
            raise
        trouble = error
    return render_template(
        "setup.html",
        models=found,
        setups=setups,
        opened=opened,
        trouble=trouble,
        key=shown_key(),
        placeholder=PLACEHOLDER,
        render=file_text,
        exports=exports,
        own_command=own_command,
    )
