"""Who may enter a door: the key, the place the caller comes from, and what a foreign web page must not do."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from flask import current_app, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from app.auth.api_key import Access, is_local_name, is_private_caller, presented_keys
from app.clients.registry import CLIENTS
from app.errors import ForbiddenError, PayloadTooLargeError, UnauthorizedError
from app.gateway import current_gateway

COOKIE = "bridge_session"
QUERY_KEY = "api_key"
# Pages for people: here a browser's cookie counts, and a key in the address is swapped for one.
PAGES = ("/", "/usage", "/auth/device", "/setup", *(f"/setup/{name}" for name in CLIENTS))
_COOKIE_PATHS = ("/usage", "/setup", "/auth/", "/admin/", "/readyz")

_FORM_KEY = "form-token"
_MAX_FORM_BYTES = 8192

View = TypeVar("View", bound=Callable[..., Any])


def admits(rule: Callable[[], BaseResponse | None]) -> Callable[[View], View]:
    """Give a view an admission rule of its own instead of `require_key`."""

    def mark(view: View) -> View:
        view.admission = rule  # type: ignore[attr-defined]
        return view

    return mark


def anybody() -> None:
    """Admission for liveness and probes."""


def admit() -> BaseResponse | None:
    """Before every request. Unknown routes and CORS preflights pass: there is nothing behind them to protect."""
    if request.url_rule is None or request.method == "OPTIONS":
        return None
    view = current_app.view_functions[request.endpoint or ""]
    rule: Callable[[], BaseResponse | None] = getattr(view, "admission", require_key)
    return rule()


def require_key() -> BaseResponse | None:
    """Admit callers with a right key; a browser that brought it in the address is sent on with a cookie instead.

    Raises: UnauthorizedError, ForbiddenError.
    """
    keys = current_gateway().keys
    in_headers = presented_keys(request.headers)
    in_query = request.args.get(QUERY_KEY)
    by_header = keys.judge(in_headers)
    by_query = keys.judge([in_query]) if in_query is not None else Access.NONE
    by_cookie = keys.judge_cookie(request.cookies.get(COOKIE, "")) if _takes_cookie() else Access.NONE
    best = max((by_header, by_query, by_cookie), key=list(Access).index)
    if best is Access.NONE:
        raise UnauthorizedError(_wrong_key(bool(in_headers or in_query is not None)))
    if best is Access.WEAK:
        require_private_caller()
    if not (in_headers and by_header is not Access.NONE):
        refuse_foreign_page()
    if in_query is not None and by_query is not Access.NONE and request.path in PAGES and wants_html():
        return _swap_key_for_cookie(in_query)
    return None


def require_private_caller() -> None:
    """Raise ForbiddenError unless the caller is on this machine or in a private network, and says so by its Host."""
    if not is_private_caller(request.remote_addr, request.headers):
        raise ForbiddenError(
            "This bridge runs with the well-known default key or with none, which counts for callers in its own "
            "network only. Its operator must set API_KEY to let others in.",
            code="api_key_not_set",
        )
    if not is_local_name(request.host):
        raise ForbiddenError(
            f"This bridge runs with the well-known default key or with none, and then answers to its IP address or a "
            f"local name only, not to {request.host!r}. Set API_KEY to use a public name.",
            code="api_key_not_set",
        )


def is_foreign_page() -> bool:
    """Whether a browser tells that a page of another site caused this request. Other clients tell nothing.

    Sec-Fetch-Site says it best, but is not sent to a plain http:// address in the network; Origin and Referer are. A
    form of our own sends ``Origin: null`` there (our pages give no referrer), and so does a foreign one that hides
    itself; only ours holds the form token, which other sites cannot read.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    source = request.headers.get("Origin") or request.headers.get("Referer")
    if source is None:
        return False
    if source == "null":
        limit_form()
        return not hmac.compare_digest(request.form.get("token", "").encode(), form_token().encode())
    return urlsplit(source).netloc != request.host


def refuse_foreign_page() -> None:
    """Without a key in a header, a page of another site may not make changes or spend the subscription.

    A page can send simple requests anywhere; what it cannot do is set headers, unless CORS_ORIGINS allows it.
    Raises: ForbiddenError.
    """
    if request.method in ("GET", "HEAD") or not is_foreign_page():
        return
    if request.path.startswith("/v1/") and request.headers.get("Origin") in current_gateway().settings.cors_origins:
        return
    raise ForbiddenError("Refused: this request was caused by a page of another site.", code="cross_site")


def refuse_change_by_foreign_page() -> None:
    """For the GET forms that change something: the cookie is not enough where a browser does not tell who asks.

    A page of another site (or of another port of this host) can load any address, and the cookie travels along.
    Raises: ForbiddenError.
    """
    keys = current_gateway().keys
    shown = [*presented_keys(request.headers), *request.args.getlist(QUERY_KEY)]
    tells = "Sec-Fetch-Site" in request.headers
    if is_foreign_page() or (not tells and keys.judge(shown) is Access.NONE):
        raise ForbiddenError("Refused: a page of another site may have wanted this change.", code="cross_site")


def limit_form() -> None:
    """A form of ours is a few hundred bytes; parsing a huge one would hold up everybody in this worker.

    Raises: PayloadTooLargeError.
    """
    if (request.content_length or 0) > _MAX_FORM_BYTES or "Transfer-Encoding" in request.headers:
        raise PayloadTooLargeError(f"This form takes at most {_MAX_FORM_BYTES} bytes, with their number told.")


def form_token() -> str:
    """The word in our forms by which they are known as ours; the same in all workers."""
    store = current_gateway().store
    return store.get(_FORM_KEY) or str(store.update(_FORM_KEY, lambda known: known or secrets.token_hex(16)))


def wants_html() -> bool:
    """Whether a browser asks for a page (an explicit text/html; ``*/*`` is a program)."""
    accept = request.accept_mimetypes
    return accept["text/html"] > 0 and "text/html" in str(accept) and accept["text/html"] >= accept["application/json"]


def local(path: str) -> str:
    """A path of ours as the browser must ask for it, when a proxy serves us under a prefix."""
    return request.script_root + path


def set_session_cookie(response: BaseResponse, value: str) -> None:
    response.set_cookie(
        COOKIE, value, max_age=30 * 24 * 3600, httponly=True, samesite="Strict", secure=request.is_secure
    )


def _swap_key_for_cookie(key: str) -> BaseResponse | None:
    """Get the key out of the address bar, the history and the proxy's log."""
    value = current_gateway().keys.cookie_for([key])
    if value is None or request.method != "GET":
        return None
    rest = [(name, item) for name, item in request.args.items(multi=True) if name != QUERY_KEY]
    response = redirect(local(request.path) + (f"?{urlencode(rest)}" if rest else ""), 303)
    set_session_cookie(response, value)
    return response


def _takes_cookie() -> bool:
    return request.path == "/" or request.path.startswith(_COOKIE_PATHS)


def _wrong_key(any_presented: bool) -> str:
    if any_presented:
        return "Wrong API key. Send the bridge's own API_KEY, not one of OpenAI, Anthropic or GitHub."
    return "No API key. Send the bridge's API_KEY as 'Authorization: Bearer <key>' or as 'x-api-key: <key>'."
