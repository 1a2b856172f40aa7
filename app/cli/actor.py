"""Who runs a command, for the audit lines of the log."""

from __future__ import annotations

import os
import pwd


def actor() -> str:
    """``cli:<user>``, by the user id of the process and not by variables that anybody can set."""
    uid = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"cli:{uid}"
