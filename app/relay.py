"""The use case: answer one request, through the codecs of the client's protocol and of the model's.

Map the model → choose the protocol that serves it → send → pass the answer on, normalized or converted. Knows no Flask
and no field of any protocol.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app import tokens
from app.background_call import BackgroundCall
from app.caching.prefix import Prefix
from app.converters import removable
from app.converters.codec import ClientCodec, Identity, NativeRequest, UpstreamCodec
from app.converters.exchange import Converted, Exchange, converted_exchange, exchange_for, whole_or_stream
from app.converters.listings import embeddings, images
from app.converters.neutral.conversation_key import conversation_key
from app.converters.neutral.losses import header_of
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.outcome import outcome_of
from app.converters.neutral.request_traits import ProtocolName, Traits
from app.converters.neutral.token_text import countable
from app.converters.neutral.vocabulary import Request
from app.converters.probe_answer import HEADER, LOCALLY, answer_probe
from app.converters.refusal import MOST_REPAIRS, next_try
from app.converters.request_purpose import CallKind, is_mere_probe, purpose_of
from app.converters.wire.accounting import credits_text
from app.converters.wire.error_body import answer_in
from app.converters.wire.openai_errors import is_full
from app.copier import Passage
from app.errors import GatewayError, NotFoundError, Sentence, StoreError, UpstreamError, UpstreamProtocolError
from app.governor.governor import AccountGovernor, asker_of, asks_of
from app.logs import loggable_name, logger
from app.reply import EVENT_STREAM, JSON, Attempt, Record, Reply, header_safe
from app.routing import (
    EMBEDDINGS,
    HEADER_NAME,
    Model,
    choose_endpoint,
    find_model,
    is_auto,
    near_matches,
    require_endpoint,
    usable,
)
from app.store.mapping import ModelMapping
from app.store.rules import Choice
from app.stored_responses import Recalled, StoredResponses, owner_of
from app.streaming import Answered, Opened, first_event, pass_bytes, pass_on
from app.tape import Tape
from app.upstream.auto import AutoMode, Question
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient, UpstreamAnswer
from app.upstream.headers import Call
from app.upstream.images.fetch import ImageFetcher
from app.upstream.refusals import Refusals
from app.web_search import Asked, Searching, SearchTransformer, WebSearch

# Copilot's headers that are worth a client's while: ids for bug reports, what is left of the quota.
_PASSED_HEADERS = ("x-github-request-id", "x-quota-snapshot-", "x-usage-ratelimit-")


CREDITS = "x-bridge-credits"
"""The header that tells what a whole answer cost. A stream's cost is known when its headers have long gone."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One generation request, whichever model answers it. headers: the client's, by lower-case name."""

    client: ClientCodec
    recalled: Recalled
    headers: Mapping[str, str]
    traits: Traits
    kind: CallKind
    record: Record
    started_at: float


class Relay:
    """Answers requests. One per process; holds no state of its own."""

    def __init__(
        self,
        *,
        upstreams: Mapping[ProtocolName, UpstreamCodec],
        mapping: ModelMapping,
        catalog: Catalog,
        client: CopilotClient,
        images: ImageFetcher,
        refusals: Refusals,
        keep_alive_s: float,
        search: WebSearch | None = None,
        answer_probes: bool = False,
        auto: AutoMode | None = None,
        stored: StoredResponses | None = None,
        tape_for: Callable[[Record, bytes, Mapping[str, str]], Tape | None] = lambda *_: None,
        prefix_of: Callable[[Mapping[str, Any]], Prefix | None] = lambda _: None,
        governor: AccountGovernor | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._by_path = {codec.path: codec for codec in upstreams.values()}
        self._mapping = mapping
        self._catalog = catalog
        self._client = client
        self._images = images
        self._refusals = refusals
        self._keep_alive_s = keep_alive_s
        self._search = search
        self._answer_probes = answer_probes
        self._auto = auto
        self._stored = stored
        self._tape_for = tape_for
        self._prefix_of = prefix_of
        self._governor = governor
        self._clock = clock

    def answer(
        self, client: ClientCodec, raw: bytes, body: dict[str, Any], headers: Mapping[str, str], record: Record
    ) -> Reply:
        """Answer one generation request in this dialect; `raw` is the body as it came, `body` what it says.

        headers: the client's, by lower-case name; a codec may have use for them (``anthropic-beta``).
        Raises: GatewayError while nothing has been given out; later failures end the stream in the protocol's own way.
        """
        started_at = self._clock()
        record.tape = self._tape_for(record, raw, headers)
        recalled = self._recall(client, raw, body, record)
        record.prefix = self._prefix_of(recalled.body)
        traits = client.traits(recalled.body)
        record.protocol, record.model, record.stream = client.name, traits.model, traits.stream
        record.conversation = conversation_key(headers, recalled.body)
        kind = purpose_of(client.name, headers, recalled.body, traits.initiator)
        record.purpose, record.initiator = kind.purpose, kind.initiator
        if self._governor is not None:
            self._governor.admit(record, raw)
        asked = _Asked(client, recalled, headers, traits, kind, record, started_at)
        choice = self._chosen(traits.model, record)
        for target in choice.targets[:-1]:
            try:
                return self._answer_by(target, asked)
            except UpstreamError as error:
                if not is_full(error):
                    raise
                fields = {"request_id": record.request_id, "model": record.served_model, "code": error.code}
                logger.warning("the next model of the rule is tried", extra={"fields": fields})
        return self._answer_by(choice.targets[-1], asked)

    def _answer_by(self, target: str, asked: _Asked) -> Reply:
        """Answer by this model. Raises: GatewayError."""
        client, traits, record = asked.client, asked.traits, asked.record
        raw, body, at_end = asked.recalled.raw, asked.recalled.body, asked.recalled.keeper
        name, model = self._found(target, record)
        told_name, session = traits.model, None
        if model is None and is_auto(name) and self._auto is not None:
            question = _question(client.decode_request(body), traits)
            model, session = self._auto.pick(question, request_id=record.request_id)
            name = record.served_model = model.id
            # Who asked for auto wants to know; by a mapping, a client hears the name that it asked for.
            told_name = model.id if is_auto(told_name) else told_name
            record.entry = model.raw
        upstream = self._upstream_for(client, model)
        record.upstream = upstream.name
        fallback_id = f"{client.id_prefix}{record.request_id}"
        identity = Identity(told_name, int(asked.started_at), fallback_id, asked.recalled.told)
        local = self._answered_here(client, body, traits, identity, model, record)
        if local is not None:
            return _local(at_end(local) if at_end is not None else local, record)
        served = self._search.serve(client, body, upstream.path) if self._search is not None else None
        body = served[0] if served is not None else body
        limits = model.limits if model is not None else ModelLimits.of({"id": name})
        inlined = self._images.fetch_all(client.image_urls(body))
        self._reserve(record, body, len(raw), model)
        call = Call(
            path=upstream.path,
            request_id=record.request_id,
            stream=traits.stream,
            initiator=asked.kind.initiator,
            interaction_id=_interaction_id(traits.interaction_key),
            has_images=traits.has_images,
            extra_headers=model.request_headers if model is not None else {},
            session=session,
            asker=asker_of(record),
        )
        request = NativeRequest(raw=raw, body=body, model=name, limits=limits, inlined=inlined, headers=asked.headers)
        if served is not None and self._search is not None:
            converted = converted_exchange(client, upstream, request, traits=traits, identity=identity)
            question_asked = Asked(
                exchange=converted,
                call=replace(call, stream=True),
                tool=served[1],
                words=served[2],
                identity=identity,
                send=lambda exchange, call: self._send(upstream, exchange, call, record),
            )
            searching = Searching(self._search, question_asked, keep_alive_s=self._keep_alive_s)
            return self._searched(asked, converted, searching)
        exchange = exchange_for(client, upstream, request, traits=traits, identity=identity)
        if traits.stream:
            return self._streamed(asked, upstream, exchange, call)
        answer = self._send(upstream, exchange, call, record)
        content = answer.read()
        record.first_byte_ms = self._since(asked.started_at)
        whole = exchange.whole(content)
        record.note(exchange.outcome())
        return Reply(200, self._headers(answer, record) | JSON, at_end(whole) if at_end is not None else whole)

    def _recall(self, client: ClientCodec, raw: bytes, body: dict[str, Any], record: Record) -> Recalled:
        """The request with what it goes on from, if this client's dialect knows such a thing. Raises: GatewayError."""
        if client.storage is None or self._stored is None:
            return Recalled(raw, body)
        try:
            return self._stored.recall(client.storage, raw, body, owner=owner_of(record))
        except GatewayError:
            record.protocol, record.model = client.name, str(body["model"])
            raise

    def embed(self, upstream: UpstreamCodec, body: dict[str, Any], record: Record) -> Reply:
        """Answer an embeddings request; `upstream` reads the errors. Raises: GatewayError."""
        record.protocol, record.model = "embeddings", str(body["model"])
        as_base64 = embeddings.wants_base64(body)
        name, model = self._resolve(record.model, record)
        batch = embeddings.DEFAULT_BATCH
        if model is not None:
            require_endpoint(model, EMBEDDINGS, self._catalog.models())
            batch = _limit(model, "max_inputs") or batch
        self._reserve(record, body, len(str(body.get("input", ""))), model)
        replies: list[bytes] = []
        try:
            for payload in embeddings.upstream_bodies(body, model=name, batch=batch):
                answer = self._sent(
                    Call(path=EMBEDDINGS, request_id=record.request_id, body=payload, intent="copilot-panel"), record
                )
                content = answer.read()
                if answer.status != 200:
                    raise self._refusal(upstream, answer, content, record)
                replies.append(content)
            merged = embeddings.merge_replies(replies, model=record.model, as_base64=as_base64)
        finally:  # what was answered is paid, even if the rest is refused
            record.usage, record.nano_credits = embeddings.token_counts(replies), embeddings.nano_spent(replies)
        told = {CREDITS: credits_text(record.nano_credits)} if record.nano_credits is not None else {}
        return Reply(200, {**JSON, "x-bridge-model": header_safe(name), **told}, merged)

    def pass_through(self, upstream: UpstreamCodec, passing: images.ImageRequest, record: Record) -> Reply:
        """Answer a request of an endpoint that some models list and the bridge does not convert (contract §14.1).

        upstream: reads the errors. Raises: GatewayError.
        """
        started_at = self._clock()
        record.protocol, record.model, record.initiator = "images", str(passing.body["model"]), "user"
        record.upstream = "images"
        record.stream = passing.body.get("stream") is True
        name, model = self._resolve(record.model, record)
        models = self._catalog.models()
        if not any(passing.path in one.endpoints for one in models):
            raise NotFoundError(
                f"None of this account's models is served at {passing.path}: GET /v1/models tells the "
                "`supported_endpoints` of each.",
                code="unsupported_api_for_model",
            )
        if model is None:
            raise self._unknown_model(record, Sentence("GET /v1/models does not list it."), path=passing.path)
        require_endpoint(model, passing.path, models)
        self._reserve(record, passing.body, len(passing.raw), model)
        call = Call(
            path=passing.path,
            request_id=record.request_id,
            body=passing.carrying(name),
            content_type=passing.form or JSON["Content-Type"],
            stream=record.stream,
            initiator="user",
            has_images=passing.path.endswith("/edits"),
            extra_headers=model.request_headers,
        )
        answer = self._sent(call, record)
        if answer.status >= 400:
            raise self._refusal(upstream, answer, answer.read(), record)
        record.first_byte_ms = self._since(started_at)
        if answer.content_type == "text/event-stream":
            body = pass_bytes(answer, images.StreamReader(), record, keep_alive_s=self._keep_alive_s)
            return Reply(200, self._headers(answer, record) | EVENT_STREAM, body, close=answer.close)
        content = answer.read()
        answer_in(content)  # a page, say, is no answer
        record.note(images.outcome_of(content))
        return Reply(200, self._headers(answer, record) | JSON, content)

    def count_tokens(
        self, client: ClientCodec, raw: bytes, body: dict[str, Any], headers: Mapping[str, str], record: Record
    ) -> int:
        """Count the input tokens of a request: upstream does where it can (contract §8.9), else we do.

        Raises: GatewayError.
        """
        record.protocol, record.model, record.purpose = "count_tokens", str(body["model"]), "count"
        _, model = self._resolve(record.model, record)
        if model is not None:
            counted = self._count_upstream(client, raw, body, headers, model, record)
            if counted is not None:
                return counted
        return tokens.count(countable(client.decode_request(body)))

    def _count_upstream(
        self,
        client: ClientCodec,
        raw: bytes,
        body: dict[str, Any],
        headers: Mapping[str, str],
        model: Model,
        record: Record,
    ) -> int | None:
        """Upstream's count; None if it does not count such a request, or not for this model."""
        native = client.native
        counting = native.count_tokens if native is not None and native.path in model.endpoints else None
        if native is None or counting is None or not native.passes(raw, body):
            return None
        if self._governor is not None and not self._governor.may_be_sent(asks_of(record)):
            return None
        request = NativeRequest(
            raw=raw,
            body=body,
            model=model.id,
            limits=model.limits,
            inlined=self._images.fetch_all(client.image_urls(body)),
            headers=headers,
            refused=self._refusals.known(model.id, native.path),
        )
        prepared = counting.prepare(request)
        call = Call(
            path=counting.path,
            request_id=record.request_id,
            has_images=client.traits(body).has_images,
            extra_headers=model.request_headers,
        )
        answer = self._client.send(call.carrying(prepared.body, prepared.headers))
        content = answer.read()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise self._refusal(self._by_path[native.path], answer, content, record)
        return counting.read(content)

    def _answered_here(
        self,
        client: ClientCodec,
        body: dict[str, Any],
        traits: Traits,
        identity: Identity,
        model: Model | None,
        record: Record,
    ) -> bytes | None:
        """What the bridge can say itself, without a call that would cost something; None if only upstream can tell.

        Raises: GatewayError, as `_answered_probe`.
        """
        if self._answer_probes and traits.choices == 1 and is_mere_probe(body) and self._catalog.is_known():
            probed = self._answered_probe(client, body, traits, identity, model, record)
            if probed is not None:
                return probed
        if client.search is not None:
            unavailable = client.search.unavailable(body, identity)
            if unavailable is not None and not self._searches():
                record.searches = 0
                request = Request(model=identity.model)
                return whole_or_stream(client, unavailable, request, identity=identity, traits=traits)
        return None

    def _answered_probe(
        self,
        client: ClientCodec,
        body: dict[str, Any],
        traits: Traits,
        identity: Identity,
        model: Model | None,
        record: Record,
    ) -> bytes | None:
        """What a probe is to be told without asking upstream; None if only upstream can tell.

        Raises: GatewayError, the same that the call itself would meet: not signed in, an unknown model.
        """
        self._client.require_token()
        if model is None:
            raise self._unknown_model(record, Sentence("GET /v1/models does not list it."))
        if not model.is_enabled:
            return None
        return answer_probe(client, body, traits=traits, identity=identity)

    def _searches(self) -> bool:
        return self._search is not None and self._search.is_there()

    # ── web search ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _searched(
        self,
        asked: _Asked,
        exchange: Converted,
        searching: Searching,
    ) -> Reply:
        """Answer a request that may search. Raises: GatewayError for what fails before anything was given out."""
        record, started_at, at_end = asked.record, asked.started_at, asked.recalled.keeper
        if not asked.traits.stream:
            try:
                response = searching.whole()
            finally:
                searching.close()
                record.nano_credits, record.is_partial = searching.nano_credits, True
            record.first_byte_ms, record.searches = self._since(started_at), searching.searches
            record.note(outcome_of(response))
            record.is_partial = searching.is_cut
            headers = self._headers(searching, record) | JSON
            whole = exchange.encoded(response)
            return Reply(200, headers, at_end(whole) if at_end is not None else whole)
        transformer = SearchTransformer(searching, exchange)

        def open_stream() -> Opened:
            pieces = transformer.pieces()
            try:
                first = next((piece for piece in pieces if transformer.started or transformer.error is not None), b"")
                if transformer.error is not None and not transformer.started:
                    raise transformer.error
            except BaseException:
                searching.close()
                raise
            record.first_byte_ms = self._since(started_at)
            return Opened(searching, transformer, pieces, first)

        def pieces() -> Iterator[bytes]:
            try:
                yield from self._pieces(background, asked, exchange, Passage())
            finally:
                record.searches = searching.searches
                if record.nano_credits is None:  # cut off: what it came to until then is paid
                    record.nano_credits, record.is_partial = searching.nano_credits, True
                record.is_partial = record.is_partial or searching.is_cut

        background = BackgroundCall(open_stream, discard=lambda opened: opened.answer.close())
        return self._opened(background, pieces(), record, Passage())

    # ── which model, which protocol ─────────────────────────────────────────────────────────────────────────────────

    def _resolve(self, asked: str, record: Record) -> tuple[str, Model | None]:
        """The upstream id for a name, and its entry; by a rule the first that the account has."""
        return self._found(self._chosen(asked, record).targets[0], record)

    def _chosen(self, asked: str, record: Record) -> Choice:
        """Where a call goes: one target, or several if the next is to be tried where one is full."""
        choice = self._mapping.choose(asked, key=record.key, purpose=record.purpose)
        record.rule = choice.rule
        if len(choice.targets) == 1:
            return choice
        there = usable(choice.targets, self._models(record) or ())
        return replace(choice, targets=there if choice.falls_back else there[:1])

    def _found(self, target: str, record: Record) -> tuple[str, Model | None]:
        """The upstream id, and its entry. Without a catalogue the name goes as it is: upstream will say."""
        model = find_model(target, self._models(record) or ())
        name = model.id if model is not None else target
        record.served_model, record.entry = name, model.raw if model is not None else None
        if record.admission is not None:
            record.admission.enter(name, asked=record.model)
        return name, model

    def _models(self, record: Record) -> Sequence[Model] | None:
        """None if there is no list. Raises: GatewayError if nobody is signed in, or has no licence."""
        try:
            return self._catalog.models()
        except GatewayError as error:
            if error.status in (401, 403):
                raise  # the call itself would fail the same way
            logger.warning("no model list", extra={"fields": {"request_id": record.request_id, "why": error.message}})
            return None

    def _reserve(self, record: Record, body: Mapping[str, Any], size: int, model: Model | None) -> None:
        """Hold what the call may cost, if its key has a budget. Raises: GatewayError if that does not allow it."""
        if record.admission is not None:
            entry = model.raw if model is not None else None
            record.admission.reserve(body, size=size, entry=entry, is_turn=record.initiator == "user")

    def _upstream_for(self, client: ClientCodec, model: Model | None) -> UpstreamCodec:
        if model is None:
            return self._by_path[client.prefers]
        return self._by_path[choose_endpoint(model, client.prefers, self._catalog.models())]

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, upstream: UpstreamCodec, exchange: Exchange, call: Call, record: Record) -> UpstreamAnswer:
        """Send, and again without it if upstream refuses something that can go: `MOST_REPAIRS` times at most.

        Raises: GatewayError for every other refusal.
        """
        refused = self._refusals.known(record.served_model, upstream.path)
        prepared = exchange.payload(refused)
        learned: list[str] = []
        tries_left = MOST_REPAIRS
        while True:
            record.dropped = prepared.dropped
            record.losses = tuple((loss.path, loss.reason) for loss in prepared.losses)
            answer = self._sent(call.carrying(prepared.body, prepared.headers), record)
            if answer.status < 400:
                break
            content = answer.read()
            found = next_try(exchange, refused, prepared, answer.status, content) if tries_left else None
            if found is None:
                raise self._refusal(upstream, answer, content, record)
            repair, refused, repeat = found
            if repair.lasts and removable.can_be_remembered(repair.name, prepared, content):
                learned.append(repair.name)
            fields = {
                "request_id": record.request_id,
                "model": record.served_model,
                "left_out": loggable_name(repair.name),
            }
            logger.warning("upstream refused a field", extra={"fields": fields})
            prepared = repeat
            tries_left -= 1
        if answer.content_type == "text/html":
            answer.close()
            raise UpstreamProtocolError(
                Sentence(
                    "Copilot answered with an HTML page instead of data: its front door is checking us. Wait half a "
                    "minute."
                )
            )
        for name in learned:  # only now it is known that this was the fault, and the only one
            self._learn(record, upstream.path, name)
        return answer

    def _sent(self, call: Call, record: Record) -> UpstreamAnswer:
        """One call to Copilot, when it may be made; the record says what became of it. Raises: GatewayError."""
        if self._governor is None:
            return self._attempt(call, record)
        return self._governor.send(lambda: self._attempt(call, record), asks_of(record), record)

    def _attempt(self, call: Call, record: Record) -> UpstreamAnswer:
        """Raises: GatewayError."""
        record.sent = "asked"
        attempt = Attempt(record.served_model)
        record.attempts.append(attempt)
        if record.traceparent is not None:
            call = replace(call, extra_headers={**call.extra_headers, "traceparent": record.traceparent})
        if record.prefix is not None:
            record.prefix.sent(call.body or b"")
        reel = record.tape.reel(call.path, call.body or b"") if record.tape is not None else None
        try:
            answer = self._client.send(call, attempt.repeats.append)
        except GatewayError:
            if reel is not None:
                reel.ended("none")
            raise
        if reel is not None:
            answer.reel = reel
            reel.status, reel.headers = answer.status, {name.lower(): it for name, it in answer.headers.items()}
        attempt.answered, attempt.status = time.monotonic(), answer.status
        record.sent = "answered" if answer.status < 400 else "refused"
        record.upstream_request_id = attempt.request_id = answer.headers.get("x-github-request-id")
        if 300 <= answer.status < 400:
            record.sent = "refused"
            answer.close()
            raise UpstreamProtocolError(
                Sentence(
                    "GitHub Copilot's address leads elsewhere (status %(status)s) instead of answering: something on "
                    "the way asks for a sign-in, or COPILOT_API_BASE_URL names a host that has moved.",
                    status=answer.status,
                )
            )
        return answer

    def _learn(self, record: Record, path: str, name: str) -> None:
        try:
            self._refusals.learn(record.served_model, path, name)
        except StoreError as error:  # the answer is there: remembering can wait for the next time
            logger.warning("nothing learned", extra={"fields": {"request_id": record.request_id, "why": error.message}})

    def _refusal(self, codec: UpstreamCodec, answer: UpstreamAnswer, content: bytes, record: Record) -> GatewayError:
        """Upstream's error in our terms; an unknown model is told its likeliest neighbours."""
        if self._governor is not None:
            self._governor.note_refusal(asks_of(record), answer.status, answer.headers, content)
        error = codec.decode_error(answer.status, answer.headers, content)
        error.message += answer.hint
        return self._unknown_model(record, error.message) if error.code == "model_not_found" else error

    def _unknown_model(self, record: Record, why: str, *, path: str | None = None) -> NotFoundError:
        known = self._catalog.models() if self._catalog.is_known() else ()
        close = near_matches(
            record.served_model, (model.id for model in known if path is None or path in model.endpoints)
        )
        asked: str = repr(record.model)
        if record.served_model != record.model:
            asked = Sentence("%(model)s (mapped to %(served)s)", model=asked, served=repr(record.served_model))
        hint = Sentence("Did you mean: %(names)s?", names=", ".join(close)) if close else ""
        offers = Sentence("Copilot does not offer the model %(model)s to this account: %(why)s", model=asked, why=why)
        return NotFoundError(
            Sentence.joined(offers, hint) if hint else offers,
            param="model",
            code="model_not_found",
        )

    def _headers(self, answer: Answered, record: Record) -> dict[str, str]:
        # Cleaned: with a control character in a header our server would throw the whole answer away.
        passed = {
            name: header_safe(value, longest=1000)
            for name, value in answer.headers.items()
            if name.lower().startswith(_PASSED_HEADERS) and HEADER_NAME.fullmatch(name)
        }
        record.quotas = passed
        return passed | self._own_headers(record)

    def _own_headers(self, record: Record) -> dict[str, str]:
        own = {"x-bridge-model": header_safe(record.served_model), "x-bridge-upstream": record.upstream}
        if record.dropped:
            own["x-bridge-dropped"] = header_of(record.dropped)
        if record.nano_credits is not None:
            own[CREDITS] = credits_text(record.nano_credits)
        return own

    def _since(self, started_at: float) -> int:
        return round((self._clock() - started_at) * 1000)

    # ── streams ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _streamed(
        self,
        asked: _Asked,
        upstream: UpstreamCodec,
        exchange: Exchange,
        call: Call,
    ) -> Reply:
        """Answer with a stream.

        The status line waits for upstream's first event, so that a failure until then has its own status; but not for
        longer than `keep_alive_s`, after which the client hears that we are alive, and of a failure inside the stream.
        """

        record = asked.record

        def open_stream() -> Opened:
            answer = self._send(upstream, exchange, call, record)
            try:
                opened = first_event(exchange, answer, silence_s=self._keep_alive_s)
            except BaseException:
                answer.close()
                raise
            record.first_byte_ms = self._since(asked.started_at)
            return opened

        background = BackgroundCall(open_stream, discard=lambda opened: opened.answer.close())
        passage = Passage()
        pieces = self._pieces(background, asked, exchange, passage)
        return self._opened(background, pieces, record, passage)

    def _pieces(
        self, background: BackgroundCall[Opened], asked: _Asked, exchange: Exchange, passage: Passage
    ) -> Iterator[bytes]:
        return pass_on(
            background,
            asked.client,
            exchange,
            asked.record,
            passage,
            keep_alive_s=self._keep_alive_s,
            at_end=asked.recalled.keeper,
        )

    def _opened(
        self, background: BackgroundCall[Opened], body: Iterator[bytes], record: Record, passage: Passage
    ) -> Reply:
        """The reply of a stream that is being opened. Raises: GatewayError, if it fails in time to be told."""
        try:
            is_through = background.wait(self._keep_alive_s)
        except BaseException:  # the client has gone, or the worker stops
            background.close()
            raise
        headers = self._headers(background.result().answer, record) if is_through else self._own_headers(record)
        return Reply(200, headers | EVENT_STREAM, body, close=background.close, passage=passage)


@functools.lru_cache(maxsize=1024)
def _interaction_id(key: bytes) -> str:
    """The same for all calls of one turn, of which an agent makes many."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, key.hex()))


def _question(request: Request, traits: Traits) -> Question:
    """What Copilot is told to pick a model by. A conversation is known by how it began."""
    said = [text for message in request.messages if message.role == "user" and (text := message.text.strip())]
    began = f"{request.prompt_cache_key or ''}\n{said[0] if said else ''}"
    prompt = said[-1] if said else "(no text)"
    return Question(began, prompt, tuple(said[:-1]), has_image=traits.has_images)


def _local(content: bytes, record: Record) -> Reply:
    """An answer of the bridge's own."""
    record.upstream, record.answered = "", LOCALLY
    own = {"x-bridge-model": header_safe(record.served_model), HEADER: LOCALLY}
    return Reply(200, own | (EVENT_STREAM if record.stream else JSON), content)


def _limit(model: Model, name: str) -> int | None:
    capabilities = model.raw.get("capabilities")
    limits = capabilities.get("limits") if isinstance(capabilities, dict) else None
    value = limits.get(name) if isinstance(limits, dict) else None
    return value if isinstance(value, int) and value > 0 else None
