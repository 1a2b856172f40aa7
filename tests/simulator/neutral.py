"""Requests of ``/responses`` and ``/v1/messages`` in chat terms, for everything that only wants to understand them.

Nothing here refuses anything: what makes no sense is left out, the checks of each endpoint see the original.
"""

import json
from typing import Any

Json = dict[str, Any]


def _dicts(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _assistant(messages: list[Json]) -> Json:
    """The assistant message at the end, opened if need be: one turn is one message here."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": []})
    return messages[-1]


def _call(messages: list[Json], call_id: Any, name: Any, arguments: str) -> None:
    _assistant(messages).setdefault("tool_calls", []).append(
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    )


def _function(name: Any, parameters: Any, description: Any = None) -> Json:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": parameters if isinstance(parameters, dict) else {},
        },
    }


def _named(name: Any) -> Json:
    return {"type": "function", "function": {"name": name}}


def _given(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def _schema(wanted: Any) -> Json | None:
    """``response_format`` for ``text.format`` and ``output_config.format``."""
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_schema", "json_object"):
        return None
    return {"type": wanted["type"], "json_schema": {"schema": wanted.get("schema") or {}}}


def _inner(fields: Json, name: str, key: str) -> Any:
    value = fields.get(name)
    return value.get(key) if isinstance(value, dict) else None


# -- responses -------------------------------------------------------------------------------------------------------


def from_responses(fields: Json) -> Json:
    messages: list[Json] = []
    if isinstance(fields.get("instructions"), str):
        messages.append({"role": "system", "content": fields["instructions"]})
    given = fields.get("input")
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else _dicts(given):
        _item(messages, item)
    loaded = [item for item in _dicts(given) if item.get("type") in ("additional_tools", "tool_search_output")]
    offers = [fields.get("tools"), *(item.get("tools") for item in loaded)]
    tools = [tool for offer in offers for one in _dicts(offer) for tool in _responses_tool(one)]
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        choice = _named(choice["name"]) if "name" in choice else choice.get("mode")
    return {
        "messages": messages,
        **_given(
            model=fields.get("model"),
            tools=tools or None,
            tool_choice=choice,
            parallel_tool_calls=fields.get("parallel_tool_calls"),
            max_completion_tokens=fields.get("max_output_tokens"),
            response_format=_schema(_inner(fields, "text", "format")),
        ),
    }


def _item(messages: list[Json], item: Json) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        content = item.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else _parts(content)
        if item.get("role") == "assistant":
            _assistant(messages)["content"] += parts
        else:
            messages.append({"role": item.get("role"), "content": parts})
    elif kind == "reasoning":
        _assistant(messages)
    elif kind == "function_call":
        _call(messages, item.get("call_id"), item.get("name"), str(item.get("arguments") or ""))
    elif kind == "custom_tool_call":
        _call(messages, item.get("call_id"), item.get("name"), json.dumps({"input": item.get("input") or ""}))
    elif kind == "tool_search_call":
        _call(messages, item.get("call_id"), "tool_search", json.dumps(item.get("arguments")))
    elif kind == "tool_search_output":
        found = json.dumps([tool.get("name") for tool in _dicts(item.get("tools"))])
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": f"found {found}"})
    elif kind == "function_call_output" and item.get("call_id") is None:
        output = item.get("output")
        text = output if isinstance(output, str) else json.dumps(output)
        messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
    elif kind in ("function_call_output", "custom_tool_call_output"):
        output = item.get("output")
        messages.append(
            {
                "role": "tool",
                "tool_call_id": item.get("call_id"),
                "content": output if isinstance(output, str) else _parts(output),
            }
        )


def _parts(content: Any) -> list[Json]:
    found: list[Json] = []
    for part in _dicts(content):
        if part.get("type") == "input_image":
            found.append({"type": "image_url", "image_url": {"url": part.get("image_url")}})
        elif part.get("type") in ("input_text", "output_text", "refusal"):
            found.append({"type": "text", "text": part.get("text", part.get("refusal"))})
        else:
            found.append({"type": "other"})
    return found


def _responses_tool(tool: Json) -> list[Json]:
    if tool.get("type") == "namespace":
        return [one for inner in _dicts(tool.get("tools")) for one in _responses_tool(inner)]
    if tool.get("type") == "custom":
        schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        told = [tool.get("description"), _inner(tool, "format", "definition")]
        return [_function(tool.get("name"), schema, "\n".join(text for text in told if text) or None)]
    if tool.get("type") == "tool_search":
        return [_function("tool_search", tool.get("parameters"), tool.get("description"))]
    if "name" in tool:
        return [_function(tool["name"], tool.get("parameters"), tool.get("description"))]
    return []


# -- messages --------------------------------------------------------------------------------------------------------

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def from_messages(fields: Json) -> Json:
    messages: list[Json] = []
    if fields.get("system"):
        messages.append({"role": "system", "content": _blocks(fields["system"])})
    for message in _dicts(fields.get("messages")):
        if message.get("role") == "assistant":
            _from_assistant(messages, message.get("content"))
        else:
            _from_user(messages, message)
    tools = [
        _function(tool.get("name"), tool.get("input_schema"), tool.get("description"))
        for tool in _dicts(fields.get("tools"))
        if "input_schema" in tool
    ]
    choice, parallel = fields.get("tool_choice"), None
    if isinstance(choice, dict):
        parallel = False if choice.get("disable_parallel_tool_use") else None
        choice = _named(choice.get("name")) if choice.get("type") == "tool" else _CHOICES.get(str(choice.get("type")))
    stops = fields.get("stop_sequences")
    return {
        "messages": messages,
        **_given(
            model=fields.get("model"),
            tools=tools or None,
            tool_choice=choice,
            parallel_tool_calls=parallel,
            max_tokens=fields.get("max_tokens"),
            stop=stops if isinstance(stops, list) else None,
            response_format=_schema(_inner(fields, "output_config", "format") or fields.get("output_format")),
        ),
    }


def _from_user(messages: list[Json], message: Json) -> None:
    """Tool results first, then what else the turn holds."""
    content = message.get("content")
    messages.extend(
        {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _blocks(block.get("content"))}
        for block in _dicts(content)
        if block.get("type") == "tool_result"
    )
    rest = _blocks(content)
    if rest or not messages or messages[-1]["role"] != "tool":
        messages.append({"role": message.get("role"), "content": rest})


def _from_assistant(messages: list[Json], content: Any) -> None:
    turn = _assistant(messages)
    turn["content"] += _blocks(content)
    for block in _dicts(content):
        if block.get("type") == "tool_use":
            _call(messages, block.get("id"), block.get("name"), json.dumps(block.get("input"), ensure_ascii=False))


def _blocks(content: Any) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    found: list[Json] = []
    for block in _dicts(content):
        source: Json = block["source"] if isinstance(block.get("source"), dict) else {}
        if block.get("type") == "text":
            found.append({"type": "text", "text": block.get("text")})
        elif block.get("type") == "image":
            url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
            found.append({"type": "image_url", "image_url": {"url": url}})
        elif block.get("type") == "document":
            found.append({"type": "document", **({"text": source.get("data")} if source.get("type") == "text" else {})})
    return found
