"""Which dialect the client of a request speaks, so that it is told of errors in its own words: its endpoint says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import current_app, request

from app.converters.codec import ClientCodec
from app.converters.registry import CLIENTS

View = TypeVar("View", bound=Callable[..., Any])

USUAL: Final = CLIENTS["chat"]
"""OpenAI's, for endpoints that say nothing."""


def speaks(dialect: ClientCodec | Callable[[], ClientCodec]) -> Callable[[View], View]:
    """Say what clients of this view speak; a function decides by the request, and must not fail."""

    def mark(view: View) -> View:
        view.dialect = dialect  # type: ignore[attr-defined]
        return view

    return mark


def current_dialect() -> ClientCodec:
    """The dialect of the current request. Where there is no such endpoint, or it does not take the method, that of the
    endpoint which the path is, or lies under."""
    view = current_app.view_functions.get(request.endpoint or _nearest_endpoint())
    dialect = getattr(view, "dialect", USUAL)
    return dialect if isinstance(dialect, ClientCodec) else dialect()


def _nearest_endpoint() -> str:
    path = re.sub("^(/v1)+/", "/v1/", request.path)  # a base URL with one /v1 too many
    above = [
        rule
        for rule in current_app.url_map.iter_rules()
        if path == rule.rule or path.startswith(rule.rule.rstrip("/") + "/")
    ]
    return max(above, key=lambda rule: len(rule.rule)).endpoint if above else ""
