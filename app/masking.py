"""The one sink for text that others wrote: what must not leave is masked, and there is an end to it.

It is used where such text becomes an error (`errors.GatewayError`, and so answers, pages, streams and the store), and
where it becomes a line in the log (`logs.LineFormatter`). Everything is linear in the length of the text.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 4000
"""Characters of a message. Upstream's own are a few hundred; longer ones quote a request."""

_SECRETS = re.compile(
    r"""
      (?<![A-Za-z])gh[a-z]_[A-Za-z0-9_]{4,}         # GitHub tokens
    | gh[oprsu]_[A-Za-z0-9_]{4,}                     # … also behind a letter (\\n of JSON); not height_px
    | \bcb-[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])     # client keys of ours
    | github_pat_[A-Za-z0-9_]+
    | \btid=[^\s"',]+                                # Copilot tokens: tid=…;exp=…;…:mac
    | (?<=api_key=)[^&\s"']+
    | (?<=[Bb]earer\ )(?!<key>)[^\s"',]+             # <key> is a word of our own sentences
    | (?<=x-api-key:\ )(?!<key>)[^\s"',]+
    | (?<=://)(?!\[?user:password@)[^\s/@"'<>]+(?=@)  # the login of a URL; that one is in our own examples
    """,
    re.VERBOSE,
)

# A search for all shapes at once tries each at every letter; most texts hold none of the words they begin with.
_WORDS = ("github_pat_", "tid=", "api_key=", "earer ", "x-api-key: ", "://", "cb-")
_GITHUB = re.compile(r"gh[a-z]_")


def masked(text: str) -> str:
    """The text without what looks like a token, a key or the login of a URL."""
    if _GITHUB.search(text) or any(word in text for word in _WORDS):
        return _SECRETS.sub("***", text)
    return text


def clean(text: str) -> str:
    """The text masked, and cut if it is very long. The same object if there is nothing to do."""
    if len(text) > LONGEST:
        # Masked first, or half a token might stay at the cut; of a very long text that is more than anybody sees.
        return masked(text[: 2 * LONGEST])[:LONGEST] + "…"
    found = masked(text)
    return text if found == text else found
