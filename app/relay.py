"""The use case: answer one request, through the codecs of the client's protocol and of the model's.

Map the model → choose the protocol that serves it → send → pass the answer on, mended or converted. Knows no Flask and
no field of any protocol.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from app import tokens
from app.converters import embeddings
from app.converters.codec import WITHOUT_EARLIER_PROOFS, WITHOUT_PROOFS, Codec, Identity
from app.converters.crossing import Converted, Crossing, Native, usage_for_log
from app.converters.limits import Limits
from app.converters.local_answers import HEADER, LOCALLY, answer_probe
from app.converters.messages import web_search
from app.converters.messages.counting import countable, read_count
from app.converters.messages.native import prepare_count
from app.converters.purposes import is_mere_probe, purpose_of
from app.converters.traits import ProtocolName, Traits
from app.errors import GatewayError, NotFoundError, UpstreamProtocolError
from app.logs import logger
from app.opening import Opening
from app.reply import EVENT_STREAM, JSON, Record, Reply
from app.routing import EMBEDDINGS, MESSAGES, Model, choose_endpoint, find_model, near_matches, require_endpoint
from app.store.mapping import ModelMapping
from app.streaming import Answered, Opened, first_event, pass_on
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient, UpstreamAnswer
from app.upstream.headers import Call
from app.upstream.images import ImageFetcher
from app.upstream.refusals import Refusals
from app.websearch import Asked, Searching, SearchPump, WebSearch

# Copilot's headers that are worth a client's while: ids for bug reports, what is left of the quota.
_PASSED_HEADERS = ("x-github-request-id", "x-quota-snapshot-", "x-usage-ratelimit-")


class Relay:
    """Answers requests. One per process; holds no state of its own."""

    def __init__(
        self,
        *,
        codecs: Mapping[ProtocolName, Codec],
        mapping: ModelMapping,
        catalog: Catalog,
        client: CopilotClient,
        images: ImageFetcher,
        refusals: Refusals,
        keep_alive_s: float,
        search: WebSearch | None = None,
        answer_probes: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._by_path = {codec.upstream_path: codec for codec in codecs.values()}
        self._mapping = mapping
        self._catalog = catalog
        self._client = client
        self._images = images
        self._refusals = refusals
        self._keep_alive_s = keep_alive_s
        self._search = search
        self._answer_probes = answer_probes
        self._clock = clock

    def answer(
        self, codec: Codec, raw: bytes, body: dict[str, Any], headers: Mapping[str, str], record: Record
    ) -> Reply:
        """Answer one generation request of this protocol; `raw` is the body as it came, `body` what it says.

        headers: the client's, by lower-case name; a codec may have use for them (``anthropic-beta``).
        Raises: GatewayError while nothing has been given out; later failures end the stream in the protocol's own way.
        """
        started_at = self._clock()
        traits = codec.traits(body)
        record.protocol, record.model, record.stream = codec.name, traits.model, traits.stream
        verdict = purpose_of(codec.name, headers, body, traits.initiator)
        record.purpose, record.initiator = verdict.purpose, verdict.initiator
        name, model = self._resolve(traits.model, record)
        upstream = self._upstream_for(codec, model)
        record.upstream = upstream.name
        identity: Identity = {
            "model": traits.model,
            "created": int(started_at),
            "fallback_id": f"{codec.id_prefix}{record.request_id}",
        }
        if self._answer_probes and traits.choices == 1 and is_mere_probe(body) and self._catalog.is_known():
            local = self._answered_probe(codec, body, traits, identity, model, record)
            if local is not None:
                return local
        if codec.upstream_path == MESSAGES and self._search is None and web_search.is_forced(body):
            return self._answered_search(codec, body, traits, identity, record)
        served = self._search.serve(codec, body) if self._search is not None else None
        body = served[0] if served is not None else body
        limits = Limits.of(model.raw if model is not None else {"id": name})
        inlined = self._images.fetch_all(codec.image_urls(body))
        crossing: Crossing
        if upstream is codec and served is None and codec.passes_natively(raw, body):
            crossing = Native(
                codec,
                raw,
                body,
                traits=traits,
                identity=identity,
                model=name,
                limits=limits,
                inlined=inlined,
                headers=headers,
            )
        else:
            crossing = Converted(
                codec,
                upstream,
                body,
                traits=traits,
                identity=identity,
                model=name,
                limits=limits,
                inlined=inlined,
            )
        call = Call(
            path=upstream.upstream_path,
            request_id=record.request_id,
            stream=traits.stream,
            initiator=verdict.initiator,
            interaction_id=str(uuid.uuid5(uuid.NAMESPACE_OID, traits.interaction_key.hex())),
            has_images=traits.has_images,
            extra_headers=model.request_headers if model is not None else {},
        )
        if served is not None and self._search is not None and isinstance(crossing, Converted):
            asked = Asked(
                crossing=crossing,
                call=replace(call, stream=True),
                tool=served[1],
                identity=identity,
                send=lambda crossing, call: self._send(upstream, crossing, call, record),
            )
            searching = Searching(self._search, asked, keep_alive_s=self._keep_alive_s)
            return self._searched(codec, crossing, searching, traits, record, started_at)
        if traits.stream:
            return self._streamed(codec, upstream, crossing, call, record, started_at)
        answer = self._send(upstream, crossing, call, record)
        content = answer.read()
        record.first_byte_ms = self._since(started_at)
        whole = crossing.whole(content)
        return Reply(200, self._headers(answer, record) | JSON, whole)

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
        return Reply(200, {**JSON, "x-bridge-model": _header_safe(name)}, merged)

    def count_tokens(self, raw: bytes, body: dict[str, Any], headers: Mapping[str, str], record: Record) -> int:
        """Count the input tokens of a messages request: upstream does where it can (contract §8.9), else we do.

        Raises: GatewayError.
        """
        codec = self._by_path[MESSAGES]
        record.protocol, record.model, record.purpose = "count_tokens", str(body["model"]), "count"
        name, model = self._resolve(record.model, record)
        if model is not None and MESSAGES in model.endpoints and codec.passes_natively(raw, body):
            counted = self._count_upstream(codec, raw, body, headers, name, model, record)
            if counted is not None:
                return counted
        return tokens.count(countable(codec.decode_request(body)))

    def _count_upstream(
        self,
        codec: Codec,
        raw: bytes,
        body: dict[str, Any],
        headers: Mapping[str, str],
        name: str,
        model: Model,
        record: Record,
    ) -> int | None:
        """Upstream's count; None if it does not count for this model."""
        prepared = prepare_count(
            raw,
            body,
            model=name,
            limits=Limits.of(model.raw),
            inlined=self._images.fetch_all(codec.image_urls(body)),
            headers=headers,
            refused=self._refusals.known(name, MESSAGES),
        )
        call = Call(
            path=f"{MESSAGES}/count_tokens",
            request_id=record.request_id,
            has_images=codec.traits(body).has_images,
            extra_headers=model.request_headers,
        )
        answer = self._client.send(call.carrying(prepared.body, prepared.headers))
        content = answer.read()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise self._refusal(codec, answer, content, record)
        return read_count(content)

    def _answered_probe(
        self,
        codec: Codec,
        body: dict[str, Any],
        traits: Traits,
        identity: Identity,
        model: Model | None,
        record: Record,
    ) -> Reply | None:
        """What a probe is to be told without asking upstream; None if only upstream can tell.

        Raises: GatewayError, the same that the call itself would meet: not signed in, an unknown model.
        """
        self._client.require_token()
        if model is None:
            raise self._unknown_model(record, "GET /v1/models does not list it.")
        if not model.is_enabled:
            return None
        content = answer_probe(codec, body, traits=traits, identity=identity)
        return _local(content, record)

    # ── web search ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _searched(
        self,
        codec: Codec,
        crossing: Converted,
        searching: Searching,
        traits: Traits,
        record: Record,
        started_at: float,
    ) -> Reply:
        """Answer a request that may search. Raises: GatewayError for what fails before anything was given out."""
        if not traits.stream:
            try:
                response = searching.whole()
            finally:
                searching.close()
            record.first_byte_ms, record.searches = self._since(started_at), searching.searches
            record.usage, record.finish_reason = usage_for_log(response), response.finish_reason
            headers = self._headers(searching, record) | JSON
            return Reply(200, headers, crossing.encoded(response))
        pump = SearchPump(searching, crossing.encoder(), searching.identity)

        def open_stream() -> Opened:
            pieces = pump.pieces()
            try:
                first = next((piece for piece in pieces if pump.started or pump.error is not None), b"")
                if pump.error is not None and not pump.started:
                    raise pump.error
            except BaseException:
                searching.close()
                raise
            record.first_byte_ms = self._since(started_at)
            return Opened(searching, pump, pieces, first)

        def pieces() -> Iterator[bytes]:
            try:
                yield from self._pieces(opening, codec, crossing, record)
            finally:
                record.searches = searching.searches

        opening = Opening(open_stream, discard=lambda opened: opened.answer.close())
        return self._opened(opening, pieces(), record)

    def _answered_search(
        self, codec: Codec, body: dict[str, Any], traits: Traits, identity: Identity, record: Record
    ) -> Reply:
        """Tell a client that wants nothing but a search that there is none, in the words it has for that: upstream
        could say no more, and a call would cost something."""
        content = web_search.unavailable(body, codec=codec, traits=traits, identity=identity)
        record.searches = 0
        return _local(content, record)

    # ── which model, which protocol ─────────────────────────────────────────────────────────────────────────────────

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

    def _upstream_for(self, client: Codec, model: Model | None) -> Codec:
        if model is None:
            return self._by_path[client.upstream_path]
        return self._by_path[choose_endpoint(model, client.upstream_path, self._catalog.models())]

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, upstream: Codec, crossing: Crossing, call: Call, record: Record) -> UpstreamAnswer:
        """Send, and once more without it if upstream refuses something by name that can go (proofs in two steps).

        Raises: GatewayError for every other refusal.
        """
        refused = self._refusals.known(record.served_model, upstream.upstream_path)
        may_repair = True
        while True:
            prepared = crossing.payload(refused)
            record.dropped = prepared.dropped
            answer = self._client.send(call.carrying(prepared.body, prepared.headers))
            if answer.status < 400:
                break
            content = answer.read()
            named = upstream.named_refusal(answer.status, content) if may_repair else None
            if named is None or named in refused:
                raise self._refusal(upstream, answer, content, record)
            if named == WITHOUT_PROOFS:
                # A tool round may need the proofs of its own turn: first those of before are left out, then all.
                lighter = crossing.payload(refused | {WITHOUT_EARLIER_PROOFS})
                named = named if lighter.body == prepared.body else WITHOUT_EARLIER_PROOFS
            may_repair = named == WITHOUT_EARLIER_PROOFS
            refused |= {named}
            if not named.startswith(WITHOUT_PROOFS):  # a proof is refused for itself, not for the model
                self._refusals.learn(record.served_model, upstream.upstream_path, named)
            fields = {"request_id": record.request_id, "model": record.served_model, "left_out": named}
            logger.warning("upstream refused a field", extra={"fields": fields})
        if answer.content_type == "text/html":
            answer.close()
            raise UpstreamProtocolError(
                "Copilot answered with an HTML page instead of data: its front door is checking us. Wait half a minute."
            )
        return answer

    def _refusal(self, codec: Codec, answer: UpstreamAnswer, content: bytes, record: Record) -> GatewayError:
        """Upstream's error in our terms; an unknown model is told its likeliest neighbours."""
        error = codec.decode_error(answer.status, answer.headers, content)
        error.message += answer.hint
        return self._unknown_model(record, error.message) if error.code == "model_not_found" else error

    def _unknown_model(self, record: Record, why: str) -> NotFoundError:
        known = self._catalog.models() if self._catalog.is_known() else ()
        close = near_matches(record.served_model, (model.id for model in known))
        asked = repr(record.model)
        if record.served_model != record.model:
            asked += f" (mapped to {record.served_model!r})"
        hint = f" Did you mean: {', '.join(close)}?" if close else ""
        return NotFoundError(
            f"Copilot does not offer the model {asked} to this account: {why}{hint}",
            param="model",
            code="model_not_found",
        )

    def _headers(self, answer: Answered, record: Record) -> dict[str, str]:
        passed = {k: v for k, v in answer.headers.items() if k.lower().startswith(_PASSED_HEADERS)}
        return passed | self._own_headers(record)

    def _own_headers(self, record: Record) -> dict[str, str]:
        own = {"x-bridge-model": _header_safe(record.served_model), "x-bridge-upstream": record.upstream}
        if record.dropped:
            own["x-bridge-dropped"] = _header_safe(", ".join(record.dropped))
        return own

    def _since(self, started_at: float) -> int:
        return round((self._clock() - started_at) * 1000)

    # ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _streamed(
        self, client: Codec, upstream: Codec, crossing: Crossing, call: Call, record: Record, started_at: float
    ) -> Reply:
        """Answer with a stream.

        The status line waits for upstream's first event, so that a failure until then has its own status; but not for
        longer than `keep_alive_s`, after which the client hears that we are alive, and of a failure inside the stream.
        """

        def open_stream() -> Opened:
            answer = self._send(upstream, crossing, call, record)
            try:
                opened = first_event(crossing, answer, silence_s=self._keep_alive_s)
            except BaseException:
                answer.close()
                raise
            record.first_byte_ms = self._since(started_at)
            return opened

        opening = Opening(open_stream, discard=lambda opened: opened.answer.close())
        return self._opened(opening, self._pieces(opening, client, crossing, record), record)

    def _pieces(self, opening: Opening[Opened], client: Codec, crossing: Crossing, record: Record) -> Iterator[bytes]:
        return pass_on(opening, client, crossing, record, keep_alive_s=self._keep_alive_s)

    def _opened(self, opening: Opening[Opened], body: Iterator[bytes], record: Record) -> Reply:
        """The reply of a stream that is being opened. Raises: GatewayError, if it fails in time to be told."""
        if opening.wait(self._keep_alive_s):
            headers = self._headers(opening.result().answer, record)
        else:
            headers = self._own_headers(record)
        return Reply(200, headers | EVENT_STREAM, body, close=opening.close)


def _local(content: bytes, record: Record) -> Reply:
    """An answer of the bridge's own."""
    record.upstream, record.answered = "", LOCALLY
    own = {"x-bridge-model": _header_safe(record.served_model), HEADER: LOCALLY}
    return Reply(200, own | (EVENT_STREAM if record.stream else JSON), content)


def _header_safe(text: str) -> str:
    """What a header can carry of a text that came from a client: printable ASCII, 200 characters."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text[:200])


def _limit(model: Model, name: str) -> int | None:
    capabilities = model.raw.get("capabilities")
    limits = capabilities.get("limits") if isinstance(capabilities, dict) else None
    value = limits.get(name) if isinstance(limits, dict) else None
    return value if isinstance(value, int) and value > 0 else None
