"""``python -m tests.support.commands.server DESCRIPTOR``: runs ``flask`` for whoever connects, until it is ended."""

import json
import os
import runpy
import signal
import socket
import sys
from typing import Any

import flask.cli

# What every call imports. None of it looks at the environment while it is imported: that is wsgi.py's affair.
import app
import app.cli.doctor
import app.cli.registry
import app.store.redis
import app.store.sqlite

_MOST_BYTES = 1 << 17
__all__ = ["app", "flask"]


def main(descriptor: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who serve
    listener = socket.socket(fileno=descriptor)
    while True:
        connection, _ = listener.accept()
        with connection:
            if os.fork() == 0:
                listener.close()
                serve(connection)
                return


def serve(connection: socket.socket) -> None:
    """One call, in a process of its own below this one, which tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
    child = os.fork()
    if child == 0:
        connection.close()
        run(json.loads(told), descriptors)
    _, status = os.waitpid(child, 0)
    connection.send(b"%d" % (os.waitstatus_to_exitcode(status) & 0xFF))


def run(told: dict[str, Any], descriptors: list[int]) -> None:
    for ours, theirs in enumerate(descriptors):
        os.dup2(theirs, ours)
        os.close(theirs)
    os.environ.clear()
    os.environ.update(told["environment"])
    os.chdir(told["folder"])
    sys.argv = ["flask", *told["words"]]
    sys.path[0] = told["folder"]
    runpy.run_module("flask", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
