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

from pycloud.state.database import Database
from pycloud.state.transaction import Transaction

_T = TypeVar("_T")
_MOST = 64
"""Jobs of one commit: so that nobody waits for long."""
_GATHER_S = 0.002
"""How long the next commit waits, at most, for those who wrote in the last one to come back."""


class SharedCommits:
    """Runs jobs in transactions that they share. A job that fails takes no other with it."""

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
                job.turn.wait()
            if job.leads:
                self._lead()
        except BaseException:
            self._abandon(job)
            raise
        return job.outcome()

    def _lead(self) -> None:
        """Run what is waiting, oneself first, and let another one lead if there is more."""
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
                job.turn.set()

    def _hand_over(self) -> None:
        """Let the first of those who wait lead, if there is any."""
        self._is_led = bool(self._waiting)
        if self._is_led:
            self._waiting[0].leads = True
            self._waiting[0].turn.set()

    def _abandon(self, job: _Job[Any]) -> None:
        """Whoever waited for a job does so no more (a signal ended that): others must go on."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            if job.leads:
                self._hand_over()

    def _commit(self, batch: list[_Job[Any]]) -> None:
        try:
            with self.state.transaction() as tx:
                for job in batch:
                    job.run(tx, alone=len(batch) == 1)
        except BaseException as error:
            for job in batch:
                job.error = job.error or error
            if not isinstance(error, Exception):
                raise


class _Job(Generic[_T]):
    def __init__(self, act: Callable[[Transaction], _T]) -> None:
        self.turn = threading.Event()
        """Set when it is done, or when it is to lead."""
        self.leads = False
        self.error: BaseException | None = None
        self._act = act
        self._result: _T | None = None

    def run(self, tx: Transaction, *, alone: bool) -> None:
        """Run the job; let its error pass only if there is no other in the transaction."""
        if alone:
            self._result = self._act(tx)
            return
        try:
            with tx.nested():
                self._result = self._act(tx)
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that it belongs to
            self.error = error

    def outcome(self) -> _T:
        if self.error is not None:
            raise self.error
        result: _T = self._result  # type: ignore[assignment]  # it has run
        return result
