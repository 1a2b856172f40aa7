"""Who an answer says it is, in tests that do not care."""

from __future__ import annotations

from app.converters.codec import Identity


def identity_of(model: str = "m", *, created: int = 0, fallback_id: str = "") -> Identity:
    return Identity(model, created, fallback_id)
