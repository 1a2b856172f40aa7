"""``POST /chat/completions``: check the request and answer it in the vendor's dialect (contract §6, §13.6)."""

from typing import TYPE_CHECKING

from . import chat_checks, checks, inference, plan, streams, whole
from .inference import Job, Json, Protocol
from .knobs import Settings
from .server import Exchange, Headers, Request

if TYPE_CHECKING:
    from .capi import Caller
    from .plan import Plan
    from .state import World


class Chat(Protocol):
    path = "/chat/completions"

    def in_chat_terms(self, fields: Json) -> Json:
        return fields

    def dialect(self, entry: Json, settings: Settings) -> str:
        return plan.dialect_of(entry, settings)

    def problem(self, job: Job) -> checks.Problem | None:
        return chat_checks.problem(job.world, job.fields, job.entry, job.dialect, job.settings)

    def frames(self, job: Job, answer: "Plan") -> list[bytes]:
        return streams.Assembler(answer, job.settings).build()

    def whole(self, job: Job, answer: "Plan") -> Json:
        return whole.build(job.world, answer, job.settings)

    def headers(self, answer: "Plan") -> Headers:
        if not answer.dialect.startswith("openai"):
            return []
        return [("azureml-model-deployment", answer.model), ("openai-processing-ms", "42")]


def handle(world: "World", request: Request, exchange: Exchange, caller: "Caller") -> None:
    inference.serve(Chat(), world, request, exchange, caller)
