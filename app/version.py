"""The version: written here and nowhere else. The package, ``/livez``, the command line, doctor and the log tell it."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.2.0.dev0"
