"""Cursor at the chat endpoint: a body as Responses has it, an answer as chat has it.

With its *Override OpenAI Base URL* set, Cursor's agent mode posts to ``/chat/completions`` what is meant for
``/responses`` (``input``, flat tools, ``reasoning``, ``include``), and reads ``choices[].delta`` of what comes back.
For models called Claude the items and tools may be Anthropic's. Sources: forum.cursor.com 153019, 158939, 159298;
LiteLLM #34029 and its ``/cursor/chat/completions``. Bodies with ``messages``, of whatever client, are the chat codec's:
it reads the foreign forms in them (``chat.anthropic_forms``).
"""

from __future__ import annotations

import dataclasses
from itertools import groupby
from typing import Any, Final

from app.converters import chat, responses
from app.converters.chat.anthropic_forms import BLOCKS, carries_results
from app.converters.chat.client.cursor_tools import enveloped, recalled
from app.converters.chat.client.messages import MessageDecoder
from app.converters.chat.client.tools import decode_choice, decode_tools, forbids_parallel
from app.converters.chat.thought_signatures import restored_items
from app.converters.chat.traits import image_urls as chat_image_urls
from app.converters.chat.traits import traits as chat_traits
from app.converters.codec import ClientCodec
from app.converters.neutral import field_table
from app.converters.neutral.request_traits import Traits
from app.converters.neutral.vocabulary import Message, Request
from app.converters.responses.client.input import TOOL_ITEMS, decode_input
from app.converters.responses.traits import input_items

_CHAT_KEYS: Final = frozenset({"tool_calls", "reasoning_content", "reasoning_text", "reasoning_opaque"})
_CHAT_PARTS: Final = frozenset({*BLOCKS, "image", "image_url"})
_OF_ITEMS: Final = frozenset({"type", "id", "status", "phase"})
# What chat calls otherwise, where the name that Responses has for it is missing.
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
# What chat refuses, and Responses has no word for.
_REFUSED: Final = ("n", "audio", "modalities")
_OTHERWISE_READ: Final = frozenset(
    {"messages", "n", "tools", "tool_choice", "stream_options", "reasoning_effort", *_LIMITS}
)


def codec_for(body: dict[str, Any]) -> ClientCodec:
    """What a body at the chat endpoint needs: chat's own codec, or this module's for ``input`` in place of messages."""
    return CLIENT if not body.get("messages") and body.get("input") else chat.CLIENT


def traits(body: dict[str, Any]) -> Traits:
    """Never fails: a field of the wrong type counts as absent."""
    items, options = input_items(body), body.get("stream_options")
    # What carries results alone is no word of a person's; to Responses it would be.
    said = [{} if isinstance(item, dict) and carries_results(item) else item for item in items]
    return dataclasses.replace(
        responses.CLIENT.traits({**body, "input": said}),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        has_images=responses.CLIENT.traits(body).has_images or chat_traits({"messages": items}).has_images,
    )


def image_urls(body: dict[str, Any]) -> list[str]:
    """The http and https addresses of all images, each once."""
    found = [*responses.CLIENT.image_urls(body), *chat_image_urls({"messages": input_items(body)})]
    return list(dict.fromkeys(found))


def decode_request(body: dict[str, Any]) -> Request:
    """Client → neutral. Raises: InvalidRequestError with the path of what is wrong, UnsupportedFeatureError."""
    field_table.refuse({name: body[name] for name in _REFUSED if name in body}, chat.CLIENT.fields)
    given, options = body.get("input"), body.get("stream_options")
    tool_items = [item for item in given if _is_tools(item)] if isinstance(given, list) else []
    request = responses.CLIENT.decode_request(
        {**{name: value for name, value in body.items() if name not in _OTHERWISE_READ}, **_renamed(body)}
        | {"input": tool_items}
    )
    # Nobody else sends such bodies: every call has to go in the one envelope that Cursor opens.
    tools = tuple(map(enveloped, (*decode_tools(body.get("tools")), *request.tools)))
    parallel = request.parallel_tool_calls
    return dataclasses.replace(
        request,
        messages=recalled((*request.messages, *_messages(given)), tools),
        tools=tools,
        has_tools_field=bool(tools) or body.get("tools") is not None,
        tool_choice=decode_choice(body.get("tool_choice"), "tool_choice"),
        parallel_tool_calls=False if parallel is None and forbids_parallel(body.get("tool_choice")) else parallel,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _renamed(body: dict[str, Any]) -> dict[str, Any]:
    """Fields that stand there under chat's names."""
    renamed: dict[str, Any] = {}
    limit = next((body[name] for name in _LIMITS if body.get(name) is not None), None)
    if body.get("max_output_tokens") is None and limit is not None:
        renamed["max_output_tokens"] = limit
    if body.get("reasoning") is None and body.get("reasoning_effort") is not None:
        renamed["reasoning"] = {"effort": body["reasoning_effort"], "summary": "auto"}
    return renamed


def _messages(given: Any) -> list[Message]:
    """The items in their order, runs of each kind read by the decoder that knows it."""
    if not isinstance(given, list):
        return decode_input(given)
    given = restored_items(given)
    messages: list[Message] = []
    decoder = MessageDecoder()
    for is_chat, run in groupby(enumerate(given), key=lambda numbered: _is_of_chat(numbered[1])):
        items = list(run)
        if is_chat:
            messages += [decoder.decode(_message_of(item), at, "input") for at, item in items]
        else:
            messages += decode_input([item for _, item in items], items[0][0])
    return messages


def _message_of(item: dict[str, Any]) -> dict[str, Any]:
    """A message without what only items have: a chat upstream would get it, and refuse it."""
    return {name: value for name, value in item.items() if name not in _OF_ITEMS}


def _is_tools(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == TOOL_ITEMS


def _is_of_chat(item: Any) -> bool:
    """Whether an item is a message in the words of chat or Anthropic."""
    if not isinstance(item, dict) or item.get("type") not in (None, "message") or "role" not in item:
        return False
    if item["role"] == "tool" or not _CHAT_KEYS.isdisjoint(item):
        return True
    content = item.get("content")
    kinds = (part.get("type") for part in content if isinstance(part, dict)) if isinstance(content, list) else ()
    return any(isinstance(kind, str) and kind in _CHAT_PARTS for kind in kinds)


CLIENT: Final = ClientCodec(
    name=chat.CLIENT.name,
    prefers=responses.CLIENT.prefers,
    id_prefix=chat.CLIENT.id_prefix,
    keep_alive=chat.CLIENT.keep_alive,
    fields=responses.CLIENT.fields,
    conversation=responses.CLIENT.conversation,
    traits=traits,
    image_urls=image_urls,
    decode_request=decode_request,
    encode_response=chat.CLIENT.encode_response,
    encode_stream=chat.CLIENT.encode_stream,
    encode_error=chat.CLIENT.encode_error,
)
