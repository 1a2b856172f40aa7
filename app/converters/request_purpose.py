"""What a model call is for: a person's turn, or one of the calls that clients make on their own. For log and billing.

Contract §5.5: only the first call of a person's turn is ``user`` (and billed); titles, summaries, sub-agents and other
work of the client itself go as ``agent``. To tell such a call by mistake would be to evade billing. So there are three
kinds of signs, and they do not weigh the same:

* A header in which the client says it: believed, and nothing else is asked.
* A mark in the system prompt of a client that names itself: believed, because no person writes system prompts of that
  client. What stands in a person's own message never decides.
* The opening of a template in the user's message: good enough for the log, not for billing.

Values of headers and marks: client notes §1–§3 and the bundles of the clients named there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.converters.wire import json_bytes

Json = dict[str, Any]
Initiator = Literal["user", "agent"]
Purpose = Literal["turn", "tool_round", "title", "summary", "subagent", "auxiliary", "notification", "probe", "count"]
"""turn: first call of a person's turn. tool_round: a later one. notification: a client's own event, e.g. a background
task that has ended. auxiliary: the client's own needs. probe: "are you there". count: tokens are counted."""


@dataclass(frozen=True, slots=True)
class CallKind:
    """What a call is for, and who is to be named as its cause."""

    purpose: Purpose
    initiator: Initiator


# ── what clients say in headers ─────────────────────────────────────────────────────────────────────────────────────

# None: the client says that this is its main conversation, and the body tells the rest.
_BY_HEADER: Final[tuple[tuple[str, Mapping[str, Purpose | None]], ...]] = (
    # Claude Code, with CLAUDE_CODE_GATEWAY_HINT_HEADERS=1. Not here: "auxiliary" and "side_reply", under which a
    # question that a person asks on the side travels too.
    (
        "x-claude-code-request-class",
        {"main": None, "subagent": "subagent", "workflow": "subagent", "compaction": "summary"},
    ),
    ("x-claude-1p-request-class", {"summary-extraction": "auxiliary", "followup-generation": "auxiliary"}),
    ("x-openai-subagent", {"compact": "summary", "memory_consolidation": "auxiliary"}),
    ("x-openai-memgen-request", {"true": "auxiliary"}),
)
# Any value says it: an id of the sub-agent, or of the session that started this one.
_BY_PRESENCE: Final[tuple[tuple[str, str], ...]] = (
    # header, and what the user agent must begin with
    ("x-claude-code-agent-id", ""),
    ("x-openai-subagent", ""),
    ("x-parent-session-id", "opencode/"),
)
_CODEX_METADATA: Final = "x-codex-turn-metadata"
_CODEX_KINDS: Final[Mapping[str, Purpose]] = {"compaction": "summary", "memory": "auxiliary", "prewarm": "auxiliary"}
# In the middle of a turn Codex goes on from a summary of its own, which stands there as if the user had said it.
_CODEX_HANDOFF: Final = "Another language model started to solve this problem and produced a summary"
# A review is a sub-agent that a person starts by hand, with no other call before it: it counts as their turn.
_STARTED_BY_HAND: Final = "review"

# ── what stands in system prompts ───────────────────────────────────────────────────────────────────────────────────

_BY_SYSTEM: Final[tuple[tuple[str, str, Purpose], ...]] = (
    # user agent, beginning of a system text, purpose
    ("opencode/", "You are a title generator.", "title"),
    ("opencode/", "You are a context summarization agent.", "summary"),
    ("opencode/", "Summarize what was done in this conversation.", "summary"),
    ("claude-cli/", "You are a helpful AI assistant tasked with summarizing conversations.", "summary"),
    # Every turn of Qwen Code is followed by an agent that looks for something to remember.
    ("QwenCode/", "You are now acting as the managed memory extraction subagent", "auxiliary"),
    ("QwenCode/", "You are performing a managed memory dream", "auxiliary"),
    ("QwenCode/", "You are selecting memories that will be useful", "auxiliary"),
    ("QwenCode/", "You select which persisted media-memory entries are relevant", "auxiliary"),
    ("QwenCode/", "You are a security classifier for an AI coding agent", "auxiliary"),
    ("QwenCode/", "Write a short summary label describing what these tool calls accomplished.", "auxiliary"),
    ("QwenCode/", "Extract and summarize the requested information from the provided web content.", "auxiliary"),
    ("QwenCode/", "Generate a concise, sentence-case title", "title"),
    ("QwenCode/", "You generate session recaps for a programming assistant CLI.", "summary"),
    ("QwenCode/", "You are the component that summarizes a conversation", "summary"),
    ("QwenCode/", "You are a general-purpose subagent working for a parent agent.", "subagent"),
    ("QwenCode/", "You are a file search specialist agent.", "subagent"),
    ("QwenCode/", "You are one part of a code review, working for a parent review orchestrator.", "subagent"),
)
_MARKING: Final = tuple({client for client, _, _ in _BY_SYSTEM})
_CLAUDE_CODE: Final = "claude-cli/"
_QWEN_CODE: Final = "QwenCode/"
_TASK_ENDED: Final = re.compile(r"<task-notification>\s*<task-id>([\w-]+)</task-id>")
_BILLING: Final = "x-anthropic-billing-header:"
_NOTIFIED: Final = "<system-reminder>\n[SYSTEM NOTIFICATION - NOT USER INPUT]"

