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
from app.serving.address import refusal
from app.settings import Settings

_PATIENCE_S = 5.0


def check_port(settings: Settings, *, signed_in: bool) -> Iterator[Finding]:
    """Whoever answers at HOST:PORT; if nobody does, whether we could. signed_in: whether these settings are."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    url = f"http://[{host}]:{settings.port}" if ":" in host and "[" not in host else f"http://{host}:{settings.port}"
    title = f"port {settings.port}"
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
            f"Something holds {url}, but does not answer within {_PATIENCE_S:.0f} s.",
            "If it is the bridge, it hangs: look at its log and restart it. Otherwise choose another PORT.",
        )


def _bridge(settings: Settings, session: requests.Session, url: str, title: str, signed_in: bool) -> Iterator[Finding]:
    keys = [{"x-api-key": key.reveal()} for key in settings.api_keys] or [{}]
    # Health checks need no key, so they cannot tell whose it is.
    keyed = session.get(f"{url}/admin/mapping", headers=keys[0], timeout=_PATIENCE_S, allow_redirects=False)
    if keyed.status_code in (401, 403):
        yield note(
            title,
            f"A bridge runs at {url}, but does not take the API_KEY of these settings: it was started with others.",
            "Run doctor in the folder and environment of the service, or restart the service.",
        )
        return
    answer = session.get(f"{url}/readyz", timeout=_PATIENCE_S, allow_redirects=False)
    if answer.status_code == 200 and not signed_in:
        yield note(
            title,
            f"The bridge at {url} is signed in, and these settings are not: it was started with others.",
            "Run doctor in the folder and environment of the service.",
        )
    elif answer.status_code == 200:
        yield ok(title, f"the bridge runs at {url} and is ready")
        yield from check_running(_object(answer))
    elif b'"signed_in":false' in answer.content.replace(b" ", b""):
        yield note(title, f"The bridge runs at {url}; nobody is signed in there.", f"Open {url}/auth/device.")
    else:
        yield ok(title, f"the bridge runs at {url}; it fetches the model list with the first request")


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
        f"Another program{named} answers there, so the bridge cannot start.",
        "Stop it, or choose another port: PORT=8001.",
    )


def _nobody(settings: Settings, title: str) -> Iterator[Finding]:
    if (error := refusal(settings)) is not None:
        yield problem(title, *_why_not(settings, error))
    else:
        yield ok(title, f"{settings.host}:{settings.port} is free; the bridge is not running here")


def _why_not(settings: Settings, error: OSError) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        return "Another program holds it, and does not speak HTTP.", "Stop it, or choose another port: PORT=8001."
    if error.errno == errno.EACCES:
        return (
            "This user may not listen there; ports below 1024 are for the administrator.",
            "Choose a higher port, e.g. PORT=8000, and let a reverse proxy listen at 80 and 443.",
        )
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return (
            f"{settings.host} is no address of this machine.",
            "HOST=127.0.0.1 is this machine alone, HOST=0.0.0.0 the whole network.",
        )
    return f"Cannot listen at {settings.host}: {error.strerror}.", "Check HOST and PORT."
