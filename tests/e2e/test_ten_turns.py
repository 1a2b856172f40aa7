"""One conversation of ten turns, with tools and thinking, in which every turn has another dialect and another model.

The client keeps each answer in the dialect in which it came, and says it in another one when it must: the small
functions below are all that it knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.upstream import generations, in_chat_terms, text_of

SONNET, CODEX, GEMINI, GPT = "claude-sonnet-4.6", "gpt-5.3-codex", "gemini-3-pro-preview", "gpt-4.1"

TURNS = [
    ("messages", SONNET),
    ("responses", CODEX),
    ("chat", GEMINI),
    ("messages", CODEX),
    ("responses", SONNET),
    ("chat", CODEX),
    ("responses", GEMINI),
    ("messages", GPT),
    ("chat", CODEX),
    ("messages", SONNET),
]
SPOKEN_UPSTREAM = {SONNET: "/v1/messages", CODEX: "/responses", GEMINI: "/chat/completions", GPT: "/chat/completions"}

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "array"}, "note": {"type": "string"}},
    "required": ["city"],
}


# ── what is said ────────────────────────────────────────────────────────────────────────────────────────────────────


def arguments(turn: int) -> list[dict[str, Any]]:
    """Two calls in every third turn, one in the others."""
    first: dict[str, Any] = {
        "city": f"Zürich {turn}",
        "days": [turn, 2.5, None, True, {}],
        "note": 'a "b" \\ c\n\t€ 👋🏽 </x>',
    }
    return [first, {"city": f"Oslo {turn}"}] if turn % 3 == 0 else [first]


def prompt(turn: int) -> str:
    tools = " ".join(f"[[tool: get_weather {json.dumps(one, ensure_ascii=False)}]]" for one in arguments(turn))
    return (
        f"[[think: thought {turn}]] [[say: looking {turn}]] {tools} [[next]] "
        f"[[think: afterthought {turn}]] [[say: answer {turn} über 你好]] question {turn}"
    )


def result(turn: int, call: int) -> str:
    return f"result {turn}.{call}: 11 °C"


# ── what the client keeps, and how it says it in another dialect ────────────────────────────────────────────────────


@dataclass
class Thought:
    text: str
    proof: str


@dataclass
class Call:
    id: str
    name: str
    arguments: str


Part = str | Thought | Call


@dataclass
class Answer:
    """An answer as it came: an assistant message, a list of blocks, or a list of output items."""

    dialect: str
    native: Any

    @property
    def parts(self) -> list[Part]:
        return READ[self.dialect](self.native)

    @property
    def calls(self) -> list[Call]:
        return [part for part in self.parts if isinstance(part, Call)]

    @property
    def thoughts(self) -> list[Thought]:
        return [part for part in self.parts if isinstance(part, Thought)]

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))


@dataclass
class Results:
    contents: list[tuple[str, str]]  # call id, content


def read_chat(message: Any) -> list[Part]:
    parts: list[Part] = []
    if message.get("reasoning_text") or message.get("reasoning_opaque"):
        parts.append(Thought(message.get("reasoning_text") or "", message.get("reasoning_opaque") or ""))
    if message.get("content"):
        parts.append(message["content"])
    calls = message.get("tool_calls") or []
    parts += [Call(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]
    return parts


def read_messages(blocks: Any) -> list[Part]:
    parts: list[Part] = []
    for block in blocks:
        if block["type"] == "thinking":
            parts.append(Thought(block["thinking"], block["signature"]))
        elif block["type"] == "text":
            parts.append(block["text"])
        elif block["type"] == "tool_use":
            parts.append(Call(block["id"], block["name"], json.dumps(block["input"])))
    return parts


def read_responses(items: Any) -> list[Part]:
    parts: list[Part] = []
    for item in items:
        if item["type"] == "reasoning":
            text = "".join(part["text"] for part in item["summary"])
            parts.append(Thought(text, item.get("encrypted_content") or ""))
        elif item["type"] == "message":
            parts += [part["text"] for part in item["content"]]
        elif item["type"] == "function_call":
            parts.append(Call(item["call_id"], item["name"], item["arguments"]))
    return parts


READ: dict[str, Callable[[Any], list[Part]]] = {
    "chat": read_chat,
    "messages": read_messages,
    "responses": read_responses,
}

History = list[str | Answer | Results]


def kept(answer: Answer, dialect: str, carries_proofs: bool) -> list[Part]:
    """A foreign answer: without its thoughts, or with them and whatever stood in the field of their proof."""
    return [part for part in answer.parts if carries_proofs or not isinstance(part, Thought)]


def as_chat(history: History, carries_proofs: bool) -> list[Any]:
    messages: list[Any] = []
    for entry in history:
        if isinstance(entry, str):
            messages.append({"role": "user", "content": entry})
        elif isinstance(entry, Results):
            for call_id, content in entry.contents:
                messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
        elif entry.dialect == "chat":
            messages.append(entry.native)
        else:
            messages.append(chat_message(kept(entry, "chat", carries_proofs)))
    return messages


def chat_message(parts: list[Part]) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(one for one in parts if isinstance(one, str))}
    calls = [one for one in parts if isinstance(one, Call)]
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    thoughts = [one for one in parts if isinstance(one, Thought)]
    if thoughts:
        message["reasoning_text"] = "".join(thought.text for thought in thoughts)
        message["reasoning_opaque"] = thoughts[-1].proof
    return message


def as_messages(history: History, carries_proofs: bool) -> list[Any]:
    messages: list[Any] = []
    for entry in history:
        if isinstance(entry, str):
            messages.append({"role": "user", "content": entry})
        elif isinstance(entry, Results):
            blocks = [
                {"type": "tool_result", "tool_use_id": call_id, "content": content}
                for call_id, content in entry.contents
            ]
            messages.append({"role": "user", "content": blocks})
        elif entry.dialect == "messages":
            messages.append({"role": "assistant", "content": entry.native})
        else:
            blocks = [block(part) for part in kept(entry, "messages", carries_proofs)]
            messages.append({"role": "assistant", "content": blocks})
    return messages


def block(part: Part) -> Any:
    if isinstance(part, Thought):
        return {"type": "thinking", "thinking": part.text, "signature": part.proof}
    if isinstance(part, Call):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": json.loads(part.arguments)}
    return {"type": "text", "text": part}


def as_responses(history: History, carries_proofs: bool) -> list[Any]:
    items: list[Any] = []
    for entry in history:
        if isinstance(entry, str):
            items.append({"role": "user", "content": entry})
        elif isinstance(entry, Results):
            for call_id, content in entry.contents:
                items.append({"type": "function_call_output", "call_id": call_id, "output": content})
        elif entry.dialect == "responses":
            items += entry.native
        else:
            items += [item(part) for part in kept(entry, "responses", carries_proofs)]
    return items


def item(part: Part) -> Any:
    if isinstance(part, Thought):
        summary = [{"type": "summary_text", "text": part.text}]
        return {"type": "reasoning", "summary": summary, "encrypted_content": part.proof}
    if isinstance(part, Call):
        return {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": part}]}


# ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Clients:
    """The official SDKs, one call for each dialect."""

    def __init__(self, bridge: Bridge, *, stream: bool, carries_proofs: bool) -> None:
        self._openai = OpenAI(base_url=f"{bridge.url}/v1", api_key=bridge.api_key, max_retries=0, timeout=60)
        self._anthropic = Anthropic(base_url=bridge.url, api_key=bridge.api_key, max_retries=0, timeout=60)
        self._stream = stream
        self._carries_proofs = carries_proofs

    def close(self) -> None:
        self._openai.close()
        self._anthropic.close()

    def ask(self, dialect: str, model: str, history: History) -> Answer:
        call = {"chat": self._chat, "messages": self._messages, "responses": self._responses}[dialect]
        return Answer(dialect, call(model, history))

    def _chat(self, model: str, history: History) -> Any:
        function: Any = {"name": "get_weather", "parameters": PARAMETERS}
        options: Any = {
            "model": model,
            "messages": as_chat(history, self._carries_proofs),
            "tools": [{"type": "function", "function": function}],
            "reasoning_effort": "low",
        }
        if not self._stream:
            message = self._openai.chat.completions.create(**options).choices[0].message
        else:
            with self._openai.chat.completions.stream(**options) as events:
                message = events.get_final_completion().choices[0].message
        found = message.to_dict(mode="json")
        found.pop("parsed", None)
        return found

    def _messages(self, model: str, history: History) -> Any:
        options: Any = {
            "model": model,
            "max_tokens": 4096,
            "messages": as_messages(history, self._carries_proofs),
            "tools": [{"name": "get_weather", "input_schema": PARAMETERS}],
            "thinking": {"type": "adaptive"},
        }
        if not self._stream:
            return self._anthropic.messages.create(**options).to_dict(mode="json")["content"]
        with self._anthropic.messages.stream(**options) as events:
            return events.get_final_message().to_dict(mode="json")["content"]

    def _responses(self, model: str, history: History) -> Any:
        options: Any = {
            "model": model,
            "input": as_responses(history, self._carries_proofs),
            "tools": [{"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}],
            "reasoning": {"effort": "low", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "store": False,
        }
        if not self._stream:
            response = self._openai.responses.create(**options)
        else:
            with self._openai.responses.stream(**options) as events:
                response = events.get_final_response()
        items: Any = response.to_dict(mode="json")["output"]
        for found in items:
            found.pop("parsed_arguments", None)
            for part in found.get("content") or []:
                part.pop("parsed", None)
        return items


# ── what upstream got ───────────────────────────────────────────────────────────────────────────────────────────────


def told(request: dict[str, Any]) -> list[Any]:
    """The conversation in a request: texts, calls with their arguments, results."""
    found: list[Any] = []
    ids: dict[str, int] = {}
    for message in in_chat_terms(request)["messages"]:
        role, text = message["role"], text_of(message.get("content"))
        if role == "tool":
            found.append(("result", ids[message["tool_call_id"]], text))
        elif text:
            found.append((role, text))
        for call in message.get("tool_calls") or []:
            ids[call["id"]] = len(ids)
            function = call["function"]
            found.append(("call", ids[call["id"]], function["name"], json.loads(function["arguments"])))
    return found


def expected(turns: int) -> list[Any]:
    """What `turns` turns come to, the last one's answer excepted."""
    found: list[Any] = []
    number = 0
    for turn in range(1, turns + 1):
        found += [("user", prompt(turn)), ("assistant", f"looking {turn}")]
        calls = arguments(turn)
        found += [("call", number + at, "get_weather", one) for at, one in enumerate(calls)]
        found += [("result", number + at, result(turn, at)) for at in range(len(calls))]
        number += len(calls)
        if turn < turns:
            found.append(("assistant", f"answer {turn} über 你好"))
    return found


