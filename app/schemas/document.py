"""The OpenAPI document: every endpoint, from the schemas that its requests are checked with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from app.errors import Sentence
from app.schemas import answers
from app.schemas.admin import PURPOSES, MappingRule, MappingRules, MappingTarget, NewMappingRule, Undo
from app.schemas.base import MAX_NAME_CHARACTERS
from app.schemas.chat import ChatRequest, InputRequest
from app.schemas.embeddings import EmbeddingsRequest
from app.schemas.images import ImagesRequest
from app.schemas.keys import KeyChange, NewInvitation, NewKey
from app.schemas.messages import CountTokensRequest, MessagesRequest
from app.schemas.responses import ResponsesRequest
from app.schemas.usage import FORMATS, GROUPS
from app.version import VERSION

Body = type[Schema] | tuple[type[Schema], ...]

_ABOUT = """\
GitHub Copilot as OpenAI Chat Completions, OpenAI Responses, Anthropic Messages, embeddings and a model list.

Of a request only those fields are described that the bridge itself reads. Every other field of the vendor's API may be
sent: it is passed on, converted, or named in the answer's header `x-bridge-dropped`. Errors come in the form of the
dialect that the endpoint speaks. Each path under `/v1` is also there without `/v1`.
"""
STATUSES: Final = {
    200: Sentence("the answer"),
    303: Sentence("the page to go on with"),
    400: Sentence("a field is missing, of the wrong type, or cannot be carried to the model; the message names it"),
    401: Sentence("no API key, or a wrong one"),
    402: Sentence("the plan or its budget is used up"),
    403: Sentence("nobody is signed in, the account may not do this, or the key does not count from there"),
    404: Sentence("not known here"),
    408: Sentence("the body did not come in time"),
    409: Sentence("refused by Copilot for now"),
    413: Sentence("the body is larger than MAX_BODY_BYTES, or than the model takes"),
    415: Sentence("the body is encoded in a way that the bridge does not read"),
    422: Sentence("refused by Copilot"),
    429: Sentence("too many calls, too many wrong keys, or a budget is used up; Retry-After says when to come again"),
    502: Sentence("GitHub or Copilot failed"),
    503: Sentence("the bridge is full, its state is away, or it is not ready yet"),
    504: Sentence("GitHub or Copilot did not answer in time"),
    529: Sentence("Copilot is overloaded"),
}
_KEYED = (401, 403, 429, 503)
_WITH_BODY = (400, 408, 413, 415)
_UPSTREAM = (402, 404, 409, 422, 502, 504)
_OF_COPILOT = (*_WITH_BODY, *_KEYED, *_UPSTREAM)
_PAGE: dict[str, Any] = {"text/html": {"schema": {"type": "string"}}}
# No schema: what one of a stream means (the stream, or an event) tools do not agree on.
_EVENTS: dict[str, Any] = {"text/event-stream": {}}
_MODEL = "gpt-4.1"
_HELLO = [{"role": "user", "content": "Say hello."}]
_RULE = {"match": "claude-*-haiku-*", "to": ["gpt-5-mini", "gpt-4.1"], "fall_back": True}
_PIXEL = "data:image/png;base64,iVBORw0KGgo="


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one path. answer: what a 200 holds; more: in other media types; errors: statuses."""

    method: str
    path: str
    tag: str
    summary: Sentence
    answer: Body | None = None
    more: tuple[dict[str, Any], ...] = ()
    body: Body | None = None
    example: dict[str, Any] | None = None
    errors: tuple[int, ...] = _KEYED
    parameters: tuple[dict[str, Any], ...] = ()
    form: tuple[str, ...] = ()
    dialect: Body = answers.OpenAIError
    needs_key: bool = True
    redirects: bool = False


def _query(name: str, about: str, **schema: Any) -> dict[str, Any]:
    shape = schema or {"type": "string"}
    return {"in": "query", "name": name, "required": False, "schema": shape, "description": about}


def _name_in(place: str, name: str) -> dict[str, Any]:
    shape = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS}
    return {"in": place, "name": name, "required": True, "schema": shape}


