"""Who may enter an endpoint: the key, the place the caller comes from, and what a foreign web page must not do."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlencode, urlsplit

from flask import current_app, g, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from app.auth.api_key import (
    SESSION_S,
    Access,
    is_local_name,
    is_private_caller,
    is_session_of,
    presented_keys,
    session_of,
    whose_session,
)
from app.blueprints._navigation import ENDPOINTS, FOR_CLIENTS, page_at
from app.errors import (
    DatabaseError,
    ForbiddenError,
    GatewayError,
    PayloadTooLargeError,
    Sentence,
    TooManyKeysError,
    UnauthorizedError,
)
from app.gateway import current_gateway
from app.keys.key import Key, digest_of
from app.settings import DEFAULT_API_KEY, Secret

COOKIE = "bridge_session"
QUERY_KEY = "api_key"
# Beside the pages, what their forms and scripts ask for.
_COOKIE_PATHS = ("/auth/", "/admin/")

# Paths that only clients call; elsewhere a browser gets its errors as a page.
CLIENT_PATHS = re.compile(r"/(v1|chat|embeddings|images|models|messages|responses)(/|$)")
_FORM_KEY = "form-secret"
_LOGGED_OUT = "logged-out:"
_BROWSERS = ("Mozilla/", "Opera/")
_MAX_FORM_BYTES = 8192
_MAX_KNOWN_FORM_BYTES = 65_536
_FORM_S = 5.0
_WORTH = list(Access)

View = TypeVar("View", bound=Callable[..., Any])
Visitor: TypeAlias = Literal["admin", "client"]


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

    Raises: UnauthorizedError, TooManyKeysError, ForbiddenError.
    """
    keys = current_gateway().keys
    in_headers = presented_keys(request.headers)
    in_query = request.args.get(QUERY_KEY)
    by_header = keys.judge(in_headers)
    by_query = keys.judge([in_query]) if in_query is not None else Access.NONE
    session = request.cookies.get(COOKIE, "") if _takes_cookie() else ""
    by_cookie = judge_session() if session else Access.NONE
    best = max((by_header, by_query, by_cookie), key=_WORTH.index)
    named = None
    if Access.FULL not in (by_header, by_query):
        named = _named_key([*in_headers, *([in_query] if in_query is not None else [])])
        if named is not None:
            is_in_headers = in_query is None or named.digest != digest_of(in_query)
            by_header, by_query = (Access.FULL, Access.NONE) if is_in_headers else (Access.NONE, Access.FULL)
            g.is_named_key_shown = True
        elif by_cookie is not Access.NONE:
            named = _named_of_session(session)
    if named is not None:
        best = _admit_named(named)
    if best is Access.NONE:
        if in_headers or in_query is not None:
            refuse_after_wrong_keys()
        raise UnauthorizedError(_wrong_key(bool(in_headers or in_query is not None)))
    if named is None:
        g.record.key = keys.name_of([*in_headers, in_query or ""])
    if g.record.key is None and by_cookie is not Access.NONE:
        g.record.key = keys.name_of_session(session)
    if best is Access.WEAK:
        require_private_caller()
    g.visitor = "admin" if named is None or named.is_admin else "client"
    if not (in_headers and by_header is not Access.NONE):
        refuse_foreign_page()
    if in_query is not None and by_query is not Access.NONE and request.endpoint in ENDPOINTS and wants_html():
        return _swap_key_for_cookie(in_query)
    return None


def _named_key(presented: list[str]) -> Key | None:
    """The named key among these. Raises: UnauthorizedError for one that counts no longer, DatabaseError."""
    known = current_gateway().client_keys.known
    for candidate in presented:
        key = known.find(candidate)
        if key is None:
            continue
        state = key.state(time.time())
        if state == "active":
            return key
        expired = Sentence("This API key has expired. Ask the operator for another.")
        revoked = Sentence("This API key was revoked. Ask the operator for another.")
        raise UnauthorizedError(expired if state == "expired" else revoked, code=f"key_{state}")
    return None


