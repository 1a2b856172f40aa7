"""The database: there, of this version, written and read, and how big it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from app.commands import own_command
from app.database import Database
from app.database.revisions import head
from app.doctor.finding import Finding, note, ok, problem
from app.errors import DatabaseError

_TITLE: Final = "database"
_BIG_BYTES: Final = 2 * 1024**3
_WITHOUT: Final = "Calls go on without it meanwhile: keys that are known count, budgets stop nobody (docs/keys.md)."


def check_database(database: Database) -> Iterator[Finding]:
    """Read its revision and its size, and write a note of no importance. Makes and migrates nothing."""
    if not database.exists():
        yield ok(_TITLE, f"{database.name} does not exist yet; it is made when something is to be kept.")
        return
    try:
        found = database.look()
    except DatabaseError as error:
        yield problem(_TITLE, error.message, _WITHOUT)
        return
    if found.revision is None:
        yield ok(_TITLE, f"{database.name} is empty; the tables are made when something is to be kept.")
        return
    if found.revision > head():
        yield problem(
            _TITLE,
            f"{database.name} was made by a newer version of the bridge (tables {found.revision}, this one knows "
            f"{head()}).",
            "Run that version, or restore a backup that this one made.",
        )
        return
    size = f"{found.size_bytes / 1024**2:.1f} MiB"
    if found.revision < head():
        yield note(
            _TITLE,
            f"{database.name} has the tables of an older version ({found.revision}, now {head()}; {size}).",
            f"The service migrates them when it starts; beforehand:\n    {own_command('database migrate')}",
        )
    elif found.size_bytes > _BIG_BYTES:
        yield note(
            _TITLE,
            f"{database.name} can be written and read, and has grown to {size}.",
            "LEDGER_CALLS_DAYS says how long each single call is kept, LEDGER_SUMS_DAYS the sums of days.",
        )
    else:
        yield ok(_TITLE, f"{database.name} can be written and read; tables {found.revision}, the newest; {size}")


def check_running(told: dict[str, Any]) -> Iterator[Finding]:
    """What ``/readyz`` of a running service says of its database and of the calls that wait for it."""
    if told.get("database") == "unavailable":
        yield problem(
            "database of the service", "The running service cannot use its database; its log says why.", _WITHOUT
        )
    ledger = told.get("ledger")
    if isinstance(ledger, dict) and ledger.get("dropped"):
        yield note(
            "ledger",
            f"{ledger['dropped']} calls are not in the ledger and never will be: they did not fit into the queue of a "
            f"worker while the database was away (now {ledger.get('waiting', 0)} wait).",
            "At /metrics, bridge_calls_not_booked_total has those of all workers; LEDGER_QUEUE says how many may wait.",
        )
