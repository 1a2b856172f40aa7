"""The OpenAI Agents SDK, from the variables that the SDK below it reads.

Tracing is off: it would send what is said, and the key, to OpenAI.
"""

from __future__ import annotations

import asyncio
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from conversation import given, serve, telling
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)


class Place(BaseModel):
    city: str
    inhabitants: int


def agent(api: str, model: str, key: str | None = None, retries: int | None = None, **more: Any) -> Agent[Any]:
    kind = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
    client = AsyncOpenAI(**given(api_key=key, max_retries=retries))
    return Agent(name="Helper", model=kind(model, openai_client=client), **more)


def text(api: str, model: str, prompt: str, **how: Any) -> Any:
    result = asyncio.run(Runner.run(agent(api, model, **how), prompt))
    return {"text": result.final_output, "end": None}


def stream(api: str, model: str, prompt: str, **how: Any) -> Any:
    async def run() -> Any:
        with telling({"pieces": [], "end": None}) as seen:
            result = Runner.run_streamed(agent(api, model, **how), prompt)
            async for event in result.stream_events():
                if event.type != "raw_response_event":
                    continue
                if event.data.type == "response.output_text.delta":
                    seen["pieces"].append(event.data.delta)
                elif event.data.type == "response.completed":
                    seen["end"] = "completed"
            return seen | {"text": result.final_output}

    return asyncio.run(run())


def tools(api: str, model: str, prompt: str, streamed: bool = False) -> Any:
    asked: list[str] = []

    @function_tool
    def get_weather(city: str) -> str:
        """Current weather"""
        asked.append(city)
        return f"{city}: 11 degrees"

    mine = agent(api, model, retries=0, tools=[get_weather])

    async def run() -> Any:
        if not streamed:
            return (await Runner.run(mine, prompt)).final_output
        result = Runner.run_streamed(mine, prompt)
        async for _ in result.stream_events():
            pass
        return result.final_output

    return {"text": asyncio.run(run()), "asked": asked}


def structured(api: str, model: str, prompt: str) -> Any:
    place = asyncio.run(Runner.run(agent(api, model, retries=0, output_type=Place), prompt)).final_output
    assert isinstance(place, Place)
    return place.model_dump()


def image(api: str, model: str, prompt: str, url: str) -> Any:
    parts = [{"type": "input_text", "text": prompt}, {"type": "input_image", "image_url": url, "detail": "auto"}]
    result = asyncio.run(Runner.run(agent(api, model, retries=0), [{"role": "user", "content": parts}]))
    return {"text": result.final_output}


def thinking(api: str, model: str, prompt: str) -> Any:
    from openai.types.shared import Reasoning

    settings = ModelSettings(reasoning=Reasoning(effort="high", summary="auto"))
    result = asyncio.run(Runner.run(agent(api, model, retries=0, model_settings=settings), prompt))
    thoughts = [item.raw_item for item in result.new_items if item.type == "reasoning_item"]
    return {"thoughts": "".join(part.text for one in thoughts for part in one.summary), "text": result.final_output}


serve(text, stream, tools, structured, image, thinking)
