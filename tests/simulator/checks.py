"""What the checks of every endpoint share: refusals, token counts, limits, efforts (contract §7.2, §7.3, §10.4)."""

from typing import Any

from . import prompts

#: status and error: an object goes into ``{"error": …}``, a text is sent as it is
Problem = tuple[int, Any]


class Refused(Exception):
    """Raised deep inside a check, caught by the endpoint."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def bad(message: str, code: str = "invalid_request_body", **extra: Any) -> Problem:
    return 400, {"message": message, "code": code, **extra}


def unsupported(fields: dict[str, Any], names: list[str]) -> Problem | None:
    """Contract §7.2: the fields that are refused by name."""
    for name in names:
        # `store: false` and `background: false` are what the service does anyway, and accepted
        if fields.get(name) is not None and not (name in ("store", "background") and fields[name] is False):
            return bad(f"{name} is not supported", "unsupported_value", param=name, type="invalid_request_error")
    return None


def has_image(messages: Any) -> bool:
    """An ``image_url`` part anywhere, tool results included (contract §5.7)."""
    return any(
        part.get("type") == "image_url" or "image_url" in part
        for message in messages
        if isinstance(message, dict)
        for part in prompts.parts(message.get("content"))
    )


def image_urls(messages: list[Any]) -> list[str]:
    """The addresses of all pictures, in chat's terms."""
    found = []
    for message in messages:
        for part in prompts.parts(message.get("content")) if isinstance(message, dict) else []:
            given = part.get("image_url")
            url = given.get("url") if isinstance(given, dict) else given
            found += [url] if isinstance(url, str) else []
    return found


def tokens(text: str) -> int:
    return -(-len(text) // 4)


def prompt_tokens(fields: dict[str, Any]) -> int:
    """A cheap, deterministic estimate: a quarter of the characters, and three per message."""
    total = 0
    for message in fields.get("messages") or []:
        total += 3 + tokens(prompts.text_of(message.get("content")))
        for call in message.get("tool_calls") or []:
            total += tokens(str(call.get("function", {}).get("arguments", "")))
    for tool in fields.get("tools") or []:
        total += tokens(str(tool))
    return total


def wrong_effort(effort: Any, entry: dict[str, Any], known: list[str]) -> Problem | None:
    if effort is None or not known or effort in known:
        return None
    *first, last = [repr(one) for one in known]
    return bad(
        f"Unsupported value: '{effort}' is not supported with the '{entry['id']}' model. Supported values "
        f"are: {', '.join(first)}, and {last}."
    )


def efforts(entry: dict[str, Any]) -> list[str]:
    """Contract §7.3: what a model really takes, which is not quite what it advertises."""
    name = entry["id"]
    if name.startswith(("gpt-5.3-codex", "gpt-5.4", "gpt-5.5")):
        return ["none", "low", "medium", "high", "xhigh"]
    if name.startswith("gpt-5.6"):
        return ["none", "low", "medium", "high", "xhigh", "max"]
    if name.startswith(("gpt-5-mini", "mai-code-1-flash")):
        return ["minimal", "low", "medium", "high"]
    if name.startswith("grok-4.5"):
        return ["minimal", "low", "medium", "high", "xhigh"]
    advertised = entry["capabilities"].get("supports", {}).get("reasoning_effort")
    return list(dict.fromkeys([*advertised, "low", "medium", "high"])) if advertised else []


def prompt_limit(entry: dict[str, Any]) -> int:
    limits = entry["capabilities"].get("limits", {})
    return int(limits.get("max_prompt_tokens") or limits.get("max_context_window_tokens") or 8192)


def length(fields: dict[str, Any], entry: dict[str, Any]) -> Problem | None:
    limit, count = prompt_limit(entry), prompt_tokens(fields)
    if count > limit:
        return bad(f"prompt token count of {count} exceeds the limit of {limit}", "model_max_prompt_tokens_exceeded")
    return None
