"""Fixture conversations and the path between two protocols, taken exactly as ``app/relay.py`` takes it."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.converters.codec import Identity, NativeRequest
from app.converters.exchange import Converted, Exchange, Native, converted_exchange
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.sealed_signatures import is_sealed
from app.converters.registry import CLIENTS, UPSTREAMS
from app.errors import GatewayError

Json = dict[str, Any]

FIXTURES = Path(__file__).parents[1] / "fixtures"
CATALOGUE = Path(__file__).parents[1] / "simulator" / "catalogue.json"

PROTOCOLS = tuple(UPSTREAMS)
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
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAADCAIAAADZSiLoAAAAEElEQVR4nGOoV1CAIAYsLABoLga45euFQAAAAABJRU5ErkJggg=="
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
    """A fixture file; the conversations that only the exchange of protocols makes hard stand in ``hard``."""
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
def limits_of(model: str) -> ModelLimits:
    """What the model list tells of a model."""
    entries = json.loads(CATALOGUE.read_bytes())
    entries = entries if isinstance(entries, list) else entries["data"]
    return ModelLimits.of(next(entry for entry in entries if entry["id"] == model))


def exchange_between(
    client: str,
    upstream: str,
    body: Json,
    *,
    model: str = "",
    headers: dict[str, str] | None = None,
    limits: ModelLimits | None = None,
    may_pass: bool = True,
) -> Exchange:
    """One request and its answer, between these protocols. model: upstream's; by default the usual one.

    limits: what is known of it; by default what the simulator's catalogue tells. may_pass: false converts between equal
    protocols too.

    Raises: GatewayError for a request that cannot be carried.
    """
    codec = CLIENTS[client]
    raw = json.dumps(body, ensure_ascii=False).encode()
    traits = codec.traits(body)
    identity = Identity(traits.model, CREATED, f"{codec.id_prefix}0123456789")
    model = model or MODELS[upstream][0]
    limits = limits_of(model) if limits is None else limits
    inlined = dict.fromkeys(codec.image_urls(body), PIXEL)

    request = NativeRequest(raw=raw, body=body, model=model, limits=limits, inlined=inlined, headers=headers or {})

    def convert() -> Converted:
        return converted_exchange(codec, UPSTREAMS[upstream], request, traits=traits, identity=identity)

    if client == upstream and codec.native is not None and may_pass and not is_sealed(raw):
        return Native(codec.native, request, traits=traits, identity=identity, convert=convert)
    return convert()


@cache
def is_carried(client: str, upstream: str, case: str) -> bool:
    """Whether the request can be carried to the usual model behind that protocol."""
    try:
        exchange_between(client, upstream, request_of(client, case)).payload()
    except GatewayError:
        return False
    return True


def answering(client: str, upstream: str, body: Json) -> Exchange:
    """The same, ready for the answer; a request that cannot be carried gives way to that of ``text``."""
    exchange: Exchange
    try:
        exchange = exchange_between(client, upstream, body)
        exchange.payload()
    except GatewayError:
        plain = request_of(client, "text")
        stream = {name: body[name] for name in ("stream", "stream_options") if name in body}
        exchange = exchange_between(client, upstream, whole(plain) | stream)
        exchange.payload()
    return exchange


def sent(exchange: Exchange) -> Json:
    """The body that upstream gets. Raises: GatewayError for a request that cannot be carried."""
    body: Json = json.loads(exchange.payload().body)
    return body


def transformed(exchange: Exchange, raw: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    """The client's bytes for upstream's stream, cut at these places. Wants the payload to have been made."""
    transformer = exchange.transformer()
    edges = (0, *cuts, len(raw))
    out = [transformer.feed(raw[start:end]) for start, end in pairwise(edges)]
    return b"".join(out) + transformer.finish()
