"""What the endpoints have in common at which a client asks a model for an answer."""

from __future__ import annotations

from flask import Blueprint, Response

from app.blueprints._dialect import speaks
from app.blueprints._endpoint import client_headers, current_record, current_seat, read_json, to_response
from app.converters.codec import ClientCodec
from app.schemas.base import Boundary, check


def generates(bp: Blueprint, client: ClientCodec, schema: Boundary, *paths: str) -> None:
    """Add the endpoint of a dialect, at each of these paths. schema: for the few fields the bridge itself reads."""

    @speaks(client)
    def create() -> Response:
        current_record().protocol = client.name  # also of a call whose body cannot be read
        raw, body = read_json()
        check(schema, body)
        return to_response(current_seat().relay.answer(client, raw, body, client_headers(), current_record()))

    for path in paths:
        bp.add_url_rule(path, "create", create, methods=["POST"])
