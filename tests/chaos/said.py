"""What the SDKs make of an answer, whatever the dialect."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.answers import Shape, cities_of, text_of


@dataclass(slots=True)
class Said:
    """What an SDK made of an answer."""

    text: str = ""
    calls: dict[Any, list[str]] = field(default_factory=dict)  # id, name, arguments
    finish: str | None = None
    error: str | None = None  # in a stream of Responses, which tells it by an event

    def differs_from(self, word: str, shape: Shape, texts: tuple[str, ...] = ()) -> str:
        """What is not as it should be; empty if all is."""
        if self.text not in (text_of(word), *texts):
            return f"the text is {self.text[:200]!r}"
        if self.finish != ("tools" if shape == "tools" else "stop"):
            return f"the finish is {self.finish!r}"
        try:
            cities = [json.loads(arguments)["city"] for _, _, arguments in self.calls.values()]
        except (ValueError, KeyError, TypeError):
            return f"the arguments are {list(self.calls.values())}"
        if cities != cities_of(word, shape) or len({call[0] for call in self.calls.values()}) != len(cities):
            return f"the calls are {list(self.calls.values())}"
        return ""


_FINISHES: Final = {"tool_calls": "tools", "tool_use": "tools", "end_turn": "stop"}


def _read_chat(made: Any, said: Said) -> None:
    choice = made.choices[0]
    said.text = choice.message.content or ""
    for number, call in enumerate(choice.message.tool_calls or []):
        said.calls[number] = [call.id, call.function.name, call.function.arguments]
    said.finish = _FINISHES.get(choice.finish_reason, choice.finish_reason)


def _read_chat_chunk(chunk: Any, said: Said) -> None:
    if not chunk.choices:
        return
    choice = chunk.choices[0]
    said.text += choice.delta.content or ""
    for call in choice.delta.tool_calls or []:
        held = said.calls.setdefault(call.index, ["", "", ""])
        told = (call.id, call.function and call.function.name, call.function and call.function.arguments)
        said.calls[call.index] = [have + (more or "") for have, more in zip(held, told, strict=True)]
    if choice.finish_reason:
        said.finish = _FINISHES.get(choice.finish_reason, choice.finish_reason)


def _read_message(made: Any, said: Said) -> None:
    said.text = "".join(block.text for block in made.content if block.type == "text")
    for number, block in enumerate(made.content):
        if block.type == "tool_use":
            said.calls[number] = [block.id, block.name, json.dumps(block.input)]
    said.finish = _FINISHES.get(made.stop_reason, made.stop_reason)


def _read_message_event(event: Any, said: Said) -> None:
    if event.type == "content_block_start" and event.content_block.type == "tool_use":
        given = json.dumps(event.content_block.input) if event.content_block.input else ""
        said.calls[event.index] = [event.content_block.id, event.content_block.name, given]
    elif event.type == "content_block_start" and event.content_block.type == "text":
        said.text += event.content_block.text
    elif event.type == "content_block_delta" and event.delta.type == "text_delta":
        said.text += event.delta.text
    elif event.type == "content_block_delta" and event.delta.type == "input_json_delta":
        said.calls[event.index][2] += event.delta.partial_json
    elif event.type == "message_delta":
        said.finish = f"{event.delta.stop_reason}, and no end"
    elif event.type == "message_stop":
        told = (said.finish or "").removesuffix(", and no end")
        said.finish = _FINISHES.get(told, told)


def _read_response(made: Any, said: Said) -> None:
    if made.status == "failed":
        said.error = f"failed: {made.error}"
    said.text = made.output_text
    for number, item in enumerate(made.output):
        if item.type == "function_call":
            said.calls[number] = [item.call_id, item.name, item.arguments]
    said.finish = {"completed": "tools" if said.calls else "stop"}.get(made.status, made.status)


def _read_response_event(event: Any, said: Said) -> None:
    if event.type == "response.output_text.delta":
        said.text += event.delta
    elif event.type == "error":
        said.error = f"error: {event.code} {event.message}"
    elif event.type == "response.failed":
        said.error = f"failed: {event.response.error}"
    elif event.type in ("response.completed", "response.incomplete"):
        streamed = said.text
        _read_response(event.response, said)
        if streamed != said.text:
            said.finish = f"other words than before, {streamed[:100]!r}"


READERS: Final[dict[tuple[str, bool], Callable[[Any, Said], None]]] = {
    ("chat", False): _read_chat,
    ("chat", True): _read_chat_chunk,
    ("messages", False): _read_message,
    ("messages", True): _read_message_event,
    ("responses", False): _read_response,
    ("responses", True): _read_response_event,
}
"""By dialect, and whether it is one event of a stream or a whole answer."""
