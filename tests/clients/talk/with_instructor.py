"""instructor around the official clients, in each of its modes: that is how it gets structured output."""

from __future__ import annotations

from typing import Any

import instructor
from anthropic import Anthropic
from conversation import given, serve
from instructor import Mode
from openai import OpenAI
from pydantic import BaseModel

MODES = {
    "chat": (Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON),
    "responses": (Mode.RESPONSES_TOOLS,),
    "messages": (Mode.ANTHROPIC_TOOLS, Mode.ANTHROPIC_JSON),
}
# JSON modes describe the schema in the prompt, so the simulated model has to be told what to say.
SPOKEN = (Mode.JSON, Mode.MD_JSON, Mode.ANTHROPIC_JSON)


class Place(BaseModel):
    city: str
    inhabitants: int


def client(api: str, mode: Mode, key: str | None = None, retries: int | None = None) -> Any:
    options = given(api_key=key, max_retries=retries)
    if api == "messages":
        return instructor.from_anthropic(Anthropic(**options), mode=mode)
    return instructor.from_openai(OpenAI(**options), mode=mode)


def create(api: str, model: str, prompt: str, mode: Mode, **more: Any) -> Any:
    how = {name: more.pop(name) for name in ("key", "retries") if name in more}
    if api == "messages":
        more["max_tokens"] = 1024
    method = client(api, mode, **how).create
    return method(model=model, messages=[{"role": "user", "content": prompt}], max_retries=0, **more)


def text(api: str, model: str, prompt: str, **how: Any) -> Any:
    answer = create(api, model, prompt, MODES[api][0], response_model=None, **how)
    if api == "messages":
        return {"text": answer.content[0].text, "end": answer.stop_reason}
    if api == "responses":
        return {"text": answer.output_text, "end": answer.status}
    return {"text": answer.choices[0].message.content, "end": answer.choices[0].finish_reason}


def structured(api: str, model: str, prompt: str) -> Any:
    spoken = '[[say: {"city": "sample", "inhabitants": 1}]]'
    places = []
    for mode in MODES[api]:
        said = spoken if mode in SPOKEN else prompt
        place = create(api, model, said, mode, response_model=Place, retries=0)
        assert isinstance(place, Place)
        places.append(place.model_dump())
    assert all(place == places[0] for place in places), places
    return places[0]


serve(text, structured)
