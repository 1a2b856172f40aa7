"""``POST /chat/completions``: check the request, bill it, answer it in the vendor's dialect (contract 6, 13.6)."""

from typing import TYPE_CHECKING

from . import checks, plan, prompts, streams, whole
from .faults import Action
from .knobs import Settings
from .prompts import Directives
from .server import ClientGone, Exchange, Headers, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .plan import Plan
    from .state import World


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    from .app import before_headers
    from .capi import charge, quota_headers, resolve_model

    fields = request.fields
    messages = fields.get("messages")
    if isinstance(messages, list) and checks.has_image(messages) and (
            request.header("copilot-vision-request") or "").lower() != "true":
        return caller.fail(exchange, 400, {
            "message": "missing required Copilot-Vision-Request header for vision requests", "code": ""})
    entry = resolve_model(world, request, exchange, caller)
    if entry is None:
        return None
    directives, fresh = Directives(), True
    if isinstance(messages, list) and all(isinstance(one, dict) for one in messages):
        directives, fresh = prompts.read(messages)
    try:
        settings = caller.settings.over({**directives.knobs, **(directives.error.knobs if directives.error else {})})
    except ValueError as error:
        return caller.fail(exchange, 400, {"message": f"simulator: {error}", "code": "invalid_request_body"})
    exchange.byte_mode = exchange.byte_mode or settings["tcp_chunk"] == "byte"
    dialect = plan.dialect_of(entry, settings)
    problem = checks.problem(world, fields, entry, dialect, settings)
    if problem:
        return caller.fail(exchange, *problem)
    if directives.error and before_headers(world, exchange, directives.error):
        return None
    if not charge(world, request, exchange, caller, entry):
        return None
    action = directives.error or caller.action
    if action.stream_error:
        directives.stream_error, directives.stream_error_bare = action.stream_error, action.stream_error_bare
    answer = plan.make(world, fields, entry, dialect, settings, directives, fresh)
    headers = quota_headers(world, caller)
    if dialect.startswith("openai"):
        headers += [("azureml-model-deployment", answer.model), ("openai-processing-ms", "42")]
    flow = _flow(directives, action)
    if fields.get("stream"):
        frames = streams.Assembler(answer, settings).build()
        return streams.send(world, exchange, headers, frames, flow, settings)
    return _whole(world, exchange, answer, headers, flow, settings)


def _flow(directives: Directives, action: Action) -> streams.Flow:
    """A fault's cut wins over a directive's."""
    flow = streams.Flow(directives.pace, directives.gate, directives.silence, directives.cut, directives.cut_bytes,
                        directives.cut_kind)
    if action.cut_events is not None or action.cut_bytes is not None:
        flow.cut_events, flow.cut_bytes, flow.cut_kind = action.cut_events, action.cut_bytes, action.cut_kind
    return flow


def _whole(world: "World", exchange: Exchange, answer: "Plan", headers: Headers, flow: streams.Flow,
           settings: Settings) -> None:
    """A non-stream answer; cuts break it in the middle, a gate or silence delays it."""
    from .capi import fail
    from .server import pause
    from .state import dumps

    try:
        if flow.gate is not None and not world.pass_gate(flow.gate, exchange.sock):
            exchange.break_off(reset=True)
        if flow.silence is not None:
            pause(exchange.sock, flow.silence)
    except ClientGone:
        world.count(aborted_requests=1)
        raise
    if answer.stream_error:  # without a stream the failure is the whole answer
        code, message = answer.stream_error
        return fail(exchange, 500, {"message": message, "code": code})
    body = dumps(whole.build(world, answer, settings))
    if flow.cut_events is not None or flow.cut_bytes is not None:
        exchange.cut = (flow.cut_bytes, flow.cut_kind == "reset")
    return exchange.reply(200, [("content-type", "application/json"), *headers], body)
