"""What SDKs and frameworks make of trouble: their own errors, their own recovery, and never what looks like an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients import troubles as trouble
from tests.clients.libraries import LIBRARIES
from tests.clients.talks import Library, Raised, Talk
from tests.clients.troubles import Troubles, generations
from tests.simulator.client import Simulator

# A model that Copilot serves in the protocol of the endpoint, and one for which the bridge converts.
NATIVE = {"chat": "gpt-4.1", "responses": "gpt-5.3-codex", "messages": "claude-sonnet-4.6"}
CONVERTED = {"chat": "gpt-5.3-codex", "responses": "claude-sonnet-4.6", "messages": "gpt-4.1"}
ANSWER = "Here I am."
WHOLE = "one two three four five six seven eight nine ten"

TalkTo = Callable[[Library], Talk]


def ways(verb: str, **tables: dict[str, str]) -> Any:
    """Every library that has this verb, through each of its endpoints, on a model of each of these tables.

    Of the libraries that are built on others, the first table has to do.
    """
    return pytest.mark.parametrize(
        ("library", "api", "model"),
        [
            pytest.param(library, api, table[api], id=f"{library.name}-{api}-{kind}")
            for library in LIBRARIES
            for api in library.apis
            for kind, table in list(tables.items())[: None if library.is_official else 1]
            if library.has(api, verb)
        ],
    )


natively = ways("text", native=NATIVE)
both_ways = ways("text", native=NATIVE, converted=CONVERTED)


def failure(talk: Talk, verb: str, api: str, model: str, prompt: str, **how: Any) -> Raised:
    with pytest.raises(Raised) as caught:
        talk.do(verb, api=api, model=model, prompt=prompt, **{"retries": 0, **how})
    return caught.value


def usually(library: Library) -> dict[str, int | None]:
    """How often it repeats what it thinks worth repeating."""
    return {"retries": 0 if library.repeats_all else None}


def named(library: Library, raised: Raised, kind: str) -> Raised:
    """Of what was raised and what caused it, the one that this library's users know this trouble by."""
    wanted = library.kinds.get(kind, kind)
    found = [one for one in raised.chain() if wanted in one.kinds]
    assert found, f"no {wanted}: {[(one.kinds, one.message) for one in raised.chain()]}"
    return found[0]


@natively
def test_wrong_key(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    raised = failure(talk, "text", api, model, "hi", key=trouble.WRONG_KEY, retries=None)

    kind = named(library, raised, "AuthenticationError")
    assert (kind.status, "Wrong API key" in kind.message) == (401, True)
    assert generations(upstream) == []


@both_ways
def test_rate_limit_with_retry_after(
    library: Library, api: str, model: str, talk_to: TalkTo, troubles: Troubles
) -> None:
    """What it does by default is to wait and ask again."""
    talk = talk_to(library)
    troubles.rate_limit(times=1)
    troubles.simulator.requests(clear=True)

    told = talk.do("text", api=api, model=model, prompt=f"[[say: {ANSWER}]]", retries=None)
    assert told["text"] == ANSWER
    assert [call["status"] for call in generations(troubles.simulator)] == [429, 200]

    troubles.simulator.clear_faults()
    troubles.rate_limit(times=None)
    raised = named(library, failure(talk, "text", api, model, "hi"), "RateLimitError")
    assert raised.status == 429
    if library.shows_headers:
        assert raised.retry_after == "1"


@both_ways
def test_server_error(library: Library, api: str, model: str, talk_to: TalkTo, troubles: Troubles) -> None:
    talk = talk_to(library)
    troubles.server_error(times=1)
    troubles.simulator.requests(clear=True)

    told = talk.do("text", api=api, model=model, prompt=f"[[say: {ANSWER}]]", retries=None)
    assert told["text"] == ANSWER
    statuses = [call["status"] for call in generations(troubles.simulator)]
    assert statuses == [500] * trouble.ATTEMPTS + [200]

    troubles.simulator.clear_faults()
    troubles.server_error(times=None)
    raised = named(library, failure(talk, "text", api, model, "hi"), "InternalServerError")
    assert raised.status == 502


@both_ways
def test_context_overflow(library: Library, api: str, model: str, talk_to: TalkTo, troubles: Troubles) -> None:
    talk = talk_to(library)
    troubles.context_overflow(times=None)
    troubles.simulator.requests(clear=True)

    raised = failure(talk, "text", api, model, "hi", **usually(library))

    kind = named(library, raised, "BadRequestError")
    assert kind.status == 400
    if api == "messages":
        assert "prompt is too long" in kind.message
    else:
        said = kind.code or kind.message
        assert "context_length_exceeded" in said or "ContextWindowExceededError" in kind.kinds
    assert len(generations(troubles.simulator)) == 1  # repeating it would not help


@natively
def test_unknown_model(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    talk = talk_to(library)
    upstream.requests(clear=True)

    raised = failure(talk, "text", api, trouble.NO_MODEL, "hi", **usually(library))

    kind = named(library, raised, "NotFoundError")
    assert (kind.status, trouble.NO_MODEL in kind.message) == (404, True)
    assert len(generations(upstream)) <= 1  # repeating it would not help


@ways("stream", native=NATIVE, converted=CONVERTED)
def test_cut_stream(library: Library, api: str, model: str, talk_to: TalkTo, upstream: Simulator) -> None:
    """Some text, then an error; nothing that looks like a normal end."""
    raised = failure(talk_to(library), "stream", api, model, f"[[say: {WHOLE}]] [[cut: 9]]")

    named(library, raised, "APIError")
    seen = next(one.seen for one in raised.chain() if one.seen is not None)
    text = "".join(seen["pieces"])
    assert text
    assert text != WHOLE
    assert WHOLE.startswith(text)
    assert seen["end"] is None


@pytest.mark.timeout(600)  # all of the libraries start for it
def test_thirty_seconds_of_silence(talk_to: TalkTo, upstream: Simulator) -> None:
    """In the middle of a stream, for all of them at once: the whole answer in the end."""
    asked = [
        ((library.name, api, kind), talk_to(library).begin("stream", api=api, model=table[api], prompt=trouble.SILENT))
        for library in LIBRARIES
        for api in library.apis
        for kind, table in (("native", NATIVE), ("converted", CONVERTED))
        if library.has(api, "stream")
    ]
    assert {way: answer.result(timeout=90)["text"] for way, answer in asked} == {
        way: trouble.PATIENCE for way, _ in asked
    }
