"""The address to listen on: free, ours already, or somebody else's."""

from __future__ import annotations

import errno
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import requests

from app.doctor.database import check_running
from app.doctor.finding import Finding, note, ok, problem
from app.errors import Sentence
from app.serving.address import refusal
from app.settings import Settings

_PATIENCE_S = 5.0


def check_port(settings: Settings, *, signed_in: bool) -> Iterator[Finding]:
    """Whoever answers at HOST:PORT; if nobody does, whether we could. signed_in: whether these settings are."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    url = f"http://[{host}]:{settings.port}" if ":" in host and "[" not in host else f"http://{host}:{settings.port}"
    title = Sentence("port %(port)s", port=settings.port)
    request_id = f"doctor-{uuid.uuid4().hex}"
    try:
        with requests.Session() as session:
            session.trust_env = False  # this is our own machine: no proxy in between
            answer = session.get(
                f"{url}/livez", headers={"x-request-id": request_id}, timeout=_PATIENCE_S, allow_redirects=False
            )
            ours = answer.headers.get("x-request-id") == request_id and answer.status_code == 200
            yield from _bridge(settings, session, url, title, signed_in) if ours else _stranger(answer, title)
    except requests.ConnectionError:
        yield from _nobody(settings, title)
    except requests.RequestException:
        yield problem(
            title,
            Sentence(
                "Something holds %(url)s, but does not answer within %(patience_s)s s.",
                url=url,
                patience_s=f"{_PATIENCE_S:.0f}",
            ),
            Sentence("If it is the bridge, it hangs: look at its log and restart it. Otherwise choose another PORT."),
        )


def _bridge(settings: Settings, session: requests.Session, url: str, title: str, signed_in: bool) -> Iterator[Finding]:
    keys = [{"x-api-key": key.reveal()} for key in settings.api_keys] or [{}]
    # Health checks need no key, so they cannot tell whose it is.
    keyed = session.get(f"{url}/admin/mapping", headers=keys[0], timeout=_PATIENCE_S, allow_redirects=False)
    if keyed.status_code in (401, 403):
        yield note(
            title,
            Sentence(
                "A bridge runs at %(url)s, but does not take the API_KEY of these settings: it was started with "
                "others.",
                url=url,
            ),
            Sentence("Run doctor in the folder and environment of the service, or restart the service."),
        )
        return
    answer = session.get(f"{url}/readyz", timeout=_PATIENCE_S, allow_redirects=False)
    if answer.status_code == 200 and not signed_in:
        yield note(
            title,
            Sentence(
                "The bridge at %(url)s is signed in, and these settings are not: it was started with others.", url=url
            ),
            Sentence("Run doctor in the folder and environment of the service."),
        )
    elif answer.status_code == 200:
        yield ok(title, Sentence("the bridge runs at %(url)s and is ready", url=url))
        yield from check_running(_object(answer))
    elif b'"signed_in":false' in answer.content.replace(b" ", b""):
        yield note(
            title,
            Sentence("The bridge runs at %(url)s; nobody is signed in there.", url=url),
            Sentence("Open %(url)s/auth/device.", url=url),
        )
    else:
        yield ok(
            title, Sentence("the bridge runs at %(url)s; it fetches the model list with the first request", url=url)
        )


def _object(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _stranger(answer: requests.Response, title: str) -> Iterator[Finding]:
    server = answer.headers.get("Server", "")
    named = f" ({server[:60]})" if server else ""
    yield problem(
        title,
        Sentence("Another program%(named)s answers there, so the bridge cannot start.", named=named),
        Sentence("Stop it, or choose another port: PORT=8001."),
    )


def _nobody(settings: Settings, title: str) -> Iterator[Finding]:
    if (error := refusal(settings)) is not None:
        yield problem(title, *_why_not(settings, error))
    else:
        yield ok(
            title,
            Sentence(
                "%(host)s:%(port)s is free; the bridge is not running here", host=settings.host, port=settings.port
            ),
        )


def _why_not(settings: Settings, error: OSError) -> tuple[Sentence, Sentence]:
    if error.errno == errno.EADDRINUSE:
        return (
            Sentence("Another program holds it, and does not speak HTTP."),
            Sentence("Stop it, or choose another port: PORT=8001."),
        )
    if error.errno == errno.EACCES:
        return (
            Sentence("This user may not listen there; ports below 1024 are for the administrator."),
            Sentence("Choose a higher port, e.g. PORT=8000, and let a reverse proxy listen at 80 and 443."),
        )
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return (
            Sentence("%(host)s is no address of this machine.", host=settings.host),
            Sentence("HOST=127.0.0.1 is this machine alone, HOST=0.0.0.0 the whole network."),
        )
    return (
        Sentence("Cannot listen at %(host)s: %(why)s.", host=settings.host, why=error.strerror),
        Sentence("Check HOST and PORT."),
    )
