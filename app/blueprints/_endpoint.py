"""What all endpoints share: reading the body, answering, rendering errors, headers, and the log line of a request."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.wrappers import Response as BaseResponse

from app.blueprints import _language, _pages
from app.blueprints._access import CLIENT_PATHS, admit, tell_session, wants_html
from app.blueprints._compression import TooMuchError, unpack
from app.blueprints._dialect import current_dialect
from app.blueprints._request_log import line_writer, log_error
from app.converters.wire import json_bytes
from app.errors import (
    CLIENT_GONE,
    CLIENT_GONE_STATUS,
    AccountError,
    ClientError,
    ClientGone,
    GatewayError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    NoWebSocketError,
    OverloadedError,
    PayloadTooLargeError,
    Sentence,
    SignInRequiredError,
)
from app.gateway import current_gateway
from app.keys.admission import BudgetSpentError
from app.keys.key import Key
from app.logs import logger
from app.memory import Share
from app.reply import Record, Reply, header_safe
from app.seats import Seat

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# W3C Trace Context: version, trace, parent, flags. Neither trace nor parent may be all zeros.
_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{0,64})?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
HEALTH_PATHS = ("/health", "/livez", "/readyz")
# Refusals that may have passed when the same request comes again.
_MAY_PASS = (408, 409, 425, 429)
_READ = ("try_it",)
"""Endpoints for programs whose errors a person reads, in the language of the page."""


def register(app: Flask) -> None:
    """Hang the shared behaviour onto the app: before and after every request, and for every error."""
    app.before_request(_begin)
    app.before_request(_refuse_surplus)
    app.before_request(_wait_for_turn)
    app.before_request(_refuse_websocket)
    app.before_request(admit)
    app.after_request(_finish)
    app.teardown_request(_note_client_gone)
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
    g.record = Record(given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4()), began=g.started_at)
    trace = request.headers.get("traceparent", "")
    if trace and _TRACE.fullmatch(trace):
        g.record.traceparent = trace
    g.share = Share(current_gateway().memory)
    g.share.enter()
    current_gateway().books.tally.in_flight += 1


def _refuse_surplus() -> None:
    """On a connection that is one too many (see `serving.guests`) only health checks are answered.

    Raises: OverloadedError.
    """
    reason = request.environ.get("bridge.surplus")
    if reason is None or request.path in HEALTH_PATHS:
        return
    if reason == "address":
        raise OverloadedError(
            Sentence("Your address has more connections open than this bridge takes. Close some, or try again later."),
            status=429,
        )
    raise OverloadedError(Sentence("The bridge has as many connections as it can hold. Try again in a few seconds."))


def _wait_for_turn() -> None:
    """Requests begin in turn (see `serving.turns`); health checks do not wait for a crowd."""
    turn = request.environ.get("bridge.turn")
    if turn is not None and request.path not in HEALTH_PATHS:
        turn()


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


def current_seat() -> Seat:
    """The GitHub account that this request goes by: that of its key, or else the bridge's own; never one in place of
    the other.

    Raises: AccountError, StoreError if it cannot be used.
    """
    key: Key | None = g.get("key")
    seat = current_gateway().seats.of(key)
    if key is not None and (token := seat.github_tokens.current()) is not None:
        g.record.account = (token.user or "", token.secret.reveal().encode())
    return seat


def read_json(*, may_be_empty: bool = False) -> tuple[bytes, dict[str, Any]]:
    """The body as it was before it was compressed, and the JSON object in it. may_be_empty: no body is ``{}``.

    Raises: InvalidRequestError, UnsupportedMediaTypeError; a body over MAX_BODY_BYTES is a 413.
    """
    raw = read_body()
    if not raw.strip():
        if may_be_empty:
            return raw, {}
        raise InvalidRequestError("The body is empty; a JSON object is needed.")
    raw, body = _parse(raw)
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return raw, body


def read_body() -> bytes:
    """The body, unpacked. One over MAX_BODY_BYTES, before or after that, is a 413.

    Raises: UnsupportedMediaTypeError, InvalidRequestError for a damaged one; SlowBodyError, OverloadedError.
    """
    paced = request.environ.get("bridge.body")  # the worker's; see `serving.paced_body`
    if paced is not None:
        paced.tell(g.share.take)
    raw = request.get_data(cache=False)
    if paced is None:
        g.share.take(len(raw))
    limit = current_gateway().settings.max_body_bytes
    if request.content_length is None and len(raw) >= limit:
        # A chunked body is cut at the limit without a word.
        raise _too_large(limit)
    try:
        unpacked = unpack(raw, request.headers.get("Content-Encoding", ""), most=limit)
    except TooMuchError:
        raise _too_large(limit) from None
    g.share.take(len(unpacked) - len(raw))
    return unpacked


def client_headers() -> dict[str, str]:
    """The request's headers by lower-case name."""
    # Out of the environment itself: werkzeug puts each name into its usual letters first.
    found = {
        name[5:].replace("_", "-").lower(): value for name, value in request.environ.items() if name.startswith("HTTP_")
    }
    for name in ("content-type", "content-length"):
        found.pop(name, None)
        if value := request.environ.get(name.replace("-", "_").upper()):
            found[name] = value
    return found


