"""Reasoning proofs abroad: packed so that a client of another protocol carries them home (conversion rules §6.2).

A proof (messages ``signature``, responses ``encrypted_content``, chat ``reasoning_opaque``) is worth something to the
protocol that minted it alone. A client of another protocol gets it *sealed*, in the field that its protocol echoes, and
on the next turn it is unsealed for its home, or left out elsewhere. The bridge remembers nothing.

``gwseal1:<origin>[+redacted][+<n>]:<id>:<payload>``

origin:  the protocol name, letters, digits and ``._/-`` only.
+<n>:    the thought's text has n characters; for fields in which several thoughts are joined.
id:      what the proof is bound to, ``%`` and ``:`` written as ``%25`` and ``%3A``; may be empty.
payload: the proof, verbatim, to the end. Several seals may stand one after the other: see ``unseal_all``.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from app.converters.neutral.request_traits import ProtocolName
from app.converters.neutral.vocabulary import Reasoning

MARK: Final = "gwseal1:"
_MARK_BYTES: Final = MARK.encode()
_ORIGIN: Final = re.compile(r"[A-Za-z0-9._/-]{1,40}")
_HEAD: Final = re.compile(r"gwseal1:([A-Za-z0-9._/-]{1,40})(\+redacted)?(?:\+([0-9]{1,9}))?:([^:]*):", re.DOTALL)


BLANK_LINE: Final = "\n\n"
"""What stands between two thoughts that a client gets in one field."""


def seal(reasoning: Reasoning, *, marks_text: bool = False, lead: int = 0) -> str:
    """Pack a foreign reasoning proof into one string the client will echo back.

    Shape:  "gwseal1:<origin>:<id>:<payload>", payload verbatim. marks_text: say how long the text is, see `unseal_all`,
            with what was told before it (lead).
    Raises: ValueError when there is no proof, its origin is unknown or unspeakable, or it is already sealed.
    Spec:   Anthropic "Extended thinking"; OpenAI "Responses: encrypted reasoning".
    """
    payload, origin = reasoning.signature, reasoning.origin
    if not payload:
        raise ValueError("there is no proof to seal")
    if origin is None or not _ORIGIN.fullmatch(origin):
        raise ValueError("a proof without a proper origin")
    if MARK in payload:
        # Also in its middle: a string of several seals is cut at this mark.
        raise ValueError("the proof is already sealed")
    flags = ("+redacted" if reasoning.redacted else "") + (f"+{lead + len(reasoning.text)}" if marks_text else "")
    bound_to = (reasoning.id or "").replace("%", "%25").replace(":", "%3A")
    return f"{MARK}{origin}{flags}:{bound_to}:{payload}"


def unseal(text: str) -> Reasoning | None:
    """The proof in one sealed string, without its text; None if the string is no seal."""
    found = _HEAD.match(text)
    if found is None:
        return None
    origin, redacted, _, bound_to = found.groups()
    return Reasoning(
        signature=text[found.end() :],
        origin=origin,
        id=bound_to.replace("%3A", ":").replace("%25", "%") or None,
        redacted=redacted is not None,
    )


def is_sealed(raw: bytes) -> bool:
    """Whether these bytes (a whole request body, or one field) hold a seal; one substring search."""
    return _MARK_BYTES in raw


def unseal_all(text: str, joined: str = "") -> list[Reasoning]:
    """The thoughts in a string of seals, in order, each with its own share of the joined text.

    Where the lengths do not add up (the client has changed the text, or a thought had no proof), the first thought gets
    all of the text. [] if the string does not begin with a seal.
    """
    if not text.startswith(MARK):
        return []
    found = [(sealed, match) for piece in text.split(MARK)[1:] if (match := _HEAD.match(sealed := MARK + piece))]
    lengths = [int(match[3]) if match[3] else 0 for _, match in found]
    if sum(lengths) != len(joined):
        lengths = [len(joined)] + [0] * (len(found) - 1)
    thoughts, position = [], 0
    for (sealed, _), length in zip(found, lengths, strict=False):
        thought = unseal(sealed)
        if thought is not None:
            share = joined[position : position + length]
            thoughts.append(dataclasses.replace(thought, text=share.removeprefix(BLANK_LINE) if position else share))
        position += length
    return thoughts


def proof_for_client(reasoning: Reasoning, client: str) -> str | None:
    """What to write into the client's field: the proof itself if its own protocol minted it, else sealed; or None.

    None also for a foreign one that holds a mark: it cannot be packed, nor could it ever be verified.
    """
    if not reasoning.signature or reasoning.origin is None:
        return None
    if reasoning.origin == client:
        return reasoning.signature
    return None if MARK in reasoning.signature else seal(reasoning)


def proof_from_client(field: str, client: str, *, text: str = "", id: str | None = None) -> Reasoning:
    """A thought as the client echoes it: unsealed if sealed, else minted by the client's own protocol."""
    if not field:
        return Reasoning(text=text, id=id)
    thought = unseal(field)
    if thought is None and MARK in field:
        # A torn seal is nobody's proof; upstream would refuse the whole request for it.
        return Reasoning(text=text)
    if thought is None:
        return Reasoning(text=text, signature=field, origin=client, id=id)
    return dataclasses.replace(thought, text=text)


def proof_for_upstream(reasoning: Reasoning, upstream: ProtocolName) -> str | None:
    """The proof, if this upstream minted it; None if there is none or it belongs elsewhere (leave it out, note it)."""
    return reasoning.signature if reasoning.signature and reasoning.origin == upstream else None
