"""Liveness, readiness, the probes of clients, and the way in for a browser."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import admits, anybody, local
from app.blueprints._door import json_response
from app.blueprints.auth import require_key_once_linked
from app.gateway import current_gateway

bp = Blueprint("health", __name__)


@bp.get("/health")
@bp.get("/livez")
@admits(anybody)
def alive() -> Response:
    """The process answers. Says nothing about GitHub: a restart would not mend that."""
    return json_response({"status": "ok"})


@bp.get("/readyz")
def ready() -> Response:
    """Whether requests can be served, from what is known here; calls nobody."""
    gateway = current_gateway()
    signed_in = gateway.copilot_tokens.is_signed_in()
    catalog_known = signed_in and gateway.catalog.is_known()
    ready = signed_in and catalog_known
    content = {
        "status": "ok" if ready else "not ready",
        "signed_in": signed_in,
        "catalog_known": catalog_known,
        **({} if signed_in else {"sign_in": request.url_root + "auth/device"}),
    }
    return json_response(content, 200 if ready else 503)


@bp.route("/api/hello", methods=["HEAD"])
@admits(anybody)
def hello() -> Response:
    """Claude Code looks here whether its base URL answers."""
    return Response()


def _anybody_may_probe() -> BaseResponse | None:
    return None if request.method == "HEAD" else require_key_once_linked()


@bp.get("/")
@admits(_anybody_may_probe)
def home() -> Response | BaseResponse:
    """A browser goes on to what it needs next; a program is told what this is."""
    if request.method == "HEAD":
        return Response()
    linked = current_gateway().github_tokens.current() is not None
    return redirect(local("/usage" if linked else "/auth/device"), 303)
