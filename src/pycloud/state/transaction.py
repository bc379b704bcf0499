"""One transaction: what the stores' building blocks (`take`, `claim`, `add`) get as their first
argument.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from pycloud.state.schema import journal

_INSERT_EVENT = journal.insert()
_LOCK_NAME = select(func.pg_advisory_xact_lock(bindparam("number", type_=BigInteger)))


class Transaction:
    """Executes statements, keeps the journal, and remembers whether the loop must hear of it."""

    def __init__(self, connection: Connection, now: datetime, *, writes: bool) -> None:
        self._connection = connection
        self.now = now
        """The moment of this transaction; one for all that is decided in it."""
        self.writes = writes
        self.nudged = False
        self._parts = 0
        self._is_broken = False
        self.undo: list[Callable[[], None]] = []
        """Called if this transaction, or the part in which they were added, is rolled back: for
        what was noted outside the database.
        """

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is SQLite, where nobody else writes while this transaction does."""
        return self._connection.dialect.name == "sqlite"

    @property
    def changes(self) -> int:
        """How many rows its connection has changed, ever. SQLite alone knows that."""
        driver: Any = self._connection.connection.dbapi_connection
        return int(driver.total_changes)

    @contextmanager
    def part(self) -> Iterator[None]:
        """Begin a part that can't be undone alone: if it fails, so must the whole."""
        try:
            yield
        except BaseException:
            self._is_broken = True
            raise

    def check(self) -> None:
        """Raise `RuntimeError` if a part failed and somebody caught its error."""
        if self._is_broken:
            raise RuntimeError("a part of this transaction failed: let its error pass")

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Begin a part that can be rolled back alone, by an exception, with the locks it took."""
        self._parts += 1
        name, before = f"part{self._parts}", len(self.undo)
        self._connection.exec_driver_sql(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self._connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {name}")
            for undo in self.undo[before:]:
                undo()
            raise

    def execute(self, statement: Executable, rows: Any = None) -> CursorResult[Any]:
        """Run a statement of SQLAlchemy Core, once, or once for each of `rows`.

        A statement that is made once, with `bindparam`, is run twice as fast as one that is made
        anew each time: where it matters, it is a constant of its module.
        """
        return self._connection.execute(statement, rows)

    def locked(self, query: Select[Any], *, read: bool = False, skip: bool = False) -> Select[Any]:
        """Return `query` so that it locks what it finds until the commit, or just reads it where
        nothing is written.

        With `read`, others may lock it so too; with `skip`, rows that others have locked are passed
        over.
        """
        if not self.writes or self.is_sqlite:
            return query
        return _for_update(query, read, skip)

    def lock_names(self, names: Iterable[bytes]) -> None:
        """Wait until nobody else has locked one of these names, and hold them until the commit: for
        what may not be there yet, so that it has no row to lock.
        """
        if not self.writes or self.is_sqlite:
            return
        numbers = {hashlib.blake2b(name, digest_size=8).digest() for name in names}
        # All who lock several do so in one order, so that none waits for the other.
        for number in sorted(int.from_bytes(digest, "big", signed=True) for digest in numbers):
            self.execute(_LOCK_NAME, {"number": number})

    def add_if_absent(self, table: Table, **values: Any) -> None:
        """Insert a row unless there is one with its key, whoever wrote it."""
        dialect = sqlite if self.is_sqlite else postgresql
        self.execute(dialect.insert(table).values(**values).on_conflict_do_nothing())

    def put(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows in place of those with their primary keys, whoever wrote these."""
        dialect = sqlite if self.is_sqlite else postgresql
        insert = dialect.insert(table)
        others = {
            column.name: insert.excluded[column.name]
            for column in table.c
            if not column.primary_key
        }
        self.execute(
            insert.on_conflict_do_update(index_elements=table.primary_key, set_=others), rows
        )

    def record(self, event: str, subject: str, detail: str = "") -> None:
        """Write an event into the journal, as part of this transaction. Secrets have no place in
        it.
        """
        row = {"at": self.now, "event": event, "subject": subject, "detail": detail}
        self.execute(_INSERT_EVENT, row)

    def nudge(self) -> None:
        """Wake the loop, in whatever process it turns, once this transaction is committed."""
        self.nudged = True


def stamp(column: Column[int], *, sqlite: bool) -> ColumnElement[int]:
    """Return what to write into `column` of a row that is changed, so that others find the change:
    see `horizon`.
    """
    if sqlite:
        return horizon(column, sqlite=True)
    return cast(cast(func.pg_current_xact_id(), Text), BigInteger)


def horizon(column: Column[int], *, sqlite: bool) -> ColumnElement[int]:
    """Return a number that the stamps of all changes reach which a transaction can't see yet: what
    is asked for next time.

    SQLite has one writer at a time, so counting will do. In PostgreSQL changes become visible in
    another order than they are made in: there a stamp is the number of the transaction, and the
    horizon that of the oldest one under way ("System Information Functions").
    """
    if sqlite:
        return select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
    snapshot = func.pg_snapshot_xmin(func.pg_current_snapshot())
    return cast(cast(snapshot, Text), BigInteger)


@lru_cache(maxsize=256)
def _for_update(query: Select[Any], read: bool, skip: bool) -> Select[Any]:
    return query.with_for_update(read=read, skip_locked=skip)
