"""The conversation of a native request as Copilot takes it (contract §8.2, §8.4; clients.md 0.4).

As in ``native``: what needs no change is given back as the same object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.converters import seal
from app.converters.ir import split_data_url
from app.converters.losses import Losses
from app.converters.messages.blocks_encoder import THOUGHTS, behind_result, is_genuine
from app.converters.messages.refused import CACHE_CONTROL
from app.converters.messages.traits import url_of

Json = dict[str, Any]

_PROOFS: Final = {"thinking": "signature", "redacted_thinking": "data"}


def mend(body: Json, inlined: Mapping[str, str], losses: Losses, *, sends_proofs: bool) -> Json:
    """Bare cache marks, no empty text, no foreign proofs, pictures inline, system messages in their place."""
    mender = _Mender(inlined, losses, sends_proofs)
    mended = body
    for name in ("system", "tools"):
        value = body.get(name)
        if isinstance(value, list):
            items = mender.blocks(value) if name == "system" else _same(value, [mender.cached(one) for one in value])
            if items is not value:
                mended = {**mended, name: items}
    messages = body.get("messages")
    if not isinstance(messages, list):
        return mended
    placed, moved = _placed(messages)
    turns = _same(placed, [turn for turn in map(mender.message, placed) if turn is not None])
    if turns is not messages:
        mended = {**mended, "messages": turns}
    return _with_system(mended, [block for message in moved for block in mender.blocks(_as_blocks(message))])


def with_last_mark(body: Json) -> Json:
    """With a cache mark on the last block, unless there are four marks already."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or _marks(body) >= 4:
        return body
    last = messages[-1]
    blocks = _as_blocks(last) if isinstance(last, dict) else []
    if not blocks or not isinstance(blocks[-1], dict) or blocks[-1].get("type") in THOUGHTS:
        return body
    block = {**blocks[-1], "cache_control": {"type": "ephemeral"}}
    return {**body, "messages": [*messages[:-1], {**last, "content": [*blocks[:-1], block]}]}


class _Mender:
    def __init__(self, inlined: Mapping[str, str], losses: Losses, sends_proofs: bool) -> None:
        self._inlined = inlined
        self._losses = losses
        self._sends_proofs = sends_proofs

    def message(self, message: Any) -> Any:
        """None: nothing is left of it."""
        if not isinstance(message, dict):
            return message
        content = message.get("content")
        if isinstance(content, str):
            return message if content.strip() else None
        if not isinstance(content, list):
            return message
        mended = self._with_texts_in_failures(self.blocks(content))
        if mended is content:
            return message
        return {**message, "content": mended} if mended else None

    def _with_texts_in_failures(self, blocks: list[Any]) -> list[Any]:
        """A failed result holds text alone (contract §8.4): what else it held stands behind the results."""
        if not any(map(_is_mixed_failure, blocks)):
            return blocks
        results, rest, moved = [], [], []
        for block in blocks:
            if not (isinstance(block, dict) and block.get("type") == "tool_result"):
                rest.append(block)
                continue
            if _is_mixed_failure(block):
                left = [inner for inner in block["content"] if not _is_text(inner)]
                moved += [{"type": "text", "text": behind_result(block.get("tool_use_id"))}, *left]
                texts = [inner for inner in block["content"] if _is_text(inner)]
                block = {key: value for key, value in block.items() if key != "content"}
                block |= {"content": texts} if texts else {}
                self._losses.note("messages[].content[].tool_result", "images of a failed result stand behind it")
            results.append(block)
        return results + moved + rest

    def blocks(self, blocks: list[Any]) -> list[Any]:
        return _same(blocks, [mended for block in blocks if (mended := self._block(block)) is not None])

    def _block(self, block: Any) -> Any:
        """None: it goes."""
        if not isinstance(block, dict):
            return block
        kind = block.get("type")
        if kind == "text":
            text = block.get("text")
            return None if isinstance(text, str) and not text.strip() else self.cached(_with_genuine_citations(block))
        if kind in THOUGHTS:
            return self._thought(block)
        if kind == "image":
            block = self._image(block)
        elif kind == "search_result":
            block = _as_document(block)
        for name in ("content", "source"):
            block = self._inside(block, name)
        return self.cached(block)

    def _inside(self, block: Json, name: str) -> Json:
        """Blocks inside a block: of a result, or of a document's source."""
        value = block.get(name)
        if name == "source" and isinstance(value, dict) and isinstance(value.get("content"), list):
            inner = self._inside(value, "content")
        elif name == "content" and isinstance(value, list):
            mended = self.blocks(value)
            if not mended and value:
                return {key: item for key, item in block.items() if key != name}
            return block if mended is value else {**block, name: mended}
        else:
            return block
        return block if inner is value else {**block, name: inner}

    def _thought(self, block: Json) -> Json | None:
        """Without proof, or with another protocol's, upstream refuses the whole request."""
        proof = block.get(_PROOFS[str(block["type"])])
        if not self._sends_proofs or not isinstance(proof, str) or not proof or seal.MARK in proof:
            self._losses.drop("messages[].content[].thinking", "a thought that this upstream has not signed")
            return None
        if "cache_control" in block:
            return {key: value for key, value in block.items() if key != "cache_control"}
        return block

    def _image(self, block: Json) -> Json:
        url = url_of(block)
        data = split_data_url(self._inlined.get(url, url)) if url else None
        if data is None:
            return block
        return {**block, "source": {"type": "base64", "media_type": data[0] or "image/png", "data": data[1]}}

    def cached(self, holder: Any) -> Any:
        """A block or tool whose cache mark holds nothing that upstream refuses."""
        mark = holder.get("cache_control") if isinstance(holder, dict) else None
        if not isinstance(mark, dict):
            return holder
        extras = [name for name in mark if name not in CACHE_CONTROL]
        if not extras:
            return holder
        for name in extras:
            self._losses.drop(f"cache_control.{name}", "upstream refuses it")
        return {**holder, "cache_control": {name: mark[name] for name in CACHE_CONTROL if name in mark}}