_VERSION_HEADER = {
    "in": "header",
    "name": "anthropic-version",
    "required": False,
    "schema": {"type": "string"},
    "description": "with it, answer and errors have Anthropic's form",
}
_EITHER = (answers.OpenAIError, answers.AnthropicError)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "post",
        "/v1/chat/completions",
        "OpenAI",
        Sentence("Chat Completions; a body with 'input' is taken as Cursor means it"),
        answers.ChatCompletion,
        more=(_EVENTS,),
        body=(ChatRequest, InputRequest),
        example={"model": _MODEL, "messages": _HELLO},
        errors=_OF_COPILOT,
    ),
    Operation(
        "post",
        "/v1/responses",
        "OpenAI",
        Sentence("Responses"),
        answers.Response,
        more=(_EVENTS,),
        body=ResponsesRequest,
        example={"model": _MODEL, "input": "Say hello."},
        errors=_OF_COPILOT,
    ),
    Operation(
        "get",
        "/v1/responses/{id}",
        "OpenAI",
        Sentence("A stored response"),
        answers.Response,
        errors=(400, 404, 413, *_KEYED),
        parameters=(_name_in("path", "id"), _query("stream", "true is refused: a stored response is complete")),
    ),
    Operation(
        "delete",
        "/v1/responses/{id}",
        "OpenAI",
        Sentence("Forget a stored response"),
        answers.Deleted,
        errors=(404, *_KEYED),
        parameters=(_name_in("path", "id"),),
    ),
    Operation(
        "get",
        "/v1/responses/{id}/input_items",
        "OpenAI",
        Sentence("What a stored response was made of"),
        answers.InputItems,
        errors=(400, 404, 413, *_KEYED),
        parameters=(
            _name_in("path", "id"),
            _query("limit", "how many", type="integer", minimum=1, maximum=100),
            _query("order", "by default desc, the newest first", enum=["asc", "desc"]),
            _query("after", "the page after this item"),
        ),
    ),
    Operation(
        "post",
        "/v1/embeddings",
        "OpenAI",
        Sentence("Embeddings"),
        answers.Embeddings,
        body=EmbeddingsRequest,
        example={"model": "text-embedding-3-small", "input": ["hello"]},
        errors=_OF_COPILOT,
    ),
    *(
        Operation(
            "post",
            f"/v1/images/{what}",
            "OpenAI",
            summary,
            answers.Images,
            more=(_EVENTS,),
            body=ImagesRequest,
            example={"model": "gpt-image-2", "prompt": "A red kite over dunes.", **more},
            errors=_OF_COPILOT,
        )
        for what, summary, more in (
            ("generations", Sentence("Images, with the models that make them"), {}),
            ("edits", Sentence("Images changed by a prompt; JSON or a form"), {"images": [{"image_url": _PIXEL}]}),
        )
    ),
    Operation(
        "post",
        "/v1/messages",
        "Anthropic",
        Sentence("Messages"),
        answers.Message,
        more=(_EVENTS,),
        body=MessagesRequest,
        example={"model": _MODEL, "max_tokens": 100, "messages": _HELLO},
        errors=(*_OF_COPILOT, 529),
        dialect=answers.AnthropicError,
    ),
    Operation(
        "post",
        "/v1/messages/count_tokens",
        "Anthropic",
        Sentence("How many tokens a request has"),
        answers.TokenCount,
        body=CountTokensRequest,
        example={"model": _MODEL, "messages": _HELLO},
        errors=(*_OF_COPILOT, 529),
        dialect=answers.AnthropicError,
    ),
    Operation(
        "get",
        "/v1/models",
        "Models",
        Sentence("The account's models, in OpenAI's form, in Anthropic's or in Codex's"),
        (answers.OpenAIModels, answers.AnthropicModels, answers.CodexModels),
        errors=(400, *_KEYED, *_UPSTREAM),
        parameters=(
            _VERSION_HEADER,
            _query("client_version", "Codex's: its form of the list"),
            _query("limit", "Anthropic's: how many", type="integer", minimum=1, maximum=1000),
            _query("after_id", "Anthropic's: the page after this model"),
            _query("before_id", "Anthropic's: the page before this model"),
        ),
        dialect=_EITHER,
    ),
    Operation(
        "get",
        "/v1/models/{name}",
        "Models",
        Sentence("One model"),
        (answers.OpenAIModel, answers.AnthropicModel),
        errors=(*_KEYED, *_UPSTREAM),
        parameters=(_VERSION_HEADER, _name_in("path", "name")),
        dialect=_EITHER,
    ),
    Operation(
        "get",
        "/usage",
        "Operating",
        Sentence("What the subscription has left"),
        answers.Usage,
        more=(_PAGE,),
        errors=(*_KEYED, *_UPSTREAM),
    ),
    Operation(
        "get",
        "/usage/ledger",
        "Operating",
        Sentence("What went through this bridge, added up"),
        answers.Ledger,
        more=({"text/csv": {"schema": {"type": "string"}}},),
        errors=(400, *_KEYED),
        parameters=(
            _query("from", "the first day, in UTC; thirty days by default", type="string", format="date"),
            _query("to", "the last day, in UTC; today by default", type="string", format="date"),
            _query("group", "a row for each day, model, key, client or account", type="string", enum=list(GROUPS)),
            _query("format", "json or csv", type="string", enum=list(FORMATS)),
        ),
    ),
    Operation(
        "get",
        "/requests",
        "Operating",
        Sentence("The last calls, with what became of them; a client key sees its own"),
        answers.RecentCalls,
        more=(_PAGE,),
        errors=(400, *_KEYED),
        parameters=(
            _query("key", "calls with this key only"),
            _query("model", "calls for this model only, as asked for or as served"),
            _query("error", "calls that ended like this: a code, an outcome, or any that failed"),
        ),
    ),
    Operation(
        "get",
        "/catalogue",
        "Models",
        Sentence("The account's models for people; for programs as /v1/models"),
        answers.OpenAIModels,
        more=(_PAGE,),
        errors=(*_KEYED, *_UPSTREAM),
    ),
    Operation(
        "get",
        "/admin/learned",
        "Operating",
        Sentence("What Copilot refused by name and is left out since"),
        answers.Learned,
        more=(_PAGE,),
    ),
    Operation(
        "get",
        "/admin/settings",
        "Operating",
        Sentence("The settings in force; secrets are never told"),
        answers.SettingsInForce,
        more=(_PAGE,),
    ),
    Operation(
        "get",
        "/admin/cache",
        "Operating",
        Sentence("Where conversations lost their prompt cache, by which field and by whom"),
        answers.CacheFindings,
        more=(_PAGE,),
    ),
    Operation(
        "get",
        "/admin/recording",
        "Operating",
        Sentence("Recorded calls: whether recording is on, and what can be fetched"),
        answers.Recording,
        more=(_PAGE,),
    ),
    Operation(
        "get",
        "/admin/recording/{id}",
        "Operating",
        Sentence("A recorded call as a file, without what was said"),
        answers.Bundle,
        more=(_PAGE,),
        errors=(404, *_KEYED),
        parameters=(_name_in("path", "id"),),
    ),
    Operation(
        "get",
        "/metrics",
        "Health",
        Sentence("Numbers for Prometheus; METRICS_ACCESS says who may read them"),
        more=({"text/plain": {"schema": {"type": "string"}}},),
        errors=(401, 403, 404, 429, 503),
    ),
    Operation("get", "/v1/key", "Keys", Sentence("The key that is shown, its limits and what is left"), answers.OwnKey),
    Operation("get", "/admin/keys", "Keys", Sentence("All named keys"), answers.ClientKeyList),
    Operation(
        "post",
        "/admin/keys",
        "Keys",
        Sentence("Make a key"),
        answers.NewClientKey,
        body=NewKey,
        example={"name": "mine", "models": ["gpt-*"], "budgets": [{"amount": 5, "unit": "credits", "per": "day"}]},
        errors=(*_WITH_BODY, *_KEYED),
    ),
    Operation(
        "get",
        "/admin/keys/{name}",
        "Keys",
        Sentence("One key, and how its budgets stand"),
        answers.ClientKey,
        errors=(404, *_KEYED),
        parameters=(_name_in("path", "name"),),
    ),
    Operation(
        "patch",
        "/admin/keys/{name}",
        "Keys",
        Sentence("Change a key"),
        answers.ClientKey,
        body=KeyChange,
        example={"note": "of the laptop", "requests_per_minute": 60},
        errors=(*_WITH_BODY, *_KEYED, 404),
        parameters=(_name_in("path", "name"),),
    ),
    Operation(
        "delete",
        "/admin/keys/{name}",
        "Keys",
        Sentence("Revoke a key"),
        answers.ClientKey,
        errors=(404, *_KEYED),
        parameters=(_name_in("path", "name"),),
    ),
    Operation(
        "post",
        "/admin/keys/{name}/invitation",
        "Keys",
        Sentence("A link by which its holder binds a key to a GitHub account of their own"),
        answers.Invitation,
        body=NewInvitation,
        example={"hours": 24},
        errors=(*_WITH_BODY, *_KEYED, 404),
        parameters=(_name_in("path", "name"),),
    ),
    Operation(
        "delete",
        "/admin/keys/{name}/binding",
        "Keys",
        Sentence("Forget the GitHub account of a key"),
        answers.ClientKey,
        errors=(404, *_KEYED),
        parameters=(_name_in("path", "name"),),
    ),
    Operation("get", "/admin/mapping", "Operating", Sentence("The model mapping"), answers.Mapping, more=(_PAGE,)),
    Operation(
        "put",
        "/admin/mapping/{name}",
        "Operating",
        Sentence("Map a name to a model"),
        answers.MappingChange,
        body=MappingTarget,
        example={"to": _MODEL},
        errors=(*_WITH_BODY, *_KEYED, 404),
        parameters=(_name_in("path", "name"),),
    ),
    Operation(
        "delete",
        "/admin/mapping/{name}",
        "Operating",
        Sentence("Take a name out of the mapping"),
        answers.MappingChange,
        errors=(404, *_KEYED),
        parameters=(_name_in("path", "name"),),
        dialect=(answers.OpenAIError, answers.NotMapped),
    ),
    Operation(
        "post",
        "/admin/mapping/reset",
        "Operating",
        Sentence("Forget all changes of the mapping"),
        answers.MappingChange,
    ),
    Operation(
        "get",
        "/admin/mapping/set",
        "Operating",
        Sentence("Map a name, from an address bar"),
        answers.MappingChange,
        more=(_PAGE,),
        errors=(400, *_KEYED),
        parameters=(_name_in("query", "from"), _name_in("query", "to")),
        redirects=True,
    ),
    Operation(
        "get",
        "/admin/mapping/del",
        "Operating",
        Sentence("Take a name out, from an address bar"),
        answers.MappingChange,
        more=(_PAGE,),
        errors=(400, 404, *_KEYED),
        parameters=(_name_in("query", "from"),),
        dialect=(answers.OpenAIError, answers.NotMapped),
        redirects=True,
    ),
    Operation(
        "get",
        "/admin/mapping/reset",
        "Operating",
        Sentence("Forget all changes, from an address bar"),
        answers.MappingChange,
        more=(_PAGE,),
        redirects=True,
    ),
    Operation("get", "/admin/mapping/rules", "Operating", Sentence("The rules of the mapping"), answers.Rules),
    Operation(
        "put",
        "/admin/mapping/rules",
        "Operating",
        Sentence("Set all rules at once"),
        answers.Rules,
        body=MappingRules,
        example={"rules": [_RULE]},
        errors=(*_WITH_BODY, *_KEYED),
    ),
    Operation(
        "post",
        "/admin/mapping/rules",
        "Operating",
        Sentence("Add a rule"),
        answers.Rules,
        body=NewMappingRule,
        example=_RULE,
        errors=(*_WITH_BODY, *_KEYED),
    ),
    Operation(
        "put",
        "/admin/mapping/rules/{number}",
        "Operating",
        Sentence("Change a rule"),
        answers.Rules,
        body=MappingRule,
        errors=(*_WITH_BODY, *_KEYED, 404),
        parameters=(_name_in("path", "number"),),
    ),
    Operation(
        "delete",
        "/admin/mapping/rules/{number}",
        "Operating",
        Sentence("Delete a rule"),
        answers.Rules,
        errors=(404, *_KEYED),
        parameters=(_name_in("path", "number"),),
    ),
    Operation(
        "get",
        "/admin/mapping/history",
        "Operating",
        Sentence("The last changes of the mapping"),
        answers.MappingHistory,
    ),
    Operation(
        "post",
        "/admin/mapping/undo",
        "Operating",
        Sentence("Bring back what was before a change of the mapping"),
        answers.MappingUndone,
        body=Undo,
        example={},
        errors=(*_WITH_BODY, *_KEYED, 404),
    ),
    Operation(
        "get",
        "/admin/mapping/dry-run",
        "Operating",
        Sentence("What a call would get, and at what price"),
        answers.DryRun,
        errors=(400, *_KEYED, *_UPSTREAM),
        parameters=(
            _name_in("query", "model"),
            _query("key", "by its name", type="string", maxLength=MAX_NAME_CHARACTERS),
            _query("purpose", "of the call", enum=list(PURPOSES)),
        ),
    ),
    Operation(
        "get",
        "/setup",
        "Operating",
        Sentence("The clients that can be set up"),
        answers.Setups,
        more=(_PAGE,),
    ),
    Operation(
        "get",
        "/setup/{client}",
        "Operating",
        Sentence("How to set up a client"),
        more=({"text/plain": {"schema": {"type": "string"}}}, _PAGE),
        errors=(400, *_KEYED, *_UPSTREAM),
        parameters=(_name_in("path", "client"), _query("model", "the model to set it up with")),
    ),
    Operation("get", "/livez", "Health", Sentence("The process serves"), answers.Health, errors=(), needs_key=False),
    Operation("get", "/health", "Health", Sentence("The same"), answers.Health, errors=(), needs_key=False),
    Operation(
        "get",
        "/readyz",
        "Health",
        Sentence("Whether calls can be served"),
        answers.Readiness,
        errors=(503,),
        dialect=answers.Readiness,
        needs_key=False,
    ),
    Operation(
        "post",
        "/v1/probe/body",
        "Health",
        Sentence("How much of a body gets through the proxies"),
        answers.Received,
        errors=(*_WITH_BODY, *_KEYED),
    ),
    Operation(
        "post",
        "/v1/probe/stream",
        "Health",
        Sentence("Events at an even pace, to measure proxies with"),
        more=(_EVENTS,),
        errors=(400, 408, *_KEYED),
        parameters=(
            _query("events", "how many", type="integer", minimum=1, maximum=60),
            _query("interval_ms", "pause between them", type="integer", minimum=10, maximum=1000),
        ),
    ),
    Operation(
        "get",
        "/auth/device/status",
        "Sign-in",
        Sentence("How the sign-in to GitHub stands"),
        answers.SignInState,
    ),
    Operation(
        "post",
        "/auth/device/start",
        "Sign-in",
        Sentence("Begin a sign-in anew, and go to its page"),
        errors=(*_KEYED, 502, 504),
        redirects=True,
    ),
    Operation(
        "get",
        "/auth/device",
        "Sign-in",
        Sentence("The page to sign in at"),
        more=(_PAGE,),
        errors=(*_KEYED, 502, 504),
    ),
    Operation(
        "post",
        "/auth/key",
        "Sign-in",
        Sentence("Let a browser in that shows the key"),
        form=("api_key", "next"),
        errors=(401, 403, 413, 408, 429, 503),
        redirects=True,
        needs_key=False,
    ),
)


