"""What surrounds commands that touch the state: errors in one line, and whose the files are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from app.errors import GatewayError


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors in one line."""
    try:
        yield
    except GatewayError as error:
        raise click.ClickException(error.message) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}.") from error


@contextlib.contextmanager
def as_owner_of(data_dir: Path) -> Iterator[None]:
    """As root, act as the one whom the folder belongs to, so that the service can use what is written there."""
    if os.geteuid() != 0 or not data_dir.is_dir():
        yield
        return
    owner = data_dir.stat()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
