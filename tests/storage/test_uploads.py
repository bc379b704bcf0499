"""Objects in parts ("Uploading and copying objects using multipart upload")."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib

import pytest

from pycloud import limits
from pycloud.errors import (
    BadDigest,
    Incomplete,
    InvalidValue,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
    TooSmall,
)
from pycloud.storage.buckets import BucketStore
from pycloud.storage.checksums import make_hash
from pycloud.storage.records import (
    About,
    Checksum,
    Expected,
    Part,
    PartChoice,
    PartSize,
    Versioning,
)
from tests.storage.conftest import LARGE, files, keys, put, read

FIRST = LARGE * 5  # a little more than the least a part must have
LAST = b"the end"


def _parts(store: BucketStore, upload: str, *contents: bytes) -> list[Part]:
    return [
        store.uploads.put_part("holiday", "film", upload, number, io.BytesIO(content))
        for number, content in enumerate(contents, 1)
    ]


def _chosen(parts: list[Part]) -> list[PartChoice]:
    return [PartChoice(part.number, part.etag) for part in parts]


def test_parts_become_an_object(store: BucketStore) -> None:
    about = About(metadata={"m": "1"}, headers={"content-type": "video/mp4"}, tags={"t": "2"})
    upload = store.uploads.begin("holiday", "film", about=about)
    assert store.uploads.get("holiday", "film", upload.id) == upload
    parts = _parts(store, upload.id, FIRST, LAST)
    assert keys(store) == []
    stored = store.uploads.complete("holiday", "film", upload.id, _chosen(parts))
    digest = hashlib.md5(b"".join(hashlib.md5(one).digest() for one in (FIRST, LAST))).hexdigest()
    assert stored.etag == f"{digest}-2"
    assert (stored.size_bytes, stored.part_count) == (len(FIRST) + len(LAST), 2)
    assert (stored.metadata, stored.tags, stored.headers) == (
        about.metadata,
        about.tags,
        about.headers,
    )
    assert store.head("holiday", "film") == stored
    assert read(store, "film") == FIRST + LAST
    assert store.parts("holiday", "film") == [PartSize(1, len(FIRST)), PartSize(2, len(LAST))]
    assert store.parts("holiday", "film", after=1, most=1) == [PartSize(2, len(LAST))]
    with store.get("holiday", "film") as stream:
        assert stream.part(2) == (len(FIRST), len(FIRST) + len(LAST) - 1)
        assert b"".join(stream.blocks(len(FIRST) - 3, len(FIRST) + 2)) == FIRST[-3:] + LAST[:3]
        with pytest.raises(IndexError):
            stream.part(3)
    with pytest.raises(NotFound):
        store.uploads.get("holiday", "film", upload.id)


def test_completing_twice_is_completing_once(store: BucketStore) -> None:
    upload = store.uploads.begin("holiday", "film").id
    chosen = _chosen(_parts(store, upload, LAST))
    stored = store.uploads.complete("holiday", "film", upload, chosen)
    assert store.uploads.complete("holiday", "film", upload, chosen) == stored
    with pytest.raises(NotFound):
        store.uploads.abort("holiday", "film", upload)
    assert read(store, "film") == LAST


def test_a_part_may_be_sent_again_and_others_left_out(store: BucketStore) -> None:
    upload = store.uploads.begin("holiday", "film").id
    _parts(store, upload, b"x" * 20_000, b"y", b"z")
    [again] = _parts(store, upload, LAST)
    assert len(files(store)) == 3
    store.uploads.complete("holiday", "film", upload, _chosen([again]))
    assert read(store, "film") == LAST
    assert len(files(store)) == 3, "the parts that were left out stay for an hour"
    store.state.clock.advance(seconds=limits.READING_S)  # type: ignore[attr-defined]
    assert store.sweep() == 2
    assert len(files(store)) == 1


def test_what_cannot_be_completed_is_refused(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = store.uploads.begin("holiday", "film").id
    parts = _parts(store, upload, LAST, b"", FIRST)
    one, two, three = _chosen(parts)

    def complete(*chosen: PartChoice, **more: object) -> None:
        store.uploads.complete("holiday", "film", upload, chosen, **more)  # type: ignore[arg-type]

    for chosen in ([], [three, one], [one, one]):
        with pytest.raises(InvalidValue):
            complete(*chosen)
    for choice in (PartChoice(4, one.etag), PartChoice(1, two.etag), PartChoice(1, one.etag, "x")):
        with pytest.raises(NotFound) as caught:
            complete(choice)
        assert caught.value.kind == "part"
    with pytest.raises(TooSmall, match="part 1 has 7 bytes"):
        complete(one, three)
    with pytest.raises(Incomplete):
        complete(three, size_bytes=1)
    with pytest.raises(InvalidValue):
        complete(three, checksum="AAAA")
    with pytest.raises(NotFound):
        complete(three, if_match="*")
    put(store, "film", b"present")
    with pytest.raises(PreconditionFailed):
        complete(three, if_none_match="*")
    monkeypatch.setattr(limits, "OBJECT_BYTES", len(FIRST) - 1)
    with pytest.raises(LimitExceeded):
        complete(three)
    assert read(store, "film") == b"present"
    listed = store.uploads.list_parts("holiday", "film", upload)
    assert [part.number for part in listed.parts] == [1, 2, 3], "a refusal changes nothing"
    store.uploads.abort("holiday", "film", upload)


def test_an_upload_that_is_given_up_leaves_nothing(store: BucketStore) -> None:
    upload = store.uploads.begin("holiday", "film").id
    _parts(store, upload, LAST, FIRST)
    store.uploads.abort("holiday", "film", upload)
    for call in (
        lambda: store.uploads.abort("holiday", "film", upload),
        lambda: _parts(store, upload, LAST),
        lambda: store.uploads.list_parts("holiday", "film", upload),
        lambda: store.uploads.complete("holiday", "film", upload, [PartChoice(1, "0" * 32)]),
    ):
        with pytest.raises(NotFound) as caught:
            call()
        assert caught.value.kind == "upload"
    store.state.clock.advance(seconds=limits.READING_S)  # type: ignore[attr-defined]
    store.sweep()
    assert files(store) == []


def test_an_upload_is_of_one_key(store: BucketStore) -> None:
    upload = store.uploads.begin("holiday", "film").id
    for bucket, key in (("holiday", "other"), ("elsewhere", "film")):
        with pytest.raises(NotFound):
            store.uploads.put_part(bucket, key, upload, 1, io.BytesIO(LAST))
    assert files(store) == []
    for number in (0, 10_001, -1):
        with pytest.raises(InvalidValue):
            store.uploads.put_part("holiday", "film", upload, number, io.BytesIO(LAST))


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_the_checksum_of_all_comes_from_those_of_the_parts(
    store: BucketStore, algorithm: str
) -> None:
    upload = store.uploads.begin(
        "holiday", "film", checksum_algorithm=algorithm, checksum_kind="full"
    )
    parts = _parts(store, upload.id, FIRST, LAST)
    whole = make_hash(algorithm)
    whole.update(FIRST + LAST)
    value = base64.b64encode(whole.digest()).decode()
    with pytest.raises(BadDigest):
        store.uploads.complete("holiday", "film", upload.id, _chosen(parts), checksum=value[::-1])
    chosen = [
        PartChoice(part.number, part.etag, None if part.checksum is None else part.checksum.value)
        for part in parts
    ]
    stored = store.uploads.complete("holiday", "film", upload.id, chosen, checksum=value)
    assert stored.checksum == Checksum(algorithm, value, "full")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_composite_checksum_is_that_of_the_parts_checksums(
    store: BucketStore, algorithm: str
) -> None:
    upload = store.uploads.begin("holiday", "film", checksum_algorithm=algorithm)
    assert upload.checksum_kind == "composite"
    parts = _parts(store, upload.id, FIRST, LAST)
    whole = make_hash(algorithm)
    for content in (FIRST, LAST):
        one = make_hash(algorithm)
        one.update(content)
        whole.update(one.digest())
    stored = store.uploads.complete("holiday", "film", upload.id, _chosen(parts))
    assert stored.checksum == Checksum(
        algorithm, base64.b64encode(whole.digest()).decode() + "-2", "composite"
    )
    found = [part.checksum for part in store.parts("holiday", "film")]
    assert found == [part.checksum for part in parts]


def test_checksums_must_agree(store: BucketStore) -> None:
    for algorithm, kind in (("SHA256", "full"), ("CRC64NVME", "composite"), ("MD4", "full")):
        with pytest.raises(InvalidValue):
            store.uploads.begin("holiday", "film", checksum_algorithm=algorithm, checksum_kind=kind)
    upload = store.uploads.begin("holiday", "film", checksum_algorithm="SHA256").id
    with pytest.raises(InvalidValue):
        store.uploads.put_part(
            "holiday", "film", upload, 1, io.BytesIO(LAST), expected=Expected(algorithm="CRC32")
        )
    value = base64.b64encode(zlib.crc32(LAST).to_bytes(4, "big")).decode()
    plain = store.uploads.begin("holiday", "film").id
    part = store.uploads.put_part(
        "holiday",
        "film",
        plain,
        1,
        io.BytesIO(LAST),
        expected=Expected(None, hashlib.md5(LAST).hexdigest(), "CRC32", value),
    )
    assert part.checksum == Checksum("CRC32", value)
    with pytest.raises(BadDigest):
        store.uploads.put_part(
            "holiday", "film", plain, 1, io.BytesIO(LAST), expected=Expected(md5="0" * 32)
        )
    assert len(files(store)) == 1


def test_parts_can_be_ranges_of_objects(store: BucketStore) -> None:
    etag = store.put("holiday", "source", io.BytesIO(FIRST)).etag
    upload = store.uploads.begin("holiday", "film").id
    source = ("holiday", "film", upload)
    one = store.uploads.copy_part(*source, 1, "holiday", "source", source_if_match=etag)
    two = store.uploads.copy_part(*source, 2, "holiday", "source", first=10, last=19)
    assert two.size_bytes == 10
    for first, last in ((0, len(FIRST)), (5, 4), (-1, 3)):
        with pytest.raises(InvalidValue):
            store.uploads.copy_part(*source, 3, "holiday", "source", first=first, last=last)
    with pytest.raises(PreconditionFailed):
        store.uploads.copy_part(*source, 3, "holiday", "source", source_if_match="0" * 32)
    store.uploads.complete("holiday", "film", upload, _chosen([one, two]))
    assert read(store, "film") == FIRST + FIRST[10:20]


def test_parts_are_listed_by_number(store: BucketStore) -> None:
    upload = store.uploads.begin("holiday", "film")
    _parts(store, upload.id, *([LAST] * 5))
    page = store.uploads.list_parts("holiday", "film", upload.id, most=2)
    assert (page.upload, [part.number for part in page.parts], page.next) == (upload, [1, 2], 2)
    rest = store.uploads.list_parts("holiday", "film", upload.id, after=2, most=3)
    assert ([part.number for part in rest.parts], rest.next) == ([3, 4, 5], None)
    assert rest.parts[0].etag == hashlib.md5(LAST).hexdigest()
    assert store.uploads.list_parts("holiday", "film", upload.id, most=0).next is None
    store.uploads.abort("holiday", "film", upload.id)


def test_a_completed_upload_is_a_version_like_any_other(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    former = put(store, "film", b"former")
    upload = store.uploads.begin("holiday", "film").id
    stored = store.uploads.complete(
        "holiday", "film", upload, _chosen(_parts(store, upload, FIRST, LAST))
    )
    assert [one.version_id for one in store.list_versions("holiday").versions] == [
        stored.version_id,
        former,
    ]
    with store.get("holiday", "film") as stream:
        store.delete("holiday", "film", version_id=stored.version_id)
        assert stream.read() == FIRST + LAST, "who reads parts goes on reading them"
    assert read(store, "film") == b"former"
    store.state.clock.advance(seconds=limits.READING_S)  # type: ignore[attr-defined]
    store.sweep()
    assert files(store) == []


def test_an_upload_may_have_many_parts(store: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PART_MIN_BYTES", 1)
    upload = store.uploads.begin("holiday", "film").id
    parts = _parts(store, upload, *(f"{number:05}".encode() for number in range(40)))
    stored = store.uploads.complete("holiday", "film", upload, _chosen(parts))
    assert stored.etag.endswith("-40")
    assert read(store, "film") == b"".join(f"{number:05}".encode() for number in range(40))
