"""What to do when upstream refuses a request: the one recogniser, for all three endpoints.

It reads status, code, ``param`` and text (`wire.refusal_words`), looks up in the request that was sent what they name,
and says what to leave out or which value to take. What the request does not have is never named.

The answer is a name for the set of names that requests are made with (``payload(refused)``):

* ``seed``, ``tools[].strict``: leave out what stands at this path of the body (`neutral.amended` does it).
* ``reasoning.effort="low"``: take this value, in JSON.
* ``max_tokens>max_completion_tokens``: under this name.
* ``type:custom``: say tools and items of this type in another way, or leave them out (`refused_types`).
* ``proof``, ``beta:…``, ``thinking.enabled``, ``thinking.adaptive``, ``thinking.disabled``, ``output_config.format``,
  ``response_format``: another way to ask, which the encoders know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.converters import removable
from app.converters.codec import UpstreamRequest
from app.converters.exchange import Exchange
from app.converters.neutral.amended import ANOTHER_WAY, EARLIER_PROOFS
from app.converters.neutral.model_limits import EFFORTS, as_effort
from app.converters.refused_types import refused_types, types_in
from app.converters.wire import body_paths
from app.converters.wire.error_body import Said, read_error
from app.converters.wire.refusal_words import (
    BETA,
    EFFORT_CODE,
    PARAM_CODES,
    PROOF,
    TYPE,
    WORDINGS,
    fields_of_values,
    is_about_support,
    is_of_wrong_kind,
    names_in,
    refused_value,
    values_in,
)
from app.converters.wire.refusal_words import EFFORTS as EFFORT_PATHS

MOST_REPAIRS: Final = 4
"""How many refusals of one request are followed up."""

_LIMITS: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_REFUSALS: Final = frozenset({400, 422})
# Where a request says one of a few words; looked up by the word that is refused. The first that has it counts.
_WORD_PATHS: Final = (
    *EFFORT_PATHS,
    "reasoning.summary",
    "text.verbosity",
    "verbosity",
    "truncation",
    "service_tier",
    "prompt_cache_retention",
)
_WORDS_OF: Final = {
    "thinking.display": {"summarized", "omitted"},
    "reasoning.summary": {"auto", "concise", "detailed"},
}
"""Words that give away which field they are of, where a refusal names none."""
_CHOICES: Final = ("tool_choice", "function_call")
_FORMS_OF_THINKING: Final = frozenset({"thinking.enabled", "thinking.adaptive", "thinking.disabled"})
_DEEPEST: Final = 3
_BETA_HEADER: Final = "anthropic-beta"


@dataclass(frozen=True, slots=True)
class Repair:
    """What to change for the repeat. name: the word for ``payload(refused)``.

    lasts: whether it is about the model alone, not about this conversation, a combination of fields or one value.
    """

    name: str
    lasts: bool = True


def repairs(status: int, content: bytes, sent: UpstreamRequest) -> Iterator[Repair]:
    """What a refusal may ask for, the likeliest first; nothing if nothing can be done, or nothing is understood.

    content: upstream's answer. sent: the request that it refused.
    """
    if status == 500:
        yield from _without_free_text(content, sent)
    if status not in _REFUSALS:
        return
    said = read_error(content)
    if said.is_page or not (said.message or said.param):
        return
    body = removable.body_of(sent)
    for repair in _candidates(said, body, sent):
        if removable.can_go(repair.name, sent):
            yield repair


def next_try(
    exchange: Exchange, refused: frozenset[str], sent: UpstreamRequest, status: int, content: bytes
) -> tuple[Repair, frozenset[str], UpstreamRequest] | None:
    """The repair that a refusal asks for, the names to go on with, and the request without it, which differs."""
    for repair in repairs(status, content, sent):
        # A tool round may need the proofs of its own turn: first those of before are left out, then all.
        for name in (EARLIER_PROOFS, PROOF) if repair.name == PROOF else (repair.name,):
            if name in refused:
                continue
            prepared = exchange.payload(refused | {name})
            if prepared.headers != sent.headers or removable.body_of(prepared) != removable.body_of(sent):
                return repair, refused | {name}, prepared
    return None


def _without_free_text(content: bytes, sent: UpstreamRequest) -> Iterator[Repair]:
    """Some models fail at free-text tools instead of refusing them (contract §7.4, §10.3).

    Remembered only if the failure says so: any other may be an outage, which has passed with the repeat, and a model
    would be without its grammars for a day because of it.
    """
    said, body = read_error(content), removable.body_of(sent)
    if not said.is_page and "custom" in types_in(body):
        yield Repair(f"{TYPE}custom", lasts="custom" in refused_types(said, body))


def _candidates(said: Said, body: Mapping[str, Any], sent: UpstreamRequest) -> Iterator[Repair]:
    text = f"{said.code}: {said.message}" if said.code == "invalid_encrypted_content" else said.message
    yield from (Repair(f"{TYPE}{kind}") for kind in refused_types(said, body))
    yield from _efforts(said, body)
    yield from _kinds(said, body)
    for wording in WORDINGS:
        found = wording.pattern.search(text)
        if found is None:
            continue
        for name in wording.means or tuple(names_in(found)):
            yield from _named(name, wording.lasts, body, sent)
    yield from _values(said, body, sent)
    if said.param and (said.code in PARAM_CODES or is_about_support(said.message)):
        yield from _named(said.param, True, body, sent)


def _named(name: str, lasts: bool, body: Mapping[str, Any], sent: UpstreamRequest) -> Iterator[Repair]:
    """A name as the request has it."""
    given = next((value for header, value in sent.headers.items() if header.lower() == _BETA_HEADER), "")
    if name == "beta:*":
        name = BETA + ",".join(one.strip() for one in given.split(",") if one.strip())
    if name.startswith(BETA):
        if name != BETA and any(one in given for one in name.removeprefix(BETA).split(",")):
            yield Repair(name, lasts)
        return
    if name == PROOF:
        yield Repair(PROOF, lasts)
        return
    path = body_paths.find(body, "thinking" if name in _FORMS_OF_THINKING else name)
    if path is None and name in EFFORT_PATHS:
        path = next((other for other in EFFORT_PATHS if body_paths.find(body, other)), None)
    if path is None:
        return
    if path in _CHOICES:
        yield from _any_choice(path, body[path])
    elif path == "thinking.budget_tokens":
        yield Repair("thinking.enabled", lasts)  # a budget is all that this form of thinking is
    elif path == "output_config" and "format" in body[path]:
        yield Repair("output_config.format", lasts=False)  # the form of the answer is asked for in another way
    elif path in _LIMITS and "messages" in body:
        # The chat endpoint knows the limit under either name, and without it an answer may be cut at upstream's own.
        if _LIMITS[path] not in body:
            yield Repair(f"{path}>{_LIMITS[path]}", lasts=False)
        else:
            yield Repair(path, lasts)
    else:
        yield Repair(name if name in ANOTHER_WAY else path, lasts)


def _any_choice(path: str, given: Any) -> Iterator[Repair]:
    """A tool that had to be called may be; what says no more than the default goes."""
    if isinstance(given, str) and given not in ("auto", "none"):
        yield Repair(f'{path}="auto"', lasts=False)
    elif isinstance(given, dict) and given.get("type") in ("any", "tool"):
        yield Repair(f'{path}={{"type":"auto"}}', lasts=False)
    elif isinstance(given, dict):
        yield Repair(f'{path}="auto"', lasts=False)
    yield Repair(path, lasts=False)


def _kinds(said: Said, body: Mapping[str, Any]) -> Iterator[Repair]:
    """A refused kind of choice, or of thinking: the field is there, and only this way to fill it is not."""
    listed = values_in(said.message)
    for name in (said.param, *fields_of_values(said.message)):
        steps = body_paths.steps(name or "")
        if not listed or steps[-1:] != ["type"]:
            continue
        if steps[0] in _CHOICES and isinstance(given := body.get(steps[0]), dict) and given.get("type") not in listed:
            yield from _any_choice(steps[0], given)
        if steps[0] == "thinking" and isinstance(given := body.get("thinking"), dict):
            way = f"thinking.{given.get('type')}"
            others = {f"thinking.{one}" for one in listed} & {"thinking.enabled", "thinking.adaptive"}
            if way in _FORMS_OF_THINKING and others and way not in others:
                yield Repair(way, lasts=False)


def _efforts(said: Said, body: Mapping[str, Any]) -> Iterator[Repair]:
    """A refused effort: the nearest of those that are listed, or none."""
    path = next((path for path in EFFORT_PATHS if body_paths.find(body, path)), None)
    if path is None:
        return
    given = _value_at(body, path)
    value = refused_value(said.message)
    offered = [effort for effort in map(as_effort, values_in(said.message)) if effort not in (None, given)]
    is_named = path in said.message or said.param == path or (offered and "effort" in said.message.lower())
    if said.code != EFFORT_CODE and value != given and not is_named:
        return
    if offered and as_effort(given) is not None:
        rank = EFFORTS.index(given)
        nearest = min(offered, key=lambda effort: abs(EFFORTS.index(effort or "none") - rank))
        yield Repair(f"{path}={json.dumps(nearest)}", lasts=False)
    elif said.code == EFFORT_CODE or value == given:
        yield Repair(path, lasts=not _is_about_value(said.message, given))


def _values(said: Said, body: Mapping[str, Any], sent: UpstreamRequest) -> Iterator[Repair]:
    """A refused word of a field that takes one of a few: one that is listed, or none."""
    listed = values_in(said.message)
    path = next(_places_of_values(said, body, listed, sent), None)
    if path is None:
        return
    others = [one for one in listed if one not in (refused_value(said.message), _value_at(body, path))]
    if others and "[]" not in path:
        yield Repair(f"{path}={json.dumps('auto' if 'auto' in others else others[0])}", lasts=False)
    yield Repair(path, lasts=False)


def _places_of_values(said: Said, body: Mapping[str, Any], listed: list[str], sent: UpstreamRequest) -> Iterator[str]:
    """Where the request has the word that is refused: by its name, else by the word, else by what would be taken."""
    value = refused_value(said.message)

    def is_setting(path: str) -> bool:
        return path in _WORD_PATHS or removable.can_go(path, sent)

    if listed or is_of_wrong_kind(said.message):
        for name in (said.param, *fields_of_values(said.message)):
            path = (body_paths.find(body, name) or body_paths.find(body, _in_snake_case(name))) if name else None
            if path is not None and _value_at(body, path) not in listed and is_setting(path):
                yield path
    if value is not None:
        for path in _WORD_PATHS:
            if said.param == path or (not said.param and _value_at(body, path) == value):
                yield path
    if listed and not said.param:
        words = [(path, word) for path, word in _words_in(body) if is_setting(path)]
        yield from (path for path, word in words if word == value)
        known = [path for path, values in _WORDS_OF.items() if set(listed) <= values]
        yield from (path for path, word in words if path in known and word not in listed)


def _in_snake_case(name: str) -> str:
    """``Request.ReasoningEffort``, as Go names its fields, as JSON has them."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _words_in(body: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Every text outside of lists, with its path: settings, and nothing of the conversation."""
    for key, value in body.items():
        if isinstance(value, str):
            yield f"{before}{key}", value
        elif isinstance(value, Mapping) and before.count(".") < _DEEPEST:
            yield from _words_in(value, f"{before}{key}.")


def _value_at(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _is_about_value(text: str, given: Any) -> bool:
    return "does not support" not in text and isinstance(given, str) and given in text
