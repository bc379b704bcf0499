"""What SQLite and PostgreSQL share: opening, migrating, transactions and who is told of them."""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError, OperationalError

from pycloud.clock import Clock, SystemClock
from pycloud.errors import SchemaTooNew, StateBusy, StateError
from pycloud.state.transaction import Transaction

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"


class Leadership(abc.ABC):
    """The right to turn the loop; held by one process at a time, and lost with it."""

    @abc.abstractmethod
    def held(self) -> bool:
        """Tell whether it is still ours."""

    @abc.abstractmethod
    def release(self) -> None:
        """Let another process have it."""


class Database(abc.ABC):
    """A state: `open()` it, or use it as a context manager, before the first transaction.

    Opening brings the schema to this version. Raises `SchemaTooNew` for a state that a newer
    pycloud wrote, `StateError` for anything that is not a pycloud state.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._engine: Engine | None = None
        self._listeners: list[Callable[[], None]] = []
        self._leaderships: list[Leadership] = []
        self._opened = 0
        self._lock = threading.Lock()
        self._thread = threading.local()

    # What a database must say of itself

    @abc.abstractmethod
    def _make_engine(self) -> Engine:
        """Return the engine; no connection is made yet."""

    @abc.abstractmethod
    def _begin(self, connection: Connection, *, reading: bool) -> None:
        """Begin a transaction that sees one snapshot, or one that may write."""

    def _connection(self) -> AbstractContextManager[Connection]:
        """Return a connection for a transaction; where it ends, so has the transaction."""
        return self.engine.connect()

    @contextmanager
    def _writing(self, connection: Connection) -> Iterator[None]:
        """Begin a transaction that may write, which the block commits; then see that it is durable."""
        self._begin(connection, reading=False)
        yield

    @abc.abstractmethod
    @contextmanager
    def _migrating(self, connection: Connection) -> Iterator[None]:
        """Keep other processes from migrating at the same time."""

    @abc.abstractmethod
    def _announce(self) -> None:
        """Let other processes know, soon, that the loop has work."""

    def _disconnect(self) -> None:  # noqa: B027 - most have nothing to end
        """End what is kept beside the engine."""

    @abc.abstractmethod
    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change`, from a thread, when another process nudges; the result ends that."""

    @abc.abstractmethod
    def _lead(self, name: str) -> Leadership | None:
        """Return the leadership called `name`, or None if another holds it."""

    # What they share

    def open(self) -> Self:
        """Connect and migrate. May be called again; each call wants its `close`."""
        with self._lock:
            if self._opened == 0:
                self._engine = self._make_engine()
                try:
                    self._migrate()
                except BaseException:
                    self._disconnect()
                    self._engine.dispose()
                    self._engine = None
                    raise
            self._opened += 1
        return self

    def close(self) -> None:
        """Disconnect, once as many have closed it as have opened it."""
        with self._lock:
            if self._opened == 0:
                return
            self._opened -= 1
            engine = self._engine
            if self._opened == 0 and engine is not None:
                self._engine = None
                self._disconnect()
                while self._leaderships:
                    self._leaderships.pop().release()
                engine.dispose()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine. Raises `StateError` before `open()`."""
        if self._engine is None:
            raise StateError("the state is not open: use `with state:` or call open() first")
        return self._engine

    @property
    def shares_commits(self) -> bool:
        """Whether several who write at once are better put into one transaction, because there is
        one writer at a time.
        """
        return self.engine.dialect.name == "sqlite"

    @property
    def is_under_way(self) -> bool:
        """Whether this thread is in a transaction."""
        return self._under_way() is not None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Decide something: everything in the block is committed, durably, or nothing is. Within
        another such block of the same thread it is a part of that one.

        Raises `StateBusy` if another process holds the database for too long, or wins a conflict.
        """
        outer = self._under_way()
        if outer is not None and outer.writes:
            with outer.part():
                yield outer
            return
        with self._connected() as connection, self._writing(connection):
            tx = Transaction(connection, self.clock.now(), writes=True)
            try:
                with self._entered(tx):
                    yield tx
                tx.check()
                connection.commit()
            except BaseException:
                for undo in tx.undo:
                    undo()
                connection.rollback()
                raise
        if tx.nudged:
            self._announce()
            for listener in list(self._listeners):
                listener()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Read one consistent snapshot, without holding up those who write; within another block
        of the same thread, what that one sees.
        """
        outer = self._under_way()
        if outer is not None:
            yield outer
            return
        with self._connected() as connection:
            self._begin(connection, reading=True)
            tx = Transaction(connection, self.clock.now(), writes=False)
            try:
                with self._entered(tx):
                    yield tx
            finally:
                connection.rollback()

    def lead(self, name: str) -> Leadership | None:
        """Return the leadership called `name`, or None if another holds it. It ends with the
        state at the latest.
        """
        leadership = self._lead(name)
        if leadership is not None:
            self._leaderships.append(leadership)
        return leadership

    def subscribe(self, on_nudge: Callable[[], None]) -> Callable[[], None]:
        """Call `on_nudge` after each commit of this process that nudged; the result ends that."""
        self._listeners.append(on_nudge)

        def unsubscribe() -> None:
            if on_nudge in self._listeners:
                self._listeners.remove(on_nudge)

        return unsubscribe

    def _under_way(self) -> Transaction | None:
        """Return the transaction that this thread is in."""
        return getattr(self._thread, "transaction", None)

    @contextmanager
    def _entered(self, tx: Transaction) -> Iterator[None]:
        former = self._under_way()
        self._thread.transaction = tx
        try:
            yield
        finally:
            self._thread.transaction = former

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._connection() as connection:
                yield connection
        except OperationalError as error:
            raise StateBusy(f"the database did not take the transaction: {error.orig}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StateBusy(f"the database went away: {error.orig}") from error
            raise

    def _migrate(self) -> None:
        from alembic import command
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = self._alembic()
        scripts = ScriptDirectory.from_config(config)
        with self.engine.connect() as connection, self._migrating(connection):
            present = MigrationContext.configure(connection).get_current_revision()
            known = {script.revision for script in scripts.walk_revisions()}
            if present is not None and present not in known:
                raise SchemaTooNew(
                    f"the state has schema {present}, which this version of pycloud does not know "
                    f"(it knows up to {scripts.get_current_head()}): use the newer pycloud that wrote it"
                )
            if present is None and inspect(connection).get_table_names():
                raise StateError(
                    "the database holds tables that are not pycloud's: use an empty one"
                )
            if present != scripts.get_current_head():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    @staticmethod
    def _alembic() -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        return config