def proofs_in(request: dict[str, Any]) -> list[str]:
    """The reasoning proofs that a request carries, in its own protocol's fields."""
    fields = request["json"]
    if request["path"] == "/responses":
        return [item["encrypted_content"] for item in fields["input"] if item.get("type") == "reasoning"]
    if request["path"] == "/v1/messages":
        contents = [message["content"] for message in fields["messages"] if isinstance(message["content"], list)]
        return [block["signature"] for content in contents for block in content if block["type"] == "thinking"]
    return [message["reasoning_opaque"] for message in fields["messages"] if message.get("reasoning_opaque")]


def bare(proof: str) -> str:
    """What upstream minted: the bridge seals what its own protocol did not mint, and the payload stands last."""
    return proof.rpartition(":")[2] if proof.startswith("gwseal1:") else proof


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("carries_proofs", [False, True], ids=["own proofs", "all proofs"])
def test_ten_turns_in_every_dialect(
    shared_bridge: Bridge, upstream: Simulator, stream: bool, carries_proofs: bool
) -> None:
    before = upstream.ledger()
    clients = Clients(shared_bridge, stream=stream, carries_proofs=carries_proofs)
    history: History = []
    answers: list[tuple[str, str, Answer]] = []
    minted: dict[str, set[str]] = {path: set() for path in SPOKEN_UPSTREAM.values()}
    try:
        for number, (dialect, model) in enumerate(TURNS, 1):
            history.append(prompt(number))
            looking = clients.ask(dialect, model, history)
            assert looking.text == f"looking {number}"
            assert [json.loads(call.arguments) for call in looking.calls] == arguments(number)
            assert thoughts_of(looking) == f"thought {number}"
            contents = [(call.id, result(number, at)) for at, call in enumerate(looking.calls)]
            history += [looking, Results(contents)]
            answer = clients.ask(dialect, model, history)
            assert answer.text == f"answer {number} über 你好"
            assert thoughts_of(answer) == f"afterthought {number}"
            for one in (looking, answer):  # Gemini's proof comes after its words, as a thought of its own
                assert any(thought.proof for thought in one.thoughts)
            history.append(answer)
            for one in (looking, answer):
                answers.append((dialect, model, one))
                minted[SPOKEN_UPSTREAM[model]] |= {bare(thought.proof) for thought in one.thoughts}
    finally:
        clients.close()

    served = [request for request in generations(upstream) if request["status"] == 200]
    assert [(request["path"], request["json"]["model"]) for request in served] == [
        (SPOKEN_UPSTREAM[model], model) for _, model in TURNS for _ in range(2)
    ]
    for number in range(1, len(TURNS) + 1):
        assert told(served[2 * number - 1]) == expected(number)

    # Proofs are where they belong and nowhere else; the seal itself is never seen upstream.
    assert all("gwseal" not in request["body"] for request in served)
    for request in served:
        assert set(proofs_in(request)) <= minted[request["path"]]
    if not carries_proofs:
        for number in range(1, len(TURNS) + 1):
            dialect, model = TURNS[number - 1]
            home = [
                bare(thought.proof)
                for spoken, other, one in answers[: 2 * number - 1]
                for thought in one.thoughts
                if spoken == dialect and is_home(other, model)
            ]
            assert proofs_in(served[2 * number - 1]) == [proof for proof in home if proof]

    # One user request for each prompt; the tool rounds are the agent's.
    assert [request["header"]["x-initiator"] for request in served] == ["user", "agent"] * len(TURNS)
    after = upstream.ledger()
    assert after["user_requests"] - before["user_requests"] == len(TURNS)
    assert after["agent_requests"] - before["agent_requests"] == len(TURNS)


def is_home(minted_by: str, model: str) -> bool:
    """Whether a proof of one model is good for another: where both are served by the same endpoint."""
    return SPOKEN_UPSTREAM[minted_by] == SPOKEN_UPSTREAM[model]


def thoughts_of(answer: Answer) -> str:
    return "".join(thought.text for thought in answer.thoughts)
