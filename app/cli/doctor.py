"""``doctor``: says what is right, what is not, and what to do about it."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from app.cli.columns import padded, width, wrapped
from app.cli.command import command, option
from app.doctor.configuration import check_faults, check_start
from app.doctor.examination import Check, checks_for, examine
from app.doctor.finding import Finding, Status
from app.errors import Sentence
from app.gateway import current_gateway
from app.logs import Redactor, logger
from app.settings import faults
from app.terminal import in_words

_MARKS: dict[Status, tuple[str, str]] = {"ok": ("✓", "green"), "note": ("!", "yellow"), "problem": ("✗", "red")}
_WORDS: dict[Status, Sentence] = {"ok": Sentence("ok"), "note": Sentence("note"), "problem": Sentence("problem")}
_TROUBLE = "trouble"
# A shorter secret may be a word of our own sentences, and masking it there would give it away.
_LEAST_SECRET = 8
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
# Where the columns begin: mark and word, title, text.
_TITLE_AT, _TITLE_WIDTH = 13, 20
_LEAST_WIDTH, _MOST_WIDTH = 72, 108


def create_diagnostics_app(trouble: str) -> Flask:
    """An app with no command but this one, for when the service itself cannot be built. trouble: why, in one line."""
    app = Flask(__name__, static_folder=None)
    app.extensions[_TROUBLE] = trouble
    app.cli.add_command(doctor)
    return app


@command()
@option("--public-url", metavar="URL", help="Check the way in too: the address that clients outside use.")
@option(
    "--calls",
    type=click.Choice(["ask", "yes", "no"]),
    default="ask",
    help="Make one tiny call per protocol; it may cost premium requests. [default: ask, on a terminal]",
)
@option("--yes", is_flag=True, help="Short for --calls yes.")
@option("--json", "as_json", is_flag=True, help="One JSON object instead of text; asks nothing.")
@with_appcontext
def doctor(public_url: str | None, calls: str, yes: bool, as_json: bool) -> None:
    """Check whether all is in order.

    Looks at settings, network, sign-in, plan and models, and says what to do. Exit code 1 if there are problems.
    """
    calls = "yes" if yes else "no" if calls == "ask" and (as_json or not _is_terminal()) else calls
    checks, redact = _prepare(public_url, calls)
    with _quiet():
        findings = ((check, _clean(finding, redact, for_people=not as_json)) for check, finding in examine(checks))
        found = (
            _print_json(findings)
            if as_json
            else _print_text(findings, hint=public_url is None and _TROUBLE not in current_app.extensions)
        )
    sys.exit(1 if any(finding.status == "problem" for finding in found) else 0)


def _prepare(public_url: str | None, calls: str) -> tuple[list[Check], Redactor]:
    trouble = current_app.extensions.get(_TROUBLE)
    if trouble is not None:
        known = faults()
        return [Check(Sentence("Settings"), lambda: check_faults(known) if known else check_start(trouble))], Redactor()
    gateway = current_gateway()

    def consent() -> bool:
        return _ask() if calls == "ask" else calls == "yes"

    secrets = [secret for secret in gateway.settings.secrets if len(secret) >= _LEAST_SECRET]
    return checks_for(gateway, public_url=public_url, consent=consent), Redactor(secrets)


def _ask() -> bool:
    try:
        asked = Sentence("  One tiny call each would tell whether models really answer. Make them?")
        return click.confirm(in_words(asked), default=False)
    except click.Abort:
        # As an ordinary exception it would be taken for a failure of the check; Ctrl-C ends the whole command.
        raise KeyboardInterrupt from None


def _is_terminal() -> bool:
    """Whether there is somebody who can be asked."""
    return sys.stdin.isatty()


def _clean(finding: Finding, redact: Redactor, *, for_people: bool) -> Finding:
    """Nothing secret gets out, and no terminal sequence, whatever a host or a proxy quoted back at us.

    for_people: in the language of the terminal. Programs get English, wherever they run.
    """
    texts = (in_words(text) if for_people else str(text) for text in (finding.title, finding.what, finding.advice))
    title, what, advice = (_CONTROL.sub("?", redact(text)) for text in texts)
    return Finding(finding.status, title, what, advice)


# ── output ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _print_json(findings: Iterable[tuple[str, Finding]]) -> list[Finding]:
    """``{"status": "ok"|"note"|"problem", "findings": [{"check", "status", "title", "what", "advice"}, …]}``."""
    found = list(findings)
    told = [{"check": check, **asdict(finding)} for check, finding in found]
    worst = next((s for s in ("problem", "note") if any(entry["status"] == s for entry in told)), "ok")
    click.echo(json.dumps({"status": worst, "findings": told}, ensure_ascii=True, indent=2))
    return [finding for _, finding in found]


def _print_text(findings: Iterable[tuple[str, Finding]], *, hint: bool) -> list[Finding]:
    found, section = [], ""
    for check, finding in findings:
        if check != section:
            _say(("\n" if section else "") + click.style(in_words(check), bold=True))
            section = check
        found.append(finding)
        _say("\n".join(_lines(finding)))
    counts = {status: sum(finding.status == status for finding in found) for status in _MARKS}
    _say("\n" + in_words(_summary(counts)))
    if hint:
        hinted = Sentence("Behind a reverse proxy? Check the way in as well: --public-url https://bridge.example.com")
        _say(in_words(hinted))
    return found


def _lines(finding: Finding) -> Iterator[str]:
    mark, colour = _MARKS[finding.status]
    indent = " " * (_TITLE_AT + _TITLE_WIDTH + 1)
    columns = max(_LEAST_WIDTH, min(_MOST_WIDTH, shutil.get_terminal_size().columns))
    head = f"{click.style(f'{mark} {padded(in_words(_WORDS[finding.status]), 8)}', fg=colour)} "
    title = padded(finding.title, _TITLE_WIDTH)
    # A long title has a line of its own; else the text would begin somewhere else every time.
    text = wrapped(finding.what, columns - len(indent))
    if width(finding.title) > _TITLE_WIDTH:
        yield f"  {head}{title}"
    else:
        yield f"  {head}{title} {text.pop(0) if text else ''}".rstrip()
    yield from (indent + line for line in text)
    lead = "→ "
    for paragraph in finding.advice.splitlines():
        if paragraph.startswith("    "):
            yield f"{indent}  {paragraph}"
            continue
        for line in wrapped(paragraph, columns - len(indent) - 2):
            yield f"{indent}{lead}{line}"
            lead = "  "


def _say(text: str) -> None:
    """Print, also where the terminal's encoding knows neither check marks nor arrows."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        for sign, plain in (("✓", "+"), ("✗", "x"), ("→", "->"), ("…", "..."), ("“", '"'), ("”", '"'), ("–", "-")):
            text = text.replace(sign, plain)
        text = text.encode(encoding, "replace").decode(encoding)
    click.echo(text)


def _summary(counts: Mapping[Status, int]) -> Sentence:
    problems, notes = counts["problem"], counts["note"]
    return Sentence(
        "%(problems)s, %(notes)s, %(fine)s in order.",
        problems=Sentence("no problems")
        if not problems
        else Sentence("1 problem")
        if problems == 1
        else Sentence("%(count)s problems", count=problems),
        notes=Sentence("no notes")
        if not notes
        else Sentence("1 note")
        if notes == 1
        else Sentence("%(count)s notes", count=notes),
        fine=counts["ok"],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """What the services log about failures is told as findings here."""
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