@cache
def _described() -> dict[str, Any]:
    marshmallow = MarshmallowPlugin(schema_name_resolver=_name_of)
    info = {"description": _ABOUT, "license": {"name": "MIT", "identifier": "MIT"}}
    spec = APISpec("copilot-bridge", VERSION, "3.1.0", plugins=[marshmallow], info=info)
    converter: Any = marshmallow.converter
    converter.add_attribute_function(_shape)
    about_the_key = "the bridge's API_KEY"
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "description": about_the_key})
    spec.components.security_scheme("header", {"type": "apiKey", "in": "header", "name": "x-api-key"})
    for operation in OPERATIONS:
        spec.path(path=operation.path, operations={operation.method: _operation(operation)})
    return spec.to_dict()


def document(base_url: str) -> dict[str, Any]:
    """The document for a bridge that is reached at `base_url`."""
    return {**_described(), "servers": [{"url": base_url}]}


def _name_of(schema: Any) -> str:
    return (schema if isinstance(schema, type) else type(schema)).__name__


def _shape(_converter: Any, field: Any, **_: Any) -> dict[str, Any]:
    """How JSON Schema has a kind of field of ours."""
    shape: dict[str, Any] | None = getattr(field, "shape", None)
    if shape is None:
        return {}
    if not field.allow_none:
        return dict(shape)
    if "enum" in shape:
        return {"enum": [*shape["enum"], None]}
    return {**shape, "type": [shape["type"], "null"]}


