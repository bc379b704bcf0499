"""Copies: they have the same bytes, and mostly the same files."""

from __future__ import annotations

import io

import pytest

from pycloud.errors import NotFound, PreconditionFailed, WrongKey
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import About, Expected, PartChoice, Versioning
from tests.storage.conftest import LARGE, SMALL, files, put, read

KEY = bytes(range(32))
ABOUT = About(headers={"content-type": "a/b"}, metadata={"m": "1"}, tags={"t": "2"})


@pytest.mark.parametrize("content", [b"", SMALL, LARGE])
def test_a_copy_outlives_its_source(store: BucketStore, content: bytes) -> None:
    store.create_bucket("other")
    source = store.put("holiday", "a", io.BytesIO(content), about=ABOUT)
    copy = store.copy("holiday", "a", "other", "b")
    assert (copy.etag, copy.size_bytes) == (source.etag, source.size_bytes)
    assert (copy.headers, copy.metadata, copy.tags) == (
        source.headers,
        source.metadata,
        source.tags,
    )
    assert len(files(store)) == (content is LARGE), "the bytes were written again"
    store.delete("holiday", "a")
    assert read(store, "b", bucket="other") == content
    store.delete("other", "b")
    assert files(store) == []


def test_a_copy_may_be_of_another_description(store: BucketStore) -> None:
    store.put("holiday", "a", io.BytesIO(LARGE), about=ABOUT)
    new = About(metadata={"n": "3"}, tags={"u": "4"}, storage_class="GLACIER")
    copy = store.copy("holiday", "a", "holiday", "a", about=new, keep_metadata=False)
    assert (copy.metadata, copy.headers, copy.tags) == ({"n": "3"}, {}, {"t": "2"})
    assert copy.storage_class == "GLACIER"
    assert read(store, "a") == LARGE
    copy = store.copy("holiday", "a", "holiday", "a", about=new, keep_tags=False)
    assert (copy.metadata, copy.tags) == ({"n": "3"}, {"u": "4"})
    assert len(files(store)) == 1


def test_a_copy_with_a_checksum_of_its_own_is_written(store: BucketStore) -> None:
    put(store, "a", LARGE)
    copy = store.copy("holiday", "a", "holiday", "b", algorithm="CRC32C")
    expected = Expected(algorithm="CRC32C")
    assert copy.checksum == store.put("holiday", "c", io.BytesIO(LARGE), expected=expected).checksum
    assert len(files(store)) == 3
    again = store.copy("holiday", "b", "holiday", "d", algorithm="CRC32C")
    assert again.checksum == copy.checksum
    assert len(files(store)) == 3


def test_a_copy_may_be_encrypted_otherwise(store: BucketStore) -> None:
    put(store, "plain", LARGE)
    for about, key in ((About(encryption="AES256"), None), (About(customer_key=KEY), KEY)):
        made = store.copy("holiday", "plain", "holiday", "sealed", about=about)
        assert made.encryption in ("AES256", "customer")
        with store.get("holiday", "sealed", customer_key=key) as stream:
            assert stream.read() == LARGE
        back = store.copy("holiday", "sealed", "holiday", "open", source_customer_key=key)
        assert back.encryption is None
        assert read(store, "open") == LARGE
    with pytest.raises(WrongKey):
        store.copy("holiday", "sealed", "holiday", "open")
    with pytest.raises(WrongKey):
        store.copy("holiday", "plain", "holiday", "open", source_customer_key=KEY)
    store.copy("holiday", "plain", "holiday", "sealed", about=About(encryption="AES256"))
    before = len(files(store))
    store.copy("holiday", "sealed", "holiday", "shared", about=About(encryption="AES256"))
    store.delete("holiday", "sealed")
    assert read(store, "shared") == LARGE
    assert len(files(store)) == before


def test_copies_have_conditions(store: BucketStore) -> None:
    put(store, "b")
    with pytest.raises(NotFound):
        store.copy("holiday", "a", "holiday", "b")
    etag = store.put("holiday", "a", io.BytesIO(LARGE)).etag
    with pytest.raises(PreconditionFailed) as caught:
        store.copy("holiday", "a", "holiday", "b", source_if_match="0" * 32)
    assert caught.value.condition == "source_if_match"
    for algorithm in (None, "CRC32"):
        with pytest.raises(PreconditionFailed):
            store.copy("holiday", "a", "holiday", "b", if_none_match="*", algorithm=algorithm)
    with pytest.raises(NotFound) as missing:
        store.copy("holiday", "a", "elsewhere", "b")
    assert missing.value.kind == "bucket"
    store.copy("holiday", "a", "holiday", "b", source_if_match=etag)
    assert read(store, "b") == LARGE


def test_a_version_can_be_had_back(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    first = put(store, "a", LARGE)
    put(store, "a", SMALL)
    store.copy("holiday", "a", "holiday", "a", source_version=first)
    assert read(store, "a") == LARGE
    assert len(files(store)) == 1
    store.delete("holiday", "a", version_id=first)
    assert read(store, "a") == LARGE


def test_a_copy_of_an_object_in_parts_has_the_parts(store: BucketStore) -> None:
    upload = store.uploads.begin("holiday", "a").id
    etags = [
        store.uploads.put_part("holiday", "a", upload, n, io.BytesIO(LARGE * 5)).etag
        for n in (1, 2)
    ]
    chosen = [PartChoice(n, etag) for n, etag in enumerate(etags, 1)]
    store.uploads.complete("holiday", "a", upload, chosen)
    copy = store.copy("holiday", "a", "holiday", "b")
    assert copy.part_count == 2
    assert len(files(store)) == 2
    store.delete("holiday", "a")
    assert store.sweep(older_than_s=0) == 0
    assert read(store, "b") == LARGE * 10
