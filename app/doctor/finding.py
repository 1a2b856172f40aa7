"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    status: ``ok``, ``note`` (works, but worth knowing) or ``problem`` (something does not work, or is not safe).
    title: the thing, a few words. what: what was found. advice: what to do; lines that begin with four spaces are to be
    copied as they are. Never a secret in any of them.
    """

    status: Status
    title: str
    what: str
    advice: str = ""


def ok(title: str, what: str, advice: str = "") -> Finding:
    return Finding("ok", title, what, advice)


def note(title: str, what: str, advice: str = "") -> Finding:
    return Finding("note", title, what, advice)


def problem(title: str, what: str, advice: str = "") -> Finding:
    return Finding("problem", title, what, advice)
