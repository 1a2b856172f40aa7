"""What an answer cost reaches the log and the client, wherever upstream tells it (contract §6.3.6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.converters.wire import accounting
from tests.support.exchanges import PAIRS, answer_of, answering, request_of, stream_of, streamed
from tests.support.rows import rows

ACCOUNT = {
    "token_details": [
        {"batch_size": 1000000, "cost_per_batch": 500000000000, "token_count": 1, "token_type": "input"},
        {"batch_size": 1000000, "cost_per_batch": 50000000000, "token_count": 70116, "token_type": "cache_read"},
        {"batch_size": 1000000, "cost_per_batch": 625000000000, "token_count": 4153, "token_type": "cache_write"},
        {"batch_size": 1000000, "cost_per_batch": 2500000000000, "token_count": 25848, "token_type": "output"},
    ],
    "total_nano_aiu": 70721925000,
}
CREDITS = 70.721925

PLACES = {
    "chat": ("finish", "usage", "own_frame"),
    "messages": ("message_delta",),
    "responses": ("beside", "inside"),
}


def told_in(protocol: str, place: str) -> bytes:
    """Upstream's stream of ``text``, with the account at that place and nowhere else."""
    frames = stream_of(protocol, "text").replace(b"\r\n", b"\n").strip().split(b"\n\n")
    out: list[bytes] = []
    for frame in frames:
        name, _, payload = frame.partition(b"data:")
        if not payload or payload.strip() == b"[DONE]":
            if place == "own_frame" and payload.strip() == b"[DONE]":
                out.append(b"data: " + json.dumps({"choices": [], "copilot_usage": ACCOUNT}).encode())
            out.append(frame)
            continue
        event: dict[str, Any] = json.loads(payload.replace(b"\ndata:", b""))
        event.pop("copilot_usage", None)
        choices = event.get("choices")
        if (
            (place == "finish" and choices and choices[0].get("finish_reason"))
            or (place == "usage" and event.get("usage"))
            or event.get("type") == place
            or (place == "beside" and event.get("type") == "response.completed")
        ):
            event["copilot_usage"] = ACCOUNT
        elif place == "inside" and event.get("type") == "response.completed":
            event["response"]["copilot_usage"] = ACCOUNT
        out.append(name + b"data: " + json.dumps(event).encode())
    return b"\n\n".join(out) + b"\n\n"


