"""The OpenAI SDK for Python: the client that the snippet makes, its helpers for streams, parsing and tools."""

from __future__ import annotations

from typing import Any

import openai
from conversation import as_printed, given, serve, telling
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
from pydantic import BaseModel

made: dict[str, Any] = {}


class Place(BaseModel):
    city: str
    inhabitants: int


class GetWeather(BaseModel):
    """Current weather"""

    city: str


def set_up(code: str) -> str:
    names, printed = as_printed(code)
    made["client"] = names["client"]
    return printed


def client(key: str | None, retries: int | None) -> openai.OpenAI:
    mine: openai.OpenAI = made["client"]
    return mine.with_options(**given(api_key=key, max_retries=retries))


def text(api: str, model: str, prompt: str, key: str | None = None, retries: int | None = None) -> Any:
    if api == "responses":
        response = client(key, retries).responses.create(model=model, input=prompt)
        return {"text": response.output_text, "end": response.status}
    answer = client(key, retries).chat.completions.create(model=model, messages=user(prompt))
    return {"text": answer.choices[0].message.content, "end": answer.choices[0].finish_reason}


def stream(api: str, model: str, prompt: str, key: str | None = None, retries: int | None = None) -> Any:
    with telling({"pieces": [], "end": None}) as seen:
        if api == "responses":
            with client(key, retries).responses.stream(model=model, input=prompt) as events:
                for event in events:
                    if event.type == "response.output_text.delta":
                        seen["pieces"].append(event.delta)
                    elif event.type == "response.completed":
                        seen["end"] = event.response.status
                return seen | {"text": events.get_final_response().output_text}
        with client(key, retries).chat.completions.stream(model=model, messages=user(prompt)) as events:
            for event in events:
                if event.type == "content.delta":
                    seen["pieces"].append(event.delta)
                elif event.type == "chunk" and event.chunk.choices:
                    seen["end"] = event.chunk.choices[0].finish_reason or seen["end"]
            return seen | {"text": events.get_final_completion().choices[0].message.content}


def tools(api: str, model: str, prompt: str, streamed: bool = False) -> Any:
    asked: list[str] = []

    def weather(arguments: GetWeather) -> str:
        asked.append(arguments.city)
        return f"{arguments.city}: 11 degrees"

    if api == "responses":
        declared: Any = openai.pydantic_responses_function_tool(GetWeather, name="get_weather")
        runner = ResponsesToolRunner(functions=[RegisteredFunction.from_tool(declared, execute=weather)])
        final = runner.run(client(None, 0), {"model": model, "input": prompt}, stream=streamed)
        return {"asked": asked, "text": final.output_text}
    # The SDK has no runner for chat: this is the loop that its users write.
    messages: list[Any] = user(prompt)
    declared = openai.pydantic_function_tool(GetWeather, name="get_weather")
    while True:
        options: Any = {"model": model, "messages": messages, "tools": [declared]}
        if streamed:
            with client(None, 0).chat.completions.stream(**options) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client(None, 0).chat.completions.parse(**options).choices[0].message
        if not message.tool_calls:
            return {"asked": asked, "text": message.content}
        messages.append(message)
        for call in message.tool_calls:
            result = weather(call.function.parsed_arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def structured(api: str, model: str, prompt: str) -> Any:
    if api == "responses":
        place = client(None, 0).responses.parse(model=model, input=prompt, text_format=Place).output_parsed
    else:
        parse = client(None, 0).chat.completions.parse
        place = parse(model=model, messages=user(prompt), response_format=Place).choices[0].message.parsed
    assert isinstance(place, Place)
    return place.model_dump()


def image(api: str, model: str, prompt: str, url: str) -> Any:
    if api == "responses":
        picture: Any = [{"type": "input_text", "text": prompt}, {"type": "input_image", "image_url": url}]
        content: Any = [{"role": "user", "content": picture}]
        return {"text": client(None, 0).responses.create(model=model, input=content).output_text}
    parts: Any = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]
    answer = client(None, 0).chat.completions.create(model=model, messages=user(parts))
    return {"text": answer.choices[0].message.content}


def thinking(api: str, model: str, prompt: str) -> Any:
    if api == "responses":
        reasoning: Any = {"effort": "high", "summary": "auto"}
        response = client(None, 0).responses.create(model=model, input=prompt, reasoning=reasoning)
        thoughts = [part.text for item in response.output if item.type == "reasoning" for part in item.summary]
        return {"thoughts": "".join(thoughts), "text": response.output_text}
    answer = client(None, 0).chat.completions.create(model=model, messages=user(prompt), reasoning_effort="high")
    message = answer.choices[0].message
    return {"thoughts": getattr(message, "reasoning_content", None), "text": message.content}


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


serve(set_up, text, stream, tools, structured, image, thinking)
