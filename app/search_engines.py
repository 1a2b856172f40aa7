"""Who searches the web for a model that cannot: Copilot's own search, or another model that has one.

Neither is said to be there: what GitHub refuses is remembered for a while, and the next in line searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from app.auth.github_token import TokenSource
from app.converters import copilot_search
from app.converters.codec import UpstreamCodec
from app.converters.neutral.events import Event, accumulate
from app.converters.neutral.prices import cost_of, is_dear
from app.converters.neutral.vocabulary import Extra, Response
from app.converters.neutral.web_search import ErrorCode, Failure, Findings, SearchTool
from app.converters.responses.upstream.web_search import findings_of, search_body
from app.converters.wire import json_bytes
from app.errors import GatewayError, NotFoundError, Sentence, StoreError, UpstreamProtocolError
from app.governor.governor import AccountGovernor
from app.governor.limits import Asks
from app.logs import logger
from app.routing import RESPONSES, Model, find_model, require_endpoint
from app.store.base import Store
from app.store.mapping import ModelMapping
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient, UpstreamAnswer
from app.upstream.headers import Call
from app.upstream.mcp import McpEndpoint, NotOfferedError

TOOLSET: Final = copilot_search.TOOL
"""Of Copilot's MCP endpoint."""

_CODES: Final[dict[int, ErrorCode]] = {413: "request_too_large", 429: "too_many_requests"}
_ENDPOINT_MEMORY_S: Final = 3600.0
_MODEL_MEMORY_S: Final = 24 * 3600.0
_MOST_MODELS: Final = 3
"""Models that are tried for one search, where nobody has said which of them can."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search came to. extra: of the answer, for what it cost. error: of a search that failed."""

    found: Findings | Failure
    extra: Extra = field(default_factory=dict)
    error: GatewayError | None = None

    @classmethod
    def failed(cls, error: GatewayError) -> Outcome:
        return cls(Failure(_CODES.get(error.status, "unavailable")), error=error)


class SearchEngine(Protocol):
    """name: for people. is_there: whether there is any use in asking it, as far as is known; calls nobody.

    search: None if it turns out not to be there, which is remembered. Never raises a GatewayError.
    """

    name: str

    def is_there(self) -> bool: ...
    def search(self, query: str, tool: SearchTool, call: Call) -> Outcome | None: ...


class Absences:
    """What GitHub does not offer to an account, for a while. Without the store each process remembers for itself."""

    def __init__(self, store: Store, github_tokens: TokenSource) -> None:
        self._store = store
        self._github_tokens = github_tokens

    def note(self, what: str, *, ttl_s: float) -> None:
        try:
            self._store.put(self._key(what), "1", ttl_s=ttl_s)
        except StoreError as error:  # it will be asked, and refused, again
            logger.warning("nothing learned", extra={"fields": {"why": error.message}})

    def is_noted(self, what: str) -> bool:
        try:
            return self._store.get(self._key(what)) is not None
        except StoreError:
            return False

    def _key(self, what: str) -> str:
        token = self._github_tokens.current()
        return f"no-search:{token.fingerprint if token is not None else ''}:{what}"


class CopilotSearch:
    """The search tool of Copilot's MCP endpoint (contract §14.2)."""

    name: str = Sentence("Copilot's own search")
    _NAME: Final = "copilot"

    def __init__(self, endpoint: McpEndpoint, *, absences: Absences, github_tokens: TokenSource) -> None:
        self._endpoint = endpoint
        self._absences = absences
        self._github_tokens = github_tokens

    def is_there(self) -> bool:
        token = self._github_tokens.current()
        # Classic personal tokens are good for nothing of Copilot's (contract §1.7).
        return token is not None and token.kind != "ghp" and not self._absences.is_noted(self._NAME)

    def search(self, query: str, tool: SearchTool, call: Call) -> Outcome | None:
        try:
            arguments = copilot_search.arguments(query, tool)
            result = self._endpoint.call_tool(copilot_search.TOOL, arguments, request_id=call.request_id)
        except NotOfferedError as error:
            self._absences.note(self._NAME, ttl_s=_ENDPOINT_MEMORY_S)
            fields = {"request_id": call.request_id, "code": error.code}
            logger.warning("Copilot's own web search is not there", extra={"fields": fields})
            return None
        except GatewayError as error:
            return Outcome.failed(error)
        return Outcome(copilot_search.findings_of(result, tool), copilot_search.cost_of(result))