def accounts_in(raw: bytes) -> list[Any]:
    """Every account in a stream for a client, in its order."""
    events = [json.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: {")]
    return [found for event in events if (found := accounting.account_in(event)) is not None]


STREAMS = [(client, upstream, place) for client, upstream in PAIRS for place in PLACES[upstream]]


@rows("client", "upstream")
@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("client", "upstream", "place"), STREAMS)
def test_a_stream_tells_its_cost_once_to_client_and_log(client: str, upstream: str, place: str, size: int) -> None:
    exchange = answering(client, upstream, streamed(client, request_of(client, "text")))
    transformer = exchange.transformer()
    raw = told_in(upstream, place)
    out = b"".join(transformer.feed(raw[at : at + size]) for at in range(0, len(raw), size)) + transformer.finish()
    assert transformer.error is None
    assert exchange.outcome(transformer).nano_credits == ACCOUNT["total_nano_aiu"]
    assert accounts_in(out) == [ACCOUNT]


@pytest.mark.parametrize(("upstream", "place"), [("chat", "finish"), ("messages", "message_delta")])
def test_a_chat_client_that_wants_no_usage_learns_the_cost_with_the_finish(upstream: str, place: str) -> None:
    body = streamed("chat", request_of("chat", "text"), asks_for_usage=False)
    body.pop("stream_options", None)
    transformer = answering("chat", upstream, body).transformer()
    out = transformer.feed(told_in(upstream, place)) + transformer.finish()
    last = [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")][-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["copilot_usage"] == ACCOUNT


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_whole_answer_tells_its_cost(client: str, upstream: str) -> None:
    exchange = answering(client, upstream, request_of(client, "text"))
    told = {**json.loads(answer_of(upstream, "text")), "copilot_usage": ACCOUNT}
    answer = json.loads(exchange.whole(json.dumps(told).encode()))
    assert answer["copilot_usage"] == ACCOUNT
    assert exchange.outcome().nano_credits == ACCOUNT["total_nano_aiu"]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_whole_answer_given_as_a_stream_tells_its_cost_once(client: str, upstream: str) -> None:
    exchange = answering(client, upstream, streamed(client, request_of(client, "text")))
    told = {**json.loads(answer_of(upstream, "text")), "copilot_usage": ACCOUNT}
    assert accounts_in(exchange.whole_as_stream(json.dumps(told).encode())) == [ACCOUNT]
    assert exchange.outcome().nano_credits == ACCOUNT["total_nano_aiu"]


@rows()
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("account", [None, [], "x", 7, {}])
def test_what_is_no_account_hurts_nobody(client: str, upstream: str, account: Any) -> None:
    exchange = answering(client, upstream, request_of(client, "text"))
    told = {**json.loads(answer_of(upstream, "text")), "copilot_usage": account}
    exchange.whole(json.dumps(told).encode())
    assert exchange.outcome().nano_credits is None


DETAIL = {"batch_size": 1000, "cost_per_batch": 4_000_000_000, "token_count": 250, "token_type": "output"}


@pytest.mark.parametrize(
    ("account", "credits"),
    [
        (None, None),
        ({}, None),
        (ACCOUNT, CREDITS),
        ({"token_details": [], "total_nano_aiu": 0}, 0),
        ({"total_nano_aiu": 1}, 1e-9),
        ({"total_nano_aiu": 2.5e9}, 2.5),
        ({"total_nano_aiu": True, "token_details": []}, None),
        ({"total_nano_aiu": -1}, None),
        ({"total_nano_aiu": "70"}, None),
        ({"total_nano_aiu": 10**400}, None),
        ({"total_nano_aiu": float("nan")}, None),
        ({"token_details": [DETAIL, DETAIL]}, 2),
        ({"token_details": [DETAIL, {}]}, None),
        ({"token_details": [{**DETAIL, "batch_size": 0}]}, None),
        ({"token_details": "x"}, None),
        ({"token_details": [7], "total_nano_aiu": 3_000_000_000}, 3),
    ],
)
def test_the_total_counts_and_without_one_the_sum_of_all_parts(account: Any, credits: float | None) -> None:
    assert accounting.nano_of(account) == (None if credits is None else round(credits * accounting.NANO))


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (70_721_925_000, "70.721925"),
        (1_200_000_000_000, "1200"),
        (500_000_000, "0.5"),
        (-1_500_000_000, "-1.5"),
        (9_007_199_254_740_993, "9007199.254740993"),
    ],
)
def test_a_header_has_a_plain_number(nano: int, text: str) -> None:
    assert accounting.credits_text(nano) == text


def test_two_rounds_of_one_answer_cost_what_both_cost() -> None:
    together = accounting.both(ACCOUNT, {"token_details": [DETAIL], "total_nano_aiu": 1_000_000_000})
    assert accounting.nano_of(together) == 71_721_925_000
    assert together is not None
    assert len(together["token_details"]) == 5
    assert accounting.both(None, ACCOUNT) == accounting.both(ACCOUNT, None) == ACCOUNT
    assert accounting.both(None, None) is None


def test_words_in_the_answer_are_no_account() -> None:
    exchange = answering("chat", "chat", request_of("chat", "text"))
    told = json.loads(answer_of("chat", "text"))
    told["choices"][0]["message"]["content"] = '{"copilot_usage":{"total_nano_aiu":5}}'
    exchange.whole(json.dumps(told).encode())
    assert exchange.outcome().nano_credits is None
