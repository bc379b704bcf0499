"""The state in one file, for one host: SQLite in WAL mode, every commit synced."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import DatabaseError as SQLiteError
from sqlite3 import connect
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from pycloud.clock import Clock
from pycloud.errors import StateError
from pycloud.state.database import Database, Leadership

_WAIT_S = 30
_LOOK_EVERY_S = 0.05


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

    def _make_engine(self) -> Engine:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise StateError(f"cannot open the state {self.path}: {error.strerror}") from error
        engine = create_engine(
            f"sqlite:///{self.path}",
            connect_args={"timeout": _WAIT_S},
            hide_parameters=True,  # an error may be logged, and user data is nobody's business
        )
        event.listen(engine, "connect", _prepare)
        return engine

    def _begin(self, connection: Connection, *, reading: bool) -> None:
        # IMMEDIATE takes the one writer's place at once: what is read in the transaction stays true
        # in it.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

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


def _prepare(connection: SQLiteConnection, _record: Any) -> None:
    connection.isolation_level = (
        None  # transactions begin where we say so, not where the driver guesses
    )
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
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
