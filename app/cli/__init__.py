"""Commands for the operator: ``flask --app wsgi …``, one module per subject."""

from __future__ import annotations

from flask import Flask

from app.cli.account import login, logout
from app.cli.configure import configure
from app.cli.doctor import doctor
from app.cli.show import protocols, settings


def register_commands(app: Flask) -> None:
    for command in (settings, protocols, login, logout, configure, doctor):
        app.cli.add_command(command)
