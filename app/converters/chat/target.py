"""What an encoder must know of the chat model that it writes for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.converters.limits import Limits
from app.converters.losses import Losses
from app.converters.tools import ToolNames

_REASONERS: Final = ("gpt-5", "gpt-6", "o1", "o3", "o4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """names: of the request's tools. has_proofs: whether reasoning proofs may be sent (one was refused otherwise)."""

    limits: Limits
    losses: Losses
    names: ToolNames
    has_proofs: bool = True

    @property
    def is_openai(self) -> bool:
        """Whether the model is OpenAI's, which alone knows the role ``developer`` and the finer fields (§6.2)."""
        return is_openai(self.limits)

    @property
    def is_reasoner(self) -> bool:
        """Whether it is one of OpenAI's that reason: they rename the output limit and refuse sampling (§6.1)."""
        return self.is_openai and (
            bool(self.limits.reasoning_effort)
            or self.limits.family.startswith(_REASONERS)
            or self.limits.model.startswith(_REASONERS)
        )


def is_openai(limits: Limits) -> bool:
    """By the catalogue's vendor: ``OpenAI`` or ``Azure OpenAI`` (§4.3)."""
    return "openai" in limits.vendor.lower()
