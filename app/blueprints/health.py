"""Liveness, readiness and the probes of clients."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.blueprints._access import admits, anybody
from app.blueprints._endpoint import json_response
from app.gateway import current_gateway
from app.version import VERSION

bp = Blueprint("health", __name__)


@bp.get("/health")
@bp.get("/livez")
@admits(anybody)
def alive() -> Response:
    """The process answers. Says nothing about GitHub: a restart would not mend that."""
    return json_response({"status": "ok", "version": VERSION})


@bp.get("/readyz")
@admits(anybody)
def ready() -> Response:
    """Whether requests can be served, from what is known here; waits for nobody. What is missing though somebody is
    signed in, the model list, is fetched behind the answer: so the next probe finds it, and no request is needed."""
    gateway = current_gateway()
    signed_in = gateway.copilot_tokens.is_signed_in()
    catalog_known = signed_in and gateway.catalog.is_known()
    ready = signed_in and catalog_known
    if signed_in and not catalog_known:
        gateway.prepare()
    content = {
        "status": "ok" if ready else "not ready",
        "signed_in": signed_in,
        "catalog_known": catalog_known,
        # Calls go on without it, so it makes nobody unready. Why it is away is for the log and doctor.
        "store": "ok" if gateway.store.trouble() is None else "unavailable",
        # Of this worker: calls that are not written yet, and those that never will be.
        "ledger": {"waiting": gateway.books.waiting, "dropped": gateway.books.tally.dropped},
        "database": "ok" if gateway.database.trouble() is None else "unavailable",
        **({} if signed_in else {"sign_in": request.url_root + "auth/device"}),
    }
    return json_response(content, 200 if ready else 503)


@bp.route("/api/hello", methods=["HEAD"])
@admits(anybody)
def hello() -> Response:
    """Claude Code looks here whether its base URL answers."""
    return Response()
