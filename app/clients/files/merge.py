"""Merging a setup into the text of a file that is there already. Pure: text in, text out.

Only what the setup names changes. Everything else stays: other keys, their order, comments, layout. Where that cannot
be done, nothing is done, and the error says what to put in by hand.
"""

from __future__ import annotations

import functools
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.util import load_yaml_guess_indent
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, InlineTable

from app.clients.files import jsonc
from app.clients.record import ConfigFile, Entries, Format, IfAbsent
from app.errors import GatewayError, Sentence, sentence_of


class MergeError(GatewayError):
    """A file cannot be changed without harm. The message says why; what to put in is up to the caller to show."""

    status = 409
    code = "cannot_merge"


@dataclass(frozen=True, slots=True)
class Merged:
    """text: the whole file as it should be. added, changed: names of settings, as paths with dots; never values."""

    text: str
    added: tuple[str, ...]
    changed: tuple[str, ...]


def merge(file: ConfigFile, existing: str | None) -> Merged:
    """existing: the file's text; None or blank if there is none.

    Raises: MergeError.
    """
    try:
        return _merged(file, existing)
    except RecursionError:
        raise MergeError(Sentence("It is nested too deeply, or within itself.")) from None


def _merged(file: ConfigFile, existing: str | None) -> Merged:
    empty = existing is None or not existing.strip()
    before = None if empty else _PARSERS[file.format](existing or "")
    wanted, notes = _combine(before, file.tree, ())
    added = tuple(path for path, kind in notes if kind == "added")
    changed = tuple(path for path, kind in notes if kind == "changed")
    if not (added or changed) and existing is not None and not empty:
        return Merged(existing, (), ())
    text = _WRITERS[file.format](existing or "", wanted) if not empty else render(file)
    if not jsonc.same(_PARSERS[file.format](text), wanted):  # our own fault, but the user's file
        raise MergeError(Sentence("The changes could not be put into it without touching other settings."))
    return Merged(text, added, changed)


def render(file: ConfigFile) -> str:
    """The file as it is written where there is none; also what is shown to be put in by hand."""
    wanted, _ = _combine(None, file.tree, ())
    return _rendered(file.format, json.dumps(wanted))


# A page shows a dozen files, which are the same each time; YAML takes 20 ms for one.
@functools.lru_cache(maxsize=64)
def _rendered(kind: Format, wanted: str) -> str:
    return _WRITERS[kind]("", json.loads(wanted))


# ── what to say ─────────────────────────────────────────────────────────────────────────────────────────────────────

_Notes = list[tuple[str, str]]


def _combine(before: Any, tree: Any, path: tuple[str, ...]) -> tuple[Any, _Notes]:
    """What the file should hold as plain values, and what is new or different in it."""
    if isinstance(tree, IfAbsent):
        return (before, []) if before is not None else (tree.value, [(".".join(path), "added")])
    if isinstance(tree, Entries):
        return _combine_entries(before, tree, path)
    if isinstance(tree, Mapping):
        if before is not None and not isinstance(before, Mapping):
            raise MergeError(
                Sentence(
                    "%(what)s holds a single value or a list where a group of settings belongs.", what=_named(path)
                )
            )
        result, notes = dict(before or {}), []
        for name, value in tree.items():
            result[name], more = _combine(result.get(name), value, (*path, name))
            notes += more
        # A group that is new as a whole is one piece of news.
        return result, [(".".join(path), "added")] if before is None and path else notes
    value = list(tree) if isinstance(tree, tuple | list) else tree
    if jsonc.same(before, value):
        return before, []
    return value, [(".".join(path), "added" if before is None else "changed")]


def _combine_entries(before: Any, tree: Entries, path: tuple[str, ...]) -> tuple[Any, _Notes]:
    if before is not None and not isinstance(before, list):
        raise MergeError(Sentence("%(what)s is not a list, as it should be.", what=_named(path)))
    result, notes = list(before or []), []
    if before is None and path:
        return [dict(item) for item in tree.items], [(".".join(path), "added")]
    for item in tree.items:
        label = ".".join((*path, str(item[tree.by[0]])))
        same = [at for at, other in enumerate(result) if _is_same(other, item, tree.by)]
        if not same:
            result.append(dict(item))
            notes.append((label, "added"))
            continue
        combined, inner = _combine(result[same[0]], item, (label,))
        if inner:
            result[same[0]] = combined
            notes.append((label, "changed"))
    return result, notes


def _is_same(other: Any, item: Mapping[str, Any], by: tuple[str, ...]) -> bool:
    return isinstance(other, Mapping) and all(other.get(name) == item[name] for name in by)


def _named(path: tuple[str, ...]) -> str:
    return f"“{'.'.join(path)}”" if path else Sentence("The file")


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parse_json(text: str) -> Any:
    try:
        return jsonc.parse(text.removeprefix("\ufeff")).value
    except jsonc.NotJsonError as error:
        what = Sentence("It is not valid JSON: see %(where)s.", where=sentence_of(error))
        raise MergeError(what) from None


def _parse_toml(text: str) -> Any:
    try:
        return tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise MergeError(Sentence("It is not valid TOML: %(why)s.", why=error)) from None


