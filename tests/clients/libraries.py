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
        is_official=True,
    ),
    Library(
        "openai-node",
        "with_openai.mjs",
        "node-sdks",
        ("openai-node",),
        ("chat", "responses"),
        (("openai-node", "OpenAI"),),
        is_official=True,
    ),
    Library(
        "anthropic-python",
        "with_anthropic.py",
        "python-sdks",
        ("anthropic-python",),
        ("messages",),
        (("anthropic-python", "Anthropic"),),
        is_official=True,
    ),
    Library(
        "anthropic-node",
        "with_anthropic.mjs",
        "node-sdks",
        ("anthropic-node",),
        ("messages",),
        (("anthropic-node", "Anthropic"),),
        is_official=True,
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
        kinds={"BadRequestError": "ContextWindowExceededError", "InternalServerError": "BadGatewayError"},
        shows_headers=False,
        repeats_all=True,
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
        # One kind for all answers that are errors; they differ in `statusCode`.
        kinds={
            **dict.fromkeys(
                ("AuthenticationError", "RateLimitError", "InternalServerError", "BadRequestError", "NotFoundError"),
                "AI_APICallError",
            ),
            "APIError": "AI_StreamProviderError",
        },
    ),
)

AGENT_FRAMEWORK = Library(
    "agent-framework", "with_agent_framework.py", "agent-framework", ("openai-python",), ("responses",)
)

GOING_ON = (*(one for one in LIBRARIES if one.name in ("openai-node", "langchain", "ai-sdk")), AGENT_FRAMEWORK)
"""Those that rely on stored responses, by their defaults or by a setting of theirs."""
