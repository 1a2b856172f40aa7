"""One command for a terminal that shows a first answer. It is pasted as it is: a hidden key it asks for. Pure."""

from __future__ import annotations

import json
import shlex

from app.clients.record import Facts
from app.clients.text import PLACEHOLDER


def first_call(facts: Facts, prompt: str) -> str:
    """The command for the system in `facts`: PowerShell on Windows, else any POSIX shell; for `facts.models.chat`.

    A key that is not shown is asked for by the command itself.
    """
    body = {"model": facts.models.chat.id, "messages": [{"role": "user", "content": prompt}]}
    address = f"{facts.v1}/chat/completions"
    return _powershell(address, facts.key, body) if facts.platform == "win32" else _posix(address, facts.key, body)


def _posix(address: str, key: str, body: object) -> str:
    ask, header = "", shlex.quote(f"Authorization: Bearer {key}")
    if key == PLACEHOLDER:
        # One command, so that the shell has all of it before `read` takes what is typed.
        ask, header = "printf 'API key: ' && read -r KEY && ", '"Authorization: Bearer $KEY"'
    lines = (
        f"{ask}curl -sS {shlex.quote(address)}",
        f"-H {header}",
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    )
    return " \\\n  ".join(lines)


def _powershell(address: str, key: str, body: object) -> str:
    header = _quoted(f"Bearer {key}") if key != PLACEHOLDER else "\"Bearer $(Read-Host 'API key')\""
    lines = (
        f"(Invoke-RestMethod {_quoted(address)} -Method Post -ContentType 'application/json'",
        f"-Headers @{{ Authorization = {header} }}",
        # Windows PowerShell sends other letters than these in an encoding that is not JSON's.
        f"-Body {_quoted(json.dumps(body, ensure_ascii=True))}",
    )
    return " `\n  ".join(lines) + ").choices[0].message.content"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
