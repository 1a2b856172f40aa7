"""The commands that work with an application, in the order in which one needs them."""

from __future__ import annotations

from app.cli.account import login, logout
from app.cli.configure import configure
from app.cli.database import database
from app.cli.doctor import doctor
from app.cli.keys import keys
from app.cli.learned import learned
from app.cli.mapping import mapping
from app.cli.replay import replay
from app.cli.show import protocols, settings
from app.cli.state import backup, restore, store
from app.cli.usage import usage

COMMANDS = (
    *(login, logout, configure, doctor, usage, mapping),
    *(settings, protocols, learned, replay, keys, backup, restore, store, database),
)
"""Those that start one, ``run`` and ``demo``, belong to `app.cli.main` alone."""
