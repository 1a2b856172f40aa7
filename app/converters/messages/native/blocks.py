"""The conversation of a native request as Copilot takes it (contract §8.2, §8.4; client notes §0.4).

As in ``request``: what needs no change is given back as the same object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.converters.messages.traits import url_of
from app.converters.messages.upstream.blocks import AS_TEXT, THOUGHTS, behind_result, is_genuine, no_address, with_head
from app.converters.messages.upstream.claude import claude
from app.converters.messages.upstream.refusals import CACHE_CONTROL
from app.converters.neutral import sealed_signatures, wire_call_ids
from app.converters.neutral.conversation import valid_call_id
from app.converters.neutral.losses import Losses
from app.converters.neutral.model_limits import ModelLimits
from app.converters.neutral.vocabulary import split_data_url

Json = dict[str, Any]

_PROOFS: Final = {"thinking": "signature", "redacted_thinking": "data"}


def normalize(
    body: Json, inlined: Mapping[str, str], losses: Losses, limits: ModelLimits, *, sends_proofs: bool
) -> Json:
    """Bare cache marks, no empty text, no foreign proofs, pictures inline, system messages in their place."""
    normalizer = _Normalizer(inlined, losses, sends_proofs, body, keeps_ttl=limits.caches_for_an_hour)
    normalized = body
    for name in ("system", "tools"):
        value = body.get(name)
        if isinstance(value, list):
            items = (
                normalizer.blocks(value)
                if name == "system"
                else _same(value, [normalizer.cached(one) for one in value])
            )
            if items is not value:
                normalized = {**normalized, name: items}
    messages = body.get("messages")
    if not isinstance(messages, list):
        return normalized
    placed, moved = _placed(_with_valid_ids(messages), "system" if claude(limits).system else "user")
    turns = _same(placed, [turn for turn in map(normalizer.message, placed) if turn is not None])
    if turns is not messages:
        normalized = {**normalized, "messages": turns}
    return _with_system(normalized, [block for message in moved for block in normalizer.blocks(_as_blocks(message))])


def with_last_mark(body: Json, mark: Json) -> Json:
    """With this cache mark on the last block, unless there are four marks already."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or _marks(body) >= 4:
        return body
    last = messages[-1]
    blocks = _as_blocks(last) if isinstance(last, dict) else []
    if not blocks or not isinstance(blocks[-1], dict) or blocks[-1].get("type") in THOUGHTS:
        return body
    block = {**blocks[-1], "cache_control": mark}
    return {**body, "messages": [*messages[:-1], {**last, "content": [*blocks[:-1], block]}]}


class _Normalizer:
    def __init__(
        self, inlined: Mapping[str, str], losses: Losses, sends_proofs: bool, body: Json, *, keeps_ttl: bool
    ) -> None:
        self._messages = body.get("messages")
        self._inlined = inlined
        self._losses = losses
        self._sends_proofs = sends_proofs
        self._keeps_ttl = keeps_ttl

    def message(self, message: Any) -> Any:
        """None: nothing is left of it."""
        if not isinstance(message, dict):
            return message
        content = message.get("content")
        if isinstance(content, str):
            return message if content.strip() else None
        if not isinstance(content, list):
            return message if content is not None else None
        if not content:
            return None
        normalized = self._with_texts_in_failures(self.blocks(content))
        if normalized is content:
            return message
        return {**message, "content": normalized} if normalized else None

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
        normalized: list[Any] = []
        for block in blocks:
            told = self._told(block)
            if told is not None:
                normalized += told
            elif (one := self._block(block)) is not None:
                normalized.append(one)
        return _same(blocks, normalized)

    def _told(self, block: Any) -> list[Any] | None:
        """A document that is no PDF, as text, for upstream takes none (contract §8.11); None: it is something else."""
        if not isinstance(block, dict) or block.get("type") not in ("document", "search_result"):
            return None
        source, title, context = block.get("source"), block.get("title"), block.get("context")
        if block["type"] == "search_result":
            context, given = source, block.get("content")
        elif not isinstance(source, dict) or source.get("type") not in ("text", "content", "url"):
            return None
        elif source["type"] == "url":
            raise no_address(_place_of(block, self._messages))
        else:
            given = source.get("data" if source["type"] == "text" else "content")
        inner = [{"type": "text", "text": given}] if isinstance(given, str) else given
        if not isinstance(inner, list) or not all(map(_is_whole, inner)):
            return None  # upstream says what is wrong with it
        self._losses.note("messages[].content[].document", AS_TEXT)
        told = with_head(
            self.blocks(inner),
            title if isinstance(title, str) else None,
            context if isinstance(context, str) else None,
        )
        mark = block.get("cache_control")
        return [*told[:-1], self.cached({**told[-1], "cache_control": mark})] if mark is not None else told

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
        return self.cached(self._inside(block))

    def _inside(self, block: Json) -> Json:
        """The blocks of a result."""
        value = block.get("content")
        if not isinstance(value, list):
            return block
        normalized = self.blocks(value)
        if not normalized and value:
            return {key: item for key, item in block.items() if key != "content"}
        return block if normalized is value else {**block, "content": normalized}

    def _thought(self, block: Json) -> Json | None:
        """Without proof, or with another protocol's, upstream refuses the whole request."""
        proof = block.get(_PROOFS[str(block["type"])])
        if not self._sends_proofs or not isinstance(proof, str) or not proof or sealed_signatures.MARK in proof:
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
        bare = bare_mark(mark, self._losses, keeps_ttl=self._keeps_ttl)
        return holder if bare is mark else {**holder, "cache_control": bare}


