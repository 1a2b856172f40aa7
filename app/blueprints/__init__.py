"""The doors: one blueprint per endpoint."""

from __future__ import annotations

from app.blueprints import admin, auth, chat, embeddings, health, messages, models, probe, responses, setup, usage

DOORS = (
    chat.bp,
    messages.bp,
    responses.bp,
    embeddings.bp,
    models.bp,
    usage.bp,
    setup.bp,
    admin.bp,
    auth.bp,
    health.bp,
    probe.bp,
)
