"""``service``: the bridge in the background, started with each login: by systemd on Linux, by launchd on macOS."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import platformdirs

from app.cli.command import group, option
from app.cli.words import failure, say
from app.commands import is_installed, own_command
from app.errors import Sentence
from app.settings import environment_for

_NAME: Final = "copilot-bridge"
_OPEN_FILES: Final = 8192
# A little more than GRACEFUL_TIMEOUT_S, so that running answers may finish.
_STOP_S: Final = 40
_NO_BUS: Final = Sentence(
    "systemd runs nothing for this user here, as after su or sudo, or in a container. Log in as this user (by ssh, "
    "say) and try again, or take the unit of the system, which docs/operating.md describes."
)
# What says where settings and state are; everything else belongs into the env file.
_KEPT: Final = ("ENV_FILE", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@dataclass(frozen=True, slots=True)
class Manager:
    """What keeps services running. file: where it looks for ours; text: what stands in it. The rest are commands."""

    program: str
    file: Path
    text: str
    install: tuple[tuple[str, ...], ...]
    status: tuple[str, ...]
    uninstall: tuple[tuple[str, ...], ...]
    log: str
    reload: tuple[tuple[str, ...], ...] = ()


def systemd(config: Path, command: list[str], variables: Mapping[str, str]) -> Manager:
    """config: the user's configuration folder. command: what starts the service and stays in the foreground."""
    lines = [f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(variables.items())]
    text = f"""\
# Written by: copilot-bridge service install

[Unit]
Description=copilot-bridge, a GitHub Copilot subscription as an OpenAI-compatible API

[Service]
Type=notify
NotifyAccess=main
{"".join(lines)}ExecStart={" ".join(_quoted(word, in_command=True) for word in command)}
ExecReload=kill -HUP $MAINPID
KillMode=mixed
TimeoutStopSec={_STOP_S}
Restart=on-failure
RestartSec=2
LimitNOFILE={_OPEN_FILES}
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""
    systemctl = ("systemctl", "--user")
    unit = f"{_NAME}.service"
    return Manager(
        program="systemctl",
        file=config / "systemd/user" / unit,
        text=text,
        install=((*systemctl, "daemon-reload"), (*systemctl, "enable", unit), (*systemctl, "restart", unit)),
        status=(*systemctl, "status", "--no-pager", unit),
        uninstall=((*systemctl, "disable", "--now", unit),),
        reload=((*systemctl, "daemon-reload"),),
        log=f"journalctl --user -u {_NAME}",
    )


def _quoted(word: str, *, in_command: bool = False) -> str:
    """As systemd reads it: quoted, its specifiers and variables taken by the letter."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped.replace("$", "$$") if in_command else escaped}"'


def launchd(home: Path, command: list[str], variables: Mapping[str, str], uid: int) -> Manager:
    """home: the user's home folder; uid: the user's number. command: as for `systemd`."""
    file = home / "Library/LaunchAgents" / f"{_NAME}.plist"
    log = str(home / "Library/Logs" / f"{_NAME}.log")
    agent = {
        "Label": _NAME,
        "ProgramArguments": command,
        "EnvironmentVariables": dict(variables),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ExitTimeOut": _STOP_S,
        "SoftResourceLimits": {"NumberOfFiles": _OPEN_FILES},
        "Umask": 0o077,
        "StandardOutPath": log,
        "StandardErrorPath": log,
    }
    domain = f"gui/{uid}"
    return Manager(
        program="launchctl",
        file=file,
        text=plistlib.dumps(agent).decode(),
        install=(("launchctl", "bootstrap", domain, str(file)),),
        status=("launchctl", "print", f"{domain}/{_NAME}"),
        uninstall=(("launchctl", "bootout", f"{domain}/{_NAME}"),),
        log=f"tail -f {log}",
    )


def _manager() -> Manager:
    """That of this machine. Raises: ClickException where there is none that we know."""
    command = [sys.executable, "-m", "app", "run"]
    set_now = environment_for({})
    variables = {name: set_now[name] for name in _KEPT if set_now.get(name) not in (None, "", os.devnull)}
    if sys.platform == "darwin":
        found = launchd(Path.home(), command, variables, os.getuid())
    else:
        found = systemd(platformdirs.user_config_path(), command, variables)
    if shutil.which(found.program) is None:
        raise failure(
            Sentence(
                "%(program)s is not here. Services are set up with systemd on Linux and with launchd on macOS; "
                "elsewhere start “%(command)s” with what your system has, or use Docker.",
                program=found.program,
                command=own_command("run"),
            )
        )
    return found


@group()
def service() -> None:
    """Keep the bridge running in the background, from login on."""


@service.command()
@option("--print", "prints", is_flag=True, help="Print the unit or agent, and change nothing.")
def install(prints: bool) -> None:
    """Start the bridge now and with each login."""
    if not is_installed() or "archive-v" in sys.prefix:
        raise failure(
            Sentence(
                "The service needs a copy of the bridge that stays: pipx install copilot-bridge-server, or "
                "uv tool install copilot-bridge-server. From a checkout: deploy/copilot-bridge.service."
            )
        )
    manager = _manager()
    if prints:
        click.echo(manager.text, nl=False)
        return
    if manager.program == "launchctl":
        _try(manager.uninstall)  # an agent that is loaded would not take the new text
    manager.file.parent.mkdir(parents=True, exist_ok=True)
    was_there = manager.file.exists()
    manager.file.write_text(manager.text, "utf-8")
    first, *others = manager.install
    try:
        _call((first,))
    except click.ClickException:
        if not was_there:
            manager.file.unlink()
        raise
    _call(tuple(others))
    say(Sentence("The bridge runs, and starts with each login (%(file)s).", file=manager.file))
    say(Sentence("Its log: %(log)s", log=manager.log))
    say(Sentence("Is all in order? %(command)s", command=own_command("doctor")))


@service.command()
def status() -> None:
    """Show whether it runs."""
    manager = _manager()
    if not manager.file.exists():
        command = own_command("service install")
        raise failure(Sentence("It is not installed as a service. Do so: %(command)s", command=command))
    sys.exit(subprocess.run(manager.status, check=False).returncode)  # noqa: S603


@service.command()
def uninstall() -> None:
    """Stop it and start it no more. State and settings stay."""
    manager = _manager()
    if not manager.file.exists():
        say(Sentence("It is not installed as a service."))
        return
    _try(manager.uninstall)
    manager.file.unlink()
    _try(manager.reload)
    say(Sentence("Stopped, and %(file)s is gone. State and settings are where they were.", file=manager.file))


def _call(commands: tuple[tuple[str, ...], ...]) -> None:
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            what = Sentence("%(command)s failed: %(why)s", command=" ".join(command), why=said)
            raise failure(Sentence.joined(what, _NO_BUS if "connect to bus" in said else "", by="\n"))


def _try(commands: tuple[tuple[str, ...], ...]) -> None:
    for command in commands:
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603
