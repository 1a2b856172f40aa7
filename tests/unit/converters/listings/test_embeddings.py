from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from app.converters.listings.embeddings import (
    MOST_CALLS,
    MOST_INPUTS,
    merge_replies,
    texts,
    upstream_bodies,
    wants_base64,
)
from app.errors import GatewayError, InvalidRequestError, UpstreamProtocolError


def bodies(body: dict[str, Any], batch: int = 512) -> list[Any]:
    return [json.loads(raw) for raw in upstream_bodies(body, model="m", batch=batch)]


def test_string_becomes_a_list_and_the_format_stays_here() -> None:
    assert bodies({"model": "x", "input": "a", "encoding_format": "base64", "dimensions": 512, "user": "u"}) == [
        {"model": "m", "input": ["a"], "dimensions": 512, "user": "u"}
    ]


def test_long_list_is_asked_for_in_batches() -> None:
    assert [body["input"] for body in bodies({"input": ["a", "b", "c"]}, batch=2)] == [["a", "b"], ["c"]]


@pytest.mark.parametrize("given", [None, "", [], {}, 7, [1, 2], [[1, 2]], ["a", ""], ["a", None], [True]])
def test_unusable_input_is_refused(given: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        texts({"input": given})
    assert caught.value.status == 400
    assert str(caught.value.param).startswith("input")


def test_formats() -> None:
    assert [wants_base64({"encoding_format": value}) for value in ("base64", "float", None)] == [True, False, False]
    with pytest.raises(InvalidRequestError) as caught:
        wants_base64({"encoding_format": "hex"})
    assert caught.value.param == "encoding_format"


def reply(*vectors: list[float], tokens: int = 3) -> bytes:
    data = [{"embedding": vector, "index": index, "object": "embedding"} for index, vector in enumerate(vectors)]
    return json.dumps({"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}).encode()


def test_replies_are_joined_in_openais_shape() -> None:
    merged = json.loads(merge_replies([reply([0.5, -1.0], [1.0, 0.0]), reply([0.25, 0.0])], model="x", as_base64=False))
    assert merged == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [1.0, 0.0]},
            {"object": "embedding", "index": 2, "embedding": [0.25, 0.0]},
        ],
        "model": "x",
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    }


def test_base64_is_little_endian_float32() -> None:
    merged = json.loads(merge_replies([reply([0.5, -1.0])], model="x", as_base64=True))
    assert base64.b64decode(merged["data"][0]["embedding"]) == struct.pack("<2f", 0.5, -1.0)


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"data": [{}]}', b'{"data": [{"embedding": "x"}]}'])
def test_answer_without_embeddings_is_told(answer: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        merge_replies([answer], model="x", as_base64=True)


@pytest.mark.parametrize(("batch", "most"), [(512, MOST_INPUTS), (5000, MOST_INPUTS), (10, 10 * MOST_CALLS), (1, 32)])
def test_one_request_makes_so_many_calls_and_no_more(batch: int, most: int) -> None:
    assert sum(len(sent["input"]) for sent in bodies({"input": ["a"] * most}, batch=batch)) == most
    with pytest.raises(InvalidRequestError, match=f"at most {most}"):
        next(upstream_bodies({"input": ["a"] * (most + 1)}, model="m", batch=batch))
