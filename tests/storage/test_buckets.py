"""Buckets: their names, their settings, and when they may go."""

from __future__ import annotations

import pytest

from pycloud import limits
from pycloud.errors import Duplicate, InUse, InvalidValue, LimitExceeded, NotFound, WrongState
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Versioning
from tests.storage.conftest import put


@pytest.mark.parametrize(
    "name", ["ab", "Holiday", "a_b", "-ab", "a..b", "x" * 64, "../x", "", "192.168.5.4"]
)
def test_names_that_s3_forbids_are_refused(store: BucketStore, name: str) -> None:
    with pytest.raises(InvalidValue, match="cannot name a bucket"):
        store.create_bucket(name)


def test_a_bucket_is_made_once(store: BucketStore) -> None:
    with pytest.raises(Duplicate):
        store.create_bucket("holiday")
    [bucket] = store.list_buckets()
    assert bucket == store.get_bucket("holiday") == store.find_bucket("holiday")
    assert (bucket.account, bucket.versioning, bucket.object_lock) == (ADMIN_ACCOUNT, "", False)


def test_buckets_are_an_accounts_own(store: BucketStore) -> None:
    with pytest.raises(NotFound):
        store.create_bucket("other", account=AccountId("000000000009"))
    assert store.list_buckets(account=AccountId("000000000009")) == []
    assert [one.name for one in store.list_buckets(account=None)] == ["holiday"]


def test_an_account_has_only_so_many(store: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUCKETS_PER_ACCOUNT", 2)
    store.create_bucket("second")
    with pytest.raises(LimitExceeded):
        store.create_bucket("third")


def test_a_bucket_with_objects_stays(store: BucketStore) -> None:
    put(store, "beach")
    with pytest.raises(InUse):
        store.delete_bucket("holiday")
    store.delete("holiday", "beach")
    store.set_setting("holiday", "cors", "{}")
    upload = store.uploads.begin("holiday", "hill")
    store.delete_bucket("holiday")
    assert store.list_buckets() == []
    for call in (
        lambda: put(store, "beach"),
        lambda: store.get_bucket("holiday"),
        lambda: store.delete_bucket("holiday"),
        lambda: store.list("holiday"),
        lambda: store.setting("holiday", "cors"),
        lambda: store.uploads.get("holiday", "hill", upload.id),
        lambda: store.delete("holiday", "beach"),
        lambda: store.head("holiday", "beach"),
    ):
        with pytest.raises(NotFound) as caught:
            call()
        assert caught.value.kind == "bucket"
    store.create_bucket("holiday")
    assert store.setting("holiday", "cors") is None


def test_a_bucket_with_a_delete_marker_stays(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    marker = store.delete("holiday", "never there").version_id
    with pytest.raises(InUse):
        store.delete_bucket("holiday")
    store.delete("holiday", "never there", version_id=marker)
    store.delete_bucket("holiday")


def test_settings_are_documents(store: BucketStore) -> None:
    assert store.setting("holiday", "policy") is None
    for document in ("{}", "ü" * 1000):
        store.set_setting("holiday", "policy", document)
        assert store.setting("holiday", "policy") == document
    store.set_setting("holiday", "policy", None)
    assert store.setting("holiday", "policy") is None


@pytest.mark.parametrize("kind", ["lifecycle", "encryption"])
@pytest.mark.parametrize("document", ["", "[]", "{}", '{"rules": [{"expire_days": 0}]}', "null"])
def test_settings_that_the_store_carries_out_are_checked(
    store: BucketStore, kind: str, document: str
) -> None:
    with pytest.raises(InvalidValue):
        store.set_setting("holiday", kind, document)
    assert store.setting("holiday", kind) is None


def test_a_setting_that_is_too_large_is_refused(store: BucketStore) -> None:
    with pytest.raises(InvalidValue):
        store.set_setting("holiday", "policy", "x" * (limits.SETTING_BYTES + 1))
    with pytest.raises(InvalidValue):
        store.set_setting("holiday", "", "{}")


def test_versioning_is_never_off_again(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    store.set_versioning("holiday", Versioning.SUSPENDED)
    assert store.get_bucket("holiday").versioning is Versioning.SUSPENDED
    with pytest.raises(InvalidValue):
        store.set_versioning("holiday", Versioning.OFF)
    with pytest.raises(WrongState):
        store.enable_object_lock("holiday")
