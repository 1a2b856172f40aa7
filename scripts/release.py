"""``scripts/release.py v1.2.3``: whether everything names this version; prints the notes of the release.

The tag, ``app/version.py`` and the newest heading of CHANGELOG.md have to agree.
"""

# ruff: noqa: T201

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.version import VERSION  # noqa: E402

_HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\][^\n]*\n", re.MULTILINE)


def notes(tag: str, version: str, changelog: str) -> str:
    """The changelog's section of the release. Raises: ValueError if something names another version."""
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, and app/version.py says {version}")
    headings = list(_HEADING.finditer(changelog))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        text = changelog[heading.end() : following.start() if following else len(changelog)].strip()
        if heading["version"] == version:
            return text
        if text:
            raise ValueError(f"CHANGELOG.md has changes under [{heading['version']}], above those of {version}")
    raise ValueError(f"CHANGELOG.md has no heading [{version}]")


def main() -> None:
    """Raises: SystemExit with one line if the version is not the same everywhere."""
    try:
        print(notes(sys.argv[1], VERSION, (ROOT / "CHANGELOG.md").read_text("utf-8")))
    except ValueError as problem:
        sys.exit(f"Not released: {problem}.")


if __name__ == "__main__":
    main()
