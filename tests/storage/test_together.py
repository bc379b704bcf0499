"""Many at once: threads, and several processes on one store. Each answer is one that S3 could give."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from pycloud import limits
from pycloud.drivers.files import FileBlobs
from pycloud.errors import NotFound, PreconditionFailed, Refused, StateBusy
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.schema import journal
from pycloud.state.sqlite import SQLiteState
from pycloud.state.transaction import Transaction
from pycloud.storage.buckets import BucketStore
from pycloud.storage.commits import SharedCommits, _Job
from pycloud.storage.records import PartChoice, Versioning
from tests.conftest import NewDatabase
from tests.storage.conftest import files, keys, put, read

LARGE = 300_000


def _content(number: int, size: int = LARGE) -> bytes:
    """Return bytes of which any mixture with others can be told."""
    return bytes([number]) * size


def _at_once(*acts: Callable[[], object]) -> list[object]:
    """Do all at once; return what each gave or raised."""
    results: list[object] = [None] * len(acts)
    gate = threading.Barrier(len(acts))

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = acts[number]()
        except Exception as error:  # noqa: BLE001 - it is looked at
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("size", [100, LARGE])
def test_two_writers_of_one_key_leave_one_whole_object(store: BucketStore, size: int) -> None:
    contents = [_content(number, size) for number in range(6)]
    etags = {hashlib.md5(one).hexdigest() for one in contents}
    results = _at_once(
        *(lambda one=one: store.put("holiday", "beach", io.BytesIO(one)).etag for one in contents)
    )
    assert set(results) == etags
    assert read(store, "beach") in contents
    assert len(files(store)) == (size > limits.SMALL_OBJECT_BYTES)


def test_of_many_who_must_be_first_one_is(store: BucketStore) -> None:
    results = _at_once(
        *(
            lambda number=number: store.put(
                "holiday", "lock", io.BytesIO(_content(number)), if_none_match="*"
            )
            for number in range(6)
        )
    )
    refused = [one for one in results if isinstance(one, PreconditionFailed)]
    assert len(refused) == 5
    [winner] = [one for one in results if not isinstance(one, Exception)]
    assert store.head("holiday", "lock") == winner
    assert len(files(store)) == 1


def test_no_update_with_a_condition_is_lost(store: BucketStore) -> None:
    put(store, "count", b"0")

    def add() -> None:
        while True:
            with store.get("holiday", "count") as stream:
                count, etag = int(stream.read()), stream.stored.etag
            try:
                store.put("holiday", "count", io.BytesIO(b"%d" % (count + 1)), if_match=etag)
            except PreconditionFailed:
                continue
            return

    assert _at_once(*([add] * 6)) == [None] * 6
    assert read(store, "count") == b"6"


def test_a_reader_sees_one_object_or_the_other(store: BucketStore) -> None:
    put(store, "beach", _content(0))
    stop = threading.Event()
    seen: list[bytes] = []

    def look() -> None:
        while not stop.is_set():
            try:
                found = read(store, "beach")
            except NotFound:
                continue
            assert len(set(found)) == 1
            assert len(found) == LARGE
            seen.append(found[:1])

    def change() -> None:
        try:
            for number in range(1, 25):
                put(store, "beach", _content(number))
                if number % 5 == 0:
                    store.delete("holiday", "beach")
        finally:
            stop.set()

    assert _at_once(change, look, look) == [None] * 3
    assert seen


def test_a_list_while_others_write_has_all_that_were_there(store: BucketStore) -> None:
    steady = [f"steady/{number:03}" for number in range(50)]
    for key in steady:
        put(store, key)
    stop = threading.Event()

    def write() -> None:
        try:
            for number in range(30):
                put(store, f"new/{number}")
                put(store, f"zoo/{number}")
                store.delete("holiday", f"new/{number}")
        finally:
            stop.set()

    def look() -> None:
        while not stop.is_set():
            found: list[str] = []
            after: str | None = ""
            while after is not None:
                page = store.list("holiday", after=after, most=7)
                found += [one.key for one in page.objects]
                after = page.next
            assert [key for key in found if key.startswith("steady/")] == steady
            assert found == sorted(set(found))

    assert _at_once(write, look) == [None] * 2


def test_an_upload_is_completed_or_aborted(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PART_MIN_BYTES", 1000)
    for _ in range(5):
        _complete_beside_abort(store)
    store.state.clock.advance(seconds=limits.READING_S)  # type: ignore[attr-defined]
    store.sweep()
    assert files(store) == []


def _complete_beside_abort(store: BucketStore) -> None:
    uploads = store.uploads
    upload = uploads.begin("holiday", "film").id

    def part(number: int) -> PartChoice:
        stream = io.BytesIO(_content(number))
        return PartChoice(number, uploads.put_part("holiday", "film", upload, number, stream).etag)

    chosen = [part(1), part(2)]
    completed, aborted, late = _at_once(
        lambda: uploads.complete("holiday", "film", upload, chosen),
        lambda: uploads.abort("holiday", "film", upload),
        lambda: part(3),
    )
    assert isinstance(completed, NotFound) != isinstance(aborted, NotFound)
    assert not isinstance(late, Exception) or isinstance(late, NotFound)
    if isinstance(aborted, NotFound):
        assert read(store, "film") == _content(1) + _content(2)
        store.delete("holiday", "film")
    assert keys(store) == []


def test_copies_beside_overwrites_and_deletes_are_whole(store: BucketStore) -> None:
    put(store, "a", _content(1))
    put(store, "b", _content(2))

    def copy(source: str, key: str) -> None:
        for _ in range(8):
            try:
                store.copy("holiday", source, "holiday", key)
            except NotFound:
                put(store, source, _content(3))

    def delete() -> None:
        for _ in range(8):
            store.delete("holiday", "a")

    assert _at_once(lambda: copy("a", "b"), lambda: copy("b", "a"), delete) == [None] * 3
    for key in keys(store):
        assert read(store, key) in [_content(number) for number in (1, 2, 3)]
    store.sweep(older_than_s=0)
    assert store.scrub().damaged == ()
    assert len(files(store)) <= 2


def test_a_sweep_beside_writers_takes_nothing_of_theirs(store: BucketStore) -> None:
    stop = threading.Event()

    def write() -> None:
        try:
            for number in range(20):
                put(store, f"{number}", _content(number))
        finally:
            stop.set()

    def sweep() -> None:
        while not stop.is_set():
            assert store.sweep() == 0

    assert _at_once(write, sweep) == [None] * 2
    assert store.scrub().damaged == ()


def test_a_bucket_that_goes_while_others_write_leaves_nothing(store: BucketStore) -> None:
    for _ in range(5):
        store.create_bucket("brief")
        wrote, went = _at_once(
            lambda: put(store, "beach", _content(1), bucket="brief"),
            lambda: store.delete_bucket("brief"),
        )
        if isinstance(went, Exception):
            assert isinstance(went, Refused)
            assert wrote == "null"
            store.delete("brief", "beach")
            store.delete_bucket("brief")
        elif isinstance(wrote, Exception):
            assert isinstance(wrote, NotFound)
    assert files(store) == []


def _together(state: Database, *acts: Callable[[Transaction], object]) -> list[object]:
    """Run jobs that find somebody writing, so that they share the next commit."""
    commits = SharedCommits(state)
    entered, go_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        entered.set()
        go_on.wait(20)

    first = threading.Thread(target=lambda: commits.run(hold))
    first.start()
    entered.wait(20)

    def let_go() -> None:
        while state.shares_commits and len(commits._waiting) < len(acts):
            first.join(0.001)
        go_on.set()

    threading.Thread(target=let_go).start()
    found = _at_once(*[partial(commits.run, act) for act in acts])
    first.join()
    return found


def _records(state: Database) -> set[str]:
    with state.reading() as tx:
        return set(tx.execute(select(journal.c.subject)).scalars())


def _recorder(subject: str) -> Callable[[Transaction], str]:
    def record(tx: Transaction) -> str:
        tx.record("test", subject)
        return subject

    return record


def test_a_job_that_fails_takes_no_other_with_it(state: Database) -> None:
    """Also when they share a commit."""

    def fail(tx: Transaction) -> str:
        raise LookupError("this one fails")

    found = _together(state, _recorder("a"), fail, _recorder("b"), fail)
    assert [str(one) for one in found] == ["a", "this one fails", "b", "this one fails"]
    assert _records(state) == {"a", "b"}


def test_a_job_that_fails_half_way_leaves_nothing(state: Database) -> None:
    def fail(tx: Transaction) -> str:
        tx.record("test", "lost")
        raise LookupError("this one fails")

    found = _together(state, _recorder("a"), fail, _recorder("b"))
    assert [str(one) for one in found] == ["a", "this one fails", "b"]
    assert _records(state) == {"a", "b"}


def test_when_the_database_fails_all_who_share_the_commit_fail(tmp_path: Path) -> None:
    """It may have rolled back what the others wrote."""

    def fail(tx: Transaction) -> None:
        raise OperationalError("INSERT", None, Exception("database or disk is full"))

    with SQLiteState(tmp_path / "cloud.db") as state:
        found = _together(state, _recorder("a"), fail, _recorder("b"))
        assert [type(one) for one in found] == [StateBusy] * 3
        assert _records(state) == set()


def test_nobody_is_told_that_all_is_well_if_the_leader_is_interrupted(tmp_path: Path) -> None:
    runs = iter(["together", "alone"])

    def interrupted(tx: Transaction) -> None:
        if next(runs) == "alone":
            raise KeyboardInterrupt

    def fail(tx: Transaction) -> None:
        tx.record("test", "lost")
        raise LookupError("so that each has a transaction of its own")

    with SQLiteState(tmp_path / "cloud.db") as state:
        jobs: list[_Job[object]] = [_Job(interrupted), _Job(_recorder("a")), _Job(fail)]
        with pytest.raises(KeyboardInterrupt):
            SharedCommits(state)._commit(jobs)
        assert _records(state) == set()
        for job in jobs:
            with pytest.raises(StateBusy, match="was interrupted"):
                job.outcome()


def test_a_writer_that_is_interrupted_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal may end the wait of whoever is to lead."""
    state = SQLiteState(tmp_path / "cloud.db").open()
    commits = SharedCommits(state)

    def interrupt(self: object, *arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Condition, "wait_for", interrupt)
        with pytest.raises(KeyboardInterrupt):
            commits.run(lambda tx: "never")
    assert _at_once(*([lambda: commits.run(lambda tx: "done")] * 3)) == ["done"] * 3
    state.close()


