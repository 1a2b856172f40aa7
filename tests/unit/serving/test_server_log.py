from __future__ import annotations

from typing import Any

import pytest
from gunicorn import util
from gunicorn.config import Config

from app.serving.options import options
from app.settings import Settings


def test_a_request_costs_gunicorn_no_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told = options(Settings())
    config = Config()
    config.set("logconfig_dict", told["logconfig_dict"])
    kind = util.load_class(told["logger_class"])
    monkeypatch.setattr(kind, "setup", lambda *_: None)  # logging is the test run's
    log: Any = kind(config)
    assert log.access_log_enabled, "gunicorn takes our configuration for a wish of an access log"
    monkeypatch.setattr(log, "atoms", lambda *_: pytest.fail("it gathered what a line would hold"))
    log.access(None, None, {}, None)
