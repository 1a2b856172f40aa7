"""copilot-bridge: a GitHub Copilot subscription as the API that tools already speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.version import VERSION as __version__

__all__ = ["__version__", "create_app"]

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Build the service. Nothing is connected or written yet; that happens on first use, in the worker.

    settings: the configuration; None reads it from the environment.
    Raises: SettingsError for a bad variable.
    """
    # Imported here, so that `import app.settings` stays light: gunicorn's master reads the settings before its gevent
    # workers patch the standard library, and must not have imported requests (and with it ssl) by then.
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    from app.blueprints import ENDPOINTS, _address_rule, _endpoint, _pages
    from app.cli import register_commands
    from app.gateway import Gateway
    from app.settings import Settings

    settings = settings if settings is not None else Settings.load()
    # No static folder: pages carry their style and script, so that no file is served without a key.
    app = Flask(__name__, static_folder=None)
    # Flask looks at every function it calls, at every call, whether it is a coroutine. None of ours is.
    app.ensure_sync = lambda function: function  # type: ignore[assignment, method-assign]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_rule_class = _address_rule.LazyRule
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.extensions["gateway"] = Gateway.build(settings)
    app.jinja_env.globals["nonce"] = _endpoint.page_nonce
    _endpoint.register(app)
    _pages.register(app)
    for endpoint in ENDPOINTS:
        app.register_blueprint(endpoint)
    register_commands(app)
    app.wsgi_app = _endpoint.SingleSlashes(app.wsgi_app)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=hops
        )
    return app
