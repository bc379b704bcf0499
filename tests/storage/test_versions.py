"""Versions and delete markers ("Using versioning in S3 buckets")."""

from __future__ import annotations

import io

import pytest

from pycloud.errors import NotFound, WrongState
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Deleted, Versioning
from tests.storage.conftest import LARGE, files, keys, put, read


def test_former_versions_stay(store: BucketStore) -> None:
    put(store, "beach", b"0")
    store.set_versioning("holiday", Versioning.ENABLED)
    ids = [put(store, "beach", content) for content in (b"1", LARGE, b"3")]
    assert len({"null", *ids}) == 4
    for version, content in zip(["null", *ids], (b"0", b"1", LARGE, b"3"), strict=True):
        assert read(store, "beach", version) == content
        assert store.head("holiday", "beach", version_id=version).is_latest == (content == b"3")
    assert read(store, "beach") == b"3"
    for version in (ids[0][:-1], ids[0][:-1] + "x", ids[0].upper() + "A", "", "0" * 32):
        with pytest.raises(NotFound) as caught:
            read(store, "beach", version)
        assert caught.value.kind == "version"


def test_a_delete_marker_hides_what_is_under_it(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    version = put(store, "beach", LARGE)
    deleted = store.delete("holiday", "beach")
    assert deleted == Deleted("beach", deleted.version_id, is_delete_marker=True)
    assert keys(store) == []
    for call in (store.get, store.head):
        with pytest.raises(NotFound) as caught:
            call("holiday", "beach")
        assert caught.value.kind == "object"
    assert read(store, "beach", version) == LARGE
    marker = store.head("holiday", "beach", version_id=deleted.version_id)
    assert (marker.is_delete_marker, marker.is_latest) == (True, True)
    with pytest.raises(WrongState):
        store.get("holiday", "beach", version_id=deleted.version_id)
    with pytest.raises(WrongState):
        store.set_tags("holiday", "beach", {}, version_id=deleted.version_id)
    with pytest.raises(NotFound):
        store.put("holiday", "beach", io.BytesIO(b""), if_match="*")
    again = store.delete("holiday", "beach", version_id=deleted.version_id)
    assert again == deleted
    assert read(store, "beach") == LARGE
    assert keys(store) == ["beach"]


def test_a_version_that_is_deleted_is_gone(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    first, second, third = (put(store, "beach", bytes([n]) * 20_000) for n in range(3))
    assert store.delete("holiday", "beach", version_id=third) == Deleted("beach", third)
    assert store.head("holiday", "beach").version_id == second
    store.delete("holiday", "beach", version_id=first)
    assert store.delete("holiday", "beach", version_id=first) == Deleted("beach", first)
    assert [one.version_id for one in store.list_versions("holiday").versions] == [second]
    assert len(files(store)) == 1
    store.delete("holiday", "beach", version_id=second)
    assert (keys(store), files(store)) == ([], [])


def test_while_versioning_is_suspended_the_null_version_is_written_again(
    store: BucketStore,
) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    kept = put(store, "beach", b"kept")
    store.set_versioning("holiday", Versioning.SUSPENDED)
    assert put(store, "beach", LARGE) == "null"
    assert put(store, "beach", b"2") == "null"
    assert files(store) == []
    store.set_versioning("holiday", Versioning.ENABLED)
    newer = put(store, "beach", b"newer")
    store.set_versioning("holiday", Versioning.SUSPENDED)
    assert put(store, "beach", b"3") == "null"  # the former null version is under another one
    order = [one.version_id for one in store.list_versions("holiday").versions]
    assert order == ["null", newer, kept]
    deleted = store.delete("holiday", "beach")
    assert deleted == Deleted("beach", "null", is_delete_marker=True)
    found = store.list_versions("holiday").versions
    assert [(one.version_id, one.is_delete_marker) for one in found] == [
        ("null", True),
        (newer, False),
        (kept, False),
    ]
    assert [one.is_latest for one in found] == [True, False, False]
    store.delete("holiday", "beach", version_id="null")
    assert read(store, "beach") == b"newer"
