"""`make translations`: bring the catalogues of pages and commands up to date with the code, and compile them.

The compiled ones are committed too, so that neither a clone nor a wheel needs a step more. What is new stands in the
.po file with an empty `msgstr`: translate it there, and run this again. A test checks that nothing is left.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir, extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.cli.command import CLICK, own_words  # noqa: E402
from app.cli.main import main as cli  # noqa: E402
from app.converters.registry import CLIENTS  # noqa: E402
from scripts.reasons import reasons  # noqa: E402

APP = ROOT / "app"
# Templates mark words with _(…), code with Sentence(…) and gettext(…); settings say what they are for. The help of
# commands is taken from the commands, what click itself says from click,
# and what `protocols` says of fields from their tables.
_KEYWORDS = {**DEFAULT_KEYWORDS, "Sentence": None, "setting": (4,)}
_METHODS = [("templates/**.html", "jinja2"), ("**.py", "python")]


def catalogues() -> list[Path]:
    """All .po files."""
    return sorted(APP.glob("translations/*/LC_MESSAGES/messages.po"))


def extracted() -> Catalog:
    """Every word of the code that has to be translated."""
    found = Catalog()
    for file, line, message, comments, context in extract_from_dir(APP, _METHODS, keywords=_KEYWORDS):
        found.add(message, None, [(file, line)], auto_comments=comments, context=context)
    for reason in reasons():
        found.add(reason)
    for codec in CLIENTS.values():
        for field in codec.fields.values():
            if field.note:
                found.add(field.note)
    for words in own_words(cli):
        found.add(words)
    for module in CLICK:
        for _, message, _, _ in extract_from_file("python", str(module.__file__)):
            found.add(message)
    return found


def read(file: Path) -> Catalog:
    """A catalogue as it stands."""
    with file.open("rb") as stream:
        return read_po(stream, locale=file.parts[-3])


def updated(file: Path) -> Catalog:
    """The catalogue with the words of today: new ones are empty, old ones are gone."""
    catalogue, words = read(file), extracted()
    words.creation_date = catalogue.creation_date  # else each run would change the file
    catalogue.update(words, no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    return catalogue


def po(catalogue: Catalog) -> bytes:
    """As a .po file."""
    stream = io.BytesIO()
    write_po(stream, catalogue, width=0, no_location=True, ignore_obsolete=True)
    return stream.getvalue()


def mo(catalogue: Catalog) -> bytes:
    """Compiled."""
    stream = io.BytesIO()
    write_mo(stream, catalogue)
    return stream.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    """The words that have no translation yet."""
    return [str(message.id) for message in catalogue if message.id and not all(_forms(message.string))]


def _forms(words: str | Sequence[str] | None) -> tuple[str, ...]:
    """One, or one for each plural of the language."""
    return (words or "",) if isinstance(words, str | None) else tuple(words)


def main() -> int:
    missing = []
    for file in catalogues():
        catalogue = updated(file)
        file.write_bytes(po(catalogue))
        file.with_suffix(".mo").write_bytes(mo(catalogue))
        missing += [f"{file.parts[-3]}: {words}" for words in untranslated(catalogue)]
    sys.stderr.writelines(f"{line}\n" for line in missing)
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
