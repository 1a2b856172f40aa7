"""The database: there, of this version, written and read, and how big it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from app.commands import own_command
from app.database import Database
from app.database.revisions import head
from app.doctor.finding import Finding, note, ok, problem
from app.errors import DatabaseError, Sentence

_TITLE: Final = Sentence("database")
_BIG_BYTES: Final = 2 * 1024**3
_WITHOUT: Final = Sentence(
    "Calls go on without it meanwhile: keys that are known count, budgets stop nobody (docs/keys.md)."
)


def check_database(database: Database) -> Iterator[Finding]:
    """Read its revision and its size, and write a note of no importance. Makes and migrates nothing."""
    if not database.exists():
        yield ok(
            _TITLE,
            Sentence("%(name)s does not exist yet; it is made when something is to be kept.", name=database.name),
        )
        return
    try:
        found = database.look()
    except DatabaseError as error:
        yield problem(_TITLE, error.message, _WITHOUT)
        return
    if found.revision is None:
        yield ok(
            _TITLE, Sentence("%(name)s is empty; the tables are made when something is to be kept.", name=database.name)
        )
        return
    if found.revision > head():
        yield problem(
            _TITLE,
            Sentence(
                "%(name)s was made by a newer version of the bridge (tables %(revision)s, this one knows %(newest)s).",
                name=database.name,
                revision=found.revision,
                newest=head(),
            ),
            Sentence("Run that version, or restore a backup that this one made."),
        )
        return
    size = f"{found.size_bytes / 1024**2:.1f} MiB"
    if found.revision < head():
        yield note(
            _TITLE,
            Sentence(
                "%(name)s has the tables of an older version (%(revision)s, now %(newest)s; %(size)s).",
                name=database.name,
                revision=found.revision,
                newest=head(),
                size=size,
            ),
            Sentence(
                "The service migrates them when it starts; beforehand:\n    %(command)s",
                command=own_command("database migrate"),
            ),
        )
    elif found.size_bytes > _BIG_BYTES:
        yield note(
            _TITLE,
            Sentence("%(name)s can be written and read, and has grown to %(size)s.", name=database.name, size=size),
            Sentence("LEDGER_CALLS_DAYS says how long each single call is kept, LEDGER_SUMS_DAYS the sums of days."),
        )
    else:
        yield ok(
            _TITLE,
            Sentence(
                "%(name)s can be written and read; tables %(revision)s, the newest; %(size)s",
                name=database.name,
                revision=found.revision,
                size=size,
            ),
        )


def check_running(told: dict[str, Any]) -> Iterator[Finding]:
    """What ``/readyz`` of a running service says of its database and of the calls that wait for it."""
    if told.get("database") == "unavailable":
        yield problem(
            Sentence("database of the service"),
            Sentence("The running service cannot use its database; its log says why."),
            _WITHOUT,
        )
    ledger = told.get("ledger")
    if isinstance(ledger, dict) and ledger.get("dropped"):
        yield note(
            Sentence("ledger"),
            Sentence(
                "%(dropped)s calls are not in the ledger and never will be: they did not fit into the queue of a "
                "worker while the database was away (now %(waiting)s wait).",
                dropped=ledger["dropped"],
                waiting=ledger.get("waiting", 0),
            ),
            Sentence(
                "At /metrics, bridge_calls_not_booked_total has those of all workers; LEDGER_QUEUE says how many may "
                "wait."
            ),
        )