def still_admitted() -> Callable[[], bool]:
    """Whether who made this request would be let in still, for answers that go on for long. It looks into this worker's
    copy of the keys, which is a second old, and may be asked often."""
    gateway, id = current_gateway(), g.record.key_id
    if id is None:
        return lambda: True  # the operator's own key: that another counts is read with the settings, at a start

    def is_admitted() -> bool:
        try:
            key = gateway.client_keys.known.by_id(id)
        except DatabaseError:
            return True  # as known a moment ago; the next connection will be asked for its key
        return key is not None and key.state(time.time()) == "active"

    return is_admitted


def _admit_named(key: Key) -> Access:
    """Note whose request this is. Raises: ForbiddenError for what only the operator's keys may do."""
    g.record.key, g.record.key_id = key.name, key.id
    g.record.admission = current_gateway().client_keys.admission(key)
    if key.binding is not None:
        g.key, g.record.account = key, (key.binding.account, b"")
    if not key.is_admin and not CLIENT_PATHS.match(request.path) and request.endpoint not in FOR_CLIENTS:
        g.visitor = "client"
        raise ForbiddenError(
            Sentence(
                "The key %(name)s may use the endpoints under /v1 and the pages of its own figures, and no others. "
                "This one needs API_KEY or a key of the role admin.",
                name=repr(key.name),
            ),
            code="admin_key_needed",
        )
    return Access.FULL


def refuse_after_wrong_keys() -> None:
    """Somebody has shown a wrong key. Raises: TooManyKeysError, if it was not the first from there by far."""
    wait_s = current_gateway().brake.note_failure(request.remote_addr)
    if wait_s is not None:
        # Each further guess takes a connection of its own.
        request.environ.get("bridge.close", lambda: None)()
        raise TooManyKeysError(wait_s)


def require_key_unless_first_run() -> BaseResponse | None:
    """First run: nobody is signed in and no key was chosen, so private callers get in, and their browsers stay known.

    As soon as the operator has set a key of their own, only those who know it may connect an account.
    """
    gateway = current_gateway()
    if gateway.keys.has_own or gateway.github_tokens.current() is not None:
        return require_key()
    try:
        require_private_caller()
    except GatewayError:
        return require_key()
    refuse_foreign_page()
    g.visitor = "admin"
    if gateway.keys.has_default and wants_html() and not is_foreign_page():
        g.record.key = gateway.keys.name_of([DEFAULT_API_KEY])
        if judge_session() is Access.NONE:
            start_session(DEFAULT_API_KEY)  # what they could show anyway
    return None


def require_private_caller() -> None:
    """Raise ForbiddenError unless the caller is on this machine or in a private network, and says so by its Host."""
    if not is_private_caller(request.remote_addr, request.headers):
        raise ForbiddenError(
            Sentence(
                "This bridge runs with the well-known default key or with none, which counts for callers in its own "
                "network only. Its operator must set API_KEY to let others in."
            ),
            code="api_key_not_set",
        )
    if not is_local_name(request.host):
        raise ForbiddenError(
            Sentence(
                "This bridge runs with the well-known default key or with none, and then answers to its IP address or "
                "a local name only, not to %(host)s. Set API_KEY to use a public name.",
                host=repr(request.host),
            ),
            code="api_key_not_set",
        )


def is_private_visitor() -> bool:
    """Whether weak access counts for this caller."""
    return is_private_caller(request.remote_addr, request.headers) and is_local_name(request.host)


def default_key_to_show() -> str | None:
    """The well-known default key while it opens this bridge to the caller. Everybody knows it, but not by heart."""
    return DEFAULT_API_KEY if current_gateway().keys.has_default and is_private_visitor() else None


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
        return not _has_form_token()
    try:
        return urlsplit(source).netloc != request.host
    except ValueError:  # no address at all, so none of ours
        return True


