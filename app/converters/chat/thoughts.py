"""The thoughts of an assistant message, by whatever names they come; of clients' requests and upstream's answers."""

from __future__ import annotations

from typing import Any

from app.converters.chat import quirks
from app.converters.neutral import sealed_signatures
from app.converters.neutral.vocabulary import Reasoning


def thoughts(message: dict[str, Any]) -> list[Reasoning]:
    """The thought of an assistant message, by whatever name; several, where seals say so (contract §6.3.5, §6.6).

    Serves what a client echoes as well as what upstream answers. Odd types count as absent.
    """
    names = (*quirks.REASONING_TEXTS, "reasoning_content")
    text = next((found for name in names if isinstance(found := message.get(name), str) and found), "")
    cot_id = message.get("cot_id")
    proof = next(
        (found for name in ("reasoning_opaque", "signature") if isinstance(found := message.get(name), str) and found),
        "",
    )
    if not proof and cot_id and isinstance(cot_id, str):
        # Azure's proof is nothing but an id: where both are the same, it goes back as ``cot_id``.
        return [Reasoning(text, cot_id, "chat", cot_id)]
    if proof.startswith(sealed_signatures.MARK):
        return sealed_signatures.unseal_all(proof, text)
    return [sealed_signatures.proof_from_client(proof, "chat", text=text)] if text or proof else []
