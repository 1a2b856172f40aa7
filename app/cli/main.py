"""The command ``copilot-bridge``: everything that can be done, under one name.

Unlike ``flask --app wsgi``, which works with the folder it is called in, this one is installed for a person: it keeps
state in the data folder of the user and reads settings from ``env`` in the user's configuration folder, wherever it is
called. Variables of the environment go before both.
"""

from __future__ import annotations

import logging.config
from collections.abc import Callable
from pathlib import Path

import click
import platformdirs
from flask import Flask
from flask.cli import ScriptInfo
from werkzeug.utils import import_string

from app.cli.command import Group, Option, option
from app.cli.demo import demo
from app.cli.doctor import create_diagnostics_app, doctor
from app.cli.registry import COMMANDS
from app.cli.run import run
from app.cli.service import service
from app.cli.words import failure
from app.errors import GatewayError, sentence_of
from app.logs import dict_config
from app.settings import Settings, SettingsError, use_folders
from app.version import VERSION

NAME = "copilot-bridge"


def _app() -> Flask:
    """The application for commands that need one. Raises: ClickException if it cannot be built."""
    try:
        settings = Settings.load()
        logging.config.dictConfig(
            dict_config(level=settings.log_level, format=settings.log_format, secrets=settings.secrets)
        )
        factory: Callable[[Settings], Flask] = import_string("app:create_app")
        return factory(settings)
    except (SettingsError, GatewayError) as error:
        # doctor tells everything that is wrong; all others end here.
        if click.get_current_context().command is doctor:
            return create_diagnostics_app(sentence_of(error))
        raise failure(error) from error


class _InOrder(Group):
    """Lists its commands in the order in which one needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name=NAME, cls=Option)
@option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Read settings from this file, one VARIABLE=value a line.",
)
@click.pass_context
def main(context: click.Context, env_file: Path | None) -> None:
    """Your own GitHub Copilot subscription as the API your tools already speak.

    \b
    Begin with:   copilot-bridge login
                  copilot-bridge run
    Try it first: copilot-bridge demo
    """
    use_folders(
        config=platformdirs.user_config_path(NAME, appauthor=False),
        data=platformdirs.user_data_path(NAME, appauthor=False),
        env_file=env_file,
    )
    context.obj = ScriptInfo(create_app=_app)


for _command in (run, demo, *COMMANDS, service):
    main.add_command(_command)
