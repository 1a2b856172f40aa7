"""The first lines of the log name an address that works from where the reader is, and the next step."""

from __future__ import annotations

import pytest

from app.serving.greeting import what_next, where
from app.settings import Settings
from app.version import VERSION


def settings(**env: str) -> Settings:
    return Settings.from_env(env)


@pytest.mark.parametrize(
    ("env", "address"),
    [
        ({}, "http://localhost:8000"),
        ({"HOST": "::", "PORT": "9000"}, "http://localhost:9000"),
        ({"HOST": "192.0.2.7"}, "http://192.0.2.7:8000"),
        ({"HOST": "::1"}, "http://[::1]:8000"),
    ],
)
def test_the_address_can_be_opened(env: dict[str, str], address: str) -> None:
    told = where(settings(**env), contained=False, handed_over=False)
    assert told == f"copilot-bridge {VERSION} listens on {address}"
    assert what_next(settings(**env), signed_in_by="bridge", contained=False).endswith(f" on {address}/setup")


def test_in_a_container_it_is_said_that_the_address_is_one_inside() -> None:
    told = where(settings(), contained=True, handed_over=False)
    assert told.endswith(
        "on http://localhost:8000 inside its container; from outside, use the port that 8000 is published on"
    )
    for source in (None, "bridge"):
        assert "localhost" not in what_next(settings(), signed_in_by=source, contained=True)


def test_behind_a_proxy_its_address_counts() -> None:
    behind = settings(TRUSTED_PROXIES="1")
    assert "the proxy in front" in where(behind, contained=False, handed_over=False)
    assert "localhost" not in what_next(behind, signed_in_by=None, contained=False)


def test_on_sockets_of_systemd_the_settings_do_not_tell_the_address() -> None:
    assert where(settings(), contained=False, handed_over=True).endswith("on the sockets of its systemd unit")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "nobody is signed in to GitHub yet: open http://localhost:8000 in a browser, or run: "),
        ("environment", "signed in by GH_COPILOT_TOKEN; "),
        ("editor", "signed in with the sign-in of an editor; "),
        ("bridge", "signed in; the settings for your tools"),
    ],
)
def test_the_next_step_depends_on_the_sign_in(source: str | None, words: str) -> None:
    assert what_next(settings(), signed_in_by=source, contained=False).startswith(words)
