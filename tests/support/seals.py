"""What a chat client sends back after a turn with several thoughts: their seals joined, as the stream gave them."""

from __future__ import annotations

from collections.abc import Iterable

from app.converters.neutral.sealed_signatures import seal
from app.converters.neutral.vocabulary import Reasoning


def joined(reasonings: Iterable[Reasoning]) -> str:
    return "".join(seal(reasoning, marks_text=True) for reasoning in reasonings if reasoning.signature)