def _parse_yaml(text: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = Sentence("its beginning")
        if mark is not None:
            where = Sentence("line %(line)s, column %(column)s", line=mark.line + 1, column=mark.column + 1)
        raise MergeError(Sentence("It is not valid YAML: see %(where)s.", where=where)) from None


_ASSIGNMENT = re.compile(r"^(\s*(?:export\s+)?)([A-Za-z_][A-Za-z0-9_]*)(\s*=\s*)(.*?)(\r?)$")


def _parse_env(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _ASSIGNMENT.match(line):
            found[match[2]] = _unquoted(match[4].strip())
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["\\$])', r"\1", value[1:-1])
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == "'" else value


_PARSERS: Mapping[Format, Callable[[str], Any]] = {
    "json": _parse_json,
    "toml": _parse_toml,
    "yaml": _parse_yaml,
    "env": _parse_env,
}

# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write_json(text: str, wanted: Any) -> str:
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    if not text.strip("\ufeff \t\r\n"):
        return jsonc.dump(wanted, "  ") + "\n"
    return mark + jsonc.rewrite(text.removeprefix(mark), wanted)


def _with_its_line_ends(write: Callable[[str, Any], str]) -> Callable[[str, Any], str]:
    """For libraries that know line feeds only: a file from Windows gets its byte order mark and line ends back."""

    def written(text: str, wanted: Any) -> str:
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        plain = text.removeprefix(mark).replace("\r\n", "\n")
        if text.count("\n") != text.count("\r\n"):  # mixed: every line stays as it is
            return mark + write(text.removeprefix(mark), wanted)
        new = write(plain, wanted)
        return mark + (new.replace("\n", "\r\n") if plain.count("\n") else new)

    return written


def _write_toml(text: str, wanted: Any) -> str:
    try:
        document = tomlkit.parse(text) if text.strip() else tomlkit.document()
        _put(document, wanted, _toml)
        written = str(tomlkit.dumps(document))
    except (TOMLKitError, ValueError):
        raise MergeError(Sentence("It uses a part of TOML that cannot be kept.")) from None
    return written if written.endswith("\n") else written + "\n"


def _toml(value: Any, parent: Any) -> Any:
    if not (isinstance(value, Mapping) and isinstance(parent, InlineTable | Array)):
        return tomlkit.item(value)
    table = tomlkit.inline_table()
    for name, inner in value.items():
        table[name] = _toml(inner, table)
    return table


def _write_yaml(text: str, wanted: Any) -> str:
    writer = YAML()
    writer.preserve_quotes = True
    writer.width = 4096  # no line is folded anew
    writer.indent(mapping=2, sequence=4, offset=2)
    document, head = None, ""
    if text.strip():
        try:
            document, indent, offset = load_yaml_guess_indent(text, yaml=writer)
        except YAMLError:
            raise MergeError(Sentence("It uses a part of YAML that cannot be kept.")) from None
        if indent is not None and offset is not None:
            writer.indent(mapping=2, sequence=indent, offset=offset)
    if document is None:  # nothing, or comments only, which belong to no value that could carry them
        document = CommentedSeq() if isinstance(wanted, list) else CommentedMap()
        if isinstance(wanted, list):  # at the margin, so that it can be put below other entries by hand
            writer.indent(mapping=2, sequence=2, offset=0)
        head = text if not text or text.endswith("\n") else text + "\n"
    _put(document, wanted, _yaml)
    out = io.StringIO()
    writer.dump(document, out)
    return head + out.getvalue()


def _put(document: Any, wanted: Any, make: Callable[[Any, Any], Any]) -> None:
    """Bring a document that keeps its comments to say `wanted`, touching only what differs."""
    is_group = isinstance(wanted, Mapping)  # whose names may be numbers, in YAML
    pairs: Iterator[tuple[Any, Any]] = iter(wanted.items() if is_group else enumerate(wanted))
    for name, value in pairs:
        if not is_group and name >= len(document):
            document.append(make(value, document))
        elif is_group and name not in document:
            document[name] = make(value, document)
        elif _is_extended(document[name], value):
            _put(document[name], value, make)
        elif document[name] != value:
            document[name] = make(value, document)


def _is_extended(old: Any, new: Any) -> bool:
    """Whether `old` can become `new` from within, so that what has not changed keeps its form."""
    if isinstance(new, Mapping):
        return isinstance(old, Mapping)
    if not (isinstance(new, list) and isinstance(old, list) and len(new) >= len(old)):
        return False
    return len({isinstance(item, Mapping) for item in (*new, *old)}) == 1  # TOML writes lists of tables in another form


def _yaml(value: Any, _parent: Any) -> Any:
    return value


def _write_env(text: str, wanted: Mapping[str, str]) -> str:
    have = _parse_env(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.split("\n")
    for at, line in enumerate(lines):
        match = _ASSIGNMENT.match(line)
        if match and wanted[match[2]] != have[match[2]]:
            lines[at] = f"{match[1]}{match[2]}{match[3]}{_quoted(wanted[match[2]])}{match[5]}"
    text = "\n".join(lines)
    if text and not text.endswith("\n"):
        text += newline
    return text + "".join(f"{name}={_quoted(value)}{newline}" for name, value in wanted.items() if name not in have)


def _quoted(value: str) -> str:
    """As readers of .env files agree on: nothing counts within single quotes, and none may stand there."""
    if re.fullmatch(r"[A-Za-z0-9_./:@%+=,-]+", value):
        return value
    return f"'{value}'" if "'" not in value else '"' + re.sub(r'["\\$]', r"\\\g<0>", value) + '"'


_WRITERS: Mapping[Format, Callable[[str, Any], str]] = {
    "json": _write_json,
    "toml": _with_its_line_ends(_write_toml),
    "yaml": _with_its_line_ends(_write_yaml),
    "env": _write_env,
}
