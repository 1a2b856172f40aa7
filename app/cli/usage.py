"""``usage``: what went through this bridge, as a table."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from flask.cli import with_appcontext

from app.cli.command import command, option
from app.cli.words import failure
from app.errors import GatewayError, Sentence
from app.gateway import Gateway, current_gateway
from app.schemas.usage import GROUPS, Wanted, read_query
from app.terminal import in_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WATCH_S = 2.0
# Wider than any table.
_ENDLESS = 10_000
# What names keep of a narrow terminal.
_LEAST = 12


@command()
@option("--from", "first", metavar="DAY", help="The first day, e.g. 2026-11-01; by default thirty days ago.")
@option("--to", "last", metavar="DAY", help="The last day; by default today.")
@option("--group", type=click.Choice(GROUPS), default="day", show_default=True, help="What a row stands for.")
@option("--csv", "as_csv", is_flag=True, help="As CSV, with all decimals.")
@option("--watch", is_flag=True, help="Show it anew every two seconds, until Ctrl-C.")
@with_appcontext
def usage(first: str | None, last: str | None, group: str, as_csv: bool, watch: bool) -> None:
    """Show what went through this bridge, and what it cost.

    Days are days in UTC.
    """
    given = {"from": first, "to": last, "group": group}
    gateway = current_gateway()
    try:
        query = {name: value for name, value in given.items() if value is not None}
        if as_csv:
            _print_csv(gateway, read_query(query, now=time.time()))
        elif watch:
            _watch(gateway, query)
        else:
            table = _table(gateway, read_query(query, now=time.time()))
            _console(table).print(table)
    except GatewayError as error:
        raise failure(error) from error


def _watch(gateway: Gateway, query: dict[str, Any]) -> None:
    from rich.live import Live

    table = _table(gateway, read_query(query, now=time.time()))
    with Live(table, console=_console(table), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(_WATCH_S)
                # Anew: after midnight it is another day.
                table = _table(gateway, read_query(query, now=time.time()))
                live.console.width = _console(table).width
                live.update(table, refresh=True)
        except KeyboardInterrupt:
            return


def _rows(gateway: Gateway, wanted: Wanted) -> Any:
    return gateway.ledger.report(wanted.first.isoformat(), wanted.last.isoformat(), wanted.group)


def _print_csv(gateway: Gateway, wanted: Wanted) -> None:
    from app.ledger.report import as_csv

    click.echo(as_csv(wanted.group, _rows(gateway, wanted)), nl=False)


def _table(gateway: Gateway, wanted: Wanted) -> Table:
    """Numbers for people; estimates have a ``~`` before them.

    A column that has nothing to say is left out, and none breaks a number or a word: names alone give way.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    from app.ledger.report import added_up, told

    rows = _rows(gateway, wanted)
    at = datetime.now(UTC).strftime("%H:%M:%S")
    title = Sentence("Usage, %(first)s to %(last)s (at %(at)s UTC)", first=wanted.first, last=wanted.last, at=at)
    caption = None if rows else in_words(Sentence("No calls in this period."))
    lines, total = [told(sums) for _, sums in rows], told(added_up(rows))
    columns = [(in_words(heading), [cell(line) for line in lines], cell(total)) for heading, cell in _COLUMNS]
    columns = [column for column in columns if column[2] or not rows]
    widths = [max(map(cell_len, (*heading.split(), *cells, footer))) for heading, cells, footer in columns]
    heading, footer = in_words(_GROUPS[wanted.group]), in_words(Sentence("Total"))
    names = [name or "–" for name, _ in rows]
    longest = max(map(cell_len, (heading, footer, *names)))
    gap = 1 if _width() < longest + sum(widths) + 2 * len(widths) else 2
    width = min(longest, max(_LEAST, _width() - sum(widths) - gap * len(widths)))
    table = Table(
        title=in_words(title),
        caption=caption,
        show_footer=bool(rows),
        show_edge=False,
        box=box.SIMPLE,
        padding=(0, 0, 0, gap - 1),
        pad_edge=False,
    )
    table.add_column(heading, footer=footer, overflow="fold", width=width)
    for (heading, _, footer), width in zip(columns, widths, strict=True):
        table.add_column(heading, justify="right", footer=footer, width=width)
    for place, name in enumerate(names):
        table.add_row(name, *(cells[place] for _, cells, _ in columns))
    return table


def _width() -> int:
    from rich.console import Console

    return Console().width


def _console(table: Table) -> Console:
    """The terminal, or a wider one where it is too narrow for the numbers: half a number is a wrong one."""
    from rich.console import Console

    return Console(width=max(_width(), Console(width=_ENDLESS).measure(table).maximum))


def _credits(numbers: dict[str, Any]) -> str:
    estimated = numbers["credits_estimated"]
    more = f" ~{estimated:,.2f}" if estimated else ""
    return f"{numbers['credits']:,.2f}{more}"


_GROUPS = {
    "day": Sentence("Day"),
    "model": Sentence("Model"),
    "key": Sentence("Key"),
    "client": Sentence("Client"),
    "account": Sentence("Account"),
}
_COLUMNS = (
    (Sentence("Calls"), lambda it: f"{it['calls']:,}"),
    (Sentence("Failed"), lambda it: f"{it['failed_calls']:,}" if it["failed_calls"] else ""),
    (Sentence("Input"), lambda it: f"{it['input_tokens']:,}"),
    (Sentence("Cached"), lambda it: f"{it['cached_input_tokens']:,}"),
    (Sentence("Output"), lambda it: f"{it['output_tokens']:,}"),
    (Sentence("Credits"), _credits),
    (Sentence("Premium"), lambda it: f"{it['premium_requests']:g}" if it["premium_requests"] else ""),
    (Sentence("No cost known"), lambda it: f"{it['calls_of_unknown_cost']:,}" if it["calls_of_unknown_cost"] else ""),
    (Sentence("First byte"), lambda it: "" if it["first_byte_ms"] is None else f"{it['first_byte_ms'] / 1000:.1f} s"),
)
