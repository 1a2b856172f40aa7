"""Proofs of reasoning that travel in the ids of calls, for chat clients that send back nothing else.

Gemini 3 refuses a tool round without the proof that came with its call (contract §6.6: ``reasoning_opaque``, and
``thought_signature`` in the call). Chat Completions has no field for it, so ordinary clients drop it; but every client
sends the id of a call back as it got it, with the call and with its result. So the proof rides there, in letters that
any client takes for an id, and is put where it belongs when it comes home.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from app.converters.neutral.sealed_signatures import MARK as SEALED
from app.converters.neutral.sealed_signatures import seal
from app.converters.neutral.vocabulary import Reasoning

MARK: Final = "__proof_"


def shown(call_id: str, proof: object) -> str:
    """The id that a client gets; one that carries a proof already stays. A sealed proof has a way of its own."""
    if not (isinstance(proof, str) and proof) or SEALED in proof or MARK in call_id:
        return call_id
    packed = base64.urlsafe_b64encode(proof.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    return f"{call_id}{MARK}{packed}"


def split(call_id: Any) -> tuple[Any, str | None]:
    """The id that upstream gave, and the proof in it; any other value comes back as it is, with None."""
    if not isinstance(call_id, str) or MARK not in call_id:
        return call_id, None
    own, _, packed = call_id.rpartition(MARK)
    try:
        proof = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        return own, proof.decode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError):
        return call_id, None


def needs_proofs(model: str) -> bool:
    """Whether a model refuses a tool round without. Others get none: they refuse what is not theirs."""
    return "gemini" in model.lower()


def restored(message: Any, *, with_proofs: bool = True) -> Any:
    """A message of a chat request with upstream's ids, and the proofs back in their fields; the same object if no id
    of it carries one."""
    if not isinstance(message, dict):
        return message
    own, proof = split(message.get("tool_call_id"))
    if proof is not None:
        message = {**message, "tool_call_id": own}
    calls = message.get("tool_calls")
    found = [split(call.get("id")) if isinstance(call, dict) else (None, None) for call in _list(calls)]
    proofs = [proof for _, proof in found if proof is not None]
    if not proofs:
        return message
    pairs = zip(_list(calls), found, strict=True)
    message = {**message, "tool_calls": [_call(call, *one, with_proofs=with_proofs) for call, one in pairs]}
    if with_proofs and not any(message.get(name) for name in ("reasoning_opaque", "signature")):
        message["reasoning_opaque"] = proofs[0]
    return message


def restored_items(items: list[Any]) -> list[Any]:
    """The same for items as Responses has them (`cursor`): a proof becomes a reasoning item before its call."""
    out: list[Any] = []
    for item in items:
        own, proof = split(item.get("call_id")) if isinstance(item, dict) else (None, None)
        if proof is None:
            out.append(restored(item))
            continue
        if "output" not in item:
            content = seal(Reasoning(signature=proof, origin="chat"))
            out.append({"type": "reasoning", "summary": [], "encrypted_content": content})
        out.append({**item, "call_id": own})
    return out


def _call(call: Any, own: Any, proof: str | None, *, with_proofs: bool) -> Any:
    if proof is None:
        return call
    function = call.get("function")
    if with_proofs and isinstance(function, dict):
        return {**call, "id": own, "function": {**function, "thought_signature": proof}}
    return {**call, "id": own}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
