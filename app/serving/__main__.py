"""``python -m app.serving``: start the service. Every documented way to run it comes through here."""

from __future__ import annotations

import argparse
import gc
import sys

from app.serving.address import trouble
from app.settings import Environment, SettingsError
from app.terminal import in_words


def main(arguments: list[str] | None = None) -> None:
    """Start the service and stay until it ends; `SystemExit` with one line if it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m app.serving", description="Start the service.")
    parser.add_argument(
        "--check", action="store_true", help="build it as the service would, say what is wrong, and end"
    )
    parser.add_argument("app", nargs="?", metavar="MODULE:APP", help="another WSGI application around the service's")
    given = parser.parse_args(arguments)
    environment = Environment()
    try:
        settings = environment.load()
    except SettingsError as error:
        sys.exit(f"copilot-bridge: {in_words(error)}")
    # Not before: gunicorn reads WEB_CONCURRENCY and others while it is imported, and an empty one is too much for it.
    from app.serving.master import Service

    service = Service(environment, settings, given.app)
    if given.check:
        service.check()
    elif problem := trouble(settings):
        sys.exit(f"copilot-bridge: {in_words(problem)}")
    else:
        gc.disable()  # until it is up: see `when_ready` of its options
        service.run()


if __name__ == "__main__":
    main()
