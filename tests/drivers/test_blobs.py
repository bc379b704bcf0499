"""Every driver of blobs keeps the contract."""

from __future__ import annotations

import errno
import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pycloud import limits
from pycloud.clock import ManualClock
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.s3_blobs import S3Blobs
from pycloud.drivers.sim_blobs import SimBlobs, SimShelf
from pycloud.errors import Cannot, DiskFull, TryLater
from pycloud.ids import BlobId
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.testing.blobs import check_blobs


def test_simulated_ones() -> None:
    shelf = SimShelf()
    check_blobs(lambda: SimBlobs(shelf))
    assert list(shelf.quarantined.values()) == [b"rotten"]


def test_files(tmp_path: Path) -> None:
    check_blobs(lambda: FileBlobs(tmp_path / "blobs"))
    left = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in left] == [b"rotten"], "something is left behind"


def test_a_full_disk_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    kept = blobs.write(io.BytesIO(b"x" * 5000)).id
    real = os.write

    def write(file: int, data: bytes) -> int:
        real(file, memoryview(data)[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(DiskFull):
        blobs.write(io.BytesIO(b"y" * 5000))
    monkeypatch.undo()
    assert [found.id for found in blobs.all()] == [kept], "half of it was left"
    shelf = SimShelf(capacity_bytes=100_000)
    with pytest.raises(DiskFull):
        SimBlobs(shelf).write(io.BytesIO(b"y" * 200_000))
    assert (shelf.blobs, shelf.unfinished) == ({}, {})


def test_what_a_dead_process_was_writing_is_found(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    kept = blobs.write(io.BytesIO(b"x"))
    unfinished = tmp_path / "blobs" / "ab" / ("ab" * 16 + ".part")
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.write_bytes(b"half")
    os.utime(unfinished, (0, 0))
    ages = {found.id: found.age_s for found in blobs.all()}
    assert ages[BlobId("ab" * 16)] > 86400 > ages[kept.id]
    blobs.remove(BlobId("ab" * 16))
    assert not unfinished.exists()


def test_a_folder_that_is_no_folder_is_an_error_of_the_contract(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"")
    blobs = FileBlobs(tmp_path / "blobs")
    for call in (
        lambda: blobs.write(io.BytesIO(b"x")),
        lambda: blobs.read(BlobId("ab" * 16)),
        lambda: blobs.remove(BlobId("ab" * 16)),
        lambda: blobs.quarantine(BlobId("ab" * 16)),
    ):
        with pytest.raises(Cannot):
            call()


def test_a_sync_that_fails_on_the_way_fails_the_blob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of a write error once: whoever asks again is told that all is well."""

    def fail(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pycloud.drivers.files._SYNC_EVERY", 1024**2)
    monkeypatch.setattr(os, "fdatasync", fail)
    blobs = FileBlobs(tmp_path / "blobs")
    with pytest.raises(Cannot, match="Input/output error"):
        blobs.write(io.BytesIO(bytes(3 * 1024**2)))
    assert list(blobs.all()) == []


def test_a_blob_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not synced may be gone after a power cut; so the order is all."""
    story: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(file: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{file}"))
        story.append(f"sync {'folder' if place.is_dir() else 'file'}")
        real_sync(file)

    def rename(self: Path, target: Path) -> Path:
        story.append("rename")
        return real_rename(self, target)

    blobs = FileBlobs(tmp_path / "blobs")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    blobs.write(io.BytesIO(b"x"))
    assert story == ["sync folder", "sync folder", "sync file", "rename", "sync folder"]


def test_a_folder_that_another_left_unsynced_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made it may have died before its name was durable."""
    directory = tmp_path / "new" / "blobs"
    for number in range(256):
        (directory / f"{number:02x}").mkdir(parents=True)
    synced: list[str] = []
    real = os.fsync

    def sync(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))
        real(file)

    monkeypatch.setattr(os, "fsync", sync)
    FileBlobs(directory).write(io.BytesIO(b"sand"))
    assert {str(directory), str(directory.parent)} <= {*synced}


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """A real S3 server, on a port of the loopback."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def remote(engine: str) -> Callable[[], S3Blobs]:
    """Makes drivers on one new bucket of it."""
    import boto3

    name = f"blobs-{uuid4().hex}"
    options = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=engine, **options).create_bucket(Bucket=name)
    return lambda: S3Blobs(engine, name, prefix="cloud/", access_key="a", secret_key="b")


def test_an_s3_engine(remote: Callable[[], S3Blobs], monkeypatch: pytest.MonkeyPatch) -> None:
    check_blobs(remote)
    monkeypatch.setattr("pycloud.drivers.s3_blobs._PART_BYTES", 5 * 1024**2)
    content = os.urandom(11 * 1024**2)
    written = remote().write(io.BytesIO(content))
    assert written.size_bytes == len(content)
    assert remote().read(written.id).read_at(0, len(content)) == content

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 8 * 1024**2:
                raise OSError(5, "the line was cut")
            return super().read(100_000)

    with pytest.raises(Cannot, match="the line was cut"):
        remote().write(Broken(content))
    assert [found.id for found in remote().all()] == [written.id], "an upload was left"


def test_a_store_on_an_s3_engine(remote: Callable[[], S3Blobs], tmp_path: Path) -> None:
    content = os.urandom(700_000)
    with SQLiteState(tmp_path / "cloud.db", clock=ManualClock()) as state:
        store = BucketStore(state, remote())
        store.create_bucket("holiday")
        store.put("holiday", "beach", io.BytesIO(content))
        with store.get("holiday", "beach") as stream:
            assert b"".join(stream.blocks(300_000, 300_009)) == content[300_000:300_010]
            store.delete("holiday", "beach")
            assert stream.read() == content, "who reads goes on reading"
        assert len(list(store.blobs.all())) == 1
        state.clock.advance(seconds=limits.READING_S)  # type: ignore[attr-defined]
        assert store.tidy() == 1
        assert list(store.blobs.all()) == []


def test_an_engine_that_is_not_there_is_asked_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    blobs = S3Blobs("http://127.0.0.1:1", "blobs", access_key="a", secret_key="b")
    with pytest.raises(TryLater):
        blobs.write(io.BytesIO(b"x"))
    with pytest.raises(TryLater):
        list(blobs.all())


def test_a_bucket_that_is_not_there_is_no_matter_of_time(engine: str) -> None:
    blobs = S3Blobs(engine, "nowhere", access_key="a", secret_key="b")
    with pytest.raises(Cannot):
        blobs.write(io.BytesIO(b"x"))
