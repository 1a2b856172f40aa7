"""Neutral messages → the conversation of a messages upstream (conversion rules §1.1, §2; contract §8.2, §8.4).

Prefix-stable: what a turn becomes depends on that turn and on those before it, never on what comes later.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.converters.messages.vocabulary import PROTOCOL
from app.converters.neutral import tools
from app.converters.neutral.conversation import (
    distinct_call_ids,
    map_call_ids,
    merge_messages,
    pair_tools,
    split_leading_system,
    system_as_user,
    valid_call_id,
)
from app.converters.neutral.field_table import drop_foreign
from app.converters.neutral.losses import Losses
from app.converters.neutral.sealed_signatures import proof_for_upstream
from app.converters.neutral.vocabulary import (
    Audio,
    CacheMark,
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
)
from app.errors import Sentence, UnsupportedFeatureError

Json = dict[str, Any]

THOUGHTS: Final = ("thinking", "redacted_thinking")
AS_TEXT: Final = "as text: of documents upstream takes PDF alone"
_NO_WORDS: Final = "."
_IMAGE_TYPES: Final = {"image/jpg": "image/jpeg"}


class BlockEncoder:
    """Encodes the messages of one request. names: of its tools. sends_proofs: false once upstream refused one.
    takes_system: whether a system message may stand in the midst of the conversation. caches_for_an_hour: whether a
    cache mark may say so."""

    def __init__(
        self,
        names: tools.ToolNames,
        losses: Losses,
        *,
        sends_proofs: bool = True,
        takes_system: bool = False,
        caches_for_an_hour: bool = False,
    ) -> None:
        self._names = names
        self._losses = losses
        self._sends_proofs = sends_proofs
        self._takes_system = takes_system
        self._caches_for_an_hour = caches_for_an_hour

    def conversation(self, messages: Sequence[Message]) -> tuple[list[Json], list[Json]]:
        """``system`` and ``messages``. Raises: InvalidRequestError for calls without results and the reverse."""
        leading, rest = split_leading_system(pair_tools(messages))
        # Only text can be a system block; a picture among the instructions is shown by the user.
        cut = next((at for at, one in enumerate(leading) if not _is_text_only(one)), len(leading))
        leading, rest = leading[:cut], [*leading[cut:], *rest]
        if not rest and leading:
            # Instructions alone are no conversation for upstream: the last of them is what the user says.
            leading, rest = leading[:-1], system_as_user(leading[-1:])
            self._losses.note("messages", "the last instruction is sent as the user's, who must speak")
        placed = self._with_system_in_place(rest)
        turns = merge_messages(map_call_ids(distinct_call_ids(placed), valid_call_id))
        wire: list[Json] = []
        for turn in turns:
            encoded = self._message(turn)
            if encoded is not None and wire and wire[-1]["role"] == encoded["role"]:
                # What stood between them said nothing that could be sent.
                wire[-1]["content"] += encoded["content"]
            elif encoded is not None:
                wire.append(encoded)
        if not wire or wire[0]["role"] != "user":
            wire.insert(0, {"role": "user", "content": [{"type": "text", "text": _NO_WORDS}]})
            self._losses.note("messages", "a word of the user was put first, who must begin")
        _without_trailing_space(wire)
        return [block for message in leading for block in self._blocks(message.parts)], wire

    def marked(self, holder: Json, cache: CacheMark) -> Json:
        """A block or tool with its cache mark, which says an hour where that has a price (contract §8.4)."""
        if cache:
            holder["cache_control"] = {"type": "ephemeral"}
        if cache == "1h" and self._caches_for_an_hour:
            holder["cache_control"]["ttl"] = "1h"
        elif cache == "1h":
            self._losses.drop("cache_control.ttl", "upstream refuses it")
        return holder

    def _with_system_in_place(self, messages: Sequence[Message]) -> list[Message]:
        """Later system messages stay what they are where the model knows such, unless they are shown a picture, or have
        to begin the conversation."""
        if not self._takes_system:
            return system_as_user(messages)
        placed: list[Message] = []
        for message in messages:
            stays = bool(placed) and _is_text_only(message)
            placed += [message] if stays else system_as_user([message])
        return placed

    def _message(self, message: Message) -> Json | None:
        if message.name:
            self._losses.drop("messages[].name", "the messages protocol has no participants")
        drop_foreign(message.extra, PROTOCOL, self._losses, path="messages[].")
        if message.role != "assistant":
            blocks = self._user_blocks(message.parts)
        else:
            blocks = _thoughts_first(self._own_blocks(message.parts))
        role = "system" if message.role == "developer" else message.role
        return {"role": role, "content": blocks} if blocks else None

    def _user_blocks(self, parts: Iterable[Part]) -> list[Json]:
        """Results first, then what a failed result could not hold, then the rest."""
        results: list[Json] = []
        rest: list[Json] = []
        for part in parts:
            if isinstance(part, ToolResult):
                block, left = self._result(part)
                results.append(block)
                rest += left
            else:
                rest += self._blocks((part,))
        return results + rest

    def _own_blocks(self, parts: Iterable[Part]) -> list[Json]:
        """The blocks of a turn of the model's own. Raises: UnsupportedFeatureError for what upstream refuses there."""
        found: list[Json] = []
        for part in parts:
            blocks = self._blocks((part,))
            if isinstance(part, Image | File) and any(block["type"] != "text" for block in blocks):
                raise UnsupportedFeatureError(
                    "A turn of the model's own holds text alone: send pictures and documents in a message of the user.",
                    param=part.path or "messages",
                )
            found += blocks
        return found

    def _blocks(self, parts: Iterable[Part]) -> list[Json]:
        found: list[Json] = []
        for part in parts:
            if isinstance(part, File):
                documents = self._document(part)
                found += [*documents[:-1], self.marked(documents[-1], part.cache)]
            elif (block := self._block(part)) is not None:
                found.append(block)
        return found

    def _block(self, part: Part) -> Json | None:
        match part:
            case Text():
                return self._text(part)
            case Refusal():
                return {"type": "text", "text": part.text} if part.text.strip() else None
            case Image():
                return self.marked(_image(part), part.cache)
            case File():
                raise AssertionError("a file may be several blocks: see _blocks")
            case Reasoning():
                return self._thought(part)
            case ToolCall():
                return self._call(part)
            case ToolResult():
                return self._result(part)[0]
            case Audio():
                if part.data:
                    raise UnsupportedFeatureError("The messages protocol has no audio.", param=part.path or "messages")
                return {"type": "text", "text": part.transcript} if part.transcript.strip() else None
            case Opaque():
                if part.origin == PROTOCOL and isinstance(part.value, dict):
                    return dict(part.value)
                self._losses.drop(
                    "messages[].content[]",
                    Sentence("a part that only the %(origin)s protocol knows", origin=part.origin),
                )
                return None

    def _text(self, part: Text) -> Json | None:
        if not part.text.strip():
            # Upstream refuses empty text (contract §8.4).
            return None
        block: Json = {"type": "text", "text": part.text}
        if given := [note.value for note in part.annotations if note.origin == PROTOCOL and is_genuine(note.value)]:
            block["citations"] = given
        return self.marked(block, part.cache)

    def _thought(self, part: Reasoning) -> Json | None:
        proof = proof_for_upstream(part, PROTOCOL) if self._sends_proofs else None
        if proof is None:
            if part.text or part.signature:
                self._losses.drop("messages[].reasoning", "a thought that this upstream has not signed")
            return None
        if part.redacted:
            return {"type": "redacted_thinking", "data": proof}
        return {"type": "thinking", "thinking": part.text, "signature": proof}

    def _call(self, part: ToolCall) -> Json:
        function = tools.call_as_function(part)
        given, was_object = tools.input_of(function.arguments)
        if not was_object:
            self._losses.note("messages[].tool_calls[].arguments", "no JSON object; kept as text under one key")
        block = {"type": "tool_use", "id": part.call_id, "name": self._names.wire_of(part), "input": given}
        return self.marked(block, part.cache)

    def _result(self, part: ToolResult) -> tuple[Json, list[Json]]:
        """The block, and what stands behind it because a failed result holds text alone."""
        block: Json = {"type": "tool_result", "tool_use_id": part.call_id}
        inside, left = self._blocks(part.parts), list[Json]()
        if part.is_error:
            left = [one for one in inside if one["type"] != "text"]
            inside = [one for one in inside if one["type"] == "text"]
            if left:
                left.insert(0, {"type": "text", "text": behind_result(part.call_id)})
                self._losses.note("messages[].content[].tool_result", "images of a failed result stand behind it")
        if len(inside) == 1 and inside[0].keys() == {"type", "text"}:
            block["content"] = inside[0]["text"]
        elif inside:
            block["content"] = inside
        if part.is_error:
            block["is_error"] = True
        return self.marked(block, part.cache), left

    def _document(self, part: File) -> list[Json]:
        """A PDF as it is. Any other document is text to upstream, which takes none (contract §8.11)."""
        if part.parts or part.text is not None or not _is_pdf(part):
            self._losses.note("messages[].content[].document", AS_TEXT)
            told = self._blocks(part.parts) if part.parts else [{"type": "text", "text": _text_of(part)}]
            return with_head([one for one in told if one.get("text") != ""], part.title or part.name, part.context)
        block: Json = {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": part.data},
        }
        title = part.title or part.name
        if title:
            block["title"] = title
        if part.context:
            block["context"] = part.context
        if part.citations is not None:
            block["citations"] = {"enabled": part.citations}
        return [block]


