"""``POST /v1/messages`` and ``/v1/messages/count_tokens``: Anthropic's protocol behind Copilot (contract §8, §13.8)."""

from typing import TYPE_CHECKING

from . import checks, inference, messages_checks, messages_stream, neutral
from .inference import Job, Json, Protocol
from .knobs import Settings
from .messages_blocks import Unfit
from .server import Exchange, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .plan import Plan
    from .state import World

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


class Messages(Protocol):
    path = "/v1/messages"
    counting = False

    def in_chat_terms(self, fields: Json) -> Json:
        return neutral.from_messages(fields)

    def dialect(self, entry: Json, settings: Settings) -> str:
        return "messages"

    def problem(self, job: Job) -> checks.Problem | None:
        return messages_checks.problem(job, self.counting)

    def frames(self, job: Job, answer: "Plan") -> list[bytes]:
        return messages_stream.Stream(job, answer).build()

    def whole(self, job: Job, answer: "Plan") -> Json:
        return messages_stream.Answer(job, answer).whole()

    def failure(self, job: Job, code: str, message: str) -> checks.Problem:
        return messages_checks.backend_error(job, Unfit(message, code, _STATUS.get(code, 500)))


class Counting(Messages):
    counting = True


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    inference.serve(Messages(), world, request, exchange, caller)


def count_tokens(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    """Contract §8.9: the same checks, nothing billed."""
    job = inference.prepare(Counting(), world, request, exchange, caller)
    if job is not None:
        exchange.reply_json(200, {"input_tokens": checks.prompt_tokens(job.chat)}, "application/json")
