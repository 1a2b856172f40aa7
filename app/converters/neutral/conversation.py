"""A conversation in the order that every upstream accepts (conversion rules §1.1, §2). Pure, and prefix-stable.

Prefix-stable: adding a turn at the end never changes what comes out for the turns before it, else the provider's prompt
cache is lost. An encoder does, in this order: ``pair_tools``, then what its protocol needs of the rest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from app.converters.neutral.vocabulary import Message, Part, Role, ToolCall, ToolResult
from app.errors import InvalidRequestError

CALL_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


class UnpairedError(InvalidRequestError):
    """A call without result, or a result without call. `param` is for whoever knows what the client calls the list."""


def pair_tools(messages: Iterable[Message]) -> list[Message]:
    """Put the results of each assistant turn right behind it, whatever the order in which they stood.

    Adjacent assistant messages with calls among them become one turn (parallel calls). Behind each turn with calls
    stands one user message that holds exactly its results, in the order of the calls; what else a user message held
    comes after it. An id that is used again in a later turn pairs with the results in their order; what is left over
    then belongs to the last result.
    Raises: UnpairedError that names the id, for a call without result or a result without call.
    """
    results: dict[str, deque[ToolResult]] = {}
    turns: list[Message] = []
    run: list[Message] = []
    for message in messages:
        found = message.results
        for result in found:
            results.setdefault(result.call_id, deque()).append(result)
        if message.role == "assistant" and not found:
            run.append(message)
            continue
        turns += _one_turn(run)
        run = []
        rest = tuple(part for part in message.parts if not isinstance(part, ToolResult)) if found else message.parts
        if rest or not found:
            turns.append(dataclasses.replace(message, parts=rest) if found else message)
    turns += _one_turn(run)
    counts = Counter(call.call_id for turn in turns for call in turn.calls)
    for call_id, queue in results.items():
        while 0 < counts[call_id] < len(queue):
            queue.append(_joined(queue.pop(), after=queue.pop()))
    paired: list[Message] = []
    for turn in turns:
        paired.append(turn)
        if turn.calls:
            paired.append(Message("user", tuple(_result_of(call, results) for call in turn.calls)))
    for call_id, orphans in results.items():
        if orphans:
            raise UnpairedError(
                f"There is a result for tool call {call_id!r}, but the conversation holds no such tool call.",
                param="messages",
            )
    return paired


def _joined(result: ToolResult, *, after: ToolResult) -> ToolResult:
    """Two results of one call, as a client sends them that was interrupted and began anew."""
    parts = after.parts if result.parts == after.parts else after.parts + result.parts
    return dataclasses.replace(result, parts=parts)


def _one_turn(run: list[Message]) -> list[Message]:
    """Adjacent assistant messages: one turn if any of them calls a tool, else as they are."""
    return [_merged(run)] if len(run) > 1 and any(message.calls for message in run) else run


def _result_of(call: ToolCall, results: dict[str, deque[ToolResult]]) -> Part:
    queue = results.get(call.call_id)
    if not queue:
        raise UnpairedError(
            f"No tool output found for tool call {call.call_id!r}: every tool call must be answered by its result.",
            param="messages",
        )
    result = queue.popleft()
    # A chat tool message cannot say that it answers a custom call; only the call knows.
    return result if result.kind == call.kind else dataclasses.replace(result, kind=call.kind)


def distinct_call_ids(paired: Iterable[Message]) -> list[Message]:
    """Give each call an id of its own, for targets that insist: the second ``call_0`` becomes ``call_0-2``.

    Wants what `pair_tools` returns. Only the repeated ones change.
    """
    seen: set[str] = set()
    counts: dict[str, int] = {}
    out: list[Message] = []
    renamed: list[str] = []
    for message in paired:
        if message.calls:
            renamed = [_fresh(call.call_id, seen, counts) for call in message.calls]
            out.append(_with_ids(message, renamed))
        elif message.results:
            out.append(_with_ids(message, renamed))
        else:
            out.append(message)
    return out


def _fresh(call_id: str, seen: set[str], counts: dict[str, int]) -> str:
    """counts: the last number given out for an id; to count anew each time would take the square of them all."""
    fresh = call_id
    while fresh in seen:
        counts[call_id] = counts.get(call_id, 1) + 1
        fresh = f"{call_id}-{counts[call_id]}"
    seen.add(fresh)
    return fresh


def _with_ids(message: Message, call_ids: list[str]) -> Message:
    ids = iter(call_ids)
    parts = tuple(
        _with_id(part, next(ids, part.call_id)) if isinstance(part, ToolCall | ToolResult) else part
        for part in message.parts
    )
    return message if parts == message.parts else dataclasses.replace(message, parts=parts)


def _with_id(part: ToolCall | ToolResult, call_id: str) -> Part:
    return part if part.call_id == call_id else dataclasses.replace(part, call_id=call_id)


def map_call_ids(messages: Iterable[Message], rename: Callable[[str], str]) -> list[Message]:
    """Every call id, of calls and results, through `rename` (e.g. ``valid_call_id``)."""
    out: list[Message] = []
    for message in messages:
        ids = [rename(part.call_id) for part in message.parts if isinstance(part, ToolCall | ToolResult)]
        out.append(_with_ids(message, ids) if ids else message)
    return out


def merge_messages(messages: Iterable[Message], *, roles: Collection[Role] = ("user", "assistant")) -> list[Message]:
    """Join adjacent messages of one role, for targets where roles take turns."""
    merged: list[Message] = []
    for role, group in itertools.groupby(messages, key=lambda message: message.role):
        run = list(group)
        merged += [_merged(run)] if role in roles and len(run) > 1 else run
    return merged


def _merged(run: Sequence[Message]) -> Message:
    """One message of several. Where names or extras differ, the first that says anything counts."""
    extra: dict[str, dict[str, object]] = {}
    for message in run:
        for origin, fields in message.extra.items():
            extra[origin] = {**fields, **extra.get(origin, {})}
    return Message(
        run[0].role,
        tuple(part for message in run for part in message.parts),
        next((message.name for message in run if message.name), None),
        extra,
    )


def split_leading_system(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """The system and developer messages that stand first, and all the rest (which may hold later ones)."""
    cut = next(
        (at for at, message in enumerate(messages) if message.role not in ("system", "developer")), len(messages)
    )
    return list(messages[:cut]), list(messages[cut:])


def system_as_user(messages: Iterable[Message]) -> list[Message]:
    """Later system and developer messages as user messages at their place, for a target that knows no such role."""
    return [
        dataclasses.replace(message, role="user") if message.role in ("system", "developer") else message
        for message in messages
    ]


def valid_call_id(call_id: str, pattern: re.Pattern[str] = CALL_ID, limit: int = 64) -> str:
    """The id itself if it fits, else one that does: what is legible of it and a hash of the whole.

    The same id gives the same result, so that a call and its result still meet, now and in later turns; different ids
    give different results. Fits: matches `pattern` as a whole and has at most `limit` characters.
    """
    if len(call_id) <= limit and pattern.fullmatch(call_id):
        return call_id
    return _hashed(call_id, limit)


def valid_name(name: str, limit: int = 64) -> str:
    """A tool name likewise."""
    return valid_call_id(name, CALL_ID, limit)


def _hashed(name: str, limit: int) -> str:
    # Colons and the like end up as "_", so the hash is what keeps "a:b" and "a.b" apart.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_UNSAFE.sub('_', name)[: limit - 13]}_{digest}"
