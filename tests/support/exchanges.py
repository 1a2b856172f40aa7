"""Fixture conversations and the road between two protocols, taken exactly as ``app/relay.py`` takes it."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.converters.codec import Codec, Identity
from app.converters.crossing import Converted, Crossing, Native
from app.converters.limits import Limits
from app.converters.registry import CODECS
from app.converters.seal import is_sealed
from app.errors import GatewayError

Json = dict[str, Any]

FIXTURES = Path(__file__).parents[1] / "fixtures"
CATALOGUE = Path(__file__).parents[1] / "simulator" / "catalogue.json"

PROTOCOLS = tuple(CODECS)
PAIRS = tuple((client, upstream) for client in PROTOCOLS for upstream in PROTOCOLS)

MODELS = {
    "chat": ("gpt-4.1", "claude-sonnet-4.5", "gemini-3.1-pro-preview"),
    "messages": ("claude-sonnet-4.6", "claude-sonnet-4.5"),
    "responses": ("gpt-5.3-codex",),
}
"""Models behind each protocol, the usual one first."""

CREATED = 1_760_000_000

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""What every image address leads to."""


@cache
def requests(protocol: str) -> tuple[str, ...]:
    """The conversations that a protocol can say, by name; those in ``hard`` need not have an answer."""
    return _names(protocol, "request.json")


@cache
def cases(protocol: str) -> tuple[str, ...]:
    """The answers that a protocol can give, each whole and streamed."""
    return tuple(name for name in _names(protocol, "response.json") if file_of(protocol, f"{name}.stream.sse").exists())


@cache
def file_of(protocol: str, name: str) -> Path:
    """A fixture file; the conversations that only the crossing of protocols makes hard stand in ``hard``."""
    usual = FIXTURES / protocol / name
    return usual if usual.exists() else FIXTURES / protocol / "hard" / name


def request_of(protocol: str, case: str) -> Json:
    """A client's request, anew each time; that of ``text`` where this client cannot say it."""
    name = case if case in requests(protocol) else "text"
    found: Json = json.loads(file_of(protocol, f"{name}.request.json").read_bytes())
    return found


@cache
def answer_of(protocol: str, case: str) -> bytes:
    """Upstream's whole answer."""
    return file_of(protocol, f"{case}.response.json").read_bytes()


@cache
def stream_of(protocol: str, case: str) -> bytes:
    """The same answer as upstream streams it."""
    return file_of(protocol, f"{case}.stream.sse").read_bytes()


def _names(protocol: str, kind: str) -> tuple[str, ...]:
    folder = FIXTURES / protocol
    found = {
        path.name.removesuffix(f".{kind}") for place in (folder, folder / "hard") for path in place.glob(f"*.{kind}")
    }
    return tuple(
        sorted(name for name in found if "." not in name and file_of(protocol, f"{name}.request.json").exists())
    )


def streamed(client: str, body: Json, *, asks_for_usage: bool = True) -> Json:
    """The request as a client makes it that wants a stream."""
    options = {"stream_options": {"include_usage": True}} if client == "chat" and asks_for_usage else {}
    return {**body, "stream": True, **options}


def whole(body: Json) -> Json:
    """The request as a client makes it that wants the answer in one piece."""
    return {name: value for name, value in body.items() if name not in ("stream", "stream_options")}


@cache
def limits_of(model: str) -> Limits:
    """What the model list tells of a model."""
    entries = json.loads(CATALOGUE.read_bytes())
    entries = entries if isinstance(entries, list) else entries["data"]
    return Limits.of(next(entry for entry in entries if entry["id"] == model))


def cross(
    client: str, upstream: str, body: Json, *, model: str = "", headers: dict[str, str] | None = None
) -> Crossing:
    """One request and its answer, between these protocols. model: upstream's; by default the usual one.

    Raises: GatewayError for a request that cannot be carried.
    """
    codec: Codec = CODECS[client]
    raw = json.dumps(body, ensure_ascii=False).encode()
    traits = codec.traits(body)
    identity: Identity = {"model": traits.model, "created": CREATED, "fallback_id": f"{codec.id_prefix}0123456789"}
    model = model or MODELS[upstream][0]
    inlined = dict.fromkeys(codec.image_urls(body), PIXEL)
    if client == upstream and not is_sealed(raw):
        return Native(
            codec,
            raw,
            body,
            traits=traits,
            identity=identity,
            model=model,
            limits=limits_of(model),
            inlined=inlined,
            headers=headers or {},
        )
    return Converted(
        codec,
        CODECS[upstream],
        body,
        traits=traits,
        identity=identity,
        model=model,
        limits=limits_of(model),
        inlined=inlined,
    )


@cache
def is_carried(client: str, upstream: str, case: str) -> bool:
    """Whether the request can be carried to the usual model behind that protocol."""
    try:
        cross(client, upstream, request_of(client, case)).payload()
    except GatewayError:
        return False
    return True


def answering(client: str, upstream: str, body: Json) -> Crossing:
    """The same, ready for the answer; a request that cannot be carried gives way to that of ``text``."""
    crossing: Crossing
    try:
        crossing = cross(client, upstream, body)
        crossing.payload()
    except GatewayError:
        plain = request_of(client, "text")
        stream = {name: body[name] for name in ("stream", "stream_options") if name in body}
        crossing = cross(client, upstream, whole(plain) | stream)
        crossing.payload()
    return crossing


def sent(crossing: Crossing) -> Json:
    """The body that upstream gets. Raises: GatewayError for a request that cannot be carried."""
    body: Json = json.loads(crossing.payload().body)
    return body


def pumped(crossing: Crossing, raw: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    """The client's bytes for upstream's stream, cut at these places. Wants the payload to have been made."""
    pump = crossing.pump()
    edges = (0, *cuts, len(raw))
    out = [pump.feed(raw[start:end]) for start, end in pairwise(edges)]
    return b"".join(out) + pump.finish()
