"""Objects: bytes under a key, what is said of them, and what a crash may cost."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from pathlib import Path

import pytest

from pycloud import limits
from pycloud.errors import (
    BadDigest,
    Cannot,
    Incomplete,
    InvalidValue,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
)
from pycloud.storage.buckets import BucketStore
from pycloud.storage.checksums import ALGORITHMS
from pycloud.storage.reading import FileSpan
from pycloud.storage.records import About, Checksum, Deleted, Expected
from tests.storage.conftest import LARGE, SMALL, files, keys, put, read

SIZES = [0, 1, 4096, limits.SMALL_OBJECT_BYTES, limits.SMALL_OBJECT_BYTES + 1, len(LARGE)]


@pytest.mark.parametrize("size", SIZES)
def test_an_object_is_what_was_put_last(store: BucketStore, size: int) -> None:
    put(store, "beach", LARGE)
    content = LARGE[:size]
    stored = store.put("holiday", "beach", io.BytesIO(content))
    assert (stored.size_bytes, stored.etag) == (size, hashlib.md5(content).hexdigest())
    assert store.head("holiday", "beach") == stored
    assert read(store, "beach") == content
    assert keys(store) == ["beach"]
    assert len(files(store)) == (size > limits.SMALL_OBJECT_BYTES)


def test_a_trickling_stream_is_read_to_its_end(store: BucketStore) -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(7000, size or 7000))

    store.put("holiday", "beach", Trickle(LARGE))
    assert read(store, "beach") == LARGE


@pytest.mark.parametrize("size", SIZES)
def test_any_range_can_be_read(store: BucketStore, size: int) -> None:
    content = LARGE[:size]
    put(store, "beach", content)
    edges = {0, 1, 5, limits.BLOCK_BYTES - 1, limits.BLOCK_BYTES, size // 2, size - 1, size + 9}
    with store.get("holiday", "beach") as stream:
        for first in edges:
            for last in edges:
                if 0 <= first <= last:
                    expected = content[first : last + 1]
                    assert b"".join(stream.blocks(first, last)) == expected
        assert stream.seek(-3, io.SEEK_END) if size > 3 else True
        assert stream.read() == content[-3:] if size > 3 else True
        stream.seek(size + 10)
        assert stream.read() == b""
        stream.seek(0)
        assert io.BufferedReader(stream).read() == content


def test_a_file_can_be_sent_by_the_kernel(store: BucketStore, tmp_path: Path) -> None:
    put(store, "beach", LARGE)
    put(store, "small", SMALL)
    import os

    with store.get("holiday", "beach") as stream:
        sent = b""
        for span in stream.spans(5, len(LARGE) - 5):
            assert isinstance(span, FileSpan)
            sent += os.pread(span.file, span.size_bytes, span.offset)
        assert sent == LARGE[5:-4]
    with store.get("holiday", "small") as stream:
        assert list(stream.spans()) == [SMALL]


def test_what_is_said_of_an_object_is_kept(store: BucketStore) -> None:
    about = About(
        headers={"content-type": "text/plain"},
        metadata={"where": "Ålesund", "x": ""},
        tags={"year": "2024", "ü": "ä"},
        acl='{"grants": []}',
        storage_class="REDUCED_REDUNDANCY",
    )
    stored = store.put("holiday", "beach", io.BytesIO(SMALL), about=about)
    assert store.head("holiday", "beach") == stored
    for name in ("headers", "metadata", "tags", "acl", "storage_class", "account"):
        assert getattr(stored, name) == getattr(about, name)
    assert store.set_tags("holiday", "beach", {}).tags == {}
    assert store.set_acl("holiday", "beach", None).acl is None
    assert store.head("holiday", "beach").metadata == about.metadata


@pytest.mark.parametrize(
    "about",
    [
        About(tags={str(number): "" for number in range(11)}),
        About(tags={"": "x"}),
        About(tags={"k" * 129: ""}),
        About(tags={"k": "v" * 257}),
        About(metadata={"k": "v" * 2048}),
        About(metadata={"k": "\ud800"}),
        About(encryption="rot13"),
    ],
)
def test_what_s3_does_not_allow_is_refused(store: BucketStore, about: About) -> None:
    with pytest.raises(InvalidValue):
        store.put("holiday", "beach", io.BytesIO(SMALL), about=about)
    assert keys(store) == []


@pytest.mark.parametrize("key", ["a/../b", "..", "//", "a\nb", "ü", "x" * 1024, " ", "a%2Fb", "🏖"])
def test_keys_are_bytes_and_no_paths(store: BucketStore, key: str) -> None:
    put(store, key, LARGE[:20_000])
    assert read(store, key) == LARGE[:20_000]
    assert [one.key for one in store.each("holiday", prefix=key[:1])] == [key]
    assert store.delete("holiday", key) == Deleted(key)


@pytest.mark.parametrize("key", ["", "x" * 1025, "ü" * 513, "\ud800"])
def test_keys_that_s3_forbids_are_refused(store: BucketStore, key: str) -> None:
    with pytest.raises(InvalidValue):
        put(store, key)


@pytest.mark.parametrize("content", [SMALL, LARGE])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_made_held_to_and_kept(
    store: BucketStore, algorithm: str, content: bytes
) -> None:
    made = store.put("holiday", "a", io.BytesIO(content), expected=Expected(algorithm=algorithm))
    assert made.checksum is not None
    assert (made.checksum.algorithm, made.checksum.kind) == (algorithm, "full")
    value = made.checksum.value
    for right in (value, lambda: value, lambda: None):
        expected = Expected(algorithm=algorithm, value=right)
        stored = store.put("holiday", "b", io.BytesIO(content), expected=expected)
        assert stored.checksum == made.checksum == store.list("holiday").objects[1].checksum
    for wrong in (value, lambda: value):
        with pytest.raises(BadDigest) as caught:
            store.put(
                "holiday",
                "c",
                io.BytesIO(content + b"!"),
                expected=Expected(None, None, algorithm, wrong),
            )
        assert caught.value.algorithm == algorithm
    with pytest.raises(InvalidValue):
        store.put(
            "holiday", "c", io.BytesIO(content), expected=Expected(None, None, algorithm, "eA==")
        )
    assert keys(store) == ["a", "b"]
    assert len(files(store)) == (2 if content is LARGE else 0)


def test_checksums_are_those_of_s3(store: BucketStore) -> None:
    # The check values of the CRC catalogue, for "123456789".
    for algorithm, value in {
        "CRC32": 0xCBF43926,
        "CRC32C": 0xE3069283,
        "CRC64NVME": 0xAE8B14860A799888,
    }.items():
        expected = Expected(algorithm=algorithm)
        found = store.put("holiday", "a", io.BytesIO(b"123456789"), expected=expected).checksum
        size = 8 if algorithm == "CRC64NVME" else 4
        assert found == Checksum(algorithm, base64.b64encode(value.to_bytes(size, "big")).decode())
    assert zlib.crc32(b"123456789") == 0xCBF43926
    with pytest.raises(InvalidValue, match="a checksum is one of"):
        store.put("holiday", "a", io.BytesIO(b""), expected=Expected(algorithm="CRC16"))


@pytest.mark.parametrize("content", [SMALL, LARGE])
def test_what_was_announced_must_come(
    store: BucketStore, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Expected(size_bytes=len(content), md5=hashlib.md5(content).hexdigest())
    store.put("holiday", "beach", io.BytesIO(content), expected=good)
    with pytest.raises(BadDigest, match="MD5"):
        store.put("holiday", "hill", io.BytesIO(content), expected=Expected(md5="0" * 32))
    for size in (len(content) - 1, len(content) + 1):
        with pytest.raises(Incomplete):
            store.put("holiday", "hill", io.BytesIO(content), expected=Expected(size_bytes=size))
    monkeypatch.setattr(limits, "PUT_BYTES", len(content) - 1)
    with pytest.raises(LimitExceeded):
        store.put("holiday", "hill", io.BytesIO(content))
    assert keys(store) == ["beach"]
    assert len(files(store)) == (content is LARGE)


def test_writes_can_have_conditions(store: BucketStore) -> None:
    with pytest.raises(NotFound):
        store.put("holiday", "a", io.BytesIO(b"1"), if_match="*")
    first = store.put("holiday", "a", io.BytesIO(b"1"), if_none_match="*")
    for match, none_match in ((None, "*"), (None, first.etag), ("0" * 32, None)):
        with pytest.raises(PreconditionFailed) as caught:
            store.put("holiday", "a", io.BytesIO(LARGE), if_match=match, if_none_match=none_match)
        assert caught.value.condition == ("if_match" if match else "if_none_match")
    second = store.put("holiday", "a", io.BytesIO(b"2"), if_match=first.etag)
    store.put("holiday", "a", io.BytesIO(b"3"), if_none_match=second.etag[::-1])
    with pytest.raises(PreconditionFailed):
        store.delete("holiday", "a", if_match=second.etag)
    assert read(store, "a") == b"3"
    store.delete("holiday", "a", if_match="*")
    assert files(store) == []


def test_what_is_not_there_can_be_deleted(store: BucketStore) -> None:
    assert store.delete("holiday", "never") == Deleted("never")
    for call in (
        lambda: store.get("holiday", "never"),
        lambda: store.head("holiday", "never"),
        lambda: store.set_tags("holiday", "never", {}),
        lambda: store.head("holiday", "never", version_id="null"),
        lambda: store.head("holiday", "never", version_id="0" * 32),
        lambda: store.head("holiday", "never", version_id="rubbish"),
    ):
        with pytest.raises(NotFound) as caught:
            call()
        assert caught.value.kind in ("object", "version")


def test_many_are_deleted_at_once(store: BucketStore) -> None:
    for number in range(120):
        put(store, f"{number:03}", b"x" * 20_000 if number == 7 else SMALL)
    wanted: list[tuple[str, str | None]] = [(f"{number:03}", None) for number in range(115)]
    results = store.delete_many("holiday", [*wanted, ("", None), ("never", None)])
    assert [one.key for one in results[:115] if isinstance(one, Deleted)] == [k for k, _ in wanted]
    assert isinstance(results[115], InvalidValue)
    assert results[116] == Deleted("never")
    assert keys(store) == ["115", "116", "117", "118", "119"]
    assert files(store) == []
    with pytest.raises(InvalidValue):
        store.delete_many("holiday", [("a", None)] * 1001)
    with pytest.raises(NotFound):
        store.delete_many("elsewhere", [("a", None)])


def test_a_reader_keeps_what_it_opened(store: BucketStore) -> None:
    for content in (SMALL, LARGE):
        put(store, "beach", content)
        with store.get("holiday", "beach") as stream:
            put(store, "beach", b"sea")
            store.delete("holiday", "beach")
            assert stream.read() == content
    with pytest.raises(NotFound):
        store.get("holiday", "beach")


def test_a_broken_upload_leaves_nothing(store: BucketStore) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 500_000:
                raise OSError(5, "the line was cut")
            return super().read(size)

    with pytest.raises(Cannot, match="the line was cut"):
        store.put("holiday", "beach", Broken(LARGE))
    assert keys(store) == []
    assert files(store) == []
