"""Variables in the words of a shell. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

SHELLS = ("bash", "zsh", "powershell")

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")
# PowerShell takes typographic quotes for plain ones; each is doubled, whichever the text began with.
_POWERSHELL_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")


def exports(variables: Mapping[str, str], shell: str, *, key_from: Mapping[str, str] | None = None) -> str:
    """One line per variable. key_from: placeholder → name of the variable to read instead (it is not quoted away)."""
    return "\n".join(_line(name, value, shell, key_from or {}) for name, value in variables.items())


def _line(name: str, value: str, shell: str, key_from: Mapping[str, str]) -> str:
    if value in key_from and key_from[value] != name:
        source = key_from[value]
        return f"$env:{name} = $env:{source}" if shell == "powershell" else f'export {name}="${source}"'
    if shell == "powershell":
        return f"$env:{name} = '{_POWERSHELL_QUOTES.sub(lambda quote: quote[0] * 2, value)}'"
    quoted = value if _PLAIN.fullmatch(value) else "'" + value.replace("'", "'\\''") + "'"
    return f"export {name}={quoted}"
