"""Entry point for WSGI servers and the flask command: ``gunicorn wsgi:app``, ``flask --app wsgi settings``."""

import logging.config
import sys

from app import create_app
from app.cli.doctor import create_diagnostics_app
from app.errors import GatewayError
from app.logs import dict_config
from app.settings import Settings, SettingsError

try:
    settings = Settings.load()
    logging.config.dictConfig(
        dict_config(level=settings.log_level, format=settings.log_format, secrets=settings.secrets)
    )
    app = create_app(settings)
except (SettingsError, GatewayError) as error:
    # `flask doctor` tells everything that is wrong; all others end here.
    if "doctor" not in sys.argv:
        sys.exit(f"copilot-bridge: {error}")
    app = create_diagnostics_app(str(error))
