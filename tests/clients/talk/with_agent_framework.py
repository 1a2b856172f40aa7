"""Microsoft's agent-framework: its client of the Responses API, with its defaults."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from agent_framework.openai import OpenAIChatClient
from conversation import serve


def goes_on(model: str, prompts: list[str], streamed: bool = False) -> Any:
    told: dict[str, Any] = {"texts": [], "asked": []}

    def get_weather(city: Annotated[str, "The city"]) -> str:
        """Current weather"""
        told["asked"].append(city)
        return "11 degrees"

    async def converse() -> None:
        agent = OpenAIChatClient(model=model).as_agent(tools=[get_weather])
        session = agent.create_session()
        for prompt in prompts:
            if streamed:
                updates = agent.run(prompt, session=session, stream=True)
                async for _ in updates:
                    pass  # one that ends a text brings all of it again: the stream itself knows how they add up
                told["texts"].append((await updates.get_final_response()).text)
            else:
                told["texts"].append((await agent.run(prompt, session=session)).text)

    asyncio.run(converse())
    return told


serve(goes_on)
