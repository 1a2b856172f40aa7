"""The service's app, and how many greenlets there are; what the soak runs, which records no responses."""

import os

from app import create_app
from app.settings import Settings
from tests.support.counted import Counted

app = Counted(create_app(Settings.from_env(os.environ)))
