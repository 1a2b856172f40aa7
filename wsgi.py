"""Entry point for WSGI servers and the flask command: ``gunicorn wsgi:app``, ``flask --app wsgi settings``."""

import logging.config
import sys

from app import create_app
from app.logs import dict_config
from app.settings import Settings, SettingsError

try:
    settings = Settings.load()
except SettingsError as error:
    sys.exit(f"copilot-bridge: {error}")

logging.config.dictConfig(dict_config(level=settings.log_level, format=settings.log_format, secrets=settings.secrets))
app = create_app(settings)
