"""What the endpoints answer, for /openapi.json: what a client may rely on. Nothing is checked against it in service,
and each of these may hold more.
"""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from app.schemas.base import Boundary


def _always(value: str) -> fields.String:
    return fields.String(required=True, validate=validate.Equal(value))


def _text() -> fields.String:
    return fields.String(required=True)


def _objects() -> fields.List[Any]:
    return fields.List(fields.Dict(), required=True)


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class OpenAIErrorBody(Boundary):
    message = fields.String(required=True, metadata={"description": "what happened, and what to do about it"})
    type = _text()
    param = fields.String(required=True, allow_none=True, metadata={"description": "the field at fault"})
    code = fields.String(required=True, metadata={"description": "a stable word, e.g. `model_not_found`"})


class OpenAIError(Boundary):
    """An error as OpenAI's clients know it."""

    error = fields.Nested(OpenAIErrorBody, required=True)


class AnthropicErrorBody(Boundary):
    type = _text()
    message = fields.String(required=True, metadata={"description": "what happened, and what to do about it"})


class AnthropicError(Boundary):
    """An error as Anthropic's clients know it."""

    type = _always("error")
    error = fields.Nested(AnthropicErrorBody, required=True)
    request_id = _text()


# ── answers of models ───────────────────────────────────────────────────────────────────────────────────────────────


class ChatMessage(Boundary):
    role = _always("assistant")
    content = fields.String(allow_none=True)
    tool_calls = fields.List(fields.Dict())


class ChatChoice(Boundary):
    index = fields.Integer(required=True)
    message = fields.Nested(ChatMessage, required=True)
    finish_reason = fields.String(required=True, allow_none=True)


class ChatCompletion(Boundary):
    id = _text()
    object = _always("chat.completion")
    created = fields.Integer(required=True)
    model = _text()
    choices = fields.List(fields.Nested(ChatChoice), required=True)
    usage = fields.Dict(allow_none=True)


class Response(Boundary):
    id = _text()
    object = _always("response")
    created_at = fields.Integer(required=True)
    model = _text()
    status = _text()
    output = _objects()
    usage = fields.Dict(allow_none=True)


class Deleted(Boundary):
    id = _text()
    object = _always("response")
    deleted = fields.Boolean(required=True)


class InputItems(Boundary):
    object = _always("list")
    data = _objects()
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)
    has_more = fields.Boolean(required=True)


class Message(Boundary):
    id = _text()
    type = _always("message")
    role = _always("assistant")
    model = _text()
    content = _objects()
    stop_reason = fields.String(required=True, allow_none=True)
    usage = fields.Dict(required=True)


class TokenCount(Boundary):
    input_tokens = fields.Integer(required=True)


class Embedding(Boundary):
    object = _always("embedding")
    index = fields.Integer(required=True)
    embedding = fields.Raw(required=True, metadata={"description": "numbers, or base64 where that was asked for"})


class Images(Boundary):
    """What the model made: ``b64_json`` for each image, and the usage."""

    data = _objects()
    usage = fields.Dict(allow_none=True)


class Embeddings(Boundary):
    object = _always("list")
    data = fields.List(fields.Nested(Embedding), required=True)
    model = _text()
    usage = fields.Dict(required=True)


# ── listings ────────────────────────────────────────────────────────────────────────────────────────────────────────


class OpenAIModel(Boundary):
    id = _text()
    object = _always("model")
    created = fields.Integer(required=True)
    owned_by = _text()


class OpenAIModels(Boundary):
    object = _always("list")
    data = fields.List(fields.Nested(OpenAIModel), required=True)


class AnthropicModel(Boundary):
    id = _text()
    type = _always("model")
    display_name = _text()
    created_at = _text()


class AnthropicModels(Boundary):
    data = fields.List(fields.Nested(AnthropicModel), required=True)
    has_more = fields.Boolean(required=True)
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)


class CodexModels(Boundary):
    models = _objects()


class Limit(Boundary):
    """For what Copilot takes no calls, and until when; null where there is nothing to tell."""

    scope = _text()
    of = fields.String(required=True, allow_none=True)
    code = fields.String(required=True, allow_none=True)
    until = fields.DateTime(required=True)
    asked_again_at = fields.DateTime(required=True)


class Usage(Boundary):
    copilot_plan = _text()
    quotas = fields.Dict(required=True)
    quota_reset_date = fields.String(required=True, allow_none=True)
    chat_enabled = fields.Raw(required=True)
    limits = fields.List(fields.Nested(Limit), required=True)
    bridge = fields.Dict(required=True, allow_none=True)
    reconciliation = fields.Dict(required=True, allow_none=True)
    ledger_trouble = fields.String()


class Sums(Boundary):
    """Of calls. Nano-credits are whole and exact; times are means, in milliseconds."""

    calls = fields.Integer(required=True)
    failed_calls = fields.Integer(required=True)
    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    credits = fields.Float(required=True)
    nano_credits = fields.Integer(required=True)
    credits_estimated = fields.Float(required=True)
    nano_credits_estimated = fields.Integer(required=True)
    calls_of_unknown_cost = fields.Integer(required=True)
    premium_requests = fields.Float(required=True)