def _parse(raw: bytes) -> tuple[bytes, Any]:
    """The bytes to go on with, and what they say.

    Some JavaScript clients cut text in the middle of an emoji. The escape of half a character is legal JSON, but orjson
    does not read it, and strict upstreams refuse the body, which comes again with every turn: so it is replaced.
    """
    try:
        return raw, orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        try:
            whole = json_bytes.unicode_only(raw)
            return whole, json.loads(whole, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise InvalidRequestError(f"The body is not valid JSON: {problem}.") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# ── an answer goes out ──────────────────────────────────────────────────────────────────────────────────────────────


def to_response(reply: Reply) -> Response:
    """A Flask response whose end, however it comes, releases the upstream connection."""
    reply.passage.copier = request.environ.get("bridge.copier")  # the worker's; see `serving.copier`
    response = Response(reply.body, status=reply.status, headers=reply.headers)
    # Not a `finally` in the generator: that does not run if the generator was never started.
    response.call_on_close(reply.close)
    if not isinstance(reply.body, bytes):
        metrics = current_gateway().metrics
        metrics.streams += 1
        response.call_on_close(metrics.stream_ended)
    return response


def json_response(content: object, status: int = 200) -> Response:
    return Response(json_bytes.dumps(content), status=status, content_type="application/json")


def _finish(response: Response) -> Response:
    record = current_record()
    headers = response.headers
    headers["x-request-id"] = record.request_id
    if id_header := current_dialect().id_header:
        headers[id_header] = record.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers.setdefault("Cache-Control", "no-store")
    if record.admission is not None:
        headers.extend(record.admission.headers(is_anthropic=current_dialect().name == "messages"))
    tell_session(response)
    _language.remember(response)
    if response.mimetype == "text/html":
        headers["X-Frame-Options"] = "DENY"
        headers["Content-Security-Policy"] = _page_policy()
    _add_cors(response)
    g.is_told = True
    response.call_on_close(line_writer(record, response.status_code, current_gateway().observers))
    response.call_on_close(g.share.close)
    return response


def _note_client_gone(problem: BaseException | None) -> None:
    """The log line of a request that ended before there was an answer: `_finish` has not seen it. Its client left, or
    the worker could not wait for it any longer."""
    if problem is not None and not isinstance(problem, Exception) and "record" in g and "is_told" not in g:
        record = current_record()
        record.error = CLIENT_GONE if isinstance(problem, ClientGone) else "restarting"
        line_writer(record, CLIENT_GONE_STATUS, current_gateway().observers)()
        g.share.close()


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
        "x-request-id, request-id, x-bridge-model, x-bridge-dropped, x-bridge-answered, x-bridge-credits, retry-after"
    )
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE, OPTIONS"
        headers["Access-Control-Allow-Headers"] = request.headers.get("Access-Control-Request-Headers", "authorization")
        headers["Access-Control-Max-Age"] = "600"
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"


# ── something goes wrong ────────────────────────────────────────────────────────────────────────────────────────────


def error_response(error: GatewayError) -> Response:
    """Any error of the tree, in the dialect of its client; for a browser outside the API, as a page."""
    record = current_record()
    record.error = error.code
    message = _with_address(error, error.message)
    log_error(error, message, record)
    shown = copy(error)
    # Programs match on the words; these endpoints are asked by a page of ours, for a person who reads them.
    shown.message = _with_address(error, _language.translate(error.message)) if request.blueprint in _READ else message
    if not CLIENT_PATHS.match(request.path) and wants_html():
        response = _pages.error_page(error, record.request_id)
    else:
        dialect = current_dialect()
        status = dialect.statuses.get(error.code, error.status)
        response = json_response(dialect.encode_error(shown, record.request_id), status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = header_safe(" ".join(error.retry_after.split()))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if 400 <= error.status < 500 and error.status not in _MAY_PASS:
        # Vendors say so too, and SDKs heed it: Claude Code repeats even a 401 for minutes unless it is told not to.
        response.headers["x-should-retry"] = "false"
    elif isinstance(error, BudgetSpentError):
        response.headers["x-should-retry"] = "false"
    return response


def _with_address(error: GatewayError, message: str) -> str:
    """The sign-in page by its full address, as this client reaches us; errors themselves know the path only."""
    if not isinstance(error, AccountError):
        return message
    return message.replace(SignInRequiredError.path, request.url_root.rstrip("/") + SignInRequiredError.path)


def _http_error(problem: HTTPException) -> Response | BaseResponse:
    """What werkzeug raises itself: no such route, wrong method, body too large …"""
    status = problem.code or 500
    if status < 400:  # a redirect to the canonical address
        return problem.get_response()
    error: GatewayError
    if status == 404 or (status == 405 and _NO_ID.fullmatch(request.path)):
        status, error = 404, NotFoundError(_unknown_route(), code="unknown_route")
    elif status == 405:
        allowed = ", ".join(sorted(getattr(problem, "valid_methods", None) or ()))
        error = MethodNotAllowedError(
            Sentence(
                "%(path)s does not take %(method)s; it takes %(allowed)s.",
                path=request.path,
                method=request.method,
                allowed=allowed,
            )
        )
    elif status == 413:
        error = _too_large(current_gateway().settings.max_body_bytes)
    elif isinstance(problem, ClientDisconnected):  # it broke off, or its chunks are damaged
        error = InvalidRequestError(Sentence("The body is not valid HTTP."))
    else:
        error = ClientError(problem.description or "The request is not valid HTTP.", status=status)
    response = error_response(error)
    if status == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(problem, "valid_methods", None) or ()))
    return response


