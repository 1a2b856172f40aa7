"""``wsgi:app`` with every response recorded; what the bridge processes of the tests run."""

import wsgi
from tests.support.evidence import Recorded

app = Recorded(wsgi.app)
