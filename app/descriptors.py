"""File descriptors: whether this process has one left.

Without one everything fails that opens something, each in words that blame another: a name that cannot be resolved, a
server that cannot be reached, a file that cannot be opened.
"""

from __future__ import annotations

import errno
import os

from app.errors import OverloadedError, Sentence


def none_left() -> OverloadedError | None:
    """The error to tell in place of one that came of it, or None if that has another cause."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return OverloadedError(
                Sentence(
                    "The bridge has no file descriptor left (%(why)s): it may not open more connections and files. "
                    "Raise the limit (ulimit -n 8192, or LimitNOFILE=8192 in the systemd unit), or try again later.",
                    why=error.strerror,
                ),
                code="out_of_descriptors",
            )
    return None
