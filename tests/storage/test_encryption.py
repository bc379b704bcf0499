"""Encrypted objects: nothing of them is on the disk, and any range can be read."""

from __future__ import annotations

import io

import pytest

from pycloud import limits
from pycloud.errors import Damaged, InvalidValue, StateError, WrongKey, WrongState
from pycloud.identity.sealing import Seal
from pycloud.state.database import Database
from pycloud.state.schema import contents
from pycloud.storage.buckets import BucketStore
from pycloud.storage.encryption import DefaultEncryption, FrameReader, FrameWriter, stored_size
from pycloud.storage.records import About, PartChoice
from tests.storage.conftest import LARGE, files, put

KEY, OTHER = bytes(range(32)), bytes(32)
TEXT = b"a line that nobody else may read\n" * 40_000
SIZES = [0, 1, limits.FRAME_BYTES - 1, limits.FRAME_BYTES, limits.FRAME_BYTES + 1, len(TEXT)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("about", [About(encryption="AES256"), About(customer_key=KEY)])
def test_what_is_encrypted_reads_like_any_other(
    store: BucketStore, about: About, size: int, state: Database
) -> None:
    stored = store.put("holiday", "diary", io.BytesIO(TEXT[:size]), about=about)
    assert stored.size_bytes == size
    key = about.customer_key
    edges = {0, 1, limits.FRAME_BYTES - 1, limits.FRAME_BYTES, size // 2, size - 1}
    with store.get("holiday", "diary", customer_key=key) as stream:
        assert stream.read() == TEXT[:size]
        for first in edges:
            for last in edges:
                if 0 <= first <= last:
                    assert b"".join(stream.blocks(first, last)) == TEXT[:size][first : last + 1]
        assert all(isinstance(span, bytes) for span in stream.spans())
    with state.reading() as tx:
        kept = [row.data for row in tx.execute(contents.select())]
    for data in (*kept, *(path.read_bytes() for path in files(store))):
        assert b"nobody" not in data


def test_a_customers_key_is_needed_and_not_kept(store: BucketStore) -> None:
    for content in (TEXT, TEXT[:100]):
        store.put("holiday", "diary", io.BytesIO(content), about=About(customer_key=KEY))
        for wrong in (None, OTHER):
            with pytest.raises(WrongKey):
                store.get("holiday", "diary", customer_key=wrong)
        with pytest.raises(InvalidValue):
            store.get("holiday", "diary", customer_key=b"short")
    put(store, "plain")
    with pytest.raises(WrongKey):
        store.get("holiday", "plain", customer_key=KEY)


def test_a_bucket_may_encrypt_whatever_comes(store: BucketStore) -> None:
    document = DefaultEncryption().to_json()
    store.set_setting("holiday", "encryption", document)
    assert store.get_bucket("holiday").settings == {"encryption": document}
    put(store, "diary", TEXT)
    assert store.head("holiday", "diary").encryption == "AES256"
    assert store.uploads.begin("holiday", "x").encryption == "AES256"
    with store.get("holiday", "diary") as stream:
        assert stream.read() == TEXT


def test_a_store_without_a_seal_keeps_no_keys(state: Database, store: BucketStore) -> None:
    put_sealed = About(encryption="AES256")
    store.put("holiday", "diary", io.BytesIO(TEXT), about=put_sealed)
    with pytest.raises(WrongState, match="no seal"):
        BucketStore(state, store.blobs).get("holiday", "diary")
    with pytest.raises(WrongState, match="no seal"):
        BucketStore(state, store.blobs).put("holiday", "d", io.BytesIO(b""), about=put_sealed)
    with pytest.raises(StateError, match="another key"):
        BucketStore(state, store.blobs, seal=Seal(KEY)).get("holiday", "diary")


@pytest.mark.parametrize("key", [None, KEY])
def test_parts_are_encrypted_each_alone(store: BucketStore, key: bytes | None) -> None:
    about = About(encryption=None if key else "AES256", customer_key=key)
    upload = store.uploads.begin("holiday", "diary", about=about)
    assert upload.encryption == ("customer" if key else "AES256")
    chosen = []
    for number, content in enumerate((LARGE * 5, TEXT), 1):
        part = store.uploads.put_part(
            "holiday", "diary", upload.id, number, io.BytesIO(content), customer_key=key
        )
        chosen.append(PartChoice(number, part.etag))
    if key:
        with pytest.raises(WrongKey):
            store.uploads.put_part("holiday", "diary", upload.id, 3, io.BytesIO(b""))
    store.uploads.complete("holiday", "diary", upload.id, chosen)
    with store.get("holiday", "diary", customer_key=key) as stream:
        assert stream.read() == LARGE * 5 + TEXT
        at = len(LARGE) * 5
        assert b"".join(stream.blocks(at - 2, at + 1)) == (LARGE * 5 + TEXT)[at - 2 : at + 2]


def test_frames_can_be_neither_changed_moved_nor_cut_off() -> None:
    writer = FrameWriter(KEY)
    sealed = writer.add(TEXT) + writer.end()
    assert len(sealed) == stored_size(len(TEXT))
    reader = FrameReader(KEY, len(TEXT))
    assert reader.open(sealed, 0, 0, len(TEXT)) == TEXT
    size = limits.FRAME_BYTES + 16
    for wrong in (
        b"?" + sealed[1:],
        sealed[size : 2 * size] + sealed[:size] + sealed[2 * size :],
    ):
        with pytest.raises(Damaged):
            reader.open(wrong, 0, 0, len(TEXT))
    with pytest.raises(Damaged):  # a shorter text than was written
        FrameReader(KEY, limits.FRAME_BYTES).open(sealed[:size], 0, 0, limits.FRAME_BYTES)
