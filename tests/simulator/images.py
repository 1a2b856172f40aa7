"""``POST /v1/images/generations`` and ``/v1/images/edits``, for models that list them (contract §14.1, §13.1)."""

import base64
import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any

from .server import Exchange, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .state import World

_PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\nmade up").decode()


def fields_of(request: Request) -> dict[str, Any] | None:
    """What a request says, in JSON or as a form; files by their sizes."""
    content_type = request.header("content-type") or ""
    if not content_type.startswith("multipart/form-data"):
        return request.json if isinstance(request.json, dict) else None
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    found: dict[str, Any] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + request.body).iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename() is not None:
            found.setdefault(name, []).append({"filename": part.get_filename(), "bytes": len(content)})
        else:
            found[name] = content.decode()
    return found


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    from .capi import charge, quota_headers, resolve_model

    fields = fields_of(request)
    if fields is None:
        return caller.fail(exchange, 400, {"message": "failed to parse request", "code": "invalid_request_body"})
    request.json = fields
    entry = resolve_model(world, request, exchange, caller, request.path)
    if entry is None:
        return None
    streams = str(fields.get("stream")).lower() == "true"
    if streams and not caller.settings["image_streams"]:
        return caller.fail(exchange, 400, {"message": "stream is not supported", "code": "unsupported_value"})
    if not fields.get("prompt"):
        return caller.fail(exchange, 400, {"message": "prompt is required", "code": "invalid_request_body"})
    if request.path.endswith("/edits") and not (fields.get("image[]") or fields.get("image") or fields.get("images")):
        return caller.fail(exchange, 400, {"message": "image is required", "code": "invalid_request_body"})
    if not charge(world, request, exchange, caller, entry):
        return None
    usage = {"input_tokens": 20, "output_tokens": 100, "total_tokens": 120}
    account = {"token_details": [], "total_nano_aiu": 1_500_000_000}
    if streams:
        events = [
            {"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": _PIXEL},
            {"type": "image_generation.completed", "b64_json": _PIXEL, "usage": usage, "copilot_usage": account},
        ]
        body = b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)
        return exchange.reply(200, [("content-type", "text/event-stream"), *quota_headers(world, caller)], body)
    made: dict[str, Any] = {"created": int(world.now()), "usage": usage, "copilot_usage": account}
    made["data"] = [{"b64_json": _PIXEL}] * int(fields.get("n") or 1)
    return exchange.reply_json(200, made, "application/json", quota_headers(world, caller))
