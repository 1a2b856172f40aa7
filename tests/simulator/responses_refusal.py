"""How ``/responses`` refuses: in the words of OpenAI (contract §7.2)."""

from typing import NoReturn

from .checks import Refused, bad
from .inference import Json


def refuse(message: str, param: str | None = None, code: str = "invalid_request_body") -> NoReturn:
    extra = {} if param is None else {"param": param, "type": "invalid_request_error"}
    raise Refused(bad(message, code, **extra))


def only(value: Json, known: set[str], path: str = "") -> None:
    """OpenAI knows every field, or refuses it."""
    for name in value:
        if name not in known:
            refuse(f"Unknown parameter: '{path}{name}'.", path + name, "unknown_parameter")