def _is_mixed_failure(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") != "tool_result" or block.get("is_error") is not True:
        return False
    content = block.get("content")
    return isinstance(content, list) and not all(map(_is_text, content))


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"


def _as_document(block: Json) -> Json:
    """A search result is a document with an address; upstream knows documents alone."""
    content = block.get("content")
    if not isinstance(content, list):
        return block  # upstream says what is wrong with it
    told = {"title": block.get("title"), "context": block.get("source"), "citations": block.get("citations")}
    document = {"type": "document", "source": {"type": "content", "content": content}}
    document |= {name: value for name, value in told.items() if value is not None}
    return document | ({"cache_control": block["cache_control"]} if "cache_control" in block else {})


def _with_genuine_citations(block: Json) -> Json:
    given = block.get("citations")
    if not isinstance(given, list) or all(map(is_genuine, given)):
        return block
    rest = {name: value for name, value in block.items() if name != "citations"}
    genuine = [one for one in given if is_genuine(one)]
    return {**rest, "citations": genuine} if genuine else rest


def _placed(messages: list[Any]) -> tuple[list[Any], list[Json]]:
    """The messages without role system, and the system messages that stood first.

    Later ones become the user's at their place, yet never between a call and its result.
    """
    if not any(_is_system(message) for message in messages):
        return messages, []
    cut = next((at for at, one in enumerate(messages) if not _is_system(one)), len(messages))
    if cut == len(messages):
        cut -= 1  # somebody has to say something: the last of them is the user's
    placed: list[Any] = []
    held: list[Any] = []
    for at, message in enumerate(messages[cut:]):
        if _is_system(message):
            told = {**message, "role": "user"}
            (held if at and _calls(placed[-1] if placed else None) else placed).append(told)
            continue
        placed.append(message)
        if held and isinstance(message, dict) and message.get("role") == "user":
            placed += held
            held = []
    return placed + held, messages[:cut]


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


def _calls(message: Any) -> bool:
    """Whether results have to follow this message at once."""
    content = message.get("content") if isinstance(message, dict) and message.get("role") == "assistant" else None
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_use" for block in content
    )


def _as_blocks(message: Json) -> list[Any]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def _with_system(body: Json, blocks: list[Any]) -> Json:
    if not blocks:
        return body
    system = body.get("system")
    first = [{"type": "text", "text": system}] if isinstance(system, str) and system else system or []
    if not isinstance(first, list):
        return body  # upstream says what is wrong with it
    return {**body, "system": [*first, *blocks]}


def _same(old: list[Any], new: list[Any]) -> list[Any]:
    if len(old) == len(new) and all(one is other for one, other in zip(old, new, strict=True)):
        return old
    return new


def _marks(body: Json) -> int:
    """How many cache marks there are."""
    count, stack = 0, [body.get("tools"), body.get("system"), body.get("messages")]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            count += "cache_control" in value
            stack.append(value.get("content"))
    return count
