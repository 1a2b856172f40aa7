"""What a request may be sent without when upstream refuses it by name, and which of these names may be remembered.

A refusal's text is partly chosen by others: upstream quotes names and values that a client made up. So a name counts
only where the request really has it, and what is remembered, for everybody's requests to that model, has to meet more:
a plain field at the top level (or inside one) that carries neither the conversation, nor the tools, nor the answer's
form, refused for itself and not for the value that one client gave it.

Names are those of `refusal.repairs`: ``temperature``, ``reasoning.effort``, ``messages[].name``, ``tools[].strict``,
``beta:…``, ``type:custom``, ``thinking.adaptive``, ``reasoning.effort="low"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from app.converters.codec import UpstreamRequest
from app.converters.neutral.amended import ANOTHER_WAY
from app.converters.wire import body_paths, json_bytes
from app.converters.wire.error_body import read_error
from app.converters.wire.refusal_words import PROOF, TYPE

LONGEST_NAME: Final = 100
_BETA: Final = "beta:"
_BETA_HEADER: Final = "anthropic-beta"

# Without these there is no request, or another one: they never go as a whole.
_WHOLE: Final = frozenset(
    {"model", "messages", "input", "instructions", "system", "prompt", "tools", "functions", "stream"}
    | {"previous_response_id", "conversation", "background", "text", "text.format", "audio", "thread"}
)
# What would be another request with any other value than these, which say no more than the field's absence.
_SAYS_NOTHING: Final[dict[str, tuple[Any, ...]]] = {"n": (None, 1), "modalities": (None, ["text"])}
# What makes a message, an item or a tool what it is.
_ESSENTIAL_INSIDE: Final = frozenset(
    {"role", "content", "type", "text", "id", "name", "function", "custom", "parameters", "input_schema", "schema"}
    | {"tool_calls", "arguments", "input", "output", "call_id", "tool_call_id", "tool_use_id", "source", "summary"}
    | {"image_url", "file", "data", "description", "format", "json_schema", "messages", "tools"}
)
_NAMED_INSIDE: Final = frozenset({"messages.name"})  # the only essential word that means little in one place
_SCHEMAS: Final = frozenset({"parameters", "input_schema", "schema", "json_schema", "output_schema"})

# What is never remembered, neither whole nor a part of it: the conversation, the tools, the form of the answer.
_NEVER_REMEMBERED: Final = _WHOLE | frozenset(
    {"tool_choice", "tool_config", "parallel_tool_calls", "function_call", "mcp_servers", "max_tool_calls"}
    | {"response_format", "output_format", "modalities", "audio", "n", "stop", "stop_sequences", "stream_options"}
    | {"max_tokens", "max_completion_tokens", "max_output_tokens", "logprobs", "top_logprobs", "truncation"}
)
_NEVER_REMEMBERED_PATHS: Final = frozenset({"output_config.format"})
_PLAIN: Final = re.compile(r"[A-Za-z_$][\w$-]*(?:(?:\[\])?\.[A-Za-z_$][\w$-]*){0,5}")
_PLAIN_BETA: Final = re.compile(r"[\w.,-]+")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_$][\w$-]*")

# Types that a model takes or not, whatever a client does with them. Those of a client's own invention are not kept.
_KNOWN_TYPES: Final = frozenset(
    {"custom", "custom_tool_call", "custom_tool_call_output", "namespace", "additional_tools"}
    | {"web_search", "web_search_preview", "web_search_call", "tool_search", "tool_search_call", "tool_search_output"}
    | {"shell", "shell_call", "shell_call_output", "apply_patch", "apply_patch_call", "apply_patch_call_output"}
    | {"function_call_output", "x_search"}
)

# The field is refused for this model, whatever is in it …
_OF_THE_FIELD: Final = re.compile(
    r"extra inputs are not permitted|(?:unsupported|unknown|unrecognized|unexpected) (?:request )?"
    r"(?:parameter|argument|field|key|beta)|not supported|does not support|(?:is|are) (?:unsupported|not allowed"
    r"|deprecated)"
)
# … or for what this client put into it, or beside it.
_OF_THE_VALUE: Final = re.compile(
    r"unsupported value|invalid|may only|must be|should be|cannot both|\bexpected\b|\bwhen\b|\bwithout\b"
    r"|\bonly (?:if|with)|at (?:most|least)|maximum|minimum|combin|together"
)
_DEFAULT_ONLY: Final = re.compile(r"only the default \S{0,40} ?value is supported")


def can_go(name: str, sent: UpstreamRequest) -> bool:
    """Whether the request that was refused has what is named, and still means the same without it."""
    if name.startswith(_BETA):
        return any(header.lower() == _BETA_HEADER for header in sent.headers)
    if name == PROOF or name.startswith(TYPE):
        return True
    path = re.split("[=>]", name, maxsplit=1)[0]
    steps = body_paths.steps(path)
    if not steps or path in _WHOLE or ".".join(steps) in _WHOLE:
        return False
    body = body_of(sent)
    if name in ANOTHER_WAY:
        return steps[0] in body
    if path in _SAYS_NOTHING and body.get(path) not in _SAYS_NOTHING[path]:
        return False
    return (path != name or _is_removable(steps)) and body_paths.find(body, path) is not None


def can_be_remembered(name: str, sent: UpstreamRequest, refusal: bytes) -> bool:
    """Whether the name may be left out of everybody's requests to that model. Ask only once the repeat was accepted.

    sent: the request that was refused. refusal: upstream's body, which is looked at for whose fault it was.
    """
    if not is_rememberable(name):
        return False
    body = body_of(sent)
    # A client with fields of its own invention can make upstream say anything.
    if not all(_PLAIN_KEY.fullmatch(key) for key in body):
        return False
    if name.startswith(TYPE):
        # Words that the request itself holds may be a quotation.
        return read_error(refusal).message.lower() not in json_bytes.dumps(body).decode("utf-8", "replace").lower()
    if not name.startswith(_BETA) and body_paths.steps(name)[0] not in body:
        return False
    # Not what stands around the words: all of these errors have the type `invalid_request_error`.
    told = read_error(refusal)
    said = told.message.lower()
    found = _OF_THE_FIELD.search(said) or _OF_THE_FIELD.search(told.code.replace("_", " "))
    if found is None or (_OF_THE_VALUE.search(said) and not _DEFAULT_ONLY.search(said)):
        return False
    # Words that the request itself holds may be a quotation.
    return found[0] not in json_bytes.dumps(body).decode("utf-8", "replace").lower()


def is_rememberable(name: str) -> bool:
    """Whether the name, by itself, is one that may be kept: plain, short, and of no essential field."""
    if len(name) > LONGEST_NAME:
        return False
    if name.startswith(TYPE):
        return name.removeprefix(TYPE) in _KNOWN_TYPES
    if name.startswith(_BETA):
        return bool(_PLAIN_BETA.fullmatch(name.removeprefix(_BETA)))
    if not _PLAIN.fullmatch(name):
        return False
    steps = body_paths.steps(name)
    return steps[0] not in _NEVER_REMEMBERED and ".".join(steps) not in _NEVER_REMEMBERED_PATHS


def _is_removable(steps: list[str]) -> bool:
    if len(steps) == 1:
        return True
    leaf = steps[-1]
    if leaf in _ESSENTIAL_INSIDE and f"{steps[0]}.{leaf}" not in _NAMED_INSIDE:
        return False
    # In a schema every name is the client's own, except for the marks of JSON Schema itself.
    return leaf.startswith("$") or _SCHEMAS.isdisjoint(steps)


def body_of(sent: UpstreamRequest) -> Mapping[str, Any]:
    """What a request says; {} if it says nothing."""
    try:
        body = json_bytes.loads(sent.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
