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
    Library(
        "langchain",
        "with_langchain.py",
        "python-sdks",
        ("openai-python", "anthropic-python"),
        ("chat", "responses", "messages"),
        (("openai-python", "LangChain (langchain-openai)"),),
        # It drops what OpenAI's own chat does not have.
        lacks=frozenset({("chat", "thinking")}),
    ),
    Library(
        "pydantic-ai",
        "with_pydantic_ai.py",
        "python-sdks",
        ("openai-python", "anthropic-python"),
        ("chat", "responses", "messages"),
    ),
    Library(
        "openai-agents",
        "with_openai_agents.py",
        "python-sdks",
        ("openai-python",),
        ("chat", "responses"),
    ),
    Library(
        "litellm",
        "with_litellm.py",
        "litellm",
        ("openai-python", "anthropic-python"),
        ("chat", "responses", "messages"),
        (("openai-python", "LiteLLM"),),
        # `responses` is for those who want the protocol itself.
        lacks=frozenset(("responses", verb) for verb in ("tools", "structured", "image", "thinking")),
    ),
    Library(
        "instructor",
        "with_instructor.py",
        "litellm",
        ("openai-python", "anthropic-python"),
        ("chat", "responses", "messages"),
        lacks=frozenset({"stream", "tools", "image", "thinking"}),
    ),
    Library(
        "ai-sdk",
        "with_ai_sdk.mjs",
        "node-sdks",
        ("openai-node", "anthropic-node"),
        ("chat", "responses", "messages"),
        (("openai-node", "Vercel AI SDK"),),
    ),
)