class Ledger(Boundary):
    group = _text()
    rows = fields.List(fields.Nested(Sums), required=True)
    total = fields.Nested(Sums, required=True)


# ── the bridge itself ───────────────────────────────────────────────────────────────────────────────────────────────


class Mapping(Boundary):
    """Model names as clients send them, and the models they mean."""


class KeyBudget(Boundary):
    """used, reserved, left: while the database answers, and only of one key."""

    amount = fields.Float(required=True)
    unit = _text()
    per = _text()
    used = fields.Float()
    reserved = fields.Float()
    left = fields.Float()
    resets_at = fields.String(allow_none=True)


class KeyLimits(Boundary):
    models = fields.List(fields.String(), required=True, allow_none=True)
    requests_per_minute = fields.Integer(required=True, allow_none=True)
    concurrent = fields.Integer(required=True, allow_none=True)
    budgets = fields.List(fields.Nested(KeyBudget), required=True)


class ClientKey(KeyLimits):
    """A named key. Of itself only how it begins."""

    id = _text()
    name = _text()
    prefix = _text()
    role = fields.String(required=True, validate=validate.OneOf(["client", "admin"]))
    state = fields.String(required=True, validate=validate.OneOf(["active", "expired", "revoked"]))
    owner = _text()
    note = _text()
    created_at = _text()
    last_used_at = fields.String(required=True, allow_none=True)
    expires_at = fields.String(required=True, allow_none=True)
    revoked_at = fields.String(required=True, allow_none=True)
    account = fields.String(required=True, allow_none=True)


class NewClientKey(ClientKey):
    """With the key itself, which is told this once."""

    secret = _text()


class ClientKeyList(Boundary):
    keys = fields.List(fields.Nested(ClientKey), required=True)


class Invitation(Boundary):
    """The link, which is told this once."""

    name = _text()
    link = _text()
    expires_at = _text()


class OwnKey(Boundary):
    """The key that was shown. limits: null for API_KEY, which has none."""

    name = fields.String(required=True, allow_none=True)
    role = fields.String(required=True, validate=validate.OneOf(["client", "admin"]))
    owner = fields.String()
    account = fields.String(allow_none=True)
    expires_at = fields.String(allow_none=True)
    limits = fields.Nested(KeyLimits, required=True, allow_none=True)


class MappingChange(Boundary):
    status = _always("ok")
    mapping = fields.Nested(Mapping, required=True)
    added = fields.Nested(Mapping)
    deleted = fields.String()


class Rule(Boundary):
    number = fields.Integer(required=True)
    match = _text()
    to = fields.List(fields.String(), required=True)


class Rules(Boundary):
    rules = fields.List(fields.Nested(Rule), required=True)


class MappingBefore(Boundary):
    mapping = fields.Dict(required=True, allow_none=True)
    rules = fields.List(fields.Nested(Rule), required=True)


class MappingEvent(Boundary):
    number = fields.Integer(required=True)
    at = _text()
    by = _text()
    what = _text()
    before = fields.Nested(MappingBefore, required=True)


class MappingHistory(Boundary):
    changes = fields.List(fields.Nested(MappingEvent), required=True)


class MappingUndone(Boundary):
    undone = fields.Nested(MappingEvent, required=True)
    mapping = fields.Dict(required=True)
    rules = fields.List(fields.Nested(Rule), required=True)


class RecentCalls(Boundary):
    calls = fields.List(fields.Dict, required=True)


class Learned(Boundary):
    learned = fields.List(fields.Dict, required=True)


class SettingsInForce(Boundary):
    settings = fields.List(fields.Dict, required=True)


class CacheFindings(Boundary):
    watched_until = fields.String(required=True, allow_none=True)
    findings = fields.List(fields.Dict, required=True)


class Recording(Boundary):
    recording = fields.Dict(required=True, allow_none=True)
    bundles = fields.List(fields.Dict, required=True)


class Bundle(Boundary):
    format = _text()


class DryRun(Boundary):
    model = _text()
    served = _text()
    said = _text()
    rule = fields.Integer(required=True, allow_none=True)


class NotMapped(Boundary):
    error = _text()


class Setups(Boundary):
    """Clients, and where their setup is."""


class Health(Boundary):
    status = _always("ok")
    version = _text()


class Readiness(Boundary):
    status = fields.String(required=True, validate=validate.OneOf(["ok", "not ready"]))
    signed_in = fields.Boolean(required=True)
    catalog_known = fields.Boolean(required=True)
    store = fields.String(required=True, validate=validate.OneOf(["ok", "unavailable"]))
    ledger = fields.Dict(required=True)
    database = fields.String(required=True, validate=validate.OneOf(["ok", "unavailable"]))
    sign_in = fields.String(metadata={"description": "the page to sign in at, while nobody is"})


class SignInState(Boundary):
    state = fields.String(required=True, validate=validate.OneOf(["none", "pending", "done", "failed"]))
    id = fields.String()
    user_code = fields.String()
    verification_uri = fields.String()
    expires_in = fields.Integer()
    message = fields.String()
    trouble = fields.String()


class Received(Boundary):
    received_bytes = fields.Integer(required=True)
