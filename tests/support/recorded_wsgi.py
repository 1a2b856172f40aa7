"""The service's app with every response recorded; what the bridge processes of the tests run."""

import os

from app import create_app
from app.settings import Settings
from tests.support.evidence import Recorded

if "FAIL_TO_START" in os.environ:
    raise RuntimeError("as the test wants it")

# As the master left the environment: its env file is in it already.
app = Recorded(create_app(Settings.from_env(os.environ)))