def _media_type(part: File) -> str:
    return (part.media_type or "application/pdf").partition(";")[0].lower()


def _is_pdf(part: File) -> bool:
    return part.data is not None and _media_type(part) == "application/pdf"


def _text_of(part: File) -> str:
    """The text of a document that is one. Raises: UnsupportedFeatureError for what upstream cannot be given."""
    if part.text is not None:
        return part.text
    if part.url is not None:
        raise no_address(part.path)
    if part.data is None:
        raise UnsupportedFeatureError(
            "Copilot stores no files: send the content of the file instead of its id.", param=part.path or "messages"
        )
    media_type = _media_type(part)
    if media_type.startswith("text/") or media_type in ("application/json", "application/xml", "application/yaml"):
        try:
            return base64.b64decode(part.data, validate=False).decode("utf-8")
        except ValueError:  # no base64, no ASCII, or no UTF-8 in it
            pass
    raise UnsupportedFeatureError(
        f"The messages protocol takes PDF and plain text documents, not {media_type}.", param=part.path or "messages"
    )


def no_address(path: str = "") -> UnsupportedFeatureError:
    """The refusal of a document by its address, which upstream does not fetch."""
    return UnsupportedFeatureError(
        "Copilot fetches no documents: send the document itself instead of its address.", param=path or "messages"
    )


