"""What the state in one file does itself so that many writers are quick, and nothing is lost."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from pycloud.errors import StateBusy, StateError
from pycloud.state import wal
from pycloud.state.schema import journal
from pycloud.state.sqlite import SQLiteState

WAIT_S = 20
_WRITE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("DELETE FROM journal")
connection.close()
"""


class Disk:
    """Stands before `fdatasync`: counts syncs, holds them up, lets them fail."""

    def __init__(self) -> None:
        self.syncs = 0
        self.is_slow = threading.Event()
        self.go_on = threading.Event()
        self.waiting = threading.Event()
        self.error: OSError | None = None
        self.after: Callable[[], object] = lambda: None
        self._sync = os.fdatasync

    def sync(self, file: int) -> None:
        self.syncs += 1
        if self.is_slow.is_set():
            self.waiting.set()
            assert self.go_on.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        self._sync(file)
        self.after()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "fdatasync", disk.sync)
    return disk


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SQLiteState]:
    with SQLiteState(tmp_path / "cloud.db") as state:
        yield state


def _record(state: SQLiteState, subject: str) -> None:
    with state.transaction() as tx:
        tx.record("test", subject)


def _count(state: SQLiteState) -> int:
    with state.reading() as tx:
        return int(tx.execute(select(func.count()).select_from(journal)).scalar_one())


@contextmanager
def _threads(acts: list[Callable[[], None]]) -> Iterator[list[threading.Thread]]:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_nobody_goes_on_before_the_sync(state: SQLiteState, disk: Disk) -> None:
    disk.is_slow.set()
    with _threads([lambda: _record(state, "one")]) as [writer]:
        assert disk.waiting.wait(WAIT_S)
        assert _count(state) == 1, "it is committed"
        assert writer.is_alive(), "but not answered yet"
        disk.go_on.set()


def test_those_who_commit_during_a_sync_share_the_next(state: SQLiteState, disk: Disk) -> None:
    disk.is_slow.set()
    with _threads([lambda: _record(state, "first")]):
        assert disk.waiting.wait(WAIT_S)
        with _threads([lambda: _record(state, "later")] * 6):
            deadline = time.monotonic() + WAIT_S
            while _count(state) < 7 and time.monotonic() < deadline:
                disk.waiting.wait(0.001)
            disk.go_on.set()
    assert _count(state) == 7
    assert disk.syncs <= 3, "the last may be seen a moment before it asks for a sync"


def test_what_was_answered_is_in_what_was_synced(
    state: SQLiteState, disk: Disk, tmp_path: Path
) -> None:
    """A power cut leaves, at the worst, what the last sync saw."""
    kept = tmp_path / "kept"

    def keep() -> None:
        kept.mkdir(exist_ok=True)
        for name in ("cloud.db", "cloud.db-wal"):
            shutil.copy(tmp_path / name, kept / name)

    disk.after = keep
    for number in range(20):
        _record(state, str(number))
        with SQLiteState(kept / "cloud.db") as after:
            assert _count(after) == number + 1


def test_after_a_sync_that_failed_nothing_is_believed(
    state: SQLiteState, disk: Disk, tmp_path: Path
) -> None:
    _record(state, "before")
    disk.error = OSError(5, "Input/output error")
    with pytest.raises(StateError, match=r"did not keep.*Input/output error"):
        _record(state, "lost")
    disk.error = None
    with pytest.raises(StateError, match="start again"):
        _record(state, "after")
    state.close()
    with SQLiteState(tmp_path / "cloud.db") as again:
        _record(again, "anew")


def test_a_failed_transaction_lets_the_next_one_in(state: SQLiteState) -> None:
    with pytest.raises(LookupError), state.transaction():
        raise LookupError
    _record(state, "next")
    assert _count(state) == 1


def test_a_thread_that_writes_for_too_long(
    state: SQLiteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "WAIT_S", 0.1)
    errors: list[StateBusy] = []

    def write() -> None:
        try:
            _record(state, "other")
        except StateBusy as error:
            errors.append(error)

    with state.transaction(), _threads([write]) as [writer]:
        writer.join(WAIT_S)
    assert [str(error) for error in errors] == ["another thread has been writing for 0.1 s"]


def _hold(path: Path, held: multiprocessing.Queue[str]) -> None:
    with SQLiteState(path) as state, state.transaction():
        held.put("held")
        threading.Event().wait()


def test_a_process_that_writes_for_too_long(
    state: SQLiteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Queue()
    process = context.Process(target=_hold, args=(state.path, held), daemon=True)
    process.start()
    assert held.get(timeout=WAIT_S) == "held"
    with monkeypatch.context() as patch:
        patch.setattr(wal, "WAIT_S", 0.1)
        with pytest.raises(StateBusy, match="another process has been writing"):
            _record(state, "one")
    process.kill()
    process.join()
    _record(state, "two")
    assert _count(state) == 1


def test_a_second_state_of_one_process_keeps_the_locks_of_the_first(state: SQLiteState) -> None:
    """A process that closes a file loses all locks that it has on it: SQLite's too, and then
    another process takes the log away.
    """
    with state.reading() as tx:
        assert tx.execute(select(journal)).all() == []
        with SQLiteState(state.path):
            pass
        subprocess.run([sys.executable, "-c", _WRITE, str(state.path)], check=True)
        assert Path(f"{state.path}-wal").exists(), "somebody still has it open"


def test_a_commit_that_fails_leaves_nothing_under_way(state: SQLiteState) -> None:
    def fail(_connection: object) -> None:
        raise LookupError("before SQLite hears of it")

    event.listen(state.engine, "commit", fail)
    with pytest.raises(LookupError):
        _record(state, "lost")
    event.remove(state.engine, "commit", fail)
    subprocess.run([sys.executable, "-c", _WRITE, str(state.path)], check=True, timeout=WAIT_S)
    _record(state, "next")
    assert _count(state) == 1


def test_who_closes_waits_for_the_one_that_writes(state: SQLiteState, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with state.transaction() as tx:
            begun.set()
            assert go_on.wait(WAIT_S)
            tx.record("test", "subject")

    with _threads([write]):
        assert begun.wait(WAIT_S)
        with _threads([state.close]) as [closer]:
            deadline = time.monotonic() + WAIT_S
            while state._engine is not None and time.monotonic() < deadline:
                closer.join(0.001)
            assert closer.is_alive()
            go_on.set()
    with SQLiteState(tmp_path / "cloud.db") as again:
        assert _count(again) == 1


def test_a_lock_that_was_closed_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "cloud.db").touch()
    lock = wal.WriteLock(tmp_path / "cloud.db")
    lock.close()
    with pytest.raises(StateError, match="was closed"), lock.held():
        pass


def test_the_lock_is_the_databases_owners(tmp_path: Path) -> None:
    path = tmp_path / "cloud.db"
    with SQLiteState(path):
        os.chown(path, 12345, 12345)
    (tmp_path / "cloud.db.write.lock").unlink()
    with SQLiteState(path):
        pass
    assert (tmp_path / "cloud.db.write.lock").stat().st_uid == 12345


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot open the state .*not a file that can be read"):
        SQLiteState(tmp_path).open()
