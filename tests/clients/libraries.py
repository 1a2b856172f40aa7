"""The libraries that ``test_libraries.py`` and ``test_library_troubles.py`` talk to."""

from __future__ import annotations

from tests.clients.talks import Library

LIBRARIES = (
    Library(
        "openai-python",
        "with_openai.py",
        "python-sdks",
        ("openai-python",),
        ("chat", "responses"),
        (("openai-python", "OpenAI"),),
    ),
    Library(
        "openai-node",
        "with_openai.mjs",
        "node-sdks",
        ("openai-node",),
        ("chat", "responses"),
        (("openai-node", "OpenAI"),),
    ),
    Library(
        "anthropic-python",
        "with_anthropic.py",
        "python-sdks",
        ("anthropic-python",),
        ("messages",),
        (("anthropic-python", "Anthropic"),),
    ),
    Library(
        "anthropic-node",
        "with_anthropic.mjs",
        "node-sdks",
        ("anthropic-node",),
        ("messages",),
        (("anthropic-node", "Anthropic"),),
    ),
)
BY_NAME = {library.name: library for library in LIBRARIES}
