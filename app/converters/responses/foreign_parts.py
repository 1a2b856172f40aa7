"""Content parts that clients write into Responses bodies in the words of chat or Anthropic, in Responses' own."""

from __future__ import annotations

from typing import Any


def own_form(part: dict[str, Any]) -> dict[str, Any]:
    """The part as this protocol words it; the same object if it does already, or if nobody knows it. Never fails."""
    kind, source = part.get("type"), part.get("source")
    if kind == "image_url":
        return _image(part.get("image_url"), part)
    if kind == "image" and isinstance(source, dict):
        return _image(_address(source), part)
    if kind == "file" and isinstance(part.get("file"), dict):
        return {"type": "input_file", **part["file"]}
    if kind == "document" and isinstance(source, dict):
        return _document(source, part)
    return part


def _image(given: Any, part: dict[str, Any]) -> dict[str, Any]:
    details = given if isinstance(given, dict) else {"url": given}
    if not isinstance(details.get("url"), str):
        return part
    detail = details.get("detail", part.get("detail"))
    return {"type": "input_image", "image_url": details["url"]} | ({"detail": detail} if detail is not None else {})


def _document(source: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    title = part.get("title")
    named = {"filename": title} if isinstance(title, str) and title else {}
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        return {"type": "input_text", "text": "\n\n".join([*named.values(), source["data"]])}
    address = _address(source)
    if not isinstance(address, str):
        return part
    kind = "file_url" if source.get("type") == "url" else "file_data"
    return {"type": "input_file", **({"filename": "document.pdf"} | named), kind: address}


def _address(source: dict[str, Any]) -> Any:
    """The URL of a source, or its data as one."""
    if source.get("type") == "url":
        return source.get("url")
    data, media_type = source.get("data"), source.get("media_type")
    return f"data:{media_type};base64,{data}" if isinstance(data, str) and isinstance(media_type, str) else None
