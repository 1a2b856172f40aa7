"""What all doors share: reading the body, answering, rendering errors, headers, and the log line of a request."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
from flask import Flask, Response, g, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints._access import PAGES, admit, wants_html
from app.converters import json_bytes
from app.converters.chat.errors import encode_error as encode_chat_error
from app.converters.messages.errors import encode_error as encode_messages_error
from app.errors import (
    AccountError,
    ClientError,
    GatewayError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    NoWebSocketError,
    PayloadTooLargeError,
    SignInRequiredError,
    UnsupportedMediaTypeError,
)
from app.gateway import current_gateway
from app.logs import logger
from app.reply import Record, Reply

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Paths that only clients call; elsewhere a browser gets its errors as a page.
_API_PATHS = re.compile(r"/(v1|chat|embeddings|models|messages|responses)(/|$)")
# Refusals that may have passed when the same request comes again.
_MAY_PASS = (408, 409, 425, 429)


def register(app: Flask) -> None:
    """Hang the shared behaviour onto the app: before and after every request, and for every error."""
    app.before_request(_begin)
    app.before_request(_refuse_websocket)
    app.before_request(admit)
    app.after_request(_finish)
    app.register_error_handler(GatewayError, error_response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(RecursionError, _too_deep)
    app.register_error_handler(Exception, _bug)


class SingleSlashes:
    """WSGI middleware: ``/v1//models`` is ``/v1/models``. Clients glue base URLs together; a redirect would repeat the
    query, key included, and loses the body of a POST with many of them."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "//" in environ.get("PATH_INFO", ""):
            environ["PATH_INFO"] = re.sub("/{2,}", "/", environ["PATH_INFO"])
        return self._app(environ, start_response)


# ── a request comes in ──────────────────────────────────────────────────────────────────────────────────────────────


def _begin() -> None:
    given = request.headers.get("x-request-id", "")
    g.started_at = time.monotonic()
    g.record = Record(given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4()))


def _refuse_websocket() -> None:
    """Before the key is looked at: a client that falls back to HTTP shows it there again, and learns here nothing.

    A proxy may have taken ``Upgrade`` away, as nginx does; what belongs to the handshake itself gets through.
    Raises: NoWebSocketError.
    """
    asks = "websocket" in request.headers.get("Upgrade", "").lower() or "Sec-WebSocket-Key" in request.headers
    if asks and request.method == "GET":
        raise NoWebSocketError("The bridge speaks no WebSocket: send the same request to this path by HTTP POST.")


def current_record() -> Record:
    record: Record = g.record
    return record


def read_json() -> tuple[bytes, dict[str, Any]]:
    """The body as it came, and the JSON object in it.

    Raises: InvalidRequestError, UnsupportedMediaTypeError; a body over MAX_BODY_BYTES is a 413.
    """
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaTypeError(f"The body is {encoding}-encoded; send it without Content-Encoding.")
    raw = read_body()
    if not raw.strip():
        raise InvalidRequestError("The body is empty; a JSON object is needed.")
    body = _parse(raw)
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return raw, body


def read_body() -> bytes:
    """The body as it came. One over MAX_BODY_BYTES is a 413."""
    raw = request.get_data(cache=False)
    limit = current_gateway().settings.max_body_bytes
    if request.content_length is None and len(raw) >= limit:
        # A chunked body is cut at the limit without a word.
        raise _too_large(limit)
    return raw


def client_headers() -> dict[str, str]:
    """The request's headers by lower-case name."""
    return {name.lower(): value for name, value in request.headers.items()}


