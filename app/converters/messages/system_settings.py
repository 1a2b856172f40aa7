"""What a system message within the conversation says of itself and of the answer, as a request without such fields.

Anthropic's ``clear_at`` takes a message away once the user has spoken again; its ``output_config`` holds for the turn
that it stands in. Upstream knows neither; a request is whole every time, so both can be said without them.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_SETTINGS: Final = ("clear_at", "output_config")


def applied(body: Json) -> Json:
    """The body with what its system messages ask for; the same object if they ask for nothing. Never fails."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not any(map(_has_settings, messages)):
        return body
    last_user = max((at for at, one in enumerate(messages) if _role(one) == "user"), default=-1)
    kept = []
    for at, message in enumerate(messages):
        if _has_settings(message):
            is_cleared = message.get("clear_at") == "next_user_message" and at < last_user
            message = {key: value for key, value in message.items() if key not in _SETTINGS}
            if is_cleared or not message.get("content"):
                continue
        kept.append(message)
    effort = _effort(messages)
    if effort is None:
        return {**body, "messages": kept}
    config = body.get("output_config")
    config = {**(config if isinstance(config, dict) else {}), "effort": effort}
    return {**body, "messages": kept, "output_config": config}


def _effort(messages: list[Any]) -> Any:
    """The effort of the turn that is to be answered: the last one since the model ended the turn before."""
    effort = None
    before = ""
    for message in messages:
        role = "result" if _is_result(message) else _role(message)
        if before == "assistant" and role in ("user", "system"):
            effort = None
        if _has_settings(message) and isinstance(config := message.get("output_config"), dict):
            effort = config.get("effort") or effort
        before = role
    return effort


def _has_settings(message: Any) -> bool:
    return _role(message) == "system" and any(name in message for name in _SETTINGS)


def _role(message: Any) -> str:
    return str(message.get("role")) if isinstance(message, dict) else ""


def _is_result(message: Any) -> bool:
    """Whether a message goes on with a turn in which the model has called tools."""
    content = message.get("content") if _role(message) == "user" else None
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in content
    )
