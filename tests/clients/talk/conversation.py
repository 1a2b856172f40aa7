"""One library in a process of its own: commands come in as JSON lines, and what it gave or raised goes out as such.

Runs under the Python of the library's own environment, so it uses nothing but the standard library. Commands:
``{"id": 1, "do": VERB, "with": {…}}``; answers: ``{"id": 1, "value": …}`` or ``{"id": 1, "raised": {…}}``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_lock = threading.Lock()


def serve(*verbs: Callable[..., Any]) -> None:
    """Do what is asked, each command in a thread, until nobody asks any more."""
    by_name = {verb.__name__: verb for verb in verbs}
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not come between the answers

    def answer(command: dict[str, Any]) -> None:
        try:
            told = {"value": by_name[command["do"]](**command["with"])}
        except BaseException as error:
            told = {"raised": described(error)}
        with _lock:
            print(json.dumps({"id": command["id"], **told}), file=answers, flush=True)

    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()


def described(error: BaseException) -> dict[str, Any]:
    """An exception as somebody who catches it could tell it apart."""
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    cause = error.__cause__ or (error.__context__ if not error.__suppress_context__ else None)
    return {
        "type": type(error).__name__,
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "message": str(error),
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "retry_after": headers.get("retry-after"),
        "seen": getattr(error, "seen", None),
        "cause": described(cause) if cause is not None else None,
    }


def as_printed(code: str) -> tuple[dict[str, Any], str]:
    """Run a snippet exactly as it stands: the names it has made, and what it printed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "snippet", "exec"), names)
    return names, printed.getvalue()


@contextlib.contextmanager
def telling(seen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Whatever is raised in this block carries `seen`: what had arrived until then."""
    try:
        yield seen
    except Exception as error:
        error.seen = seen  # type: ignore[attr-defined]
        raise


def given(**options: Any) -> dict[str, Any]:
    """The options that have a value."""
    return {name: value for name, value in options.items() if value is not None}
