"""The Anthropic SDK for Python: the client that the snippet makes, its helpers for streams, parsing and tools."""

from __future__ import annotations

from typing import Any

import anthropic
from anthropic import beta_tool
from conversation import as_printed, given, serve, telling
from pydantic import BaseModel

made: dict[str, Any] = {}


class Place(BaseModel):
    city: str
    inhabitants: int


def set_up(code: str) -> str:
    names, printed = as_printed(code)
    made["client"] = names["client"]
    return printed


def client(key: str | None, retries: int | None) -> anthropic.Anthropic:
    mine: anthropic.Anthropic = made["client"]
    return mine.with_options(**given(api_key=key, max_retries=retries))


def text(api: str, model: str, prompt: str, key: str | None = None, retries: int | None = None) -> Any:
    message = client(key, retries).messages.create(model=model, max_tokens=1024, messages=user(prompt))
    return {"text": said(message), "end": message.stop_reason}


def stream(api: str, model: str, prompt: str, key: str | None = None, retries: int | None = None) -> Any:
    open_stream = client(key, retries).messages.stream
    with (
        telling({"pieces": [], "end": None}) as seen,
        open_stream(model=model, max_tokens=1024, messages=user(prompt)) as events,
    ):
        for event in events:
            if event.type == "text":
                seen["pieces"].append(event.text)
            elif event.type == "message_stop":
                seen["end"] = event.message.stop_reason
        return seen | {"text": events.get_final_text()}


def tools(api: str, model: str, prompt: str, streamed: bool = False) -> Any:
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Current weather

        Args:
            city: where
        """
        asked.append(city)
        return f"{city}: 11 degrees"

    run = client(None, 0).beta.messages.tool_runner
    runner = run(model=model, max_tokens=1024, tools=[get_weather], messages=user(prompt), stream=streamed)
    return {"asked": asked, "text": said(runner.until_done())}


def structured(api: str, model: str, prompt: str) -> Any:
    parse = client(None, 0).messages.parse
    place = parse(model=model, max_tokens=1024, messages=user(prompt), output_format=Place).parsed_output
    assert isinstance(place, Place)
    return place.model_dump()


def image(api: str, model: str, prompt: str, url: str) -> Any:
    source = {"type": "base64", "media_type": "image/png", "data": url.partition("base64,")[2]}
    content = [{"type": "text", "text": prompt}, {"type": "image", "source": source}]
    return {"text": said(client(None, 0).messages.create(model=model, max_tokens=1024, messages=user(content)))}


def thinking(api: str, model: str, prompt: str) -> Any:
    thought: Any = {"type": "enabled", "budget_tokens": 2048}
    create = client(None, 0).messages.create
    message = create(model=model, max_tokens=4096, thinking=thought, messages=user(prompt))
    return {
        "thoughts": "".join(block.thinking for block in message.content if block.type == "thinking"),
        "text": said(message),
    }


def said(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


serve(set_up, text, stream, tools, structured, image, thinking)
