"""How the model shall think and in what form it shall answer: fields of a request, and items that change them.

A ``configuration_update`` among the input items holds for all answers behind it, until a later one replaces it. Where
upstream does not take such an item, what holds at the end is the request's own. Spec: OpenAI "Responses: input".
"""

from __future__ import annotations

from typing import Any, Final

from app.converters.neutral.model_limits import as_effort
from app.converters.neutral.vocabulary import OutputFormat, ReasoningConfig
from app.converters.wire import reading
from app.errors import InvalidRequestError, UnsupportedFeatureError

UPDATE: Final = "configuration_update"

_SETTINGS: Final = {"reasoning": "effort", "text": "format"}
_NO_SETTINGS: Final = frozenset({"type", "id", "status"})


def configured(body: dict[str, Any]) -> dict[str, Any]:
    """The body with what its updates say in its own fields; the items stay. The same object if there are none.

    Raises: InvalidRequestError, UnsupportedFeatureError for a setting that nobody knows here; both name its path.
    """
    items = body.get("input")
    for at, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and item.get("type") == UPDATE:
            body = _updated(body, item, f"input[{at}]")
    return body


def _updated(body: dict[str, Any], item: dict[str, Any], path: str) -> dict[str, Any]:
    _refuse_others(item, path, _NO_SETTINGS | _SETTINGS.keys())
    for holder, name in _SETTINGS.items():
        where = f"{path}.{holder}"
        given = reading.opt_obj(item.get(holder), where)
        if given is None:
            continue
        _refuse_others(given, where, frozenset({name}))
        if holder == "reasoning":
            decode_reasoning(given, where)
        else:
            decode_format(reading.opt_obj(given.get(name), f"{where}.{name}"), f"{where}.{name}")
        if given.get(name) is not None:
            body = {**body, holder: {**(reading.opt_obj(body.get(holder), holder) or {}), name: given[name]}}
    return body


def _refuse_others(given: dict[str, Any], path: str, known: frozenset[str]) -> None:
    for name, value in given.items():
        if name not in known and value is not None:
            raise UnsupportedFeatureError(
                f"`{path}.{name}` cannot be changed within the conversation here: set `{name}` for the whole request.",
                param=f"{path}.{name}",
            )


def decode_reasoning(raw: dict[str, Any] | None, path: str = "reasoning") -> ReasoningConfig | None:
    """`reasoning`. Raises: InvalidRequestError."""
    if raw is None:
        return None
    given = raw.get("effort")
    effort = as_effort(given)
    if given is not None and effort is None:
        raise InvalidRequestError(
            f"`{path}.effort` must be one of none, minimal, low, medium, high, xhigh and max.",
            param=f"{path}.effort",
        )
    summary = reading.opt_string(raw.get("summary"), f"{path}.summary")
    summary = summary or reading.opt_string(raw.get("generate_summary"), f"{path}.generate_summary")
    return ReasoningConfig(effort=effort, summary=summary)


def decode_format(raw: dict[str, Any] | None, path: str = "text.format") -> OutputFormat | None:
    """`text.format`. Raises: InvalidRequestError, UnsupportedFeatureError."""
    kind = raw.get("type") if raw is not None else "text"
    if raw is None or kind == "text":
        return None
    if kind == "json_object":
        return OutputFormat("json_object")
    if kind != "json_schema":
        if kind == "grammar" or kind == "python":
            raise UnsupportedFeatureError("This form of output cannot be asked for here.", param=path)
        raise InvalidRequestError(
            f"`{path}.type` must be one of text, json_object and json_schema.", param=f"{path}.type"
        )
    # Some clients nest it, as chat does.
    inner = raw.get("json_schema")
    source = inner if isinstance(inner, dict) and "schema" not in raw else raw
    return OutputFormat(
        "json_schema",
        name=reading.opt_string(source.get("name"), f"{path}.name"),
        schema=reading.obj(source.get("schema"), f"{path}.schema"),
        strict=reading.opt_bool(source.get("strict"), f"{path}.strict"),
        description=reading.opt_string(source.get("description"), f"{path}.description"),
    )
