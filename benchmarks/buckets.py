"""What the object store does without HTTP: small durable writes beside what the disk can do, a long
write beside a bare loop, reads that verify, and pages of a bucket with a million keys.

    python -m benchmarks.buckets          all of it, on both databases
    python -m benchmarks.buckets writes   without the million keys
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import text

from benchmarks.postgres import private_server
from benchmarks.report import median, report, seconds
from pycloud.drivers.files import FileBlobs
from pycloud.ids import ADMIN_ACCOUNT
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.schema import objects
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore

SMALL = os.urandom(4096)
THREADS, WRITES = 8, 500
MIB = 1024**2
LONG_MIB = 512
FEW, MANY = 10_000, 1_000_000
ROWS_AT_ONCE = 20_000
PAGE_GOAL_MS = 30.0


def main() -> None:
    """Measure, in a folder of the working directory: there the disk is a real one."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for name, state in _states(Path(folder)):
            store = BucketStore(state, FileBlobs(Path(folder) / f"blobs-{name}"))
            store.create_bucket("bench")
            _small(store, Path(folder) / f"floor-{name}", name)
            _long(store, Path(folder), name)
            if "writes" not in sys.argv:
                _pages(store, name)


def _states(folder: Path) -> Iterator[tuple[str, Database]]:
    with SQLiteState(folder / "cloud.db") as state:
        yield "SQLite", state
    with private_server() as url, PostgresState(url) as state:
        yield "PostgreSQL", state


def _small(store: BucketStore, folder: Path, name: str) -> None:
    folder.mkdir()
    floor = _rate(lambda key: _bare_small(folder, key))
    puts = _rate(lambda key: store.put("bench", key, io.BytesIO(SMALL)))
    gets = _rate(lambda key: _read(store, key))
    what = f"4 KiB, {THREADS} threads, {name}"
    goal = "> 0.5 of the peer: create, sync, rename, sync of the folder"
    report(f"durable puts of {what}", puts, "1/s", goal, met=puts > 0.5 * floor, peer=floor)
    report(f"gets of {what}", gets, "1/s", "> puts", met=gets > puts, peer=puts)


def _rate(act: Callable[[str], object]) -> float:
    def run(thread: int) -> None:
        for number in range(WRITES):
            act(f"{thread}-{number}")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]

    def run_all() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return THREADS * WRITES / seconds(run_all)


def _bare_small(folder: Path, key: str) -> None:
    place = folder / key
    unfinished = place.with_suffix(".part")
    with unfinished.open("xb", buffering=0) as file:
        file.write(SMALL)
        os.fsync(file.fileno())
    unfinished.rename(place)
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _read(store: BucketStore, key: str) -> None:
    with store.get("bench", key) as stream:
        assert stream.read() == SMALL


class _Long:
    """A stream of `LONG_MIB`."""

    def __init__(self) -> None:
        self._left = LONG_MIB
        self._data = os.urandom(MIB)

    def read(self, size: int = -1, /) -> bytes:
        self._left -= 1
        return self._data if self._left >= 0 else b""


def _long(store: BucketStore, folder: Path, name: str) -> None:
    bare = median([seconds(lambda: _bare_long(folder / "long")) for _ in range(3)])
    put = median([seconds(lambda: store.put("bench", "long", _Long())) for _ in range(3)])
    what = f"put of {LONG_MIB} MiB, {name}; peer: a loop that reads, makes the MD5, writes, syncs"
    speed, peer = LONG_MIB / put, LONG_MIB / bare
    report(what, speed, "MiB/s", ">= 0.7 of the peer", met=speed >= 0.7 * peer, peer=peer)
    with store.get("bench", "long") as stream:
        read = LONG_MIB / seconds(lambda: sum(map(len, stream.blocks())))
    report(f"verified read of it, {name}", read, "MiB/s", "> 1500 MiB/s", met=read > 1500)


def _bare_long(place: Path) -> None:
    stream, digest = _Long(), hashlib.md5(usedforsecurity=False)
    with place.open("wb", buffering=0) as file:
        while chunk := stream.read(MIB):
            digest.update(chunk)
            file.write(chunk)
        os.fsync(file.fileno())


def _pages(store: BucketStore, name: str) -> None:
    few, many = (_page_ms(store, count) for count in (FEW, MANY))
    what = f"page of 1000 common prefixes of {MANY} keys, {name}; peer: of {FEW} keys"
    goal = f"<= {PAGE_GOAL_MS} ms, <= 2 of the peer"
    met = many <= PAGE_GOAL_MS and many <= 2 * few
    report(what, many, "ms", goal, met=met, peer=few)


def _page_ms(store: BucketStore, count: int) -> float:
    bucket = f"keys-{count}"
    store.create_bucket(bucket)
    _fill(store.state, bucket, count)

    def page() -> None:
        found = store.list(bucket, prefix="dir", delimiter="/", after="dir00500/")
        assert len(found.prefixes) == 1000

    page()
    return median([seconds(page) for _ in range(9)]) * 1000


def _fill(state: Database, bucket: str, count: int) -> None:
    """Write the rows of objects that have no bytes: a million puts would take an hour."""
    for start in range(0, count, ROWS_AT_ONCE):
        rows = [
            _row(state, bucket, number) for number in range(start, min(start + ROWS_AT_ONCE, count))
        ]
        with state.transaction() as tx:
            tx.execute(objects.insert(), rows)
    if not state.shares_commits:
        with state.transaction() as tx:
            tx.execute(text("ANALYZE objects"))


def _row(state: Database, bucket: str, number: int) -> dict[str, object]:
    return {
        "bucket": bucket,
        "key": f"dir{number % 2000:05}/sub{number % 7}/file{number:07}".encode(),
        "rank": number,
        "version_id": "null",
        "is_latest": True,
        "is_delete_marker": False,
        "is_shown": True,
        "account": ADMIN_ACCOUNT,
        "created_at": state.clock.now(),
        "size_bytes": 0,
        "etag": hashlib.md5(b"", usedforsecurity=False).hexdigest(),
        "storage_class": "STANDARD",
        "legal_hold": False,
        "has_sums": False,
        "headers": "{}",
        "metadata": "{}",
        "tags": "{}",
    }


if __name__ == "__main__":
    main()
