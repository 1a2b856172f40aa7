"""The endpoints: one blueprint for each."""

from __future__ import annotations

from app.blueprints import (
    admin,
    auth,
    calls,
    catalogue,
    chat,
    description,
    embeddings,
    health,
    images,
    keys,
    learned,
    mapping_rules,
    messages,
    metrics,
    models,
    probe,
    recording,
    responses,
    setup,
    usage,
)

ENDPOINTS = (
    chat.bp,
    messages.bp,
    responses.bp,
    embeddings.bp,
    images.bp,
    models.bp,
    usage.bp,
    calls.bp,
    recording.bp,
    catalogue.bp,
    learned.bp,
    metrics.bp,
    setup.bp,
    mapping_rules.bp,
    admin.bp,
    keys.bp,
    auth.bp,
    health.bp,
    probe.bp,
    description.bp,
)