def _operation(it: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{it.method}_{it.path.strip('/').translate(_NO_WORD)}",
        "tags": [it.tag],
        "summary": it.summary,
        "responses": dict(_responses(it)),
        "security": [{"bearer": []}, {"header": []}] if it.needs_key else [],
    }
    if it.parameters:
        described["parameters"] = list(it.parameters)
    if it.body is not None:
        content = {"schema": _one_of(it.body), **({"example": it.example} if it.example else {})}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    if it.form:
        fields = {"type": "object", "properties": {name: {"type": "string"} for name in it.form}}
        described["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": fields}}}
    return described


_NO_WORD = str.maketrans("/{}", "___")


def _responses(it: Operation) -> Iterable[tuple[str, dict[str, Any]]]:
    content = {"application/json": {"schema": _one_of(it.answer)}} if it.answer is not None else {}
    for other in it.more:
        content |= other
    if content:
        yield "200", {"description": STATUSES[200], "content": content}
    if it.redirects:
        yield "303", {"description": STATUSES[303]}
    for status in sorted({*it.errors}):
        told: dict[str, Any] = {"application/json": {"schema": _one_of(it.dialect)}}
        if _PAGE in it.more or it.form:
            told |= _PAGE
        yield str(status), {"description": STATUSES[status], "content": told}


def _one_of(schemas: Body) -> Any:
    return {"anyOf": list(schemas)} if isinstance(schemas, tuple) else schemas
