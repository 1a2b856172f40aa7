"""What surrounds commands that touch the state: errors in one line, whose the files are, addresses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from app.cli.words import failure, unusable
from app.errors import GatewayError, Sentence, sentence_of
from app.settings import parse_url


def base_url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Reads an option: the bridge as its clients reach it."""
    if value is None:
        return None
    try:
        return parse_url(value).removesuffix("/v1")
    except ValueError as problem:
        what = Sentence(
            "%(value)s %(problem)s; example: %(example)s",
            value=repr(value),
            problem=sentence_of(problem),
            example="http://localhost:8000",
        )
        raise unusable(what) from None


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors in one line."""
    try:
        yield
    except GatewayError as error:
        raise failure(error) from error
    except OSError as error:
        raise failure(Sentence("%(file)s: %(why)s.", file=error.filename, why=error.strerror)) from error


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
