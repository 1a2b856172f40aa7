"""A proof goes out in the id of its call and comes home, whatever a client does with everything else."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.converters.chat.client.request import decode_request
from app.converters.chat.native.body import prepare
from app.converters.chat.thought_signatures import MARK, restored, restored_items, shown, split
from app.converters.neutral.losses import Losses
from app.converters.neutral.vocabulary import Reasoning, ToolCall, ToolResult

PROOF = "CqsBCkgIBxAC+/=="
ID = shown("call_1", PROOF)


@given(st.text(min_size=1))
def test_what_goes_out_comes_back(proof: str) -> None:
    given_out = shown("call_1", proof)
    assert split(given_out) == (("call_1", proof) if MARK in given_out else ("call_1", None))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", given_out)
    assert shown(given_out, proof) == given_out


@pytest.mark.parametrize("call_id", ["call_1", "", None, 7, f"call_1{MARK}?", f"call_1{MARK}a", f"call_1{MARK}_w8="])
def test_other_ids_stay_as_they_are(call_id: object) -> None:
    assert split(call_id) == (call_id, None)


def test_a_sealed_proof_is_not_put_into_an_id() -> None:
    assert shown("call_1", "gwseal1:messages::abc") == "call_1"


def conversation(**more: object) -> list[dict[str, object]]:
    call = {"id": ID, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": None, "tool_calls": [call], **more},
        {"role": "tool", "tool_call_id": ID, "content": "done"},
    ]


def sent(model: str, **more: object) -> list[dict[str, object]]:
    body = {"model": model, "messages": conversation(**more)}
    payload = prepare(json.dumps(body).encode(), body, model=model, is_openai=False, losses=Losses())
    found: list[dict[str, object]] = json.loads(payload)["messages"]
    return found


def test_a_gemini_model_gets_its_proof_back_in_both_fields() -> None:
    _, assistant, result = sent("gemini-3-pro-preview")
    assert assistant["reasoning_opaque"] == PROOF
    assert assistant["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "thought_signature": PROOF}}
    ]
    assert result["tool_call_id"] == "call_1"


def test_another_model_gets_the_call_without_it() -> None:
    _, assistant, result = sent("gpt-4.1")
    assert "reasoning_opaque" not in assistant
    assert assistant["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert result["tool_call_id"] == "call_1"


def test_what_the_client_sends_back_itself_goes_first() -> None:
    assert sent("gemini-3-pro-preview", reasoning_opaque="its own")[1]["reasoning_opaque"] == "its own"


def test_converted_it_is_a_thought_of_chat_before_its_call() -> None:
    _, assistant, result = decode_request({"model": "m", "messages": conversation()}).messages
    thought, call = assistant.parts
    assert thought == Reasoning(signature=PROOF, origin="chat")
    assert isinstance(call, ToolCall)
    assert (call.call_id, call.signature, call.origin) == ("call_1", PROOF, "chat")
    [answer] = result.parts
    assert isinstance(answer, ToolResult)
    assert answer.call_id == "call_1"


def test_items_get_a_thought_before_the_call() -> None:
    call = {"type": "function_call", "call_id": ID, "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": ID, "output": "done"}
    thought, own, result = restored_items([call, output])
    assert thought["type"] == "reasoning"
    assert own == {**call, "call_id": "call_1"}
    assert result == {**output, "call_id": "call_1"}


@pytest.mark.parametrize("message", ["text", None, {}, {"tool_calls": "x"}, {"tool_calls": [None, {"id": 3}, {}]}])
def test_what_carries_none_is_left_alone(message: object) -> None:
    assert restored(message) is message
