"""A client started for one time: with the bridge behind it, its settings in force, and nothing written anywhere."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import IO, Final

from app.cli.processes import SERVICE, answer, child, python_environment, wait_until_alive
from app.cli.words import failure
from app.commands import own_command
from app.errors import Sentence
from app.serving.address import local_host, local_url
from app.settings import Settings, environment_for

_LAST_LINES: Final = 15
# What a shell says for a program that a signal ended.
_SIGNALLED: Final = 128


@contextlib.contextmanager
def bridge(settings: Settings) -> Iterator[None]:
    """The bridge of these settings, for the time of the context: the one that runs, else one that ends with us.

    Raises: ClickException if it does not start, or if something else is there.
    """
    if _is_running(settings):
        yield
        return
    with tempfile.TemporaryFile() as log:
        # A file, as its messages would come into the middle of the client's screen. It is there for this machine alone.
        env = python_environment({"HOST": local_host(settings)})
        with child([*SERVICE], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            if not wait_until_alive(local_host(settings), settings.port, lambda: process.poll() is None):
                raise failure(Sentence("The bridge did not start:\n%(log)s", log=_end_of(log)))
            yield


def _is_running(settings: Settings) -> bool:
    """Whether it answers. Raises: ClickException if it is another program, or a bridge that does not take our key."""
    host, port, url = local_host(settings), settings.port, local_url(settings)
    request_id = f"run-{uuid.uuid4().hex}"
    try:
        status, headers, _ = answer(host, port, "/livez", {"x-request-id": request_id})
    except ConnectionRefusedError:
        return False
    except (OSError, http.client.HTTPException) as error:
        raise failure(
            Sentence("Something holds %(url)s, but gives no answer (%(why)s). Choose another PORT.", url=url, why=error)
        ) from error
    if status != 200 or headers.get("x-request-id") != request_id:
        raise failure(Sentence("Another program listens at %(url)s. Stop it, or choose another PORT.", url=url))
    keys = [{"x-api-key": key.reveal()} for key in settings.api_keys] or [{}]
    # Any endpoint that takes a key and asks nobody else.
    if answer(host, port, "/admin/mapping", keys[0])[0] in (401, 403):
        raise failure(
            Sentence(
                "The bridge that runs at %(url)s does not take the API_KEY of these settings: it was started with "
                "others.\nGive this command the same (%(command)s shows them), or stop that bridge.",
                url=url,
                command=own_command("settings"),
            )
        )
    return True


def _end_of(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-_LAST_LINES:])


def program_of(name: str, home_page: str) -> str:
    """The way to a program. Raises: ClickException if it is not installed."""
    found = shutil.which(name)
    if found is None:
        raise failure(
            Sentence(
                "%(name)s is not installed here (no such program on the PATH). Get it: %(page)s",
                name=name,
                page=home_page,
            )
        )
    return found


def call(program: str, arguments: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run it in this terminal and wait; the exit code as a shell would give it."""
    received: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if process is None:
            received.append(number)
        else:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    for number in (signal.SIGINT, signal.SIGQUIT):
        # The terminal sends these to the program as well, which knows what they mean to it; we only wait. A function,
        # because what is ignored would be ignored by the program too.
        signal.signal(number, lambda _number, _frame: None)
    process = subprocess.Popen([program, *arguments], env=environment_for(variables))  # noqa: S603
    for missed in received:
        process.send_signal(missed)
    code = process.wait()
    return _SIGNALLED - code if code < 0 else code
