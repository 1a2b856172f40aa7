"""Content parts of the Responses API → neutral parts. Requests and answers share them. Spec: OpenAI "Responses"."""

from __future__ import annotations

from typing import Any, Final

from app.converters.neutral.sealed_signatures import proof_from_client
from app.converters.neutral.vocabulary import (
    Annotation,
    Audio,
    File,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    located,
    split_data_url,
)
from app.converters.responses.foreign_parts import own_form
from app.converters.wire import reading
from app.errors import InvalidRequestError, UnsupportedFeatureError

ORIGIN: Final = "responses"

_TEXTS: Final = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})


def decode_content(content: Any, path: str) -> tuple[Part, ...]:
    """`content` of a message, or `output` of a call: a string, or a list of parts. "" and null are nothing."""
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(decode_part(part, f"{path}[{at}]") for at, part in enumerate(reading.items(content, path)))


def decode_part(raw: Any, path: str) -> Part:
    """One content part. Raises: InvalidRequestError, with the path of what is wrong."""
    if isinstance(raw, str):
        return Text(raw)
    part = own_form(reading.obj(raw, path))
    kind = part.get("type")
    if not isinstance(kind, str) or not kind:
        raise InvalidRequestError(f"`{path}.type` is missing.", param=f"{path}.type")
    if kind in _TEXTS:
        return Text(reading.string(part.get("text"), f"{path}.text"), decode_annotations(part.get("annotations")))
    if kind == "refusal":
        return Refusal(reading.string(part.get("refusal"), f"{path}.refusal"))
    if kind in ("input_image", "computer_screenshot"):
        return located(_image(part, path), path)
    if kind == "input_file":
        return located(_file(part, path), path)
    if kind == "input_audio":
        return located(_audio(part, path), path)
    if kind == "input_video":
        raise UnsupportedFeatureError("Videos cannot be carried to this model.", param=path)
    return Opaque(ORIGIN, part, path)


def decode_annotations(raw: Any) -> tuple[Annotation, ...]:
    """Sources of an output text."""
    items = raw if isinstance(raw, list) else []
    return tuple(_annotation(item) for item in items if isinstance(item, dict))


def decode_reasoning(item: dict[str, Any]) -> Reasoning:
    """A reasoning item, of a client or of upstream; the proof is unsealed if it is another protocol's.

    Its id is left out: Copilot's are new in every event, and what is bound to them is accepted without (contract §7.6).
    """
    proof = item.get("encrypted_content")
    return proof_from_client(proof if isinstance(proof, str) else "", ORIGIN, text=reasoning_text(item))


def reasoning_text(item: dict[str, Any]) -> str:
    """The summaries, a blank line between them; where there are none, the thoughts themselves."""
    return _joined(item.get("summary")) or _joined(item.get("content"))


def _joined(raw: Any) -> str:
    parts = [part for part in raw if isinstance(part, dict)] if isinstance(raw, list) else []
    return "\n\n".join(part["text"] for part in parts if isinstance(part.get("text"), str) and part["text"])


def _annotation(item: dict[str, Any]) -> Annotation:
    kind = item.get("type")
    start, end = item.get("start_index"), item.get("end_index")
    return Annotation(
        kind="url" if kind == "url_citation" else "file" if "file" in str(kind) else "other",
        url=_text(item.get("url")),
        title=_text(item.get("title")) or _text(item.get("filename")),
        start_index=start if type(start) is int else None,
        end_index=end if type(end) is int else None,
        origin=ORIGIN,
        value=item,
    )


def _image(part: dict[str, Any], path: str) -> Image:
    detail = reading.opt_string(part.get("detail"), f"{path}.detail")
    url = part.get("image_url")
    if isinstance(url, dict):
        # The chat form, which a surprising number of clients write here.
        url = url.get("url")
    if url is not None:
        return Image.of(reading.string(url, f"{path}.image_url"), detail=detail)
    file_id = reading.opt_string(part.get("file_id"), f"{path}.file_id")
    if not file_id:
        raise InvalidRequestError(f"`{path}` needs an `image_url`.", param=f"{path}.image_url")
    return Image(file_id=file_id, detail=detail)


def _file(part: dict[str, Any], path: str) -> File:
    name, detail = (
        reading.opt_string(part.get("filename"), f"{path}.filename"),
        reading.opt_string(part.get("detail"), f"{path}.detail"),
    )
    data = reading.opt_string(part.get("file_data"), f"{path}.file_data")
    if data:
        split = split_data_url(data)
        if split is None:
            return File(data=data, name=name, detail=detail)
        return File(data=split[1], media_type=split[0] or None, name=name, detail=detail)
    url = reading.opt_string(part.get("file_url"), f"{path}.file_url")
    file_id = reading.opt_string(part.get("file_id"), f"{path}.file_id")
    if not url and not file_id:
        raise InvalidRequestError(f"`{path}` needs `file_data` or `file_url`.", param=f"{path}.file_data")
    return File(url=url or None, file_id=None if url else file_id, name=name, detail=detail)


def _audio(part: dict[str, Any], path: str) -> Audio:
    inner = reading.obj(part.get("input_audio"), f"{path}.input_audio")
    data = reading.string(inner.get("data"), f"{path}.input_audio.data")
    return Audio(data=data, format=reading.opt_string(inner.get("format"), f"{path}.input_audio.format"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
