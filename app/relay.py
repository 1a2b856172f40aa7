"""The use case: answer one request, through the codec of the client's protocol.

Map the model → look it up → send → pass the answer on, mended. Knows no Flask and no field of any protocol.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.converters import embeddings
from app.converters.codec import Codec, Identity, StreamMender, Traits
from app.errors import GatewayError, NotFoundError, UpstreamProtocolError
from app.logs import logger
from app.routing import EMBEDDINGS, Model, find_model, near_matches, require_endpoint
from app.store.mapping import ModelMapping
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient, UpstreamAnswer
from app.upstream.headers import Call
from app.upstream.images import ImageFetcher

KEEP_ALIVE_S = 10.0
"""The longest that a client hears nothing while upstream is silent."""

# Copilot's headers that are worth a client's while: ids for bug reports, what is left of the quota.
_PASSED_HEADERS = ("x-github-request-id", "x-quota-snapshot-", "x-usage-ratelimit-")


@dataclass(slots=True)
class Record:
    """What one request came to, for its log line. Filled along the way, logged when the answer has ended."""

    request_id: str
    protocol: str = ""
    model: str = ""  # as asked for
    served_model: str = ""
    initiator: str | None = None
    stream: bool = False
    dropped: list[str] = field(default_factory=list)
    first_byte_ms: int | None = None
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for the client. `close` must be called when the client is done or gone; it may be called twice."""

    status: int
    headers: dict[str, str]
    body: bytes | Iterator[bytes]
    close: Callable[[], None] = lambda: None