class ModelSearch:
    """A model that searches at ``/responses``. name: as the operator chose it; None: the cheapest that does not refuse.

    codec: of ``/responses``.
    """

    def __init__(
        self,
        name: str | None,
        *,
        codec: UpstreamCodec,
        mapping: ModelMapping,
        catalog: Catalog,
        client: CopilotClient,
        absences: Absences,
        governor: AccountGovernor | None = None,
    ) -> None:
        self.name = name or Sentence("a model at %(path)s", path=RESPONSES)
        self._name = name
        self._codec = codec
        self._mapping = mapping
        self._catalog = catalog
        self._client = client
        self._absences = absences
        self._governor = governor

    def is_there(self) -> bool:
        if self._name is not None:
            return True
        try:
            return bool(self._candidates())
        except GatewayError:
            return False

    def search(self, query: str, tool: SearchTool, call: Call) -> Outcome | None:
        try:
            models = [self._chosen(self._name)] if self._name is not None else self._candidates()[:_MOST_MODELS]
            for model in models:
                try:
                    response = self._answer(model, query, tool, call)
                except GatewayError as error:
                    if self._name is not None or not _is_about_search(error):
                        raise
                    self._absences.note(model.id, ttl_s=_MODEL_MEMORY_S)
                else:
                    return Outcome(findings_of(response, tool), response.extra)
        except GatewayError as error:
            return Outcome.failed(error)
        return None

    def _chosen(self, name: str) -> Model:
        mapped = self._mapping.resolve(name)
        models = self._catalog.models()
        model = find_model(mapped, models)
        if model is None:
            raise NotFoundError(f"WEB_SEARCH_MODEL names {mapped!r}, which this account does not have.")
        require_endpoint(model, RESPONSES, models)
        return model

    def _candidates(self) -> list[Model]:
        """Models that may be able to search, the cheapest first; what is not known to be cheap is no bargain."""
        usable = [
            model
            for model in self._catalog.models()
            if model.type == "chat" and RESPONSES in model.endpoints and model.is_openai and model.is_enabled
        ]
        able = [model for model in usable if not is_dear(model.raw) and not self._absences.is_noted(model.id)]
        return sorted(able, key=_cheapness)

    def _answer(self, model: Model, query: str, tool: SearchTool, call: Call) -> Response:
        body = search_body(query, tool, model=model.id)
        own = Call(
            path=RESPONSES,
            request_id=call.request_id,
            stream=True,
            initiator="agent",
            interaction_id=call.interaction_id,
            extra_headers=model.request_headers,
            asker=call.asker,
        )
        vendor = model.raw.get("vendor")
        asks = Asks(call.asker, model.id, vendor if isinstance(vendor, str) else "", is_agents=True)
        try:
            return self._read(self._sent(own, body, asks))
        except GatewayError as error:
            if error.param != "tool_choice":
                raise
        # It is not known whether every model takes a choice beside this tool. The task itself says to search.
        del body["tool_choice"]
        return self._read(self._sent(own, body, asks))

    def _sent(self, call: Call, body: dict[str, object], asks: Asks) -> UpstreamAnswer:
        governor, whole = self._governor, call.carrying(json_bytes.dumps(body), {})

        def send() -> UpstreamAnswer:
            return self._client.send(whole)

        answer = send() if governor is None else governor.send(send, asks)
        if answer.status >= 400:
            content = answer.read()
            if governor is not None:
                governor.note_refusal(asks, answer.status, answer.headers, content)
            raise self._codec.decode_error(answer.status, answer.headers, content)
        return answer

    def _read(self, answer: UpstreamAnswer) -> Response:
        try:
            if answer.content_type == "application/json":  # some models cannot stream
                return self._whole(answer.read())
            decoder = self._codec.decode_stream()
            events: list[Event] = []
            for piece in answer.iter_bytes(silence_s=answer.idle_timeout_s):
                events += decoder.feed_bytes(piece)
            return accumulate([*events, *decoder.finish()])
        finally:
            answer.close()

    def _whole(self, content: bytes) -> Response:
        try:
            body = json_bytes.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise UpstreamProtocolError("GitHub Copilot's answer to the search is no JSON object.")
        return self._codec.decode_response(body)


class Engines:
    """All that may search, in the order in which they are asked."""

    def __init__(self, engines: Sequence[SearchEngine]) -> None:
        self._engines = engines

    def is_there(self) -> bool:
        return any(engine.is_there() for engine in self._engines)

    def names(self) -> tuple[str, str | None]:
        """Who is to search, and who would now; None: nobody."""
        return self._engines[0].name, next((engine.name for engine in self._engines if engine.is_there()), None)

    def search(self, query: str, tool: SearchTool, call: Call) -> Outcome:
        for engine in self._engines:
            if engine.is_there() and (outcome := engine.search(query, tool, call)) is not None:
                return outcome
        return Outcome(Failure("unavailable"))


def _cheapness(model: Model) -> tuple[bool, float, str]:
    cost = cost_of(model.raw)
    return cost is None, cost or 0.0, model.id


def _is_about_search(error: GatewayError) -> bool:
    """Whether a model refuses the tool itself."""
    said = error.message.lower().replace("_", " ")
    return error.status == 400 and (str(error.param).startswith("tools") or "web search" in said)