# ── what stands in the user's message: for the log alone ────────────────────────────────────────────────────────────

_BY_TEMPLATE: Final[tuple[tuple[str, Purpose], ...]] = (
    # Open WebUI
    ("### Task:\nGenerate a concise, 3-5 word title", "title"),
    ("### Task:\nGenerate 1-3 broad tags categorizing", "auxiliary"),
    ("### Task:\nSuggest 3-5 relevant follow-up", "auxiliary"),
    # Continue
    ("Given the following... please reply with a title for the chat", "title"),
    ("Please provide a concise summary of our conversation so far", "summary"),
    # pi, which does not name itself in its requests
    ("<conversation>\n[User]: ", "summary"),
    # Claude Code without the header above; a person may have asked for it (/compact)
    ("CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.", "summary"),
)

_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# What a probe may say besides its words; anything else, a system prompt or logprobs say, is there for an answer.
_IN_PROBES: Final = frozenset(
    {*_LIMITS, "model", "messages", "input", "stream", "stream_options", "temperature", "top_p", "n", "user"}
    | {"metadata", "store", "service_tier", "tools", "tool_choice"}
)
_TEXTS: Final = ("text", "input_text")
_LONGEST_PROBE: Final = 20  # characters: "ping", "quota", "Say this is a test"


def purpose_of(protocol: str, headers: Mapping[str, str], body: Json, initiator: Initiator) -> CallKind:
    """What this request is for. Never fails.

    headers: the client's, by lower-case name. initiator: what the conversation itself says (``Traits.initiator``).
    """
    agent = headers.get("user-agent", "")
    said = _said_in_headers(headers, agent)
    if said is None and headers.get("x-claude-code-request-class") != "main":
        said = _marked(protocol, agent, body)
    if said == "auxiliary" and _asks_for_a_title(body):
        said = "title"
    if said is not None:
        by_hand = said == "subagent" and _started_by_hand(headers)
        return CallKind(said, initiator if by_hand else "agent")
    if is_probe(body):
        return CallKind("probe", initiator)
    if protocol == "messages" and initiator == "agent" and _is_notified(body):
        return CallKind("notification", initiator)
    if protocol == "chat" and agent.startswith(_QWEN_CODE) and _is_end_of_own_task(body):
        return CallKind("notification", "agent")
    if initiator == "agent" or (protocol == "responses" and _goes_on_from_summary(headers, body)):
        return CallKind("tool_round", "agent")
    template = _template(protocol, body)
    return CallKind(template or "turn", initiator)


def is_probe(body: Json) -> bool:
    """Whether the request asks for one token and offers no tools: nobody can use such an answer but to see that one
    comes. The limit stands under ``max_tokens``, ``max_completion_tokens`` or ``max_output_tokens``."""
    asked = [body[name] for name in _LIMITS if body.get(name) is not None]
    return bool(asked) and all(type(limit) is int and limit == 1 for limit in asked) and not body.get("tools")


def is_mere_probe(body: Json) -> bool:
    """Whether a probe (`is_probe`) can be answered without the model, because no answer could tell anything.

    One word or two from a person and nothing else. A model that is asked for one token with a text to judge, with a
    system prompt or for probabilities is a classifier, and its answer is wanted.
    """
    given = {name for name, value in body.items() if value is not None and value != []}
    turns = body.get("messages", body.get("input"))
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not is_probe(body) or given - _IN_PROBES or not isinstance(turns, list) or len(turns) != 1:
        return False
    turn = turns[0]
    if not isinstance(turn, dict) or turn.get("role") != "user":
        return False
    content = turn.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    is_text = all(isinstance(part, dict) and part.get("type") in _TEXTS for part in parts)
    text = "".join(_texts(parts)).strip()
    return is_text and 0 < len(text) <= _LONGEST_PROBE