class Relay:
    """Answers requests. One per process; holds no state of its own."""

    def __init__(
        self,
        *,
        mapping: ModelMapping,
        catalog: Catalog,
        client: CopilotClient,
        images: ImageFetcher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._mapping = mapping
        self._catalog = catalog
        self._client = client
        self._images = images
        self._clock = clock

    def answer(self, codec: Codec, raw: bytes, body: dict[str, Any], record: Record) -> Reply:
        """Answer one generation request of this protocol; `raw` is the body as it came, `body` what it says.

        Raises: GatewayError while nothing has been given out; later failures end the stream in the protocol's own way.
        """
        started_at = self._clock()
        traits = codec.traits(body)
        record.protocol, record.model, record.stream = codec.name, traits.model, traits.stream
        record.initiator = traits.initiator
        name, model = self._resolve(traits.model, record)
        if model is not None:
            require_endpoint(model, codec.upstream_path, self._catalog.models())
        inlined = self._images.fetch_all(codec.image_urls(body))
        prepared, record.dropped = codec.prepare(
            raw, body, model=name, is_openai=model is None or model.is_openai, inlined=inlined
        )
        call = Call(
            path=codec.upstream_path,
            request_id=record.request_id,
            body=prepared,
            stream=traits.stream,
            initiator=traits.initiator,
            interaction_id=str(uuid.uuid5(uuid.NAMESPACE_OID, traits.interaction_key.hex())),
            has_images=traits.has_images,
            extra_headers=model.request_headers if model is not None else {},
        )
        answer = self._client.send(call)
        try:
            return self._reply(codec, traits, answer, record, started_at)
        except BaseException:
            answer.close()
            raise

    def embed(self, codec: Codec, body: dict[str, Any], record: Record) -> Reply:
        """Answer an embeddings request; `codec` reads upstream's errors. Raises: GatewayError."""
        record.protocol, record.model = "embeddings", str(body["model"])
        as_base64 = embeddings.wants_base64(body)
        name, model = self._resolve(record.model, record)
        batch = embeddings.DEFAULT_BATCH
        if model is not None:
            require_endpoint(model, EMBEDDINGS, self._catalog.models())
            batch = _limit(model, "max_inputs") or batch
        replies = []
        for payload in embeddings.upstream_bodies(body, model=name, batch=batch):
            answer = self._client.send(
                Call(path=EMBEDDINGS, request_id=record.request_id, body=payload, intent="copilot-panel")
            )
            content = answer.read()
            if answer.status != 200:
                raise self._refusal(codec, answer, content, record)
            replies.append(content)
        merged = embeddings.merge_replies(replies, model=record.model, as_base64=as_base64)
        return Reply(200, {"Content-Type": "application/json", "x-bridge-model": _header_safe(name)}, merged)

    def _resolve(self, asked: str, record: Record) -> tuple[str, Model | None]:
        """The upstream id for a name, and its entry. Without a catalogue the name goes as it is: upstream will say."""
        mapped = self._mapping.resolve(asked)
        try:
            model = find_model(mapped, self._catalog.models())
        except GatewayError as error:
            if error.status in (401, 403):
                raise  # not signed in, no licence: the call itself would fail the same way
            logger.warning("no model list", extra={"fields": {"request_id": record.request_id, "why": error.message}})
            model = None
        name = model.id if model is not None else mapped
        record.served_model = name
        return name, model

    def _reply(self, codec: Codec, traits: Traits, answer: UpstreamAnswer, record: Record, started_at: float) -> Reply:
        if answer.status >= 400:
            raise self._refusal(codec, answer, answer.read(), record)
        if answer.content_type == "text/html":
            raise UpstreamProtocolError(
                "Copilot answered with an HTML page instead of data: its front door is checking us. Wait half a minute."
            )
        headers = self._headers(answer, record)
        facts: Identity = {
            "model": traits.model,
            "created": int(started_at),
            "fallback_id": f"{codec.id_prefix}{record.request_id}",
        }
        if traits.stream and answer.content_type != "application/json":
            mender = codec.stream_mender(include_usage=traits.include_usage, choices=traits.choices, **facts)
            pieces = answer.iter_bytes(silence_s=KEEP_ALIVE_S)
            first = _first_event(pieces, mender)
            record.first_byte_ms = round((self._clock() - started_at) * 1000)
            headers |= {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
            # Whatever came is given out at once, and be it a comment: the status line leaves with the first bytes.
            return Reply(
                200, headers, self._stream(first or codec.keep_alive, pieces, mender, codec, record), answer.close
            )
        whole = answer.read()
        record.first_byte_ms = round((self._clock() - started_at) * 1000)
        if traits.stream:  # some models cannot stream; the client still gets what it asked for
            headers |= {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
            frames_at_once = codec.response_to_stream(
                whole, include_usage=traits.include_usage, choices=traits.choices, **facts
            )
            return Reply(200, headers, frames_at_once)
        mended = codec.mend_response(whole, choices=traits.choices, **facts)
        return Reply(200, headers | {"Content-Type": "application/json"}, mended)

    def _stream(
        self, first: bytes, pieces: Iterator[bytes], mender: StreamMender, codec: Codec, record: Record
    ) -> Iterator[bytes]:
        """From the upstream socket to the client: one piece out for each read, as soon as it has come."""
        try:
            yield first
            while not mender.ended and (piece := next(pieces, None)) is not None:
                if out := mender.feed(piece) if piece else codec.keep_alive:
                    yield out
            if tail := mender.finish():
                yield tail
        except GatewayError as error:
            record.error = error.code
            yield mender.fail(error)
        except Exception:
            # The last guard: the status line has long gone, so the client must learn of our bug in the stream.
            logger.exception("stream failed", extra={"fields": {"request_id": record.request_id}})
            record.error = "internal_error"
            yield mender.fail(GatewayError("The bridge failed while passing the answer on. See its log."))
        finally:
            record.usage, record.finish_reason = mender.usage, mender.finish_reason
            if mender.error is not None:
                record.error = mender.error.code

    def _refusal(self, codec: Codec, answer: UpstreamAnswer, content: bytes, record: Record) -> GatewayError:
        """Upstream's error in our terms; an unknown model is told its likeliest neighbours."""
        error = codec.decode_error(answer.status, answer.headers, content)
        error.message += answer.hint
        if error.code == "model_not_found":
            known = self._catalog.models() if self._catalog.is_known() else ()
            close = near_matches(record.served_model, (model.id for model in known))
            asked = repr(record.model)
            if record.served_model != record.model:
                asked += f" (mapped to {record.served_model!r})"
            hint = f" Did you mean: {', '.join(close)}?" if close else " GET /v1/models lists what this account has."
            return NotFoundError(
                f"Copilot does not offer the model {asked} to this account: {error.message}{hint}",
                param="model",
                code="model_not_found",
            )
        return error

    def _headers(self, answer: UpstreamAnswer, record: Record) -> dict[str, str]:
        passed = {k: v for k, v in answer.headers.items() if k.lower().startswith(_PASSED_HEADERS)}
        passed["x-bridge-model"] = _header_safe(record.served_model)
        if record.dropped:
            passed["x-bridge-dropped"] = _header_safe(", ".join(record.dropped))
        return passed


def _header_safe(text: str) -> str:
    """What a header can carry of a text that came from a client: printable ASCII, 200 characters."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:200])


def _limit(model: Model, name: str) -> int | None:
    capabilities = model.raw.get("capabilities")
    limits = capabilities.get("limits") if isinstance(capabilities, dict) else None
    value = limits.get(name) if isinstance(limits, dict) else None
    return value if isinstance(value, int) and value > 0 else None


def _first_event(pieces: Iterator[bytes], mender: StreamMender) -> bytes:
    """Wait for upstream's first event, so that a failure until then is still a proper HTTP status; what it yields.

    Raises: GatewayError when the stream fails before anything was given out.
    """
    out, seen = b"", b""
    for piece in pieces:
        if not piece:  # silent for so long that the client must hear something
            break
        out = mender.feed(piece)
        seen += piece
        if out or b"\n\n" in seen or b"\r\n\r\n" in seen:
            break
    else:
        out = mender.finish()
    if mender.error is not None and not mender.started:
        raise mender.error
    return out
