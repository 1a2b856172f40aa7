"""The first lines of the log: what this is, under which address one reaches it, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from app.commands import own_command
from app.serving.address import local_url
from app.settings import Settings
from app.version import VERSION

_MARKS_OF_CONTAINERS: Final = ("/.dockerenv", "/run/.containerenv")


def where(settings: Settings, *, contained: bool, handed_over: bool) -> str:
    """What listens, and where. contained: in a container; handed_over: on sockets of systemd's."""
    if handed_over:
        at = "on the sockets of its systemd unit"
    else:
        at = f"on {local_url(settings)}"
        if contained:
            at += f" inside its container; from outside, use the port that {settings.port} is published on"
    if settings.trusted_proxies:
        at += "; clients use the address of the proxy in front (TRUSTED_PROXIES is set)"
    return f"copilot-bridge {VERSION} listens {at}"


def what_next(settings: Settings, *, signed_in_by: str | None, contained: bool) -> str:
    """What to do now. signed_in_by: whose sign-in it is, as `GitHubToken.source` says; None: nobody is signed in."""
    elsewhere = contained or settings.trusted_proxies
    page = "its page" if elsewhere else local_url(settings)
    if signed_in_by is None:
        terminal = "" if elsewhere else f", or run: {own_command('login')}"
        return f"nobody is signed in to GitHub yet: open {page} in a browser{terminal}"
    by = {
        "environment": " by GH_COPILOT_TOKEN",
        "app": " as a GitHub App",
        "editor": " with the sign-in of an editor",
    }.get(signed_in_by, "")
    setup = "on the page /setup" if elsewhere else f"on {page}/setup"
    return f"signed in{by}; the settings for your tools are {setup}"


def is_contained() -> bool:
    """Whether this looks like a container of Docker or Podman, whose ports have other numbers outside."""
    return any(Path(mark).exists() for mark in _MARKS_OF_CONTAINERS)
