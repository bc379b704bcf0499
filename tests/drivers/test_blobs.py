"""Every driver of blobs keeps the contract."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from pycloud.drivers.files import FileBlobs
from pycloud.drivers.sim_blobs import SimBlobs, SimShelf
from pycloud.errors import Cannot, DiskFull
from pycloud.ids import BlobId
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
