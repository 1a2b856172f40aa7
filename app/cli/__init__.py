"""Commands for the operator: ``flask --app wsgi …`` in a checkout, ``copilot-bridge …`` elsewhere. A module each."""

from __future__ import annotations

import click
from flask import Flask
from flask.cli import AppGroup


class _Commands(AppGroup):
    """Those of the registry, imported when somebody asks for one: a worker needs none, and pays for each module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        from app.cli.registry import COMMANDS

        for command in COMMANDS:
            self.commands.setdefault(command.name or "", command)


def register_commands(app: Flask) -> None:
    app.cli = _Commands(app.name)
