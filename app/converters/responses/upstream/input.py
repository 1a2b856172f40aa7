"""Neutral messages → input items for Copilot's ``/responses``. Contract §7.1, §7.2, §7.6; conversion rules §1.1, §2.

Deterministic and prefix-stable: an item depends on its own message alone. No item gets an `id`: upstream pairs calls
by `call_id`, accepts encrypted reasoning without an id, and refuses ids that it no longer knows (contract §7.6).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from app.converters.neutral.conversation import distinct_call_ids, map_call_ids, pair_tools, valid_call_id
from app.converters.neutral.field_table import drop_foreign
from app.converters.neutral.losses import Losses
from app.converters.neutral.opaque_text import text_of
from app.converters.neutral.sealed_signatures import proof_for_upstream
from app.converters.neutral.tools import ToolNames, call_as_function
from app.converters.neutral.vocabulary import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    split_data_url,
)
from app.converters.responses.parts import ORIGIN
from app.converters.responses.refusals import FUNCTIONS_ALONE, Taken
from app.converters.responses.vocabulary import is_own_id
from app.errors import UnsupportedFeatureError

ERROR_PREFIX = "Error: "
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/yaml", "application/x-yaml")


def encode_input(
    messages: Iterable[Message],
    names: ToolNames,
    losses: Losses,
    *,
    with_proofs: bool = True,
    taken: Taken = FUNCTIONS_ALONE,
) -> list[dict[str, Any]]:
    """All messages as items; results stand right behind the turn with their calls.

    taken: which types of items go as what they are: calls of free-text tools, and what only this protocol knows.

    Raises: InvalidRequestError for a call without result, UnsupportedFeatureError for what has no counterpart.
    """
    writer = _Writer(names, losses, with_proofs, taken)
    # Distinct first: a call and its result meet by nothing but this id.
    for message in map_call_ids(distinct_call_ids(pair_tools(messages)), valid_call_id):
        writer.write(message)
    return writer.items


class _Writer:
    def __init__(self, names: ToolNames, losses: Losses, with_proofs: bool, taken: Taken) -> None:
        self.items: list[dict[str, Any]] = []
        self._names = names
        self._losses = losses
        self._with_proofs = with_proofs
        self._taken = taken
        self._custom_calls: set[str] = set()

    def write(self, message: Message) -> None:
        if message.name:
            self._losses.drop("messages[].name", "input items have no names")
        drop_foreign(message.extra, ORIGIN, self._losses, path="messages[].")
        content: list[dict[str, Any]] = []
        phase: str | None = None
        for part in message.parts:
            own_phase = part.phase if isinstance(part, Text) else None
            item = self._item(part, message)
            if content and (item is not None or own_phase != phase):
                self._flush(message, content, phase)
                content = []
            if item is not None:
                self.items += [item] if item else []
                continue
            phase = own_phase
            content += self._content(part, message)
        if content or not message.parts:
            self._flush(message, content, phase)

    def _flush(self, message: Message, content: list[dict[str, Any]], phase: str | None) -> None:
        if not content and message.role == "assistant":
            return
        item: dict[str, Any] = {"type": "message", "role": message.role, "content": content}
        if phase and message.role == "assistant":
            item["phase"] = phase
        self.items.append(item)

    def _item(self, part: Part, message: Message) -> dict[str, Any] | None:
        """The item that a part becomes; {} for one that is left out, None for a part of a message."""
        if isinstance(part, Reasoning):
            return self._reasoning(part)
        if isinstance(part, ToolCall):
            return self._call(part)
        if isinstance(part, ToolResult):
            return self._result(part)
        if isinstance(part, Opaque):
            return self._opaque(part, message)
        return None

    def _reasoning(self, part: Reasoning) -> dict[str, Any]:
        proof = proof_for_upstream(part, ORIGIN) if self._with_proofs else None
        if proof is None:
            # Without a proof upstream takes it for the name of a stored item, and refuses the request.
            self._losses.drop("messages[].reasoning", "thoughts are only heard by the model that can prove them")
            return {}
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        return {"type": "reasoning", "summary": summary, "encrypted_content": proof}

    def _call(self, part: ToolCall) -> dict[str, Any]:
        if part.signature:
            self._losses.drop("messages[].tool_calls[].signature", "the proof of a call belongs to another protocol")
        call = {"call_id": part.call_id, "name": self._names.wire_of(part)}
        if part.kind == "custom" and self._taken.takes("custom"):
            self._custom_calls.add(part.call_id)
            return {"type": "custom_tool_call", **call, "input": part.arguments}
        return {
            "type": "function_call",
            **call,
            "arguments": call_as_function(part).arguments or "{}",
        }

    def _result(self, part: ToolResult) -> dict[str, Any]:
        output: str | list[dict[str, Any]]
        if all(isinstance(inner, Text) for inner in part.parts) and len(part.parts) <= 1:
            output = part.text
        else:
            output = [piece for inner in part.parts for piece in self._content(inner, None)]
        if part.is_error:
            self._losses.note("messages[].content[].is_error", "said in the text of the result")
            output = _as_error(output)
        self._cache(part)
        kind = "custom_tool_call_output" if part.call_id in self._custom_calls else "function_call_output"
        return {"type": kind, "call_id": part.call_id, "output": output}

    def _opaque(self, part: Opaque, message: Message) -> dict[str, Any]:
        value = part.value if isinstance(part.value, dict) else {}
        kind = str(value.get("type"))
        path = f"input[].{kind}"
        if kind == "compaction" or self._taken.takes(kind):
            left_out = ("status", "created_by") if kind == "compaction" else ("id", "created_by")
            own_id = is_own_id(str(value.get("id")), kind)
            return {key: one for key, one in value.items() if key not in left_out and not (key == "id" and own_id)}
        text = text_of(value)
        if not text:
            self._losses.drop(path, "not an item that upstream takes, and there is nothing to read in it")
            return {}
        self._losses.note(path, "as text")
        form = "output_text" if message.role == "assistant" else "input_text"
        return {"type": "message", "role": message.role, "content": [{"type": form, "text": text}]}

    def _content(self, part: Part, message: Message | None) -> list[dict[str, Any]]:
        """A part of a message, or of a result (no message)."""
        self._cache(part)
        is_said = message is not None and message.role == "assistant"
        if isinstance(part, Text):
            if is_said:
                return [{"type": "output_text", "text": part.text, "annotations": _annotations(part)}]
            return [{"type": "input_text", "text": part.text}]
        if isinstance(part, Refusal):
            return [{"type": "refusal", "refusal": part.text}] if is_said else [_text(part.text)]
        if is_said:
            return self._told(part, message)
        if isinstance(part, Image):
            return [_image(part)]
        if isinstance(part, File):
            return self._file(part, message)
        if isinstance(part, Audio):
            raise UnsupportedFeatureError("Audio cannot be carried to this model.", param=part.path or "input_audio")
        self._losses.drop("messages[].content[].tool_result", "of a kind that results cannot hold")
        return []

    def _file(self, part: File, message: Message | None) -> list[dict[str, Any]]:
        if part.citations:
            self._losses.drop("messages[].content[].citations", "upstream does not cite documents")
        if part.parts:
            return [*_heading(part), *(piece for inner in part.parts for piece in self._content(inner, message))]
        text = _text_of(part)
        if text is not None:
            return [*_heading(part), _text(text)]
        if part.url is not None:
            return [{"type": "input_file", "file_url": part.url}]
        if part.data is None:
            raise UnsupportedFeatureError(
                "A file by its id cannot be carried to this model: send its data.", param=part.path or "file_id"
            )
        name = part.name or part.title or "document.pdf"
        data = part.as_url if split_data_url(part.data) is None else part.data
        context = [_text(part.context)] if part.context else []
        return [*context, {"type": "input_file", "filename": name, "file_data": data}]

    def _told(self, part: Part, message: Message | None) -> list[dict[str, Any]]:
        """What the model's own turn holds beside text: as text, for no other form may stand there.

        Raises: UnsupportedFeatureError for what is none.
        """
        is_text = isinstance(part, File) and (bool(part.parts) or _text_of(part) is not None)
        pieces = self._file(part, message) if isinstance(part, File) and is_text else []
        texts = [piece["text"] for piece in pieces if "text" in piece]
        if not texts or len(texts) < len(pieces):
            raise UnsupportedFeatureError(
                "A turn of the model's own holds text alone: send pictures, documents and sound in a message of the "
                "user.",
                param=getattr(part, "path", "") or "content",
            )
        self._losses.note("messages[].content[].document", "as text")
        return [{"type": "output_text", "text": "\n\n".join(texts), "annotations": []}]

    def _cache(self, part: Part) -> None:
        if getattr(part, "cache", False):
            self._losses.drop("messages[].content[].cache_control", "upstream caches by itself")


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _heading(part: File) -> list[dict[str, Any]]:
    """Title and context of a text document, as text of their own before it."""
    lines = [f"Document: {part.title or part.name}"] if part.title or part.name else []
    lines += [part.context] if part.context else []
    return [_text("\n".join(lines))] if lines else []


def _text_of(part: File) -> str | None:
    """The text of a document that is one, whether given as such or in base64 (conversion rules §2)."""
    if part.text is not None or part.data is None or not (part.media_type or "").startswith(_TEXT_TYPES):
        return part.text
    try:
        return base64.b64decode(part.data, validate=False).decode("utf-8")
    except ValueError:
        return None


def _image(part: Image) -> dict[str, Any]:
    if part.as_url is None:
        raise UnsupportedFeatureError(
            "An image by its file id cannot be carried to this model: send a URL or data.", param=part.path or "file_id"
        )
    return {"type": "input_image", "image_url": part.as_url, "detail": part.detail or "auto"}


def _annotations(part: Text) -> list[Any]:
    return [note.value for note in part.annotations if note.origin == ORIGIN]


def _as_error(output: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(output, str):
        return output if output.startswith(ERROR_PREFIX) else ERROR_PREFIX + output
    return [_text(ERROR_PREFIX.strip()), *output]
