"""What all pages share: the frame around them, and how an error looks in a browser."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from flask import Flask, Response, current_app, g, render_template, request
from flask_babel import Babel, format_datetime, format_decimal
from werkzeug.exceptions import HTTPException

from app.auth.api_key import Access
from app.blueprints import _language
from app.blueprints._access import (
    QUERY_KEY,
    default_key_to_show,
    form_token,
    is_private_visitor,
    judge_session,
    local,
    visitor,
)
from app.blueprints._navigation import ENDPOINTS, PAGES, Page, page_at, pages_for
from app.clients.text import Language, say
from app.converters.neutral.notices import Notice, notices_of
from app.errors import GatewayError, Sentence, SignInRequiredError
from app.gateway import current_gateway

_ADDRESS = re.compile(r"(https://[\w./?=&#%:~+-]*[\w/])", re.ASCII)


def register(app: Flask) -> None:
    """Give the templates their language and what the frame shows."""
    Babel(app, default_locale="en", locale_selector=_language.locale)
    app.jinja_env.filters["numberformat"] = lambda value: _number(value, _language.locale())
    app.context_processor(_frame)


@functools.lru_cache(maxsize=4096)
def _number(value: float, locale: str) -> str:  # noqa: ARG001 - the request's, by which it is written
    """A number as people of this language read it. Large tables have hundreds, and each takes a fifth of a
    millisecond."""
    written: str = format_decimal(value)
    return written


def error_page(error: GatewayError, request_id: str) -> Response:
    """An error of the tree as a page; for a missing or wrong key it asks for one."""
    asks_for_key = error.status == 401
    # After a wrong key the visitor still wants to go where the first form would have led.
    wanted = request.form.get("next") if request.endpoint == "auth.enter_key" and asks_for_key else request.path
    html = render_template(
        "error.html",
        error=error,
        translated=isinstance(error.message, Sentence),
        asks_for_key=asks_for_key,
        needs_sign_in=SignInRequiredError.path in error.message,
        next=wanted if wanted and _leads_to_a_page(wanted) else "/",
        request_id=request_id,
        notices={},  # who sees an error may have shown no key
    )
    return Response(html, status=error.status, content_type="text/html; charset=utf-8")


def _frame() -> dict[str, Any]:
    spoken = _language.language()
    return {
        "lang": spoken,
        # Chinese marks of punctuation bring the room behind them along.
        "gap": "" if spoken == "zh" else " ",
        "semicolon": "；" if spoken == "zh" else "; ",
        "colon": "：" if spoken == "zh" else ": ",
        "html_lang": _html_lang(spoken),
        "languages": [
            (name, _html_lang(other), _switch_to(other)) for other, name in _language.NAMES.items() if other != spoken
        ],
        "translate": _language.translate,
        "split_addresses": _split_addresses,
        "say": lambda words: say(words, spoken),
        "form_token": _form_token,
        "known_browser": _is_known_browser(),
        "warning": current_gateway().keys.warning if is_private_visitor() else None,
        "default_key": default_key_to_show(),
        "notices": _notices() if any(page.warns and page.endpoint == request.endpoint for page in PAGES) else {},
        "at": _at,
        "pages": _pages(),
        "page": page_at(request.path),
    }


def _pages() -> tuple[Page, ...]:
    """What this visitor may open: nothing yet for who has shown no key, with an invitation or without."""
    return pages_for(visitor())


def _notices() -> dict[Notice, list[str]]:
    """What Copilot's model list warns of. A page must hold without it."""
    try:
        return notices_of(model.raw for model in current_gateway().catalog.known())
    except GatewayError:
        return {}


def _html_lang(spoken: Language) -> str:
    return _language.LOCALES[spoken].replace("_", "-")


def _switch_to(other: Language) -> str:
    """The same page in another language. What cannot be asked for again leads to the start page."""
    path = request.path if _is_page(request.path) else "/"
    rest = [
        (name, value) for name, value in request.args.items(multi=True) if name not in (QUERY_KEY, _language.PARAMETER)
    ]
    return f"{local(quote(path))}?{urlencode([*rest, (_language.PARAMETER, other)])}"


def _is_page(path: str) -> bool:
    return request.method == "GET" or current_app.url_map.bind("").test(path, "GET")


def _leads_to_a_page(path: str) -> bool:
    try:
        endpoint, _ = current_app.url_map.bind("").match(path, "GET")
    except HTTPException:
        return False
    return endpoint in ENDPOINTS


def _at(moment: float) -> str:
    """A time in epoch seconds as people read it, in UTC: the server does not know where they are."""
    return f"{format_datetime(datetime.fromtimestamp(moment, UTC), 'medium', rebase=False)} UTC"


def _split_addresses(text: str) -> list[str]:
    """Every second piece is an address on the web, also where a Chinese full stop follows it."""
    return _ADDRESS.split(text)


def _form_token() -> str:
    """For the forms of a page. One that is shown while the store is away cannot be sent; it can be read."""
    try:
        return form_token()
    except GatewayError:
        return ""


def _is_known_browser() -> bool:
    """Whether there is a cookie to forget. The frame must hold even while the store does not."""
    if g.get("session") is not None:
        return bool(g.session)
    try:
        return judge_session() is not Access.NONE
    except GatewayError:
        return False