def _parse(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        # Some JavaScript clients cut text in the middle of an emoji. The escape of half a character is legal JSON
        # and upstream takes it, only orjson does not.
        try:
            return json.loads(raw, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise InvalidRequestError(f"The body is not valid JSON: {problem}.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# ── an answer goes out ──────────────────────────────────────────────────────────────────────────────────────────────


def to_response(reply: Reply) -> Response:
    """A Flask response whose end, however it comes, releases the upstream connection."""
    response = Response(reply.body, status=reply.status, headers=reply.headers)
    # Not a `finally` in the generator: that does not run if the generator was never started.
    response.call_on_close(reply.close)
    return response


def json_response(content: object, status: int = 200) -> Response:
    return Response(json_bytes.dumps(content), status=status, content_type="application/json")


def _finish(response: Response) -> Response:
    record = current_record()
    headers = response.headers
    headers["x-request-id"] = record.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers.setdefault("Cache-Control", "no-store")
    if response.mimetype == "text/html":
        headers["X-Frame-Options"] = "DENY"
        headers["Content-Security-Policy"] = _page_policy()
    _add_cors(response)
    response.call_on_close(_line_writer(record, response.status_code))
    return response


def page_nonce() -> str:
    """The word that lets this page's own inline style and script run, and no others."""
    if "nonce" not in g:
        g.nonce = uuid.uuid4().hex
    nonce: str = g.nonce
    return nonce


def _page_policy() -> str:
    nonce = page_nonce()
    return (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _add_cors(response: Response) -> None:
    origin = request.headers.get("Origin")
    if origin is None or origin not in current_gateway().settings.cors_origins or not request.path.startswith("/v1/"):
        return
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = origin
    headers.add("Vary", "Origin")
    headers["Access-Control-Expose-Headers"] = (
        "x-request-id, x-bridge-model, x-bridge-dropped, x-bridge-answered, retry-after"
    )
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "authorization")
        headers["Access-Control-Max-Age"] = "600"
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"


def _line_writer(record: Record, status: int) -> Any:
    """Writes the one log line of a request, when its answer has ended (a stream outlives the request context)."""
    method, path, started_at = request.method, request.path, g.started_at
    # Liveness is asked for every few seconds, and tells nothing as long as it answers.
    level = logging.DEBUG if path in ("/livez", "/health") else logging.INFO

    def write() -> None:
        fields = {
            "request_id": record.request_id,
            "method": method,
            "path": path,
            "status": status,
            "duration_ms": round((time.monotonic() - started_at) * 1000),
            "protocol": record.protocol or None,
            "model": record.model or None,
            "upstream": record.upstream if record.upstream != record.protocol else None,
            "served_model": record.served_model if record.served_model != record.model else None,
            "stream": record.stream or None,
            "purpose": record.purpose,
            "initiator": record.initiator,
            "answered": record.answered,
            "searches": record.searches,
            "first_byte_ms": record.first_byte_ms,
            "finish_reason": record.finish_reason,
            "usage": record.usage,
            "dropped": record.dropped or None,
            "error": record.error,
        }
        logger.log(level, "request", extra={"fields": fields})

    return write


# ── something goes wrong ────────────────────────────────────────────────────────────────────────────────────────────


def error_response(error: GatewayError) -> Response:
    """Any error of the tree, in the dialect of the door it happened at; for a browser outside the API, as a page."""
    record = current_record()
    record.error = error.code
    message = _with_address(error)
    logger.log(error.log_level, message, extra={"fields": {"request_id": record.request_id, "code": error.code}})
    shown = copy(error)
    shown.message = message
    if not _API_PATHS.match(request.path) and wants_html():
        response = _error_page(shown)
    elif _speaks_messages():
        response = json_response({**encode_messages_error(shown), "request_id": record.request_id}, error.status)
    else:
        response = json_response(encode_chat_error(shown), error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = " ".join(error.retry_after.split())
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if 400 <= error.status < 500 and error.status not in _MAY_PASS:
        # Vendors say so too, and SDKs heed it: Claude Code repeats even a 401 for minutes unless it is told not to.
        response.headers["x-should-retry"] = "false"
    return response


def _with_address(error: GatewayError) -> str:
    """The sign-in page by its full address, as this client reaches us; errors themselves know the path only."""
    if not isinstance(error, AccountError):
        return error.message
    return error.message.replace(SignInRequiredError.path, request.url_root.rstrip("/") + SignInRequiredError.path)


def _speaks_messages() -> bool:
    """Whether the client at this door speaks Anthropic's dialect."""
    path = request.path.removeprefix("/v1")
    return path.startswith("/messages") or (path.startswith("/models") and "anthropic-version" in request.headers)


def _error_page(error: GatewayError) -> Response:
    asks_for_key = error.status == 401
    # After a wrong key the visitor still wants to go where the first form would have led.
    wanted = request.form.get("next") if request.endpoint == "auth.enter_key" and asks_for_key else request.path
    html = render_template(
        "error.html",
        error=error,
        asks_for_key=asks_for_key,
        next=wanted if wanted in PAGES else "/",
        warning=current_gateway().keys.warning,
    )
    return Response(html, status=error.status, content_type="text/html; charset=utf-8")


def _http_error(problem: HTTPException) -> Response | BaseResponse:
    """What werkzeug raises itself: no such route, wrong method, body too large …"""
    status = problem.code or 500
    if status < 400:  # a redirect to the canonical address
        return problem.get_response()
    error: GatewayError
    if status == 404:
        error = NotFoundError(_unknown_route(), code="unknown_route")
    elif status == 405:
        allowed = ", ".join(sorted(getattr(problem, "valid_methods", None) or ()))
        error = MethodNotAllowedError(f"{request.path} does not take {request.method}; it takes {allowed}.")
    elif status == 413:
        error = _too_large(current_gateway().settings.max_body_bytes)
    else:
        error = ClientError(problem.description or "The request is not valid HTTP.", status=status)
    response = error_response(error)
    if status == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(problem, "valid_methods", None) or ()))
    return response


def _too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The body is larger than {limit} bytes. Send less (images are the usual cause), or raise MAX_BODY_BYTES."
    )


def _too_deep(problem: RecursionError) -> Response:
    return error_response(InvalidRequestError("The body is nested too deeply."))


def _unknown_route() -> str:
    told = f"There is nothing at {request.method} {request.path}."
    if request.path.startswith("/v1/v1/"):
        return told + " The base URL of this client has one /v1 too many."
    return told + " OpenAI clients want the base URL " + request.url_root + "v1."


def _bug(problem: Exception) -> Response:
    if type(problem).__module__.startswith("gunicorn.http"):
        # The server's own parser gave up while the body was read.
        return error_response(InvalidRequestError("The body is not valid HTTP."))
    logger.error("unexpected failure", exc_info=problem, extra={"fields": {"request_id": current_record().request_id}})
    return error_response(
        GatewayError("The bridge failed on this request; that is a bug. Its log tells more under this request id.")
    )
