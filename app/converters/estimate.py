"""How many tokens a text may be, without counting them: for places where counting would hold up an answer.

Counting 50 kB takes 5 ms of a worker that serves many; `app.tokens` does it where the number is what was asked for.
"""

from __future__ import annotations

from app.converters.ir import Image, Request
from app.converters.messages.counting import countable

_BYTES_PER_TOKEN = 4  # of UTF-8: about right for English, code and Chinese
_PER_IMAGE = 1_000


def estimate(text: str) -> int:
    """Tokens of a text, about."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def estimate_input(request: Request) -> int:
    """Tokens of all that the model would read, about."""
    return sum(_PER_IMAGE if isinstance(item, Image) else estimate(item) for item in countable(request))
