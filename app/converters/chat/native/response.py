"""Whole chat answers: normalized, or turned into a stream.

Contract §6.3. Unlike a stream, a whole answer is always parsed: it happens once per request.
"""

from __future__ import annotations

from typing import Any

from app.converters.chat import quirks
from app.converters.chat.native.stream import StreamNormalizer
from app.converters.chat.thought_signatures import needs_proofs, shown
from app.converters.codec import Identity
from app.converters.neutral.whole_calls import check_calls
from app.converters.wire import accounting, json_bytes, sse
from app.converters.wire.error_body import answer_in, is_error
from app.converters.wire.openai_errors import decode_error
from app.errors import UpstreamProtocolError

_ENVELOPE = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_ENTRY = frozenset({"index", "message", "delta", "finish_reason", "logprobs"})
_MESSAGE = frozenset({"role", "content", "refusal", "tool_calls"})


def normalize_response(body: bytes, identity: Identity, *, choices: int = 1) -> bytes:
    """Make a clean OpenAI answer of upstream's.

    Raises: UpstreamProtocolError for what is no answer at all; the decoded error for an error with status 200.
    Spec:   contract §6.3.1–§6.3.6.
    """
    return json_bytes.dumps(_normalized(body, identity, choices))


def response_to_stream(body: bytes, identity: Identity, *, include_usage: bool, choices: int = 1) -> bytes:
    """The frames that a stream would have had, for an upstream that answers ``stream: true`` with a whole answer.

    Raises: as `normalize_response`.
    """
    answer = _normalized(body, identity, choices)
    answer["choices"] = [piece for choice in answer["choices"] for piece in _pieces(choice)]
    normalizer = StreamNormalizer(identity, include_usage=include_usage, choices=choices)
    return normalizer.feed(sse.frame(json_bytes.dumps(answer))) + normalizer.finish()


def _normalized(body: bytes, identity: Identity, choices: int) -> dict[str, Any]:
    answer = normalize_answer(answer_in(body), identity, choices=choices)
    for choice in answer["choices"]:
        _check_calls(choice)
    return answer


def _check_calls(choice: dict[str, Any]) -> None:
    """Empty arguments become an empty object, unless something cut the answer off there.

    Raises: UpstreamProtocolError for a call that is no whole one.
    """
    message, is_cut = choice["message"], choice["finish_reason"] in quirks.CUTS
    functions = [call["function"] for call in message.get("tool_calls", ()) if "function" in call]
    legacy = message.get("function_call")
    functions += [legacy] if isinstance(legacy, dict) else []
    told = [(str(one.get("name")), quirks.arguments_of(one)) for one in functions]
    check_calls(told, is_cut=is_cut)
    for function, (_, arguments) in zip(functions, told, strict=True):
        if not arguments.strip() and not is_cut:
            function["arguments"] = "{}"


def normalize_answer(answer: dict[str, Any], identity: Identity, *, choices: int = 1) -> dict[str, Any]:
    """The same on parsed JSON. Raises: as `normalize_response`."""
    answer = _checked(answer)
    given_id, given_time = answer.get("id"), answer.get("created")
    answer_id = given_id if given_id and isinstance(given_id, str) else identity.fallback_id
    normalized: dict[str, Any] = {
        "id": answer_id,
        "object": "chat.completion",
        "created": given_time if type(given_time) is int and given_time > 0 else identity.created,
        "model": identity.model,
        "choices": _normalize_choices(
            answer["choices"], answer_id, folds=choices == 1, with_proofs=needs_proofs(str(answer.get("model")))
        ),
    }
    usage = answer.get("usage")
    if isinstance(usage, dict) and usage:
        normalized["usage"] = quirks.normalize_usage(usage)
    normalized.update(quirks.public(answer, without=_ENVELOPE))
    account = accounting.account_in(answer)
    if account is not None:
        normalized[accounting.FIELD] = account
    return normalized


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if is_error(answer):
        raise decode_error(200, {}, json_bytes.dumps(answer))
    return _with_choices(quirks.from_anthropic(answer) if quirks.is_anthropic(answer) else answer)


