"""What to type to run a command of ours from here, for messages that tell people to."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def flask_command(words: str) -> str:
    """``flask --app wsgi <words>``, with the way to flask where the shell would not find it by itself.

    Relative to the working directory, which is the repository's for every command; never a path of this machine.
    """
    ours = Path(sys.executable).with_name("flask")
    found = shutil.which("flask")
    name = "flask"
    if ours.is_file() and (found is None or Path(found) != ours) and ours.is_relative_to(Path.cwd()):
        name = ours.relative_to(Path.cwd()).as_posix()
    return f"{name} --app wsgi {words}"