def bare_mark(mark: Json, losses: Losses, *, keeps_ttl: bool) -> Json:
    """A cache mark without what upstream refuses; the same object if that is all of it."""
    known = (*CACHE_CONTROL, "ttl") if keeps_ttl and mark.get("ttl") == "1h" else CACHE_CONTROL
    extras = [name for name in mark if name not in known]
    for name in extras:
        if name != "ttl" or mark["ttl"] != "5m":  # that is how long it lasts anyway
            losses.drop(f"cache_control.{name}", "upstream refuses it")
    return {name: mark[name] for name in known if name in mark} if extras else mark


def _with_valid_ids(messages: list[Any]) -> list[Any]:
    """Upstream takes ids of its own form only, and each once; histories of other models hold others."""
    new = wire_call_ids.renamed(messages, _call_ids, valid_call_id, distinct=True)
    return [_with_ids(message, new) for message in messages] if new else messages


def _call_ids(message: Any) -> Iterator[wire_call_ids.Place]:
    content = message.get("content") if isinstance(message, dict) else None
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and block.get("type") == "tool_use":
            yield block, "id", True
        elif isinstance(block, dict) and block.get("type") == "tool_result":
            yield block, "tool_use_id", False


def _with_ids(message: Any, new: Mapping[int, str]) -> Any:
    fields = {id(block): field for block, field, _ in _call_ids(message) if id(block) in new}
    if not fields:
        return message
    content = [
        {**block, fields[id(block)]: new[id(block)]} if id(block) in fields else block for block in message["content"]
    ]
    return {**message, "content": content}


def _place_of(block: Json, messages: Any) -> str:
    """Where a block stands, for a refusal; "" if it is nowhere."""
    holders = [
        (f"messages[{at}]", message) for at, message in enumerate(messages if isinstance(messages, list) else ())
    ]
    for path, holder in holders:
        content = holder.get("content") if isinstance(holder, dict) else None
        for at, one in enumerate(content if isinstance(content, list) else ()):
            if one is block:
                return f"{path}.content[{at}]"
            holders.append((f"{path}.content[{at}]", one))
    return ""


def _is_mixed_failure(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") != "tool_result" or block.get("is_error") is not True:
        return False
    content = block.get("content")
    return isinstance(content, list) and not all(map(_is_text, content))


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"


def _is_whole(block: Any) -> bool:
    return isinstance(block, dict) and (block.get("type") != "text" or isinstance(block.get("text"), str))


def _with_genuine_citations(block: Json) -> Json:
    given = block.get("citations")
    if not isinstance(given, list) or all(map(is_genuine, given)):
        return block
    rest = {name: value for name, value in block.items() if name != "citations"}
    genuine = [one for one in given if is_genuine(one)]
    return {**rest, "citations": genuine} if genuine else rest


def _placed(messages: list[Any], role: str) -> tuple[list[Any], list[Json]]:
    """The messages without those of the system that stood first, and these.

    Later ones get this role at their place, yet never between a call and its result: ``system`` where the model takes
    it there, else ``user``.
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
            told = {**message, "role": role if placed else "user"}
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