def _with_choices(answer: dict[str, Any]) -> dict[str, Any]:
    entries = answer.get("choices")
    answer = {
        **answer,
        "choices": [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else [],
    }
    if not answer["choices"] and not answer.get("usage"):
        raise UpstreamProtocolError("GitHub Copilot's answer holds no choice at all. Try again.")
    return answer


def _normalize_choices(
    entries: list[dict[str, Any]], answer_id: str, *, folds: bool, with_proofs: bool
) -> list[dict[str, Any]]:
    if folds:
        return [_fold(entries, 0, answer_id, with_proofs)]
    indexes = [entry.get("index") for entry in entries]
    are_sound = all(type(index) is int for index in indexes) and len(set(indexes)) == len(indexes)
    return [
        _fold([entry], entry["index"] if are_sound else position, answer_id, with_proofs)
        for position, entry in enumerate(entries)
    ]


def _fold(entries: list[dict[str, Any]], index: int, answer_id: str, with_proofs: bool) -> dict[str, Any]:
    """One choice out of all entries: texts and calls in order, else the first that is not empty (contract §6.3.3)."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    rest: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    reasons: list[str] = []
    refusal = logprobs = None
    for entry in entries:
        raw = entry.get("message") or entry.get("delta")
        message = raw if isinstance(raw, dict) else {}
        text = quirks.text_of(message.get("content"))
        if text is not None:
            texts.append(text)
        calls += _calls_in(message)
        _add_missing(rest, quirks.public(message, without=_MESSAGE))
        _add_missing(extras, quirks.public(entry, without=_ENTRY))
        refusal = refusal or message.get("refusal")
        logprobs = logprobs or entry.get("logprobs")
        if isinstance(entry.get("finish_reason"), str):
            reasons.append(entry["finish_reason"])
    normalized: dict[str, Any] = {
        "role": "assistant",
        # An answer with nothing in it is an empty text; only calls may stand without one.
        "content": "".join(texts) if texts else (None if entries else ""),
        "refusal": refusal,
        **rest,
    }
    quirks.offer_reasoning(normalized)
    if calls:
        proof = normalized.get("reasoning_opaque") if with_proofs else None
        normalized["tool_calls"] = [
            _normalize_call(call, answer_id, index, at, proof) for at, call in enumerate(_distinct(calls))
        ]
    reason = quirks.fold_finish(reasons or ["stop"], has_calls=bool(calls))
    return {"index": index, "message": normalized, "logprobs": logprobs, **extras, "finish_reason": reason}


def _add_missing(known: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if not known.get(key):
            known[key] = value


def _calls_in(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _distinct(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls, none with an id that one before it has: whoever answers them could not tell them apart."""
    seen: set[str] = set()
    distinct = []
    for call in calls:
        call_id = call.get("id")
        is_again = isinstance(call_id, str) and call_id in seen
        seen |= {call_id} if isinstance(call_id, str) else set()
        distinct.append({**call, "id": None} if is_again else call)
    return distinct


def _normalize_call(raw: dict[str, Any], answer_id: str, choice: int, position: int, proof: object) -> dict[str, Any]:
    given, kind, function = raw.get("id"), raw.get("type"), raw.get("function")
    own_proof = function.get("thought_signature") if isinstance(function, dict) else None
    call_id = given if given and isinstance(given, str) else quirks.make_call_id(answer_id, choice, position)
    call: dict[str, Any] = {
        "id": shown(call_id, own_proof or proof),
        "type": kind if kind and isinstance(kind, str) else "function",
        # `index` belongs to streams only.
        **quirks.public(raw, without=("id", "type", "index", "function")),
    }
    if isinstance(function, dict) or "custom" not in raw:
        function = function if isinstance(function, dict) else {}
        call["function"] = {
            "name": function.get("name") or "",
            "arguments": quirks.arguments_of(function),
            **quirks.public(function, without=("name", "arguments")),
        }
    return call


def _pieces(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """The deltas of a normalized choice, in a stream's order: role, reasoning and the like, text, calls, finish."""
    message = choice["message"]
    rest = {key: value for key, value in message.items() if key not in _MESSAGE and value is not None}
    deltas: list[dict[str, Any]] = [{"content": "" if message["content"] is not None else None, "refusal": None}]
    deltas += [{"cot_id": rest.pop("cot_id")}] if "cot_id" in rest and "cot_summary" not in rest else []
    deltas += [rest] if rest else []
    deltas += [{"content": message["content"]}] if message["content"] else []
    deltas += [{"refusal": message["refusal"]}] if message["refusal"] else []
    calls = message.get("tool_calls", [])
    deltas += [{"tool_calls": [{"index": at, **call}]} for at, call in enumerate(calls)]
    pieces: list[dict[str, Any]] = [{"index": choice["index"], "delta": delta} for delta in deltas]
    pieces[-1] |= {key: value for key, value in choice.items() if key not in _ENTRY}
    pieces[-1]["logprobs"] = choice["logprobs"]
    pieces[-1]["finish_reason"] = choice["finish_reason"]
    return pieces