def _work(place: str, folder: str, number: int, results: multiprocessing.Queue[object]) -> None:
    """One of several processes on one store."""
    make = SQLiteState if place.startswith("/") else PostgresState
    try:
        with make(place) as state:
            store = BucketStore(state, FileBlobs(folder))
            for turn in range(12):
                store.put("shared", "one", io.BytesIO(_content(number)))
                store.put("shared", f"own/{number}/{turn}", io.BytesIO(_content(number, 100)))
                with store.get("shared", "one") as stream:
                    found = stream.read()
                assert len(set(found)) == 1
                assert len(found) == LARGE
                with_delimiter = store.list("shared", delimiter="/")
                assert "own/" in with_delimiter.prefixes
        results.put(None)
    except BaseException as error:  # noqa: BLE001 - the test names it
        results.put(repr(error))


def test_several_processes_share_one_store(new_database: NewDatabase, tmp_path: Path) -> None:
    place = new_database() or str(tmp_path / "cloud.db")
    make = SQLiteState if place.startswith("/") else PostgresState
    with make(place) as state:
        store = BucketStore(state, FileBlobs(tmp_path / "blobs"))
        store.create_bucket("shared")
        store.set_versioning("shared", Versioning.ENABLED)
        context = multiprocessing.get_context("spawn")
        results: multiprocessing.Queue[object] = context.Queue()
        workers = [
            context.Process(target=_work, args=(place, str(tmp_path / "blobs"), number, results))
            for number in range(3)
        ]
        for worker in workers:
            worker.start()
        assert [results.get(timeout=120) for _ in workers] == [None] * 3
        for worker in workers:
            worker.join()
        versions = store.list_versions("shared", prefix="one").versions
        assert len(versions) == 36
        assert [one.is_latest for one in versions] == [True] + [False] * 35
        assert len(keys(store, "shared")) == 37
        assert store.sweep(older_than_s=0) == 0
        assert store.scrub().damaged == ()
