"""Every fixture conversation × three client dialects × three upstream protocols, against files that a person can read.

``tests/fixtures/golden/<client>-<upstream>/<case>.request.json``
    what upstream gets of the client's request: body, headers, what was left out; or the refusal that the client gets.
    ``<case>@<model>.request.json`` is the same for a model that is not the usual one, where that makes a difference.
``…/<case>.response.json``, ``…/<case>.stream.sse``
    what the client gets of upstream's answer to that case, whole and streamed.

A difference fails and is shown. After a change that is meant: ``pytest tests/unit/converters --update-golden``.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import pytest

from app.converters.registry import CLIENTS
from app.errors import GatewayError
from tests.support import grammar
from tests.support.exchanges import (
    FIXTURES,
    MODELS,
    PAIRS,
    answer_of,
    answering,
    cases,
    exchange_between,
    request_of,
    requests,
    stream_of,
    streamed,
    transformed,
    whole,
)
from tests.support.rows import rows

GOLDEN = FIXTURES / "golden"

REQUESTS = [
    (client, upstream, case, model)
    for client, upstream in PAIRS
    for case in requests(client)
    for model in MODELS[upstream]
]
ANSWERS = [(client, upstream, case) for client, upstream in PAIRS for case in cases(upstream)]


def golden(client: str, upstream: str, name: str) -> Path:
    return GOLDEN / f"{client}-{upstream}" / name


def compare(path: Path, found: bytes, *, updates: bool) -> None:
    """Fail with a readable difference unless the file says what was found."""
    if updates:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found)
        return
    shown = path.relative_to(FIXTURES)
    assert path.exists(), f"{shown} is missing: run pytest tests/unit/converters --update-golden, and read it"
    wanted = path.read_bytes()
    if found != wanted:
        difference = difflib.unified_diff(
            wanted.decode().splitlines(), found.decode().splitlines(), f"{shown}", "found", lineterm="", n=4
        )
        pytest.fail("\n" + "\n".join(difference), pytrace=False)


def pretty(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"


def conversion(client: str, upstream: str, case: str, model: str) -> bytes:
    """What becomes of a request, as the golden files tell it."""
    try:
        prepared = exchange_between(client, upstream, request_of(client, case), model=model).payload()
    except GatewayError as error:
        told: dict[str, Any] = CLIENTS[client].encode_error(error, "req_1")
        return pretty({"refused": error.status, "error": {k: v for k, v in told.items() if k != "request_id"}})
    told = {"dropped": list(prepared.dropped)} if prepared.dropped else {}
    told |= {"headers": prepared.headers} if prepared.headers else {}
    return pretty({**told, "body": json.loads(prepared.body)})


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case", "model"), REQUESTS)
def test_request(client: str, upstream: str, case: str, model: str, updates_golden: bool) -> None:
    usual = MODELS[upstream][0]
    found = conversion(client, upstream, case, model)
    if model == usual:
        compare(golden(client, upstream, f"{case}.request.json"), found, updates=updates_golden)
        return
    path = golden(client, upstream, f"{case}@{model}.request.json")
    if found == conversion(client, upstream, case, usual).replace(usual.encode(), model.encode()):
        if updates_golden:
            path.unlink(missing_ok=True)
        assert not path.exists(), f"{path.name} tells of a difference that is no more"
        return
    compare(path, found, updates=updates_golden)


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), ANSWERS)
def test_whole_answer(client: str, upstream: str, case: str, updates_golden: bool) -> None:
    exchange = answering(client, upstream, whole(request_of(client, case)))
    found = json.loads(exchange.whole(answer_of(upstream, case)))
    compare(golden(client, upstream, f"{case}.response.json"), pretty(found), updates=updates_golden)


@rows("client", "upstream")
@pytest.mark.parametrize(("client", "upstream", "case"), ANSWERS)
def test_stream(client: str, upstream: str, case: str, updates_golden: bool) -> None:
    exchange = answering(client, upstream, streamed(client, request_of(client, case)))
    found = transformed(exchange, stream_of(upstream, case))
    grammar.read(client, found, is_native=client == upstream)
    compare(golden(client, upstream, f"{case}.stream.sse"), found, updates=updates_golden)


def test_every_golden_file_is_looked_at(updates_golden: bool) -> None:
    known = {
        golden(client, upstream, f"{case}{suffix}.request.json")
        for client, upstream, case, model in REQUESTS
        for suffix in ("", f"@{model}")
    }
    for client, upstream, case in ANSWERS:
        known |= {golden(client, upstream, f"{case}.{kind}") for kind in ("response.json", "stream.sse")}
    stray = sorted(path for path in GOLDEN.rglob("*.*") if path not in known)
    if updates_golden:
        for path in stray:
            path.unlink()
        stray = []
    assert [str(path.relative_to(GOLDEN)) for path in stray] == []
