"""``/openapi.json``, what every endpoint takes and answers, for programs; and ``/docs``, the same for people.

Both need no key: they hold nothing but what the sources say, and whoever looks for a way in should find it.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, make_response, render_template, request

from app.blueprints._access import admits, anybody
from app.blueprints._endpoint import json_response

bp = Blueprint("description", __name__)


@bp.get("/openapi.json")
@admits(anybody)
def openapi() -> Response:
    # Made when somebody asks: few do, and it takes what no call needs.
    from app.schemas.document import document

    return json_response(document(request.url_root.rstrip("/")))


@bp.get("/docs")
@admits(anybody)
def docs() -> Response:
    from app.schemas.document import OPERATIONS, STATUSES, Operation, document

    described = document(request.url_root.rstrip("/"))
    groups: dict[str, list[Operation]] = {}
    for it in OPERATIONS:
        groups.setdefault(it.tag, []).append(it)
    page = render_template(
        "docs.html",
        address=request.url_root.rstrip("/"),
        groups=list(groups.items()),
        fields={(it.method, it.path): _fields(described, it.path, it.method) for it in OPERATIONS},
        answers={
            (it.method, it.path): [
                (status, STATUSES[int(status)]) for status in described["paths"][it.path][it.method]["responses"]
            ]
            for it in OPERATIONS
        },
    )
    return make_response(page)


def _fields(described: dict[str, Any], path: str, method: str) -> list[tuple[str, str, bool]]:
    """What an operation takes: name, where it stands, and whether it must be there."""
    operation = described["paths"][path][method]
    found = [(it["name"], it["in"], it["required"]) for it in operation.get("parameters", [])]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        forms = [_resolved(described, it) for it in content["schema"].get("anyOf", [content["schema"]])]
        names = dict.fromkeys(name for form in forms for name in form["properties"])
        found += [(name, "body", all(name in form.get("required", []) for form in forms)) for name in names]
    return found


def _resolved(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = described["components"]["schemas"][name] if name else schema
    return found
