"""pydantic-ai, from the variables that the SDKs below it read."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from anthropic import AsyncAnthropic
from conversation import given, serve, telling
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Place(BaseModel):
    city: str
    inhabitants: int


def chat_model(api: str, model: str, key: str | None = None, retries: int | None = None) -> Any:
    options = given(api_key=key, max_retries=retries)
    if api == "messages":
        return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=AsyncAnthropic(**options)))
    kind = OpenAIResponsesModel if api == "responses" else OpenAIChatModel
    return kind(model, provider=OpenAIProvider(openai_client=AsyncOpenAI(**options)))


def text(api: str, model: str, prompt: str, **how: Any) -> Any:
    result = asyncio.run(Agent(chat_model(api, model, **how)).run(prompt))
    assert result.usage.output_tokens > 0
    return {"text": result.output, "end": result.response.finish_reason}


def stream(api: str, model: str, prompt: str, **how: Any) -> Any:
    async def run() -> Any:
        with telling({"pieces": [], "end": None}) as seen:
            async with Agent(chat_model(api, model, **how)).run_stream(prompt) as result:
                async for piece in result.stream_text(delta=True, debounce_by=None):
                    seen["pieces"].append(piece)
                seen["end"] = result.response.finish_reason
            return seen | {"text": "".join(seen["pieces"])}

    return asyncio.run(run())


def tools(api: str, model: str, prompt: str, streamed: bool = False) -> Any:
    asked: list[str] = []
    agent = Agent(chat_model(api, model, retries=0))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Current weather"""
        asked.append(city)
        return f"{city}: 11 degrees"

    async def run() -> Any:
        if not streamed:
            return (await agent.run(prompt)).output
        async with agent.run_stream(prompt) as result:
            return await result.get_output()

    return {"text": asyncio.run(run()), "asked": asked}


def structured(api: str, model: str, prompt: str) -> Any:
    """As a tool that has to be called, and as a format of the answer where it takes the model for capable of that."""
    mine = chat_model(api, model, retries=0)
    kinds: list[Any] = [Place, *([NativeOutput(Place)] if mine.profile.get("supports_json_schema_output") else [])]

    async def run() -> Any:
        return [(await Agent(mine, output_type=kind).run(prompt)).output for kind in kinds]

    places = asyncio.run(run())
    assert all(place == places[0] and isinstance(place, Place) for place in places)
    return places[0].model_dump()


def image(api: str, model: str, prompt: str, url: str) -> Any:
    picture = BinaryContent(base64.b64decode(url.partition("base64,")[2]), media_type="image/png")
    return {"text": asyncio.run(Agent(chat_model(api, model, retries=0)).run([prompt, picture])).output}


def thinking(api: str, model: str, prompt: str) -> Any:
    settings: Any = {
        "chat": {"openai_reasoning_effort": "high"},
        "responses": {"openai_reasoning_effort": "high", "openai_reasoning_summary": "auto"},
        "messages": {"anthropic_thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4096},
    }[api]
    result = asyncio.run(Agent(chat_model(api, model, retries=0), model_settings=settings).run(prompt))
    thoughts = [part.content for part in result.response.parts if isinstance(part, ThinkingPart)]
    return {"thoughts": "".join(thoughts), "text": result.output}


serve(text, stream, tools, structured, image, thinking)
