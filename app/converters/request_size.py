"""What a request may come to, before anybody has counted: for reservations, in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_OUTPUT_FIELDS: Final = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_BYTES_PER_TOKEN: Final = 4
_USUAL_OUTPUT: Final = 4_096
"""Where a client names no limit: more than nearly all answers, and less than a model's most by far."""


def likely_tokens(body: Mapping[str, Any], size: int) -> tuple[int, int]:
    """Tokens in and out, as many as are likely at most. size: of the body, in bytes."""
    told = (body.get(name) for name in _OUTPUT_FIELDS)
    asked = [value for value in told if isinstance(value, int) and not isinstance(value, bool) and value > 0]
    choices = body.get("n")
    many = choices if isinstance(choices, int) and not isinstance(choices, bool) and 1 < choices <= 128 else 1
    return size // _BYTES_PER_TOKEN + 1, min(asked, default=_USUAL_OUTPUT) * many
