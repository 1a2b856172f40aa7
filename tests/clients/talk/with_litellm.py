"""LiteLLM: `completion` for all providers, as the snippet calls it, and `responses`."""

from __future__ import annotations

import json
import os
from typing import Any

from conversation import as_printed, serve, telling
from pydantic import BaseModel

made: dict[str, Any] = {}


class Place(BaseModel):
    city: str
    inhabitants: int


def set_up(code: str) -> str:
    names, printed = as_printed(code)
    made["litellm"] = names["litellm"]
    return printed


def options(api: str, model: str, key: str | None = None, retries: int | None = None) -> Any:
    if api == "messages":
        base, provider, usual = os.environ["ANTHROPIC_BASE_URL"], "anthropic", os.environ["ANTHROPIC_API_KEY"]
    else:
        base, provider, usual = os.environ["OPENAI_BASE_URL"], "openai", os.environ["OPENAI_API_KEY"]
    more = {"max_tokens": 4096} if api == "messages" else {}
    return {
        "model": f"{provider}/{model}",
        "api_base": base,
        "api_key": key or usual,
        **({"num_retries": 2} if retries is None else {"max_retries": retries}),
        **more,
    }


def text(api: str, model: str, prompt: str, **how: Any) -> Any:
    if api == "responses":
        response = made["litellm"].responses(input=prompt, **options(api, model, **how))
        return {"text": response.output_text, "end": response.status}
    answer = made["litellm"].completion(messages=user(prompt), **options(api, model, **how))
    return {"text": answer.choices[0].message.content, "end": answer.choices[0].finish_reason}


def stream(api: str, model: str, prompt: str, **how: Any) -> Any:
    with telling({"pieces": [], "end": None}) as seen:
        if api == "responses":
            for event in made["litellm"].responses(input=prompt, stream=True, **options(api, model, **how)):
                if event.type == "response.output_text.delta":
                    seen["pieces"].append(event.delta)
                elif event.type == "response.completed":
                    seen["end"] = event.response.status
        else:
            for chunk in made["litellm"].completion(messages=user(prompt), stream=True, **options(api, model, **how)):
                seen["pieces"] += [chunk.choices[0].delta.content] if chunk.choices[0].delta.content else []
                seen["end"] = chunk.choices[0].finish_reason or seen["end"]
        return seen | {"text": "".join(seen["pieces"])}


def tools(api: str, model: str, prompt: str, streamed: bool = False) -> Any:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    declared = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}
    asked: list[str] = []
    messages: list[Any] = user(prompt)
    while True:
        answer = made["litellm"].completion(
            messages=messages, tools=[declared], stream=streamed, **options(api, model, retries=0)
        )
        if streamed:
            answer = made["litellm"].stream_chunk_builder(list(answer), messages=messages)
        message = answer.choices[0].message
        if not message.tool_calls:
            return {"asked": asked, "text": message.content}
        messages.append(message)
        for call in message.tool_calls:
            asked.append(json.loads(call.function.arguments)["city"])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{asked[-1]}: 11 degrees"})


def structured(api: str, model: str, prompt: str) -> Any:
    answer = made["litellm"].completion(messages=user(prompt), response_format=Place, **options(api, model, retries=0))
    return Place.model_validate_json(answer.choices[0].message.content).model_dump()


def image(api: str, model: str, prompt: str, url: str) -> Any:
    parts = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": url}}]
    answer = made["litellm"].completion(messages=user(parts), **options(api, model, retries=0))
    return {"text": answer.choices[0].message.content}


def thinking(api: str, model: str, prompt: str) -> Any:
    how: Any = {"reasoning_effort": "high"}
    if api == "messages":
        # It knows from the name which models think, and has to be told of others.
        how = {"thinking": {"type": "enabled", "budget_tokens": 2048}, "allowed_openai_params": ["thinking"]}
    elif "codex" in model:
        # It calls /responses for these, and asks for a summary only where it is told to.
        how = {"reasoning_effort": {"effort": "high", "summary": "auto"}}
    answer = made["litellm"].completion(messages=user(prompt), **how, **options(api, model, retries=0))
    message = answer.choices[0].message
    return {"thoughts": message.reasoning_content, "text": message.content}


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


serve(set_up, text, stream, tools, structured, image, thinking)