def _too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        Sentence(
            "The body is larger than %(limit)s bytes. Send less (images are the usual cause), or raise MAX_BODY_BYTES.",
            limit=limit,
        )
    )


def _too_deep(_problem: RecursionError) -> Response:
    return error_response(InvalidRequestError("The body is nested too deeply."))


_KEEPS_NOTHING = Sentence("Nothing is stored: send the whole conversation with each request.")
# OpenAI's other addresses under /v1/responses, which look like the id of a stored response.
_NO_ID = re.compile(r"(/v1)?/responses/(compact|input_tokens|responses)")
# Whoever copies an endpoint's whole address into a field for the base URL has its client add another one to it.
_TWO_ENDPOINTS = re.compile(
    r".*/(chat/completions|responses|messages|embeddings)"
    r"(?P<v1>/v1)?/(chat/completions|completions|responses|messages(/count_tokens)?|embeddings|models)"
)
_NO_BATCHES = Sentence("There are no batches and no stored files: send the requests one by one, with their content.")
_NOT_OFFERED: Mapping[str, Sentence] = MappingProxyType(
    {
        "completions": Sentence(
            "Use /v1/chat/completions; autocomplete that fills in the middle needs another provider."
        ),
        "responses/compact": Sentence("Let the client compact the conversation: by a call of /v1/responses."),
        "responses/input_tokens": Sentence("Tokens can be counted at /v1/messages/count_tokens."),
        "responses": Sentence("Nothing runs in the background, so there is nothing to cancel."),
        "conversations": _KEEPS_NOTHING,
        "chat/completions": _KEEPS_NOTHING,
        "messages/batches": _NO_BATCHES,
        "batches": _NO_BATCHES,
        "files": _NO_BATCHES,
        "complete": Sentence("Use /v1/messages."),
        "audio": Sentence("GitHub Copilot has no models for it."),
        "moderations": Sentence("GitHub Copilot has no models for it."),
        "realtime": Sentence("GitHub Copilot has no models for it."),
    }
)
"""What vendors offer under such a path and the bridge does not, and what to do instead. The first that fits counts."""


def not_stored() -> NotFoundError:
    """The error of an address of stored things while nothing is stored."""
    return NotFoundError(_not_offered(_KEEPS_NOTHING), code="unknown_route")


def _not_offered(advice: Sentence) -> Sentence:
    return Sentence(
        "%(method)s %(path)s is not offered here. %(advice)s", method=request.method, path=request.path, advice=advice
    )


def _unknown_route() -> Sentence:
    method, path = request.method, request.path
    if path.startswith("/v1/v1/"):
        return Sentence(
            "There is nothing at %(method)s %(path)s. The base URL of this client has one /v1 too many.",
            method=method,
            path=path,
        )
    if found := _TWO_ENDPOINTS.fullmatch(path):
        return Sentence(
            "There is nothing at %(method)s %(path)s. The base URL of this client must not name an endpoint: set it to "
            "%(url)s.",
            method=method,
            path=path,
            url=request.url_root.rstrip("/") + ("" if found["v1"] else "/v1"),
        )
    for prefix, advice in _NOT_OFFERED.items():
        if re.match(rf"(/v1)?/{prefix}(/|$)", path):
            return _not_offered(advice)
    if path.startswith("/v1/"):
        return Sentence(
            "%(method)s %(path)s is not offered here. What there is stands at %(url)s.",
            method=method,
            path=path,
            url=request.url_root + "docs",
        )
    if path.endswith("/v1/messages"):
        return Sentence(
            "There is nothing at %(method)s %(path)s. Anthropic clients want the base URL %(url)s.",
            method=method,
            path=path,
            url=request.url_root.rstrip("/"),
        )
    return Sentence(
        "There is nothing at %(method)s %(path)s. OpenAI clients want the base URL %(url)s.",
        method=method,
        path=path,
        url=request.url_root + "v1",
    )


def _bug(problem: Exception) -> Response:
    if type(problem).__module__.startswith("gunicorn.http"):
        # The server's own parser gave up while the body was read.
        return error_response(InvalidRequestError(Sentence("The body is not valid HTTP.")))
    logger.error("unexpected failure", exc_info=problem, extra={"fields": {"request_id": current_record().request_id}})
    return error_response(
        GatewayError(
            Sentence("The bridge failed on this request; that is a bug. Its log tells more under this request id.")
        )
    )
