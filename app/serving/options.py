"""gunicorn's options: gevent workers in front of plain synchronous code. Every number comes from the settings."""

from __future__ import annotations

import gc
import signal
import threading
from typing import Any, Final

from app.auth.api_key import KeyRing
from app.errors import GatewayError
from app.logs import dict_config, logger
from app.serving.address import bind_of
from app.serving.greeting import is_contained, what_next, where
from app.serving.shared_numbers import HOOKS, name_of
from app.settings import Settings

FAREWELL_S: Final = 5
"""What a worker may take to end its answers and go, once the time that they were given is over."""


def options(settings: Settings) -> dict[str, Any]:
    """What gunicorn is told, by the names of its settings."""

    def when_ready(server: Any) -> None:
        """Say what this is and where. Nearly all that there is now stays: it is not gone through for garbage."""
        gc.freeze()
        gc.enable()
        server.log.info(where(settings, contained=is_contained(), handed_over=server.systemd))
        warning = KeyRing(settings.api_keys).warning
        if warning:
            logger.warning(warning)

    def post_worker_init(worker: Any) -> None:
        """A worker is up: leave Ctrl-C to the master, and get token and model list while nobody waits for them."""
        # The terminal sends it to every process; the master then stops the workers in order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gateway = worker.gateway
        if gateway is not None and worker.numbers is not None:
            gateway.metrics.join(worker.numbers, name_of(worker))
        if gateway is not None:
            gateway.books.begin()
        if worker.age == 1 and gateway is not None:
            _say_what_next(settings, gateway)
            threading.Thread(target=gateway.migrate, name="migrate", daemon=True).start()
        if settings.warm_up and gateway is not None:
            threading.Thread(target=gateway.warm_up, name="warm-up", daemon=True).start()

    return {
        "bind": [bind_of(settings)],
        "worker_class": "app.serving.worker.Worker",
        "workers": settings.web_concurrency,
        "worker_connections": settings.worker_connections,
        # The gevent worker patches the standard library before it loads the app; a preloaded one would be unpatched.
        "preload_app": False,
        # The master's heartbeat, not a limit on requests: a gevent worker beats while its streams run on.
        "timeout": 60,
        # The master kills whoever is left after this.
        "graceful_timeout": settings.graceful_timeout_s + FAREWELL_S,
        # Longer than the 60 s for which nginx and most clients keep an idle connection, so that they close it, not we.
        "keepalive": 75,
        # The request line may carry long model names and queries, never bodies.
        "limit_request_line": 8190,
        # No control socket in the home folder.
        "control_socket_disable": True,
        "accesslog": None,
        "logger_class": "app.serving.server_log.ServerLog",
        "logconfig_dict": dict_config(level=settings.log_level, format=settings.log_format, secrets=settings.secrets),
        "when_ready": when_ready,
        "post_worker_init": post_worker_init,
        **HOOKS,
    }


def _say_what_next(settings: Settings, gateway: Any) -> None:
    """Once, in the first worker: looking at the sign-in takes imports that the master must not make."""
    try:
        token = gateway.github_tokens.current()
    except GatewayError:
        return  # told again, and better, as soon as somebody asks for something
    source = token.source if token else None
    logger.info(what_next(settings, signed_in_by=source, contained=is_contained()))
