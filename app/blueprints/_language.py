"""The language of a page: the switch in its header, else what the browser prefers. English and Chinese."""

from __future__ import annotations

from flask import has_request_context, request
from flask_babel import gettext
from werkzeug.wrappers import Response as BaseResponse

from app.clients.text import Language
from app.errors import Sentence

COOKIE = "bridge_language"
PARAMETER = "lang"
LOCALES: dict[Language, str] = {"en": "en", "zh": "zh_Hans"}
NAMES: dict[Language, str] = {"en": "English", "zh": "简体中文"}

_REMEMBERED_S = 365 * 24 * 3600


def language() -> Language:
    """The language to answer this request in."""
    if not has_request_context():
        return "en"
    wanted = request.args.get(PARAMETER) or request.cookies.get(COOKIE)
    wanted = wanted or request.accept_languages.best_match(["en", "zh"], "en")
    return "zh" if wanted.lower().startswith("zh") else "en"


def locale() -> str:
    """The same, as the catalogues are named."""
    return LOCALES[language()]


def translate(message: str) -> str:
    """A sentence in the language of this request; a plain string stays as it is."""
    if not isinstance(message, Sentence):
        return message
    words: str = gettext(message.template)
    values = {
        name: translate(value) if isinstance(value, Sentence) else value for name, value in message.values.items()
    }
    return words % values if values else words


def remember(response: BaseResponse) -> None:
    """Keep a language that was chosen on a page."""
    if request.args.get(PARAMETER) and response.mimetype == "text/html":
        response.set_cookie(
            COOKIE, language(), max_age=_REMEMBERED_S, httponly=True, samesite="Lax", secure=request.is_secure
        )
