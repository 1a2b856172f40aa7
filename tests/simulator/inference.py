"""What the conversational endpoints share: read the prompt, check, bill, answer whole or as a stream (contract §13)."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import checks, plan, prompts, streams, wire
from .faults import Action
from .knobs import Settings
from .plan import Plan
from .prompts import Directives
from .server import Exchange, Headers, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .state import World

Json = dict[str, Any]


@dataclass
class Job:
    """One request on its way through an endpoint."""

    world: "World"
    request: Request
    caller: "Caller"
    entry: Json  # of the catalogue
    settings: Settings
    dialect: str
    fields: Json  # as they came
    chat: Json  # the same in the terms of `/chat/completions`
    directives: Directives
    fresh: bool


class Protocol:
    """What an endpoint does its own way."""

    path = ""

    def in_chat_terms(self, fields: Json) -> Json:
        """The request as a chat request would say it; must not fail, however wrong the request is."""
        raise NotImplementedError

    def dialect(self, entry: Json, settings: Settings) -> str:
        raise NotImplementedError

    def problem(self, job: Job) -> checks.Problem | None:
        raise NotImplementedError

    def frames(self, job: Job, answer: Plan) -> list[bytes]:
        raise NotImplementedError

    def whole(self, job: Job, answer: Plan) -> Json:
        raise NotImplementedError

    def failure(self, job: Job, code: str, message: str) -> checks.Problem:
        """What an error inside the stream is without a stream."""
        return 500, {"message": message, "code": code}

    def headers(self, answer: Plan) -> Headers:
        return []


def prepare(protocol: Protocol, world: "World", request: Request, exchange: Exchange, caller: "Caller") -> Job | None:
    """Everything up to the bill; None when the request is answered (refused, or by an ``[[error: …]]``)."""
    from .app import before_headers
    from .capi import resolve_model

    fields = request.fields
    chat = protocol.in_chat_terms(fields)
    messages = chat.get("messages")
    if (
        isinstance(messages, list)
        and checks.has_image(messages)
        and (request.header("copilot-vision-request") or "").lower() != "true"
    ):
        caller.fail(
            exchange, 400, {"message": "missing required Copilot-Vision-Request header for vision requests", "code": ""}
        )
        return None
    entry = resolve_model(world, request, exchange, caller, protocol.path)
    if entry is None:
        return None
    if protocol.path != "/v1/messages" and isinstance(messages, list):
        urls = checks.image_urls(messages)
        most = 10 if entry.get("vendor") == "Google" else caller.settings["most_images"]
        if len(urls) > most:
            caller.fail(exchange, *checks.bad(f"too many URL images in request (max {most})"))
            return None
        if not caller.settings["external_images"] and not all(url.startswith("data:") for url in urls):
            caller.fail(exchange, *checks.bad("external image URLs are not supported"))
            return None
    directives, fresh = Directives(), True
    if isinstance(messages, list) and all(isinstance(one, dict) for one in messages):
        directives, fresh = prompts.read(messages)
    if directives.echo:
        directives.say = json.dumps(sorted(fields))
    try:
        settings = caller.settings.over({**directives.knobs, **(directives.error.knobs if directives.error else {})})
    except ValueError as error:
        caller.fail(exchange, 400, {"message": f"simulator: {error}", "code": "invalid_request_body"})
        return None
    exchange.byte_mode = exchange.byte_mode or settings["tcp_chunk"] == "byte"
    job = Job(
        world, request, caller, entry, settings, protocol.dialect(entry, settings), fields, chat, directives, fresh
    )
    problem = protocol.problem(job)
    if problem:
        caller.fail(exchange, *problem)
        return None
    if directives.error and before_headers(world, exchange, directives.error):
        return None
    return job


def serve(protocol: Protocol, world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    from .capi import charge, quota_headers

    job = prepare(protocol, world, request, exchange, caller)
    if job is None or not charge(world, request, exchange, caller, job.entry):
        return None
    directives, settings = job.directives, job.settings
    action = directives.error or caller.action
    if action.stream_error:
        directives.stream_error, directives.stream_error_bare = action.stream_error, action.stream_error_bare
    answer = plan.make(world, job.chat, job.entry, job.dialect, settings, directives, job.fresh)
    if not answer.stream_error:
        cost = streams.copilot_usage(answer)["total_nano_aiu"]
        tokens = answer.prompt_tokens + answer.completion_tokens + answer.reasoning_tokens
        world.book_credits(caller.account, cost, request.header("x-request-id"), tokens)
    headers = quota_headers(world, caller) + protocol.headers(answer)
    flow = _flow(directives, action, settings)
    if job.fields.get("stream"):
        return wire.send(world, exchange, headers, protocol.frames(job, answer), flow, settings)
    return _whole(protocol, job, exchange, answer, headers, flow)


def _flow(directives: Directives, action: Action, settings: Settings) -> wire.Flow:
    """A fault's cut wins over a directive's."""
    flow = wire.Flow(
        directives.pace or settings["pace"],
        directives.gate,
        directives.silence,
        directives.cut,
        directives.cut_bytes,
        directives.cut_kind,
    )
    if action.cut_events is not None or action.cut_bytes is not None:
        flow.cut_events, flow.cut_bytes, flow.cut_kind = action.cut_events, action.cut_bytes, action.cut_kind
    return flow


def _whole(protocol: Protocol, job: Job, exchange: Exchange, answer: Plan, headers: Headers, flow: wire.Flow) -> None:
    """A non-stream answer; cuts break it in the middle, a gate or silence delays it."""
    from .state import dumps

    wire.hold_back(job.world, exchange, flow.gate, flow.silence)
    if answer.stream_error:  # without a stream the failure is the whole answer
        code, message = answer.stream_error
        return job.caller.fail(exchange, *protocol.failure(job, code, message))
    body = dumps(protocol.whole(job, answer))
    if flow.cut_events is not None or flow.cut_bytes is not None:
        exchange.cut = (flow.cut_bytes, flow.cut_kind == "reset")
    return exchange.reply(200, [("content-type", "application/json"), *headers], body)
