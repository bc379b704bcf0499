"""`SharedCommits`: one durable commit for all the writers that wait for one.

A commit costs a sync of the disk, and SQLite has one writer at a time: eight who write small objects
would wait for eight syncs. Here one of them writes for all who have come meanwhile. Nobody goes on
before the sync that holds its own rows. PostgreSQL does the same in its server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError

from pycloud.errors import StateBusy
from pycloud.state.database import Database
from pycloud.state.transaction import Transaction

_T = TypeVar("_T")
_MOST = 64
"""Jobs of one commit: so that nobody waits for long."""
_GATHER_S = 0.002
"""How long the next commit waits, at most, for those who wrote in the last one to come back."""


class SharedCommits:
    """Runs jobs in transactions that they share. A job that fails takes no other with it; it may be
    run more than once.
    """

    def __init__(self, state: Database) -> None:
        self.state = state
        self._lock = threading.Condition()
        self._waiting: list[_Job[Any]] = []
        self._is_led = False
        self._writers = 1
        """How many wrote at once a moment ago."""
        self._spent_s = 0.0

    def run(self, act: Callable[[Transaction], _T]) -> _T:
        """Run `act` in a transaction; return what it returned, when that is durable."""
        if not self.state.shares_commits or self.state.is_under_way:
            with self.state.transaction() as tx:
                return act(tx)
        job = _Job(act)
        with self._lock:
            self._waiting.append(job)
            job.leads = not self._is_led
            self._is_led = True
            if len(self._waiting) >= self._writers:
                self._lock.notify()
        try:
            if not job.leads:
                job.turn.acquire()
            if job.leads:
                self._lead(job)
        except BaseException:
            self._abandon(job)
            raise
        return job.outcome()

    def _lead(self, mine: _Job[Any]) -> None:
        """Run what is waiting, one's own first, and let another one lead if there is more."""
        batch: list[_Job[Any]] = []
        began = time.monotonic()
        try:
            with self._lock:
                # Without this every other commit would be of one job: of whoever came first while
                # the others were hearing that theirs were done.
                patience = min(_GATHER_S, self._spent_s / 2)
                self._lock.wait_for(lambda: len(self._waiting) >= self._writers, patience)
                batch = self._waiting[:_MOST]
                del self._waiting[:_MOST]
            began = time.monotonic()
            self._commit(batch)
        finally:
            with self._lock:
                self._spent_s = time.monotonic() - began
                self._writers = min(max(len(batch) + len(self._waiting), 1), _MOST)
                self._hand_over()
            for job in batch:
                job.leads = False
                if job is not mine:
                    job.turn.release()

    def _hand_over(self) -> None:
        """Let the first of those who wait lead, if there is any."""
        self._is_led = bool(self._waiting)
        if self._is_led:
            self._waiting[0].leads = True
            self._waiting[0].turn.release()

    def _abandon(self, job: _Job[Any]) -> None:
        """Whoever waited for a job does so no more (a signal ended that): others must go on."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            if job.leads:
                self._hand_over()

    def _commit(self, batch: list[_Job[Any]]) -> None:
        """Run the jobs in one transaction; each in its own if one of several must be undone."""
        try:
            with self.state.transaction() as tx:
                for job in batch:
                    job.run(tx, alone=len(batch) == 1)
        except _UndoneError:
            for job in batch:
                job.error = None
            for job in batch:
                self._commit([job])
        except Exception as error:  # noqa: BLE001 - it is raised in the threads that it belongs to
            for job in batch:
                job.error = error
        else:
            for job in batch:
                job.is_done = True


class _UndoneError(Exception):
    """A job failed when it had changed something already."""


class _Job(Generic[_T]):
    def __init__(self, act: Callable[[Transaction], _T]) -> None:
        self.turn = threading.Lock()
        """Released when it is done, or when it is to lead."""
        self.turn.acquire()
        self.leads = False
        self.is_done = False
        self.error: Exception | None = None
        self._act = act
        self._result: _T | None = None

    def run(self, tx: Transaction, *, alone: bool) -> None:
        """Run the job. If it fails, the others of the transaction go on, but for three cases: it is
        alone; it has changed something (`_UndoneError`: a savepoint for each job would cost more);
        the database failed, and may have rolled all back ("Result and Error Codes", SQLITE_FULL).
        """
        before = tx.changes
        try:
            self._result = self._act(tx)
        except Exception as error:
            own = isinstance(error, IntegrityError) or not isinstance(error, DBAPIError)
            if alone or not own:
                raise
            if tx.changes != before:
                raise _UndoneError from error
            self.error = error

    def outcome(self) -> _T:
        if self.error is not None:
            raise self.error
        if not self.is_done:
            raise StateBusy("the one who was committing was interrupted: it may have happened")
        result: _T = self._result  # type: ignore[assignment]  # it has run
        return result
