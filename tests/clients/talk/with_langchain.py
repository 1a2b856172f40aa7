"""LangChain: the model that the snippet makes, and others with the same settings."""

from __future__ import annotations

from typing import Any

from conversation import as_printed, given, serve, telling
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

made: dict[str, Any] = {}


class Place(BaseModel):
    """A place on earth."""

    city: str
    inhabitants: int


def set_up(code: str) -> str:
    names, printed = as_printed(code)
    made["model"] = names["model"]
    return printed


def chat_model(api: str, model: str, key: str | None = None, retries: int | None = None, **more: Any) -> Any:
    if api == "messages":
        return ChatAnthropic(model=model, max_tokens=4096, **given(api_key=key, max_retries=retries), **more)
    mine: ChatOpenAI = made["model"]
    options = given(max_retries=retries, use_responses_api=True if api == "responses" else None)
    return ChatOpenAI(model=model, base_url=mine.openai_api_base, api_key=key or mine.openai_api_key, **options, **more)


def text(api: str, model: str, prompt: str, **how: Any) -> Any:
    message = chat_model(api, model, **how).invoke(prompt)
    assert message.usage_metadata["total_tokens"] > 0
    return {"text": message.text, "end": end(message)}


def stream(api: str, model: str, prompt: str, **how: Any) -> Any:
    with telling({"pieces": [], "end": None}) as seen:
        whole: Any = None
        for chunk in chat_model(api, model, **how).stream(prompt):
            seen["pieces"] += [chunk.text] if chunk.text else []
            seen["end"] = end(chunk) or seen["end"]
            whole = chunk if whole is None else whole + chunk
        return seen | {"text": whole.text}


def tools(api: str, model: str, prompt: str, streamed: bool = False) -> Any:
    asked: list[str] = []

    @tool
    def get_weather(city: str) -> str:
        """Current weather"""
        asked.append(city)
        return f"{city}: 11 degrees"

    bound = chat_model(api, model, retries=0).bind_tools([get_weather])
    messages: list[Any] = [HumanMessage(prompt)]
    while True:
        if streamed:
            chunks = list(bound.stream(messages))
            message: AIMessage = sum(chunks[1:], chunks[0])
        else:
            message = bound.invoke(messages)
        if not message.tool_calls:
            return {"asked": asked, "text": message.text}
        messages.append(message)
        for call in message.tool_calls:
            result = get_weather.invoke(call["args"])
            messages.append(ToolMessage(result, tool_call_id=call["id"]))


def goes_on(model: str, prompts: list[str], streamed: bool = False) -> Any:
    told: dict[str, Any] = {"texts": [], "asked": []}

    @tool
    def get_weather(city: str) -> str:
        """Current weather"""
        told["asked"].append(city)
        return "11 degrees"

    bound = chat_model("responses", model, retries=0, use_previous_response_id=True).bind_tools([get_weather])
    messages: list[Any] = []
    for prompt in prompts:
        messages.append(HumanMessage(prompt))
        while True:
            if streamed:
                chunks = list(bound.stream(messages))
                message: AIMessage = sum(chunks[1:], chunks[0])
            else:
                message = bound.invoke(messages)
            messages.append(message)
            if not message.tool_calls:
                break
            messages += [
                ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in message.tool_calls
            ]
        told["texts"].append(message.text)
    return told


def structured(api: str, model: str, prompt: str) -> Any:
    place = chat_model(api, model, retries=0).with_structured_output(Place).invoke(prompt)
    assert isinstance(place, Place)
    return place.model_dump()


def image(api: str, model: str, prompt: str, url: str) -> Any:
    parts: list[Any] = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]
    return {"text": chat_model(api, model, retries=0).invoke([HumanMessage(parts)]).text}


def thinking(api: str, model: str, prompt: str) -> Any:
    how: Any = {
        "responses": {"reasoning": {"effort": "high", "summary": "auto"}},
        "messages": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    }[api]
    message = chat_model(api, model, retries=0, **how).invoke(prompt)
    thoughts = [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"]
    return {"thoughts": "".join(thoughts), "text": message.text}


def end(message: Any) -> Any:
    told = message.response_metadata
    return told.get("finish_reason") or told.get("stop_reason") or told.get("status")


serve(set_up, text, stream, tools, goes_on, structured, image, thinking)
