"""What the simulated model reads: directives such as ``[[tool: NAME {...}]]`` in the prompt, images, languages."""

import base64
import binascii
import json
import re
import struct
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .faults import BY_STATUS, PRESETS, Action, make_action

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_START = re.compile(r"\[\[\s*([a-z_]+)\s*(:)?\s*")


@dataclass
class Directives:
    """Everything one round of the conversation asks the simulated model to do."""

    say: str | None = None
    tools: list[tuple[str, str]] = field(default_factory=list)
    error: Action | None = None
    stream_error: list[str] | None = None
    stream_error_bare: bool = False
    pace: float | None = None
    chunks: int | None = None
    gate: str | None = None
    think: str | None = None
    finish: str | None = None
    filter: str | None = None
    cut: int | None = None
    cut_bytes: int | None = None
    cut_kind: str = "clean"
    silence: float | None = None
    echo: bool = False
    knobs: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None  # a directive that could not be understood


def parts(content: Any) -> list[dict[str, Any]]:
    """Message content as a list of parts, whichever form it came in."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [part for part in content if isinstance(part, dict)]
    return []


def text_of(content: Any) -> str:
    return "".join(str(part["text"]) for part in parts(content) if isinstance(part.get("text"), str))


def said(message: dict[str, Any]) -> str:
    """The text of a message without what the client's program put in."""
    return _REMINDER.sub("", text_of(message.get("content")))


def _from_a_person(message: dict[str, Any]) -> bool:
    """Whether a user message holds more than reminders (coding agents add those to tool results)."""
    return message.get("role") == "user" and (
        bool(said(message).strip()) or any(part.get("type") != "text" for part in parts(message.get("content")))
    )


def last_user_index(messages: list[dict[str, Any]]) -> int:
    spoken = [i for i, message in enumerate(messages) if _from_a_person(message)]
    return max(spoken or (i for i, message in enumerate(messages) if message.get("role") == "user"), default=-1)


