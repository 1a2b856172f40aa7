"""``POST /responses``: stateless, with opaque ids and sealed reasoning (contract §7, §13.7)."""

from typing import TYPE_CHECKING

from . import checks, inference, neutral, responses_answer, responses_checks, responses_stream
from .inference import Job, Json, Protocol
from .knobs import Settings
from .server import Exchange, Headers, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .plan import Plan
    from .state import World


class Responses(Protocol):
    path = "/responses"

    def in_chat_terms(self, fields: Json) -> Json:
        return neutral.from_responses(fields)

    def dialect(self, entry: Json, settings: Settings) -> str:
        return "responses"

    def problem(self, job: Job) -> checks.Problem | None:
        return responses_checks.problem(job)

    def frames(self, job: Job, answer: "Plan") -> list[bytes]:
        return responses_stream.Stream(job, answer).build()

    def whole(self, job: Job, answer: "Plan") -> Json:
        return responses_answer.Answer(job, answer).whole()

    def headers(self, answer: "Plan") -> Headers:
        return [("azureml-model-deployment", answer.model), ("openai-processing-ms", "42")]


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    if request.header("upgrade"):  # Contract §7.8: no WebSocket here
        return caller.fail(exchange, 404, "404 page not found")
    return inference.serve(Responses(), world, request, exchange, caller)
