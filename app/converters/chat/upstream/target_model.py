"""What an encoder must know of the chat model that it writes for."""

from __future__ import annotations

from dataclasses import dataclass

from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.tools import ToolNames


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetModel:
    """names: of the request's tools. has_proofs: whether reasoning proofs may be sent (one was refused otherwise)."""

    limits: ModelLimits
    losses: Losses
    names: ToolNames
    has_proofs: bool = True

    @property
    def is_openai(self) -> bool:
        """Whether the model is OpenAI's: it alone knows the role ``developer`` and the finer fields (contract §6.2)."""
        return self.limits.is_openai

    @property
    def is_reasoner(self) -> bool:
        """Whether it is OpenAI's and reasons: these rename the output limit and refuse sampling (contract §6.1)."""
        return self.is_openai and self.limits.reasons()
