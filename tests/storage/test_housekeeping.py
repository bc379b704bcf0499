"""Bit rot, lost bytes, full disks and what is swept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event, update

from pycloud import limits
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.sim_blobs import SimBlobs, SimShelf
from pycloud.errors import Damaged, DiskFull
from pycloud.identity.sealing import Seal
from pycloud.state.database import Database
from pycloud.state.schema import contents, objects
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import About, PartChoice
from pycloud.storage.sums import Sums, SumsWriter
from tests.storage.conftest import LARGE, SMALL, files, keys, put, read

BLOCK = limits.BLOCK_BYTES


@pytest.fixture
def shelf() -> SimShelf:
    return SimShelf()


@pytest.fixture
def sim(state: Database, shelf: SimShelf) -> Iterator[BucketStore]:
    store = BucketStore(state, SimBlobs(shelf), seal=Seal(bytes(32)))
    store.create_bucket("holiday")
    yield store
    assert store.sweep(older_than_s=0) == 0


@pytest.mark.parametrize("about", [About(), About(encryption="AES256")])
@pytest.mark.parametrize("at", [0, BLOCK, 2 * BLOCK - 1, len(LARGE) - 1, -1, -16, -20])
def test_bit_rot_is_never_given_out(
    sim: BucketStore, shelf: SimShelf, at: int, about: About
) -> None:
    sim.put("holiday", "beach", io.BytesIO(LARGE), about=about)
    [blob] = shelf.blobs
    shelf.rot(blob, at)
    given: list[bytes] = []
    with sim.get("holiday", "beach") as stream, pytest.raises(Damaged):
        given.extend(stream.blocks())
    assert LARGE.startswith(b"".join(given))
    if 0 <= at < BLOCK and about.encryption is None:
        with sim.get("holiday", "beach") as stream:
            assert b"".join(stream.blocks(BLOCK, 2 * BLOCK)) == LARGE[BLOCK : 2 * BLOCK + 1]
            with pytest.raises(Damaged):
                list(stream.blocks(at + 9, at + 9))
            with pytest.raises(Damaged):
                list(stream.spans())
    report = sim.scrub()
    [damage] = report.damaged
    assert (damage.bucket, damage.key, damage.version_id) == ("holiday", "beach", "null")
    assert (list(shelf.quarantined), shelf.blobs) == ([blob], {})
    with pytest.raises(Damaged):
        sim.get("holiday", "beach")


def test_a_blob_that_was_cut_off_or_lost_is_damage(sim: BucketStore, shelf: SimShelf) -> None:
    put(sim, "beach", LARGE)
    [blob] = shelf.blobs
    whole = shelf.blobs[blob]
    for rest in (whole[:-1], whole[: len(LARGE)], whole[:100], b""):
        shelf.blobs[blob] = rest
        with sim.get("holiday", "beach") as stream, pytest.raises(Damaged):
            stream.read()
    del shelf.blobs[blob]
    with pytest.raises(Damaged):
        sim.get("holiday", "beach")
    assert [one.key for one in sim.scrub().damaged] == ["beach"]


def test_rot_in_the_database_is_found_too(sim: BucketStore) -> None:
    put(sim, "beach", SMALL)
    with sim.state.transaction() as tx:
        tx.execute(update(contents).values(data=SMALL[::-1]))
    with pytest.raises(Damaged):
        sim.get("holiday", "beach")
    assert [one.key for one in sim.scrub().damaged] == ["beach"]


def test_a_scrub_reads_everything_page_by_page(sim: BucketStore, shelf: SimShelf) -> None:
    for number in range(5):
        put(sim, f"{number}", LARGE[: 20_000 * number])
    sim.create_bucket("another")
    put(sim, "x", bucket="another")
    upload = sim.uploads.begin("holiday", "parts").id
    part = sim.uploads.put_part("holiday", "parts", upload, 1, io.BytesIO(SMALL))
    sim.uploads.complete("holiday", "parts", upload, [PartChoice(1, part.etag)])
    after, count, size = None, 0, 0
    while True:
        report = sim.scrub(after=after, most=2)
        assert report.damaged == ()
        count += report.objects
        size += report.size_bytes
        after = report.next
        if after is None:
            break
    assert (count, size) == (7, 20_000 * 10 + 2 * len(SMALL))


def test_a_full_disk_refuses_and_keeps_what_there_is(sim: BucketStore, shelf: SimShelf) -> None:
    put(sim, "kept", LARGE)
    shelf.capacity_bytes = len(LARGE) * 2
    with pytest.raises(DiskFull):
        put(sim, "kept", LARGE)
    assert (keys(sim), read(sim, "kept")) == (["kept"], LARGE)
    assert (len(shelf.blobs), shelf.unfinished) == (1, {})
    put(sim, "small")
    assert read(sim, "small") == SMALL


def test_a_full_disk_under_the_database_is_named_as_such(tmp_path: Path) -> None:
    with SQLiteState(tmp_path / "cloud.db") as state:
        store = BucketStore(state, FileBlobs(tmp_path / "blobs"))
        store.create_bucket("holiday")
        put(store, "kept")
        with state.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        event.listen(
            state.engine,
            "begin",
            lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}"),
        )
        with pytest.raises(DiskFull):
            put(store, "beach", LARGE[: limits.SMALL_OBJECT_BYTES])
        assert (keys(store), read(store, "kept")) == (["kept"], SMALL)


def test_bytes_without_a_row_are_swept(store: BucketStore) -> None:
    put(store, "beach", LARGE)
    store.blobs.write(io.BytesIO(b"the process died before the row"))
    assert store.sweep() == 0, "it may be about to be recorded"
    assert store.tidy() == 0
    assert store.sweep(older_than_s=0) == 1
    assert read(store, "beach") == LARGE
    assert len(files(store)) == 1


def test_a_step_sweeps_a_part(sim: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ORPHAN_S", 0)
    monkeypatch.setattr("pycloud.storage.housekeeping._AT_ONCE", 2)
    for _ in range(5):
        sim.blobs.write(io.BytesIO(b"orphan"))
    assert [sim.tidy() for _ in range(5)] == [2, 2, 1, 0, 0]


def test_objects_of_older_versions_are_read_and_scrubbed(
    sim: BucketStore, shelf: SimShelf, state: Database
) -> None:
    """Their blobs have no sums."""
    put(sim, "beach", LARGE)
    [blob] = shelf.blobs
    shelf.blobs[blob] = LARGE
    with state.transaction() as tx:
        tx.execute(update(objects).values(has_sums=False))
    assert read(sim, "beach") == LARGE
    assert sim.scrub().damaged == ()
    shelf.rot(blob, 7)
    assert [one.key for one in sim.scrub().damaged] == ["beach"]


def test_sums_without_awscrt_are_those_of_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    from pycloud.storage import sums

    monkeypatch.setattr(sums, "_fast", lambda: None)
    writer = SumsWriter()
    writer.add(LARGE)
    stored = LARGE + writer.end()
    monkeypatch.undo()
    read_back = Sums.read(lambda offset, size: stored[offset : offset + size], len(LARGE))
    read_back.check(0, memoryview(LARGE))
    with pytest.raises(Damaged):
        read_back.check(1, memoryview(LARGE)[: 2 * BLOCK])
