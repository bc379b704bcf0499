"""Objects in buckets, and what a crash may cost."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycloud.drivers.files import FileBlobs
from pycloud.errors import Cannot, Duplicate, InUse, InvalidValue, NotFound
from pycloud.state.database import Database
from pycloud.storage.buckets import BucketStore


@pytest.fixture
def store(state: Database, tmp_path: Path) -> Iterator[BucketStore]:
    store = BucketStore(state, FileBlobs(tmp_path / "blobs"))
    store.create("holiday")
    yield store
    assert store.sweep() == 0, "bytes without an object were left"


def _read(store: BucketStore, key: str) -> bytes:
    with store.get("holiday", key) as stream:
        return stream.read()


def test_an_object_is_what_was_put_last(store: BucketStore) -> None:
    for content in (b"sand", b"sea"):
        stored = store.put("holiday", "beach", io.BytesIO(content))
    assert (stored.size_bytes, stored.etag) == (3, hashlib.md5(b"sea").hexdigest())
    assert _read(store, "beach") == b"sea"
    assert [one.key for one in store.list("holiday")] == ["beach"]


def test_a_reader_keeps_what_it_opened(store: BucketStore) -> None:
    store.put("holiday", "beach", io.BytesIO(b"sand"))
    with store.get("holiday", "beach") as stream:
        store.put("holiday", "beach", io.BytesIO(b"sea"))
        store.remove("holiday", "beach")
        assert stream.read() == b"sand"
    with pytest.raises(NotFound):
        store.get("holiday", "beach")


@pytest.mark.parametrize("key", ["a/../b", "..", "//", "a\nb", "ü", "x" * 1024, " ", "a%2Fb", "🏖"])
def test_keys_are_bytes_and_no_paths(store: BucketStore, key: str, tmp_path: Path) -> None:
    store.put("holiday", key, io.BytesIO(b"x"))
    assert _read(store, key) == b"x"
    assert [one.key for one in store.list("holiday", prefix=key[:1])] == [key]
    store.remove("holiday", key)


def test_objects_are_listed_by_their_bytes(store: BucketStore) -> None:
    for key in ("b", "B", "a", "é", "a/b"):
        store.put("holiday", key, io.BytesIO(b""))
    assert [one.key for one in store.list("holiday")] == ["B", "a", "a/b", "b", "é"]


@pytest.mark.parametrize("name", ["ab", "Holiday", "a_b", "-ab", "a..b", "x" * 64, "../x", ""])
def test_bucket_names_that_s3_forbids_are_refused(store: BucketStore, name: str) -> None:
    with pytest.raises(InvalidValue, match="cannot name a bucket"):
        store.create(name)


def test_a_bucket_with_objects_stays(store: BucketStore) -> None:
    store.put("holiday", "beach", io.BytesIO(b"sand"))
    with pytest.raises(InUse):
        store.delete("holiday")
    store.remove("holiday", "beach")
    store.delete("holiday")
    assert store.list_buckets() == []
    with pytest.raises(NotFound):
        store.put("holiday", "beach", io.BytesIO(b"sand"))


def test_a_bucket_is_made_once(store: BucketStore) -> None:
    with pytest.raises(Duplicate):
        store.create("holiday")


@pytest.mark.parametrize("key", ["", "x" * 1025, "\ud800"])
def test_keys_that_s3_forbids_are_refused(store: BucketStore, key: str) -> None:
    with pytest.raises(InvalidValue):
        store.put("holiday", key, io.BytesIO(b""))


def test_a_broken_upload_leaves_nothing(store: BucketStore, tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "the line was cut")

    with pytest.raises(Cannot, match="the line was cut"):
        store.put("holiday", "beach", Broken())
    assert store.list("holiday") == []
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_bytes_without_a_row_are_swept(store: BucketStore) -> None:
    store.put("holiday", "beach", io.BytesIO(b"sand"))
    store.blobs.write(io.BytesIO(b"the process died before the row"))
    assert store.sweep() == 1
    assert _read(store, "beach") == b"sand"


def test_two_writers_of_one_key_leave_one_whole_object(store: BucketStore) -> None:
    contents = [bytes([number]) * 5000 for number in range(6)]
    threads = [
        threading.Thread(target=store.put, args=("holiday", "beach", io.BytesIO(content)))
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _read(store, "beach") in contents