def refuse_foreign_page() -> None:
    """Without a key in a header, a page of another site may not make changes or spend the subscription.

    A page can send simple requests anywhere; what it cannot do is set headers, unless CORS_ORIGINS allows it.
    Raises: ForbiddenError.
    """
    if request.method in ("GET", "HEAD") or not is_foreign_page():
        return
    if request.path.startswith("/v1/") and request.headers.get("Origin") in current_gateway().settings.cors_origins:
        return
    raise ForbiddenError(Sentence("Refused: this request was caused by a page of another site."), code="cross_site")


def is_meant() -> bool:
    """For the GET addresses that change something: whether the person or program behind the call surely wants it.

    A page of another site (or of another port of this host) can load any address, the cookie travels along, and
    everybody knows the default key. What such a page cannot do is set headers, or know a key of the operator's own;
    most browsers also tell who asks. False: ask the person.
    Raises: ForbiddenError if a page of another site is known to ask, or if nobody can be asked.
    """
    refusal = ForbiddenError(
        Sentence("Refused: a page of another site may have wanted this change."), code="cross_site"
    )
    if is_foreign_page():
        raise refusal
    keys = current_gateway().keys
    in_address = keys.judge(request.args.getlist(QUERY_KEY))
    if (
        "Sec-Fetch-Site" in request.headers
        or in_address is Access.FULL
        or keys.knows(presented_keys(request.headers))
        or g.get("is_named_key_shown", False)
        or (in_address is Access.WEAK and not _is_browser())
    ):
        return True
    if not wants_html():
        raise refusal
    return False


def require_form() -> None:
    """A form that changes something comes from a page of ours, and from the browser that this page was made for.

    Raises: ForbiddenError, PayloadTooLargeError.
    """
    refuse_foreign_page()
    if not _has_form_token():
        raise ForbiddenError(
            Sentence("This form is no longer valid. Go back, load the page anew and send it again."), code="form_token"
        )


def limit_form() -> None:
    """A form of ours is a few hundred bytes; parsing a huge one would hold up everybody in this worker. It is also
    read before anybody has shown a key, so it has to come at once. Who has shown one may list many names.

    Raises: PayloadTooLargeError.
    """
    limit = _MAX_FORM_BYTES if g.get("visitor") is None else _MAX_KNOWN_FORM_BYTES
    if (request.content_length or 0) > limit or "Transfer-Encoding" in request.headers:
        raise PayloadTooLargeError(
            Sentence("This form takes at most %(limit)s bytes, with their number told.", limit=limit)
        )
    if (body := request.environ.get("bridge.body")) is not None:  # the worker's; see `serving.paced_body`
        body.within(_FORM_S)


