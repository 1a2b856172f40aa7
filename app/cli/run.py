"""``run``: the service; or a client for one time, with the service behind it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import webbrowser
from pathlib import Path
from typing import NamedTuple

import click
from flask.cli import ScriptInfo

from app.cli.account import login
from app.cli.command import argument, command, option
from app.cli.configure import Places, facts_for, moved_by, no_such_client, places_of, sign_in_first
from app.cli.launch import bridge, call, program_of
from app.cli.processes import SERVICE, python_environment, wait_until_alive
from app.cli.words import failure, unusable
from app.clients.files.once import prepared
from app.clients.registry import CLIENTS, STARTABLE
from app.commands import own_command
from app.errors import GatewayError, Sentence, SignInRequiredError
from app.gateway import current_gateway
from app.logs import logger
from app.serving.address import local_host, local_url
from app.settings import Settings, SettingsError, override


@command(context_settings={"allow_interspersed_args": False})
@option("--host", help="Address to listen on; goes before HOST.")
@option("--port", type=click.IntRange(1, 65535), help="Port to listen on; goes before PORT.")
@option("--open", "opens", is_flag=True, help="Open the bridge's page in a browser once it runs.")
@option("--model", help="CLIENT: the model to begin with, instead of the one chosen from your list.")
@option("--small-model", help="CLIENT: the model for titles and other small things.")
@moved_by
@argument("client", required=False)
@argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def run(
    host: str | None,
    port: int | None,
    opens: bool,
    model: str | None,
    small_model: str | None,
    client: str | None,
    arguments: tuple[str, ...],
    **moved: Path | None,
) -> None:
    """Start the service; or CLIENT, with the service behind it.

    \b
    copilot-bridge run                       the service, until Ctrl-C
    copilot-bridge run claude-code [ARGS]... Claude Code with ARGS; also codex,
                                             opencode, aider, qwen-code, pi, …

    With CLIENT, the bridge that runs is used, or one is started that ends with the client. The client's settings are in
    force for this one time: none of its files is changed.
    """
    override({name: str(value) for name, value in (("HOST", host), ("PORT", port)) if value is not None})
    # As it is before the env file is read into it: the service reads the file by itself, and again on HUP.
    environment = python_environment({})
    try:
        settings = Settings.load()
    except SettingsError as error:
        raise failure(error) from error
    if client is not None:
        program = program_of(*_of_the_terminal(client))
        sys.exit(_run_client(settings, Started(client, program, arguments, model, small_model), places_of(None, moved)))
    if opens:
        _open_once_it_runs(settings)
    # The same process: signals, exit code and what systemd watches are the service's own.
    os.execve(SERVICE[0], SERVICE, environment)  # noqa: S606


def _open_once_it_runs(settings: Settings) -> None:
    """In a process beside, because this one becomes the service."""
    service = os.getpid()
    if os.fork():
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if wait_until_alive(local_host(settings), settings.port, lambda: os.getppid() == service):
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(local_url(settings))
    os._exit(0)


class Started(NamedTuple):
    """What was asked for: a client, what it is given, and the models to begin with."""

    client: str
    program: str
    arguments: tuple[str, ...]
    model: str | None
    small_model: str | None


def _of_the_terminal(name: str) -> tuple[str, str]:
    """The program's name and home page. Raises: BadParameter if it is none that can be started."""
    if name not in CLIENTS:
        raise no_such_client(name, STARTABLE)
    if name not in STARTABLE:
        command = own_command(f"configure {name}")
        what = Sentence(
            "%(name)s is no program of the terminal. How to set it up: %(command)s", name=name, command=command
        )
        raise unusable(what, "CLIENT")
    return STARTABLE[name]


def _run_client(settings: Settings, asked: Started, places: Places) -> int:
    """The client's exit code."""
    context = click.get_current_context()
    with context.ensure_object(ScriptInfo).load_app().app_context(), contextlib.ExitStack() as around:
        logger.setLevel(logging.WARNING)  # the terminal belongs to the client
        try:
            gateway = current_gateway()
            if gateway.github_tokens.current() is None and sys.stdin.isatty():
                context.invoke(login)
            setup = CLIENTS[asked.client](facts_for(gateway, local_url(settings), asked.model, asked.small_model))
            assert setup.once is not None
            around.enter_context(bridge(settings))
            variables = around.enter_context(prepared(setup.once, setup.files, *places))
        except SignInRequiredError as error:
            raise failure(sign_in_first(error)) from error
        except GatewayError as error:
            raise failure(error) from error
        return call(asked.program, asked.arguments, variables)
