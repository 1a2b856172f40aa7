"""For those who start gunicorn by themselves: ``gunicorn -c gunicorn.conf.py wsgi:app``.

``python -m app.serving`` does the same and more: it reads settings anew on HUP, takes an empty WEB_CONCURRENCY (which
gunicorn reads before this file) for none, and tells a taken port in one line.
"""

import sys

from app.serving.options import options
from app.settings import Settings, SettingsError

try:
    globals().update(options(Settings.load()))
except SettingsError as error:
    sys.exit(f"copilot-bridge: {error}")
