"""The state in PostgreSQL, for clouds whose controllers run on several hosts (extra
`pycloud[postgres]`).
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from pycloud.clock import Clock
from pycloud.errors import InvalidValue
from pycloud.state.database import Database, Leadership

_CHANNEL = "pycloud"
_LISTEN_S = 0.5
_SPEAK_S = 0.05
# A controller whose host vanished must lose its locks in seconds, not in the two hours of TCP's
# default.
_KEEPALIVE = "-c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3"


class PostgresState(Database):
    """A state in the database at `url`, such as `postgresql://pycloud@db.example/pycloud`.

    Writers run at READ COMMITTED and lock the rows they decide on; readers see one snapshot
    (REPEATABLE READ).
    """

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        try:
            self._url = make_url(url).set(drivername="postgresql+psycopg")
        except ArgumentError:
            raise InvalidValue(
                "not a database URL; right would be postgresql://user@host/name"
            ) from None
        self._speaker: _Speaker | None = None

    def _make_engine(self) -> Engine:
        return create_engine(
            self._url,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            hide_parameters=True,  # an error may be logged, and user data is nobody's business
            connect_args={"options": _KEEPALIVE, "connect_timeout": 10},
        )

    def _begin(self, connection: Connection, *, reading: bool) -> None:
        if reading:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))

    @contextmanager
    def _migrating(self, connection: Connection) -> Iterator[None]:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key("migration")})
        yield
        connection.commit()

    def _announce(self) -> None:
        """Have a thread say it: commits that notify wait for each other in the server, and syncs
        can't be shared.
        """
        with self._lock:
            if self._speaker is None:
                self._speaker = _Speaker(self.engine)
        self._speaker.unsaid.set()

    def _disconnect(self) -> None:
        if self._speaker is not None:
            self._speaker.stop()
            self._speaker = None

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Listen on a connection of its own, in a thread; a lost connection is made again."""
        stopping = threading.Event()
        thread = threading.Thread(
            target=self._listen, args=(on_change, stopping), name="pycloud-state", daemon=True
        )
        thread.start()

        def stop() -> None:
            stopping.set()
            thread.join()

        return stop

    def _lead(self, name: str) -> Leadership | None:
        """Take an advisory lock on a connection of its own; the server gives it back when that
        connection ends.
        """
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        taken = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)})
        if not taken:
            connection.close()
            return None
        return _AdvisoryLock(connection, name)

    def _listen(self, on_change: Callable[[], None], stopping: threading.Event) -> None:
        import psycopg

        dsn: dict[str, Any] = self._url.set(drivername="postgresql").translate_connect_args(
            username="user", database="dbname"
        )
        dsn |= dict(self._url.query)
        while not stopping.is_set():
            try:
                with psycopg.connect(**dsn, autocommit=True) as connection:
                    connection.execute(f"LISTEN {_CHANNEL}")
                    on_change()  # what was said while nobody listened
                    while not stopping.is_set():
                        for _ in connection.notifies(timeout=_LISTEN_S, stop_after=1):
                            on_change()
            except psycopg.OperationalError:
                stopping.wait(1)


class _Speaker:
    """Notifies others, in a thread, a few times a second at most."""

    def __init__(self, engine: Engine) -> None:
        self.unsaid = threading.Event()
        self._engine = engine
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pycloud-speaker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self.unsaid.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self.unsaid.wait()
            self.unsaid.clear()
            with contextlib.suppress(DBAPIError), self._engine.begin() as connection:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
                connection.execute(text(f"NOTIFY {_CHANNEL}"))
            time.sleep(_SPEAK_S)


class _AdvisoryLock(Leadership):
    def __init__(self, connection: Connection, name: str) -> None:
        self._connection: Connection | None = connection
        self._name = name

    def held(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            self.release()
            return False
        return True

    def release(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(DBAPIError):
                self._connection.execute(
                    text("SELECT pg_advisory_unlock(:key)"), {"key": _key(self._name)}
                )
            self._connection.close()
            self._connection = None


def _key(name: str) -> int:
    """Return the 64-bit number by which PostgreSQL knows an advisory lock."""
    digest = hashlib.sha256(f"pycloud/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