def last_results(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool results at the end of the conversation."""
    found: list[dict[str, Any]] = []
    for message in reversed(messages):
        if message.get("role") in ("tool", "function"):
            found.insert(0, message)
        elif message.get("role") != "user" or _from_a_person(message):
            break
    return found


def read(messages: list[dict[str, Any]]) -> tuple[Directives, bool]:
    """The directives of this round, and whether there were any left for it.

    ``[[next]]`` splits a prompt into rounds: the first part counts for the first model call of the turn, the second
    for the call after its tool results, and so on.
    """
    index = last_user_index(messages)
    text = said(messages[index]) if index >= 0 else ""
    rounds = re.split(r"\[\[\s*next\s*\]\]", text)
    number = sum(1 for message in messages[index + 1 :] if message.get("role") == "assistant")
    if number < len(rounds):
        return parse(rounds[number]), True
    # all rounds used up: only what shapes the transport still counts
    old = parse(rounds[0])
    return Directives(pace=old.pace, knobs=old.knobs), False


def parse(text: str) -> Directives:
    found = Directives()
    position = 0
    while match := _START.search(text, position):
        name, position = match.group(1), match.end()
        try:
            if name == "tool":
                position = _tool(found, text, position)
                continue
            end = text.find("]]", position)
            if end < 0:
                break
            argument = text[position:end].strip() if name != "say" else text[position:end]
            _apply(found, name, argument)
            position = end + 2
        except (ValueError, TypeError) as error:
            found.problem = f"[[{name}]]: {error}"
    return found


def _tool(found: Directives, text: str, position: int) -> int:
    name = re.compile(r"[^\s{\]]+").match(text, position)
    if name is None:
        raise ValueError("no tool name")
    position = name.end()
    while position < len(text) and text[position].isspace():
        position += 1
    arguments = "{}"
    if position < len(text) and text[position] == "{":
        _, end = json.JSONDecoder().raw_decode(text, position)  # may itself contain "]]"
        arguments, position = text[position:end], end
    end = text.find("]]", position)
    found.tools.append((name.group(), arguments))
    return len(text) if end < 0 else end + 2


def _apply(found: Directives, name: str, argument: str) -> None:
    if name == "say":
        found.say = argument if found.say is None else found.say + argument
    elif name == "error":
        preset, *options = argument.split()
        fields: dict[str, Any] = {"preset": preset}
        if options:
            fields["headers"] = dict(option.split("=", 1) for option in options)
        if preset not in PRESETS and preset not in BY_STATUS:
            raise ValueError(f"unknown preset {preset}")
        found.error = make_action(fields)
    elif name in ("stream_error", "stream_error_bare"):
        code, _, message = argument.partition(" ")
        found.stream_error = [code or "internal_error", message or "Internal server error"]
        found.stream_error_bare = name.endswith("bare")
    elif name == "pace":
        found.pace = float(argument.removesuffix("/s"))
    elif name in ("chunks", "cut", "cut_bytes"):
        number, _, kind = argument.partition(" ")
        setattr(found, name, int(number))
        if kind:
            found.cut_kind = kind.strip()
    elif name == "gate":
        found.gate = argument or "default"
    elif name in ("think", "finish"):
        setattr(found, name, argument)
    elif name == "filter":
        found.filter = argument or "TextCopyright"
    elif name == "silence":
        found.silence = float(argument)
    elif name == "echo":
        found.echo = True
    elif name == "knob":
        knob, _, value = argument.partition("=")
        try:
            found.knobs[knob.strip()] = json.loads(value)
        except ValueError:
            found.knobs[knob.strip()] = value.strip()


# -- pictures --------------------------------------------------------------------------------------------------------


def describe_images(messages: list[dict[str, Any]]) -> list[str]:
    """ "image/png, 3x2 pixels" for every picture of the last user message."""
    index = last_user_index(messages)
    if index < 0:
        return []
    found = []
    for part in parts(messages[index].get("content")):
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if isinstance(url, str):
            found.append(_describe(url))
    return found


def _describe(url: str) -> str:
    match = re.match(r"data:([^;,]+);base64,(.*)", url, re.DOTALL)
    if match is None:
        return "at a web address"
    try:
        size = image_size(base64.b64decode(match.group(2)))
    except (binascii.Error, struct.error, IndexError):
        size = None
    return f"{match.group(1)}, {size[0]}x{size[1]} pixels" if size else f"{match.group(1)}, unreadable"


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the header of a PNG, GIF or JPEG."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return struct.unpack(">II", data[16:24])
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return struct.unpack("<HH", data[6:10])
    if data.startswith(b"\xff\xd8"):
        position = 2
        while position + 9 <= len(data):
            marker, length = data[position + 1], struct.unpack(">H", data[position + 2 : position + 4])[0]
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", data[position + 5 : position + 9])
                return width, height
            position += 2 + length
    return None


# -- small talk ------------------------------------------------------------------------------------------------------

_TALK = {
    "en": (
        "Hello! I am the Copilot simulator, playing {model}. ",
        'You wrote: "{prompt}". ',
        "How can I help you?",
        "The tool answered: {result}",
        "I see an image ({image}). ",
    ),
    "zh": (
        "你好！我是 Copilot 模拟器，正在扮演 {model}。",
        "你说的是：“{prompt}”。",
        "有什么可以帮你的吗？",
        "工具返回的结果是：{result}",
        "我看到一张图片（{image}）。",
    ),
    "ja": (
        "こんにちは！{model} を演じている Copilot シミュレーターです。",
        "「{prompt}」と書かれましたね。",
        "何かお手伝いできることはありますか？",
        "ツールの結果：{result}",
        "画像が見えます（{image}）。",
    ),
}


def language(text: str) -> str:
    if re.search(r"[\u3040-\u30ff]", text):
        return "ja"
    return "zh" if re.search(r"[\u4e00-\u9fff]", text) else "en"


def small_talk(model: str, messages: list[dict[str, Any]]) -> str:
    """An answer for prompts without directives."""
    index = last_user_index(messages)
    prompt = re.sub(r"\[\[.*?\]\]", "", said(messages[index]) if index >= 0 else "", flags=re.DOTALL)
    prompt = " ".join(prompt.split())
    hello, quoted, help_you, _, image = _TALK[language(prompt)]
    pictures = "".join(image.format(image=picture) for picture in describe_images(messages))
    shown = prompt if len(prompt) <= 60 else prompt[:60] + "…"
    return pictures + hello.format(model=model) + (quoted.format(prompt=shown) if shown else "") + help_you


def query(messages: list[dict[str, Any]]) -> str:
    """What the user wants to know, for a search: their last words, without what asks for the search."""
    index = last_user_index(messages)
    text = re.sub(r"\[\[.*?\]\]", "", said(messages[index]) if index >= 0 else "", flags=re.DOTALL)
    return " ".join(text.split()).removeprefix("Perform a web search for the query: ") or "nothing"


def after_tools(messages: list[dict[str, Any]]) -> str:
    """An answer that quotes the tool results at the end of the conversation."""
    results = [text_of(message.get("content")) for message in last_results(messages)]
    index = last_user_index(messages)
    talk = _TALK[language(re.sub(r"\[\[.*?\]\]", "", said(messages[index]) if index >= 0 else ""))]
    return talk[3].format(result="; ".join(results))


def pieces(text: str, count: int | None = None) -> list[str]:
    """Cut a text into word-ish chunks whose concatenation is exactly the text; at least five where it can be."""
    if not text:
        return []
    if count is not None:
        count = max(1, min(count, len(text)))
        edges = [len(text) * i // count for i in range(count + 1)]
        return [text[a:b] for a, b in pairwise(edges)]
    found = re.findall(r"[\u3040-\u30ff\u4e00-\u9fff]{1,2}|\s*[^\s\u3040-\u30ff\u4e00-\u9fff]+|\s+", text)
    return found if len(found) >= 5 else pieces(text, 5)
