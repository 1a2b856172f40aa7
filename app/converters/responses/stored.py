"""What a Responses request takes from stored answers, and what of an answer is stored.

Spec: OpenAI "Conversation state", "Get a model response", "List input items".
Copilot keeps nothing (contract §7.2), so a request that goes on from an answer is made whole before it is sent: the
input and output of every answer before it, then its own input. `instructions` are not carried over, as the spec has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from app.converters.codec import StoredAnswer, Wanted
from app.converters.responses.errors import frame_of
from app.converters.responses.traits import input_items
from app.converters.responses.vocabulary import input_item_id
from app.converters.wire import json_bytes, reading
from app.converters.wire.body_paths import without
from app.errors import InvalidRequestError, NotFoundError

Json = dict[str, Any]

PREVIOUS: Final = "previous_response_id"
MOST_LISTED: Final = 100
_LISTED: Final = 20
_ENDS: Final = ("response.completed", "response.incomplete")
_KEPT: Final = frozenset({"completed", "incomplete"})
_FRAME: Final = re.compile(rb"event: ([a-z._]+)\ndata: (.*)\n\n")


# -- requests --------------------------------------------------------------------------------------------------------


def wanted(body: Json) -> Wanted:
    """What a request wants of stored answers; `store` is true unless it says otherwise. Raises: InvalidRequestError."""
    store = reading.opt_bool(body.get("store"), "store")
    previous = reading.opt_string(body.get(PREVIOUS), PREVIOUS)
    items = tuple(
        reading.name(item.get("id"), f"input[{at}].id") for at, item in enumerate(_listed(body)) if _is_reference(item)
    )
    return Wanted(previous, items, store is not False)


def expand(body: Json, chain: list[StoredAnswer], holders: list[StoredAnswer]) -> tuple[Json, list[Any]]:
    """The body with its whole input, and the items of it that are the request's own.

    chain: the answers that it goes on from, oldest first. holders: those that hold the items it names. An item that
    the chain brings already is not said twice.
    Raises: NotFoundError for an item that nobody holds.
    """
    before = [item for one in chain for item in (*one.own_input, *_output(one.answer))]
    said = {str(item.get("id")) for item in before if isinstance(item, dict)}
    known = _by_id([*holders, *chain])
    own: list[Any] = []
    for item in input_items(body):
        if not _is_reference(item):
            own.append(item)
        elif item["id"] not in said:
            own.append(_found(item["id"], known))
    whole = body if not chain and own == input_items(body) else {**body, "input": [*before, *own]}
    return without(whole, PREVIOUS), own


def told(body: Json, wanted: Wanted) -> Json:
    """What the response object says of it, and the labels that it goes by: whole answers of upstream have none."""
    labels = body.get("metadata")
    named = {"metadata": labels} if isinstance(labels, dict) else {}
    return {"store": wanted.stores, PREVIOUS: wanted.previous, **named}


def _is_reference(item: Any) -> bool:
    return isinstance(item, dict) and (item.get("type") == "item_reference" or set(item) == {"id"})


def _listed(body: Json) -> list[Any]:
    items = body.get("input")
    return items if isinstance(items, list) else []


def _found(id: str, known: Mapping[str, Any]) -> Any:
    if id not in known:
        raise NotFoundError(
            f"Item with id '{id[:100]}' not found. Items are not persisted when `store` is set to false, and for a "
            "limited time only: send the item itself instead of a reference.",
            param="input",
            code="item_not_found",
        )
    return known[id]


def _by_id(answers: Iterable[StoredAnswer]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in answers:
        items = [*_own_ids(one), *((item.get("id"), item) for item in _output(one.answer) if isinstance(item, dict))]
        found |= {id: item for id, item in items if isinstance(id, str)}
    return found


def _output(answer: Json) -> list[Any]:
    output = answer.get("output")
    return output if isinstance(output, list) else []


# -- answers ---------------------------------------------------------------------------------------------------------


def ended(given: bytes) -> Json | None:
    """The response object in a whole answer, or in the frames that end a stream; None unless it is complete, or
    incomplete for a reason of the model's."""
    if given.startswith(b"{"):
        answer = json_bytes.loads(given)
    else:
        frame = _last_frame(given)
        answer = frame[1].get("response") if frame is not None else None
    is_kept = isinstance(answer, dict) and answer.get("status") in _KEPT and isinstance(answer.get("id"), str)
    return answer if is_kept else None


