"""Parts of a message → chat content. Copilot's chat endpoint takes text and pictures, nothing else (contract §6.2)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.converters.chat.upstream.target_model import TargetModel
from app.converters.chat.vocabulary import CACHE_MARK
from app.converters.neutral.vocabulary import Audio, File, Image, Opaque, Part, Refusal, Text
from app.errors import UnsupportedFeatureError

_TEXT_TYPES: Final = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")


def content_of(
    parts: Sequence[Part], target: TargetModel, *, marks_message: bool = True
) -> tuple[str | list[dict[str, Any]], bool]:
    """Content, and whether the prompt cache may end behind it.

    One plain text is a string, everything else a list. marks_message: the mark of the last part is the message's.
    """
    encoded = encode_parts(parts, target)
    is_marked = (
        marks_message
        and bool(encoded)
        and encoded[-1].get("type") in ("text", "image_url")
        and encoded[-1].pop("copilot_cache_control", None) is not None
    )
    if not encoded:
        return "", False
    if len(encoded) == 1 and encoded[0].keys() == {"type", "text"} and encoded[0]["type"] == "text":
        return str(encoded[0]["text"]), is_marked
    return encoded, is_marked


def encode_parts(parts: Iterable[Part], target: TargetModel) -> list[dict[str, Any]]:
    """Each part as chat has it; empty texts, which upstream may refuse, are left out.

    Raises: UnsupportedFeatureError.
    """
    encoded: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Text):
            encoded += _text(part.text, is_marked=bool(part.cache))
        elif isinstance(part, Refusal):
            encoded += _text(part.text)
        elif isinstance(part, Image):
            encoded.append(_image(part))
        elif isinstance(part, File):
            encoded += _file(part, target)
        elif isinstance(part, Audio):
            raise UnsupportedFeatureError(
                "GitHub Copilot's chat endpoint takes no sound.", param=part.path or "messages"
            )
        elif isinstance(part, Opaque) and part.origin == "chat":
            encoded.append(dict(part.value))
        else:
            kind = part.value.get("type") if isinstance(part, Opaque) and isinstance(part.value, dict) else None
            name = kind if isinstance(kind, str) else type(part).__name__.lower()
            target.losses.drop(f"messages[].content[].{name}", "chat has no form for it here")
    return encoded


def _text(text: str, *, is_marked: bool = False) -> list[dict[str, Any]]:
    return [_marked({"type": "text", "text": text}, is_marked)] if text else []


def _marked(part: dict[str, Any], is_marked: bool) -> dict[str, Any]:
    return {**part, "copilot_cache_control": dict(CACHE_MARK)} if is_marked else part


def _image(image: Image) -> dict[str, Any]:
    url = image.as_url
    if url is None:
        raise UnsupportedFeatureError(
            "GitHub Copilot keeps no files: send the image itself instead of its file id.",
            param=image.path or "messages",
        )
    details = {"url": url} if image.detail is None else {"url": url, "detail": image.detail}
    return _marked({"type": "image_url", "image_url": details}, bool(image.cache))


def _file(file: File, target: TargetModel) -> list[dict[str, Any]]:
    """A document as text, under its title; one that is no text cannot be carried."""
    inner = encode_parts(file.parts, target) if file.parts else _text(_text_of(file) or "")
    if not inner:
        raise UnsupportedFeatureError(
            "GitHub Copilot's chat endpoint takes text documents only; send this one as text or choose a model that"
            " takes documents.",
            param=file.path or "messages",
        )
    if file.citations:
        target.losses.drop("messages[].content[].citations", "chat has no citations")
    target.losses.note("messages[].content[].document", "as text")
    title = file.title or file.name
    head = "\n".join(line for line in (f"Document: {title}" if title else "Document:", file.context or "") if line)
    if len(inner) == 1 and inner[0].get("type") == "text":
        return _text(f"{head}\n\n{inner[0]['text']}", is_marked=bool(file.cache))
    inner = _text(head) + inner
    inner[-1] = _marked(inner[-1], bool(file.cache))
    return inner


def _text_of(file: File) -> str | None:
    """The text of a document that is one, whether given as such or in base64."""
    if file.text is not None or file.data is None:
        return file.text
    if not (file.media_type or "").startswith(_TEXT_TYPES):
        return None
    try:
        return base64.b64decode(file.data, validate=False).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
