"""What SQLite lacks for many writers: they wait in line, and share the syncs of its log.

Its own lock is still what counts; but whoever waits for that one looks again after 1, 2, 5, 10 ms
and more, while most transactions take less than one. And it syncs while nobody else may write.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pycloud.errors import StateBusy, StateError

WAIT_S = 30
_LOOK_EVERY_S = 0.0002


class WriteLock:
    """The one writer's place: for the threads of one process, and by a locked file for processes.
    The kernel unlocks that when its process ends, however it ends.
    """

    def __init__(self, database: Path) -> None:
        self._threads = threading.Lock()
        path = f"{database}.write.lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._is_closed = False
        if os.geteuid() == 0:
            owner = database.stat()
            with suppress(OSError):  # its owner must be able to open it too, if that can be had
                os.fchown(self._file, owner.st_uid, owner.st_gid)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it in the block. Raises `StateBusy` if others hold it for too long, `StateError` if
        it was closed.
        """
        deadline = time.monotonic() + WAIT_S
        if not self._threads.acquire(timeout=WAIT_S):
            raise StateBusy(f"another thread has been writing for {WAIT_S} s")
        try:
            if self._is_closed:
                raise StateError("the state was closed meanwhile")
            try:
                self._lock_file(deadline)
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)  # also if a signal came before it was noted
        finally:
            self._threads.release()

    def close(self) -> None:
        """Give the file back, after the thread that is writing; one that never ends keeps it."""
        if not self._threads.acquire(timeout=WAIT_S):
            return
        self._is_closed = True
        os.close(self._file)
        self._threads.release()

    def _lock_file(self, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StateBusy(f"another process has been writing for {WAIT_S} s") from None
                time.sleep(_LOOK_EVERY_S)
            else:
                return


class SharedSync:
    """Syncs the log after commits: once for all that came before the sync began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._committed = 0
        self._synced = 0
        self._error: OSError | None = None

    def committed(self) -> int:
        """Return the number of a commit that has just been made, by the one who may write."""
        self._committed += 1
        return self._committed

    def wait(self, commit: int, log: int) -> None:
        """Return when that commit is durable; `log` is the file's descriptor. Raises `StateError`
        if it can't be made so: nobody knows then what the disk holds, and a later sync may say that
        all is well, so no other commit of this process is believed either.
        """
        with self._lock:
            if self._synced < commit and self._error is None:
                latest = self._committed
                try:
                    os.fdatasync(log)
                    self._synced = latest
                except OSError as error:
                    self._error = error
            if self._synced < commit:
                raise StateError(
                    f"the disk did not keep what was written: {self._error}; look at the disk, and "
                    "start again"
                )