def with_head(blocks: list[Json], title: str | None, context: str | None) -> list[Json]:
    """The blocks of a document with what it is before them, in the first text."""
    head = "\n".join(line for line in (f"Document: {title}" if title else "Document:", context or "") if line)
    if blocks and blocks[0].get("type") == "text":
        return [{**blocks[0], "text": f"{head}\n\n{blocks[0]['text']}"}, *blocks[1:]]
    return [{"type": "text", "text": head}, *blocks]


def _image(part: Image) -> Json:
    if part.data is not None:
        media_type = (part.media_type or "image/png").lower()
        media_type = _IMAGE_TYPES.get(media_type, media_type)
        return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": part.data}}
    if part.url is not None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    raise UnsupportedFeatureError(
        "Copilot stores no files: send the image itself instead of the id of a file.", param=part.path or "messages"
    )


def behind_result(call_id: Any) -> str:
    """What stands before the pictures that a failed result could not hold."""
    return f"(Belongs to the result of tool call {call_id}:)"


def is_genuine(citation: Any) -> bool:
    """Whether upstream made this citation: those that the bridge made of other protocols' sources prove nothing."""
    return bool(citation) and not (isinstance(citation, dict) and citation.get("encrypted_index") == "")


def _thoughts_first(blocks: list[Json]) -> list[Json]:
    """A turn begins with its thoughts, and never ends with one (contract §8.4)."""
    thoughts = [block for block in blocks if block["type"] in THOUGHTS]
    if thoughts and blocks[0]["type"] not in THOUGHTS:
        blocks = thoughts + [block for block in blocks if block["type"] not in THOUGHTS]
    while blocks and blocks[-1]["type"] in THOUGHTS:
        blocks = blocks[:-1]
    return blocks


def _without_trailing_space(wire: list[Json]) -> None:
    """A prefill must not end in white space."""
    last = wire[-1]
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        block = last["content"][-1]
        last["content"][-1] = {**block, "text": block["text"].rstrip()}


def _is_text_only(message: Message) -> bool:
    return all(isinstance(part, Text) for part in message.parts)


def has_calls_to_answer(wire: Sequence[Json]) -> bool:
    """Whether the conversation ends in a tool round whose assistant turn does not begin with a thought.

    ``thinking: enabled`` is refused then (contract §8.4, "Expected `thinking` …").
    """
    at = len(wire) - 1
    is_round = False
    while at >= 0 and wire[at].get("role") != "assistant":
        content = wire[at].get("content")
        is_round = is_round or (
            isinstance(content, list)
            and any(isinstance(one, dict) and one.get("type") == "tool_result" for one in content)
        )
        at -= 1
    if not is_round or at < 0:
        return False
    while at > 0 and wire[at - 1].get("role") == "assistant":
        at -= 1
    content = wire[at].get("content")
    first = content[0] if isinstance(content, list) and content else None
    return not (isinstance(first, dict) and first.get("type") in THOUGHTS)
