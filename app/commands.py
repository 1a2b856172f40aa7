"""What to type to run a command of ours from here, for messages that tell people to."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from app.settings import demo_env_file

_CHECKOUT = Path(__file__).resolve().parents[1]


def own_command(words: str, *, env_file: Path | None = None) -> str:
    """``copilot-bridge <words>`` where that is installed; in a checkout ``flask --app wsgi <words>``.

    env_file: settings to read; in a demo's service the demo's, unless another is named. The path of the program is
    relative to the working directory, which in a checkout is the repository's for every command; never a path of this
    machine.
    """
    env_file = env_file or demo_env_file()
    settings = f" --env-file {env_file}" if env_file else ""
    if is_installed():
        return f"copilot-bridge{settings} {words}"
    return f"{_reached(_beside('flask'))}{settings} --app wsgi {words}"


def is_installed() -> bool:
    """Whether the package, and with it its command, is installed for the Python that runs."""
    return _beside("copilot-bridge").is_file()


def _beside(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _reached(program: Path) -> str:
    """A program's name, with the way to it where the shell would not find it by itself."""
    found = shutil.which(program.name)
    if program.is_file() and (found is None or Path(found) != program):
        # The demo's service works in a folder of its own; the person who pastes the command is in the checkout.
        for folder in (_CHECKOUT, Path.cwd()):
            if program.is_relative_to(folder):
                return program.relative_to(folder).as_posix()
    return program.name