def form_token() -> str:
    """The word in our forms by which they are known as ours, and as this browser's; the same in all workers."""
    store = current_gateway().store
    secret = store.get(_FORM_KEY) or str(store.update(_FORM_KEY, lambda known: known or secrets.token_hex(32)))
    return hmac.new(secret.encode(), _session().encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def is_form_token(word: str) -> bool:
    """Whether it is the word in this browser's forms."""
    return hmac.compare_digest(word.encode(), form_token().encode())


def _has_form_token() -> bool:
    limit_form()
    return is_form_token(request.form.get("token", ""))


def _is_browser() -> bool:
    """Whether a browser may be at work. A page cannot keep one from telling its name or the person's languages."""
    languages = request.headers.get("Accept-Language", "*")
    return languages != "*" or request.headers.get("User-Agent", "").startswith(_BROWSERS)


def wants_html() -> bool:
    """Whether a browser asks for a page (an explicit text/html; ``*/*`` is a program)."""
    accept = request.accept_mimetypes
    return accept["text/html"] > 0 and "text/html" in str(accept) and accept["text/html"] >= accept["application/json"]


def local(path: str) -> str:
    """A path of ours as the browser must ask for it, when a proxy serves us under a prefix."""
    return request.script_root + path


# ── known browsers ──────────────────────────────────────────────────────────────────────────────────────────────────


def start_session(key: str) -> str | None:
    """Know this browser from now on, if the key is right; the answer to this request will tell it.

    Returns: what the log calls the key; None if it is wrong. Raises: UnauthorizedError for one that counts no longer.
    """
    ring, now = current_gateway().keys, time.time()
    session, name = ring.new_session([key], now), ring.name_of([key])
    if session is None and (named := _named_key([key])) is not None:
        session, name = session_of(Secret(named.digest), now, whose=named.id), named.name
    if session is not None:
        g.session = session
    return name


def end_session() -> None:
    """Forget this browser: its cookie is taken away, and counts no longer should somebody have kept it."""
    session = request.cookies.get(COOKIE, "")
    if _worth_of(session) is not Access.NONE:
        current_gateway().store.put(_LOGGED_OUT + _id_of(session), "1", ttl_s=SESSION_S)
    g.session = ""


def judge_session() -> Access:
    """What the browser's cookie is worth."""
    gateway, session = current_gateway(), request.cookies.get(COOKIE, "")
    worth = _worth_of(session)
    if worth is not Access.NONE and gateway.store.get(_LOGGED_OUT + _id_of(session)) is not None:
        return Access.NONE
    return worth


def _worth_of(session: str) -> Access:
    worth = current_gateway().keys.judge_session(session, time.time())
    return Access.FULL if worth is Access.NONE and _named_of_session(session) is not None else worth


def _named_of_session(session: str) -> Key | None:
    """The named key by which a session was made, while it counts."""
    id = whose_session(session)
    if not id:
        return None
    try:
        key = current_gateway().client_keys.known.by_id(id)
    except DatabaseError:
        return None
    if key is None or key.state(time.time()) != "active":
        return None
    return key if is_session_of(Secret(key.digest), session, time.time()) else None


def visitor() -> Visitor | None:
    """As whom this visitor is admitted: ``client`` sees its own figures only. None: nobody that is known, who may have
    an invitation. Where no key has to be shown, the cookie tells; nothing is asked of the store, which may be away."""
    admitted: Visitor | None = g.get("visitor")
    if admitted is not None:
        return admitted
    session = _session()
    if (named := _named_of_session(session)) is not None:
        return "admin" if named.is_admin else "client"
    worth = current_gateway().keys.judge_session(session, time.time())
    return "admin" if worth is Access.FULL or (worth is Access.WEAK and is_private_visitor()) else None


def is_client() -> bool:
    """Whether this visitor came by a key of the role client, which sees its own figures only."""
    return visitor() == "client"


def tell_session(response: BaseResponse) -> None:
    """Give the browser the cookie of a session that this request began, or take it away if it ended one."""
    session: str | None = g.get("session")
    if session is None:
        return
    if session:
        response.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
    else:
        response.delete_cookie(COOKIE, httponly=True, samesite="Strict", secure=request.is_secure)


def _session() -> str:
    session: str | None = g.get("session")
    return request.cookies.get(COOKIE, "") if session is None else session


def _id_of(session: str) -> str:
    return session.partition(".")[0]


def _swap_key_for_cookie(key: str) -> BaseResponse | None:
    """Get the key out of the address bar, the history and the proxy's log."""
    if request.method != "GET" or start_session(key) is None:
        return None
    rest = [(name, item) for name, item in request.args.items(multi=True) if name != QUERY_KEY]
    return redirect(local(request.path) + (f"?{urlencode(rest)}" if rest else ""), 303)


def _takes_cookie() -> bool:
    return page_at(request.path) is not None or request.path.startswith(_COOKIE_PATHS)


def _wrong_key(any_presented: bool) -> Sentence:
    if any_presented:
        return Sentence("Wrong API key. Send the bridge's own API_KEY, not one of OpenAI, Anthropic or GitHub.")
    return Sentence("No API key. Send the bridge's API_KEY as 'Authorization: Bearer <key>' or as 'x-api-key: <key>'.")
