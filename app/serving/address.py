"""The address to listen on: can it be had?"""

from __future__ import annotations

import errno
import socket

from app.errors import Sentence
from app.settings import Settings, has_sockets_of_systemd


def bind_of(settings: Settings) -> str:
    """``host:port`` as gunicorn wants it."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"


def local_host(settings: Settings) -> str:
    """Where programs of this machine reach it."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)


def local_url(settings: Settings) -> str:
    """The same as a URL, without a slash at its end."""
    host = "localhost" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def refusal(settings: Settings) -> OSError | None:
    """Why the system would not let us listen there; None if it would. Nobody is called."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As gunicorn does it, else a bridge that stopped a minute ago would still seem to hold the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Two sockets with that option may bind the same port; only one may listen.
            probe.listen(1)
    except OSError as problem:
        return problem
    return None


def trouble(settings: Settings) -> Sentence | None:
    """Why the service cannot listen, and what to do, in one line; None if it can."""
    if has_sockets_of_systemd() or (problem := refusal(settings)) is None:
        return None
    return _in_words(problem, settings)


def _in_words(problem: OSError, settings: Settings) -> Sentence:
    port = settings.port
    if isinstance(problem, socket.gaierror):
        return _no_address(settings.host)
    if problem.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return Sentence(
            "port %(port)s is taken: another program, or another bridge, listens there. Stop it, or set "
            "PORT=%(other)s.",
            port=port,
            other=other,
        )
    if problem.errno == errno.EADDRNOTAVAIL:
        return _no_address(settings.host)
    if problem.errno == errno.EACCES:
        return Sentence("this user may not listen on port %(port)s. Set PORT=8000 or another above 1023.", port=port)
    return Sentence("%(address)s cannot be listened on: %(why)s.", address=bind_of(settings), why=problem.strerror)


def _no_address(host: str) -> Sentence:
    return Sentence(
        "HOST=%(host)s is no address of this machine; HOST=127.0.0.1 and HOST=0.0.0.0 always are.", host=host
    )
