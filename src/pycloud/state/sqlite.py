"""The state in one file, for one host: SQLite in WAL mode, every commit synced before it is
answered.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import DatabaseError as SQLiteError
from sqlite3 import connect
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from pycloud.clock import Clock
from pycloud.errors import StateBusy, StateError
from pycloud.state.database import Database, Leadership
from pycloud.state.wal import WAIT_S, SharedSync, WriteLock

_LOOK_EVERY_S = 0.05
_IDLE = 5
"""Connections that are kept: as many as threads are often in transactions at once."""


class SQLiteState(Database):
    """A state in the file `path`, made if it is not there; several processes of one host may share
    it.

    The folder must be on a local file system: SQLite's WAL needs shared memory ("Write-Ahead
    Logging").

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     keys = pycloud.KeyPairStore(state)
    ...     keys.create("eucatest").name
    'eucatest'
    """

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.path = Path(path)
        self._write_lock: WriteLock
        self._sync: SharedSync
        self._idle: list[Connection] = []

    def _make_engine(self) -> Engine:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _make_file(self.path)
            self._write_lock = WriteLock(self.path)
        except OSError as error:
            raise StateError(f"cannot open the state {self.path}: {error.strerror}") from error
        self._sync = SharedSync()
        self._idle = []
        engine = create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": WAIT_S},
            pool_reset_on_return=None,  # every transaction is ended where it was begun
            hide_parameters=True,  # an error may be logged, and user data is nobody's business
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "close", _close_log)
        return engine

    def _begin(self, connection: Connection, *, reading: bool) -> None:
        # IMMEDIATE takes the one writer's place at once: what is read in the transaction stays true
        # in it.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Give a connection that was used before, the latest first: it remembers most pages. To
        check one out of SQLAlchemy's pool and in again costs more than a statement.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.engine.connect()
        try:
            yield connection
        finally:
            if not self._is_clean(connection):
                connection.invalidate()  # whatever was begun ends with it
            if connection.invalidated or len(self._idle) >= _IDLE:
                connection.close()
            else:
                self._idle.append(connection)

    def _is_clean(self, connection: Connection) -> bool:
        """Whether nothing is under way on it: SQLAlchemy may take a commit that failed for an end."""
        if connection.invalidated or connection.engine is not self._engine:
            return False
        driver: Any = connection.connection.dbapi_connection
        return not (driver.in_transaction or connection.in_transaction())

    @contextmanager
    def _writing(self, connection: Connection) -> Iterator[None]:
        sync = self._sync
        with self._write_lock.held():
            self._begin(connection, reading=False)
            log = self._log_of(connection)
            yield
            commit = sync.committed()
        sync.wait(commit, log)

    def _log_of(self, connection: Connection) -> int:
        """Return the descriptor of SQLite's log, which stays what it is while the connection has
        the database open. Raises `StateBusy`.
        """
        info = connection.info
        if "log" not in info:
            try:
                info["log"] = os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)
            except OSError as error:
                raise StateBusy(f"cannot open the log of {self.path}: {error.strerror}") from error
        return int(info["log"])

    def _disconnect(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self._write_lock.close()

    @contextmanager
    def _migrating(self, connection: Connection) -> Iterator[None]:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except DatabaseError as error:
            raise StateError(f"{self.path} is not a pycloud state: {error.orig}") from error
        yield
        connection.commit()

    def _announce(self) -> None:
        """Nothing to send: others see `data_version` change."""

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Look 20 times a second whether another connection has committed; that costs some
        microseconds.
        """
        stopping = threading.Event()
        thread = threading.Thread(
            target=_look, args=(self.path, on_change, stopping), name="pycloud-state", daemon=True
        )
        thread.start()

        def stop() -> None:
            stopping.set()
            thread.join()

        return stop

    def _lead(self, name: str) -> Leadership | None:
        """Lock a file beside the database; the kernel unlocks it when the process ends, however
        it ends.
        """
        file = os.open(f"{self.path}.{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        return _FileLock(file)


class _FileLock(Leadership):
    def __init__(self, file: int) -> None:
        self._file: int | None = file

    def held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _make_file(path: Path) -> None:
    """Make an empty database, for its owner's eyes only, if there is no file."""
    # One that is there is not even opened: when this process closed it again, the kernel would take
    # the locks away that SQLite may hold on it for another state ("How To Corrupt An SQLite Database
    # File").
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if path.is_dir() or not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(EACCES, "it is not a file that can be read and written")


def _close_log(_connection: SQLiteConnection, record: Any) -> None:
    if "log" in record.info:
        os.close(record.info.pop("log"))


def _prepare(connection: SQLiteConnection, _record: Any) -> None:
    connection.isolation_level = (
        None  # transactions begin where we say so, not where the driver guesses
    )
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
        # The log is synced after each commit, but by us: see `SharedSync`.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # What a savepoint needs to go back is a file otherwise, made for each transaction.
        cursor.execute("PRAGMA temp_store = MEMORY")
        # Pages of the log (32 MiB) until it is copied back, which costs syncs: objects are large.
        cursor.execute("PRAGMA wal_autocheckpoint = 8000")
    except SQLiteError as error:
        raise StateError(f"the file is not a pycloud state: {error}") from error
    finally:
        cursor.close()


def _look(path: Path, on_change: Callable[[], None], stopping: threading.Event) -> None:
    connection = connect(path, isolation_level=None)
    seen: object = None
    try:
        while not stopping.wait(_LOOK_EVERY_S):
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            if seen is not None and version != seen:
                on_change()
            seen = version
    finally:
        connection.close()