def unkept(given: bytes) -> bytes:
    """The same bytes, but that they tell that the answer is not stored."""
    if given.startswith(b"{"):
        return json_bytes.dumps({**json_bytes.loads(given), "store": False})
    frame = _last_frame(given)
    if frame is None:
        return given
    at, event = frame
    return given[:at] + frame_of(event["type"], {**event, "response": {**event["response"], "store": False}})


def _last_frame(frames: bytes) -> tuple[int, Json] | None:
    """Where the frame of the end begins, and its event."""
    # Inside a frame no line is blank, and JSON has no line break: so this is the beginning of one.
    cut = frames.rfind(b"\n\nevent: ", 0, len(frames) - 2)
    at = cut + 2 if cut >= 0 else 0
    found = _FRAME.fullmatch(frames, at)
    if found is None or found[1].decode() not in _ENDS:
        return None
    event = json_bytes.loads(found[2])
    return at, event


# -- what was stored, as it is told ----------------------------------------------------------------------------------


def page_of(chain: list[StoredAnswer], query: Mapping[str, str]) -> Json:
    """One page of the items that an answer was made of, all that it went on from included.

    chain: that answer and those before it, oldest first. query: ``limit`` (1 to 100, by default 20), ``order``
    (``asc``, or by default ``desc``: the newest first), ``after`` (the id of an item).
    Raises: InvalidRequestError.
    """
    items = list(_shown(chain))
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequestError("'order' must be asc or desc.", param="order")
    items = items if order == "asc" else items[::-1]
    limit = query.get("limit", str(_LISTED))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:4]) <= MOST_LISTED):
        raise InvalidRequestError(f"'limit' must be a whole number from 1 to {MOST_LISTED}.", param="limit")
    after = query.get("after")
    start = 0
    if after is not None:
        start = next((at for at, item in enumerate(items, 1) if item["id"] == after), 0)
        if not start:
            raise InvalidRequestError(
                f"'after' must be the id of one of the items: {after[:100]!r} is none.", param="after"
            )
    page = items[start : start + int(limit)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + len(page) < len(items),
    }


def _shown(chain: list[StoredAnswer]) -> Iterator[Json]:
    for at, one in enumerate(chain):
        yield from ({**_typed(item), "id": id} for id, item in _own_ids(one) if isinstance(item, dict))
        if at + 1 < len(chain):
            yield from (item for item in _output(one.answer) if isinstance(item, dict) and "id" in item)


def _own_ids(one: StoredAnswer) -> Iterator[tuple[str, Any]]:
    """The items of its own input, by the ids under which they are listed: the client's own if they have one."""
    for at, item in enumerate(one.own_input):
        item = {"role": "user", "content": item} if isinstance(item, str) else item
        given = item.get("id") if isinstance(item, dict) else None
        kind = item.get("type") if isinstance(item, dict) else None
        yield (
            (given, item)
            if isinstance(given, str) and given
            else (input_item_id(one.id, kind if isinstance(kind, str) else "message", at), item)
        )


def _typed(item: Json) -> Json:
    """An item with all that clients read of one; a message's content as a list."""
    kind = item.get("type") or "message"
    shown = {**item, "type": kind, "status": item.get("status") or "completed"}
    content = item.get("content")
    if kind == "message" and isinstance(content, str):
        is_own = item.get("role") == "assistant"
        part = {"type": "output_text", "annotations": [], "logprobs": []} if is_own else {"type": "input_text"}
        shown["content"] = [{**part, "text": content}]
    return shown
