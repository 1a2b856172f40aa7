"""Which table of sums answers a question: where one word is asked for, its own rows, of which there are the fewest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.sql.base import ReadOnlyColumnCollection

Word = Literal["key", "account", "client", "model"]


@dataclass(frozen=True, slots=True)
class DaySums:
    """columns: of the table to read. where: the rows of it that are meant, of all days. name: the column with what the
    word is for a row; None if none was asked for."""

    columns: ReadOnlyColumnCollection[str, Any]
    where: tuple[ColumnElement[bool], ...]
    name: Any

    @classmethod
    def of(cls, word: Word | None, *, key: str | None = None, account: str | None = None) -> DaySums:
        """word: what sums are wanted by, beside the day. key, account: of these only."""
        from app.database.tables import DAYS, GROUPED_DAYS

        grouped = GROUPED_DAYS.c
        if key is None and account is None:
            return cls(grouped, (grouped.word == (word or ""),), grouped.name if word is not None else None)
        if key is None and word is None:
            return cls(grouped, (grouped.word == "account", grouped.name == account), None)
        # Of one key there are few rows, and an index of its own.
        only = (("key", key), ("account", account))
        where = tuple(DAYS.c[name] == value for name, value in only if value is not None)
        return cls(DAYS.c, where, DAYS.c[word] if word is not None else None)

    @property
    def day(self) -> Any:
        return self.columns.day

    @property
    def cost(self) -> Any:
        """The sum of nano-credits, estimated ones included."""
        from sqlalchemy import func

        return func.sum(self.columns.exact_nano + self.columns.estimated_nano)

    def sums(self, names: Iterable[str]) -> list[Any]:
        from sqlalchemy import func

        return [func.sum(self.columns[name]) for name in names]

    def within(self, first: str, last: str) -> tuple[ColumnElement[bool], ...]:
        """The rows of a period: both days are in it."""
        return (*self.where, self.day.between(first, last))
