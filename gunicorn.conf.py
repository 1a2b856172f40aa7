"""gunicorn: gevent workers in front of plain synchronous code. Every number comes from the settings.

``preload_app`` stays off: the gevent worker patches the standard library before it loads the app, and a preloaded app
would have been loaded unpatched.
"""

import signal
import sys
import threading

from app.auth.api_key import KeyRing
from app.logs import dict_config, logger
from app.settings import Settings, SettingsError

try:
    _settings = Settings.load()
except SettingsError as error:
    sys.exit(f"copilot-bridge: {error}")

bind = [f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"]
worker_class = "gevent"
workers = _settings.web_concurrency
worker_connections = _settings.worker_connections
preload_app = False
# The arbiter's heartbeat, not a limit on requests: a gevent worker beats while its streams run on.
timeout = 60
graceful_timeout = _settings.graceful_timeout_s
# Longer than the 60 s for which nginx and most clients keep an idle connection, so that they close it and not we.
keepalive = 75
# The request line may carry long model names and queries, never bodies.
limit_request_line = 8190
# No control socket in the home folder, no temp files on a slow disk for the heartbeat.
control_socket_disable = True
accesslog = None
logconfig_dict = dict_config(level=_settings.log_level, format=_settings.log_format, secrets=_settings.secrets)


def when_ready(server):
    """Say where we are and what to do next."""
    host = "localhost" if _settings.host in ("0.0.0.0", "::") else _settings.host
    server.log.info("copilot-bridge listens on http://%s:%s – open it in a browser to sign in", host, _settings.port)
    warning = KeyRing(_settings.api_keys).warning
    if warning:
        logger.warning(warning)


def post_worker_init(worker):
    """A worker is up: leave Ctrl-C to the master, and get token and model list while nobody waits for them."""
    # The terminal sends it to every process; the master then stops the workers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _settings.warm_up:
        gateway = worker.wsgi.extensions["gateway"]
        threading.Thread(target=gateway.warm_up, name="warm-up", daemon=True).start()
