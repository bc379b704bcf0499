"""One transaction: what the stores' building blocks (`take`, `claim`, `add`) get as their first
argument.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable, Select, Table
from sqlalchemy.dialects import postgresql, sqlite

from pycloud.state.schema import journal


class Transaction:
    """Executes statements, keeps the journal, and remembers whether the loop must hear of it."""

    def __init__(self, connection: Connection, now: datetime, *, writes: bool) -> None:
        self._connection = connection
        self.now = now
        """The moment of this transaction; one for all that is decided in it."""
        self.writes = writes
        self.nudged = False

    def execute(self, statement: Executable, rows: Any = None) -> CursorResult[Any]:
        """Run a statement of SQLAlchemy Core, once, or once for each of `rows`."""
        return self._connection.execute(statement, rows)

    def locked(self, query: Select[Any], *, read: bool = False, skip: bool = False) -> Select[Any]:
        """Return `query` so that it locks what it finds until the commit, or just reads it where
        nothing is written.

        With `read`, others may lock it so too; with `skip`, rows that others have locked are passed
        over.
        """
        return query.with_for_update(read=read, skip_locked=skip) if self.writes else query

    def add_if_absent(self, table: Table, **values: Any) -> None:
        """Insert a row unless there is one with its key, whoever wrote it."""
        dialect = sqlite if self._connection.dialect.name == "sqlite" else postgresql
        self.execute(dialect.insert(table).values(**values).on_conflict_do_nothing())

    def record(self, event: str, subject: str, detail: str = "") -> None:
        """Write an event into the journal, as part of this transaction. Secrets have no place in
        it.
        """
        self.execute(
            journal.insert().values(at=self.now, event=event, subject=subject, detail=detail)
        )

    def nudge(self) -> None:
        """Wake the loop, in whatever process it turns, once this transaction is committed."""
        self.nudged = True
