"""``GET /setup``: how to set up each client, with this bridge's address and the account's models filled in.

A page for browsers; ``/setup/<client>`` for programs is the text that ``configure`` prints. A key of the operator's own
is never in either: the page fills it in where it is shown, in the browser.
"""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template, request

from app.blueprints._access import wants_html
from app.blueprints._door import json_response
from app.clients.merge import render
from app.clients.models import Selection, select
from app.clients.record import Facts, Platform
from app.clients.registry import CLIENTS
from app.clients.shell import exports
from app.clients.text import NO_KEY, PLACEHOLDER, Language, as_text, say
from app.commands import flask_command
from app.errors import GatewayError, NotFoundError
from app.gateway import current_gateway
from app.settings import DEFAULT_API_KEY

bp = Blueprint("setup", __name__)


@bp.get("/setup")
@bp.get("/setup/<client>")
def show(client: str | None = None) -> Response:
    if client is not None and client not in CLIENTS:
        raise NotFoundError(f"There is no setup for {client!r}. There are: {', '.join(CLIENTS)}.")
    if not wants_html():
        if client is None:
            return json_response({name: f"{request.base_url}/{name}" for name in CLIENTS})
        text = as_text(CLIENTS[client](_facts(_models())), _language())
        return Response(text, content_type="text/plain; charset=utf-8")
    return make_response(_page(client))


def _page(opened: str | None) -> str:
    gateway = current_gateway()
    trouble, models, setups = None, None, []
    try:
        models = _models()
        setups = [make(_facts(models)) for make in CLIENTS.values()]
    except GatewayError as error:
        if error.status == 400:  # the caller's own wish
            raise
        trouble = error
    language = _language()
    return render_template(
        "setup.html",
        lang=language,
        say=lambda words: say(words, language),
        models=models,
        setups=setups,
        opened=opened,
        trouble=trouble,
        key=_key(),
        placeholder=PLACEHOLDER,
        render=render,
        exports=exports,
        flask_command=flask_command,
        warning=gateway.keys.warning,
    )


def _models() -> Selection:
    """Raises: InvalidRequestError for a wish that is no model; SignInRequiredError, AccountError, UpstreamError."""
    gateway = current_gateway()
    wish = gateway.mapping.resolve(request.args["model"]) if request.args.get("model") else None
    return select(gateway.catalog.models(), main=wish)


def _facts(models: Selection) -> Facts:
    return Facts(request.url_root.rstrip("/"), _key(), models, _platform())


def _key() -> str:
    """Only the well-known default is shown: everybody knows it."""
    keys = current_gateway().settings.api_keys
    if not keys:
        return NO_KEY
    return DEFAULT_API_KEY if keys[0].reveal() == DEFAULT_API_KEY else PLACEHOLDER


def _language() -> Language:
    wanted = request.args.get("lang") or request.accept_languages.best_match(["en", "zh"], "en")
    return "zh" if wanted.lower().startswith("zh") else "en"


def _platform() -> Platform:
    """Of the browser: some clients keep their files elsewhere on other systems."""
    agent = request.user_agent.string
    return "win32" if "Windows" in agent else "darwin" if "Macintosh" in agent else "linux"
