"""A setup as plain text: what ``configure`` prints, and what the page gives to programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from app.clients.files.shell import exports
from app.clients.record import KEY_VARIABLE, ConfigFile, Setup, Words

PLACEHOLDER = "<your API_KEY>"
"""Stands for a key that is not shown. With angle brackets: nobody takes it for a real one, and no key looks like it."""

NO_KEY = "no-key-needed"
"""What clients are given for a bridge without a key: most insist on one, and the bridge takes any."""

Language = Literal["en", "zh"]

_FILE = Words("Merge into ~/{}", "合并到 ~/{}")
_SHELL_TOO = Words("Or in a terminal", "或者在终端中")
_SHELL = Words("In a terminal", "在终端中")
_STEPS = Words("By hand", "手动设置")
_LINK = Words("Or open this link, which imports it", "或者打开此链接导入")
_RUN = Words("Then run: {}", "然后运行：{}")
_HIDDEN = Words(
    "Your API_KEY is not shown; configure --show-key prints it.",
    "这里没有显示你的 API_KEY；configure --show-key 会打印它。",
)
_HIDDEN_IN_FILES = Words(
    "Your API_KEY is not shown: configure --write puts it into the files, configure --show-key prints it.",
    "这里没有显示你的 API_KEY：configure --write 会把它写入文件，configure --show-key 会打印它。",
)
_FROM_VARIABLE = Words(
    "The lines for a terminal read it from {}: set that one first.",
    "终端命令从环境变量 {} 读取密钥，请先设置它。",
)


def say(words: Words, language: Language, *values: str) -> str:
    return (words.zh if language == "zh" else words.en).format(*values) if values else getattr(words, language)


def as_text(setup: Setup, language: Language) -> str:
    """Everything about one client, with a line feed at the end. Titles and explanations begin with ``#``."""
    return "\n\n".join(_sections(setup, language)) + "\n"


def file_text(file: ConfigFile) -> str:
    """A file of a setup as it is written where there is none."""
    # Not above: with it come the libraries for YAML and TOML, which a worker seldom needs.
    from app.clients.files.merge import render

    return render(file)


def hides_key(setup: Setup) -> bool:
    """Whether the placeholder stands where the key belongs."""
    texts = [*map(file_text, setup.files), *(step.en for step in setup.steps), *(setup.exports or {}).values()]
    return any(PLACEHOLDER in text for text in texts)


def shell_lines(setup: Setup, shell: str) -> str:
    """The setup's variables for one shell; a hidden key is read from a variable of the user's."""
    return exports(setup.exports or {}, shell, key_from={PLACEHOLDER: KEY_VARIABLE})


def _sections(setup: Setup, language: Language) -> Iterator[str]:
    yield f"# {setup.title} · {setup.home_page}"
    for file in setup.files:
        yield f"# {say(_FILE, language, file.path)}\n\n{file_text(file).rstrip()}"
    if setup.exports:
        yield f"# {say(_SHELL_TOO if setup.files else _SHELL, language)}\n\n{shell_lines(setup, 'bash')}"
    for snippet in setup.snippets:
        yield f"# {say(snippet.title, language)}\n\n{snippet.code.rstrip()}"
    if setup.steps:
        steps = "\n".join(f"{at}. {say(step, language)}" for at, step in enumerate(setup.steps, 1))
        yield f"# {say(_STEPS, language)}\n\n{steps}"
    hidden = hides_key(setup)
    if setup.link and not hidden:
        yield f"# {say(_LINK, language)}\n\n{setup.link}"
    if setup.run:
        yield f"# {say(_RUN, language, setup.run)}"
    notes = [say(note, language) for note in setup.notes]
    if hidden:
        notes.append(say(_HIDDEN_IN_FILES if setup.files else _HIDDEN, language))
    if any(value == PLACEHOLDER and name != KEY_VARIABLE for name, value in (setup.exports or {}).items()):
        notes.append(say(_FROM_VARIABLE, language, KEY_VARIABLE))
    if notes:
        yield "\n".join(f"# {note}" for note in notes)
