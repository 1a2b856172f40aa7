"""The official Python SDKs, fed with every golden stream, arrive at the golden whole answer (or at an error)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.support.exchanges import FIXTURES
from tests.support.rows import rows

GOLDEN = FIXTURES / "golden"
Json = dict[str, Any]


def streams(client: str) -> list[Any]:
    found = sorted(GOLDEN.glob(f"{client}-*/*.stream.sse"))
    return [pytest.param(path, id=f"{path.parent.name}/{path.name.removesuffix('.stream.sse')}") for path in found]


def whole_of(path: Any) -> Json:
    found: Json = json.loads(path.with_name(path.name.replace(".stream.sse", ".response.json")).read_bytes())
    return found


@contextmanager
def transport(content: bytes) -> Iterator[httpx2.Client]:
    headers = {"content-type": "text/event-stream"}
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=content))
    with httpx2.Client(transport=answer) as http:
        yield http


@contextmanager
def openai_sdk(content: bytes) -> Iterator[openai.OpenAI]:
    with (
        transport(content) as http,
        openai.OpenAI(api_key="k", base_url="http://bridge.test/v1", http_client=http, max_retries=0) as client,
    ):
        yield client


@contextmanager
def anthropic_sdk(content: bytes) -> Iterator[anthropic.Anthropic]:
    with (
        transport(content) as http,
        anthropic.Anthropic(api_key="k", base_url="http://bridge.test", http_client=http, max_retries=0) as client,
    ):
        yield client


def without_empty(value: Any) -> Any:
    """A JSON value without what only says that there is nothing: null, empty lists."""
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if (inner := without_empty(item)) not in (None, [])}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def accumulate_chat(content: bytes) -> Json:
    with openai_sdk(content) as client:
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
        state: Any = ChatCompletionStreamState()
        chunks = 0
        for chunk in stream:
            chunks += 1
            if chunk.choices and chunk.choices[0].finish_reason:
                # The helper refuses to parse a cut-off answer; the snapshot is what is asked for here.
                chunk.choices[0].finish_reason = {"length": "stop", "content_filter": "stop"}.get(
                    chunk.choices[0].finish_reason, chunk.choices[0].finish_reason
                )  # type: ignore[assignment]
            state.handle_chunk(chunk)
    assert chunks
    snapshot: Json = state.current_completion_snapshot.to_dict(mode="json")
    return snapshot


def accumulate_messages(content: bytes) -> Json:
    with (
        anthropic_sdk(content) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as stream,
    ):
        message: Json = stream.get_final_message().to_dict(mode="json")
    return message


def accumulate_responses(content: bytes) -> Json:
    with openai_sdk(content) as client:
        last: Any = None
        for event in client.responses.create(model="m", input="x", stream=True):
            type(event).model_validate(event.to_dict())  # strict: a missing key raises here
            last = event
    assert last.type in ("response.completed", "response.incomplete")
    response: Json = last.response.to_dict(mode="json")
    return response


def calls_of(message: Json) -> list[Any]:
    told = []
    for call in message.get("tool_calls") or []:
        inner = call.get("function") or call.get("custom") or {}
        told.append((call["id"], inner.get("name"), inner.get("arguments", inner.get("input"))))
    return told


@rows()
@pytest.mark.parametrize("path", streams("chat"))
def test_openai_sdk_accumulates_a_chat_stream(path: Any) -> None:
    content, whole = path.read_bytes(), whole_of(path)
    if "choices" not in whole:
        with pytest.raises(openai.APIError):
            accumulate_chat(content)
        return
    told, expected = accumulate_chat(content)["choices"][0]["message"], whole["choices"][0]["message"]
    assert (told.get("content") or "") == (expected.get("content") or "")
    assert told.get("refusal") == expected.get("refusal")
    assert calls_of(told) == calls_of(expected)
    assert (told.get("reasoning_content") or "") == (expected.get("reasoning_content") or "")


@rows()
@pytest.mark.parametrize("path", streams("messages"))
def test_anthropic_sdk_accumulates_a_messages_stream(path: Any) -> None:
    content, whole = path.read_bytes(), whole_of(path)
    if "content" not in whole:
        with pytest.raises(anthropic.APIError):
            accumulate_messages(content)
        return
    told = accumulate_messages(content)
    for mine, theirs in zip(told["content"], whole["content"], strict=True):
        if "_raw_arguments" in (theirs.get("input") or {}):
            # A call that the limit cut off is no JSON: whole, it is kept as text; streamed, the SDK guesses.
            mine.pop("input")
            theirs.pop("input")
    assert without_empty(told["content"]) == without_empty(whole["content"])
    assert (told["stop_reason"], told["stop_sequence"]) == (whole["stop_reason"], whole["stop_sequence"])
    assert told["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    assert told["usage"]["input_tokens"] == whole["usage"]["input_tokens"]


@rows()
@pytest.mark.parametrize("path", streams("responses"))
def test_openai_sdk_accumulates_a_responses_stream(path: Any) -> None:
    content, whole = path.read_bytes(), whole_of(path)
    if "output" not in whole:
        with pytest.raises(openai.APIError):
            accumulate_responses(content)
        return
    told = accumulate_responses(content)
    assert (told["status"], told["incomplete_details"]) == (whole["status"], whole["incomplete_details"])
    assert told["usage"] == whole["usage"]

    def items(response: Json) -> Any:
        return without_empty([{k: v for k, v in item.items() if k != "id"} for item in response["output"]])

    assert items(told) == items(whole)