def _said_in_headers(headers: Mapping[str, str], agent: str) -> Purpose | None:
    for name, meanings in _BY_HEADER:
        value = headers.get(name, "")
        if value in meanings:
            return meanings[value]
    for name, client in _BY_PRESENCE:
        if headers.get(name) and agent.startswith(client):
            return "subagent"
    return _said_by_codex(headers.get(_CODEX_METADATA))


def _said_by_codex(metadata: str | None) -> Purpose | None:
    told = _codex(metadata)
    kind = told.get("request_kind")
    if isinstance(kind, str) and kind in _CODEX_KINDS:
        return _CODEX_KINDS[kind]
    return "subagent" if told.get("thread_source") == "subagent" else None


def _codex(metadata: str | None) -> Json:
    try:
        told = json_bytes.loads(metadata.encode()) if metadata else None
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _goes_on_from_summary(headers: Mapping[str, str], body: Json) -> bool:
    """Whether Codex says that this thread has been compacted, and nobody has said anything since."""
    window = _codex(headers.get(_CODEX_METADATA)).get("window_number")
    items = body.get("input")
    last = items[-1] if isinstance(items, list) and items else None
    content = last.get("content") if isinstance(last, dict) else None
    is_compacted = isinstance(window, int) and window > 0
    return is_compacted and next(_texts(content), "").startswith(_CODEX_HANDOFF)


def _started_by_hand(headers: Mapping[str, str]) -> bool:
    told = _codex(headers.get(_CODEX_METADATA))
    return _STARTED_BY_HAND in (headers.get("x-openai-subagent"), told.get("subagent_kind"))


def _marked(protocol: str, agent: str, body: Json) -> Purpose | None:
    """What the system prompt of a known client says."""
    if not agent.startswith(_MARKING):
        return None
    texts = [text.lstrip() for text in _system_texts(protocol, body)]
    for client, opening, purpose in _BY_SYSTEM:
        if agent.startswith(client) and any(text.startswith(opening) for text in texts):
            return purpose
    if not agent.startswith(_CLAUDE_CODE):
        return None
    billing = next((text for text in texts if text.startswith(_BILLING)), "")
    if "cc_is_subagent=true;" in billing:
        return "subagent"
    if _asks_for_a_title(body):
        return "title"
    if is_probe(body) and not texts:
        return "probe"
    return "auxiliary" if _searches_the_web(body) else None


def _asks_for_a_title(body: Json) -> bool:
    """Structured output of one field, the title, and no tools: so Claude Code asks for the name of a session."""
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return isinstance(properties, dict) and properties.keys() == {"title"} and not body.get("tools")


def _searches_the_web(body: Json) -> bool:
    """A search that the model has called for: Claude Code runs it as a conversation of its own, with this one tool."""
    tools = body.get("tools")
    only = tools[0] if isinstance(tools, list) and len(tools) == 1 else None
    return isinstance(only, dict) and str(only.get("type")).startswith("web_search_")


def _is_notified(body: Json) -> bool:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    return any(text.startswith(_NOTIFIED) for text in _texts(content))


def _is_end_of_own_task(body: Json) -> bool:
    """Whether the last message tells the end of a background task, and a tool result has told of its start before.

    The words alone could be a person's; the id of a task that a tool of this conversation has started cannot.
    """
    messages = body.get("messages")
    turns = [turn for turn in messages if isinstance(turn, dict)] if isinstance(messages, list) else []
    said = "".join(_texts(turns[-1].get("content"))) if turns and turns[-1].get("role") == "user" else ""
    ended = _TASK_ENDED.match(said)
    started = f"task_id: {ended[1]}" if ended else ""
    results = (turn for turn in turns if turn.get("role") == "tool")
    return bool(started) and any(started in text for turn in results for text in _texts(turn.get("content")))


def _template(protocol: str, body: Json) -> Purpose | None:
    turns = body.get("input") if protocol == "responses" else body.get("messages")
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list) or not turns or not isinstance(turns[-1], dict):
        return None
    texts = list(_texts(turns[-1].get("content")))
    return next((purpose for opening, purpose in _BY_TEMPLATE if any(text.startswith(opening) for text in texts)), None)


def _system_texts(protocol: str, body: Json) -> Iterator[str]:
    """The texts of the system prompt, wherever the protocol has it. Developer messages after the first do not count."""
    if protocol == "messages":
        yield from _texts(body.get("system"))
        return
    if protocol == "responses":
        yield from _texts(body.get("instructions"))
    turns = body.get("input") if protocol == "responses" else body.get("messages")
    first = turns[0] if isinstance(turns, list) and turns else None
    if isinstance(first, dict) and first.get("role") in ("system", "developer"):
        yield from _texts(first.get("content"))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
