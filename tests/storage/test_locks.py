"""Object locks: retention in two modes, and legal holds ("Locking objects with Object Lock")."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from pycloud.errors import InvalidValue, Locked, WrongState
from pycloud.storage.buckets import BucketStore
from pycloud.storage.locks import DefaultRetention
from pycloud.storage.records import About, Deleted, Retention, Versioning
from tests.storage.conftest import put

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def _until(days: float, mode: str = "governance") -> Retention:
    return Retention(mode, START + days * DAY)


def _pass(store: BucketStore, days: float) -> None:
    store.state.clock.advance(seconds=days * 86400)  # type: ignore[attr-defined]


@pytest.fixture
def locked(store: BucketStore) -> BucketStore:
    store.create_bucket("archive", object_lock=True)
    return store


def _put(store: BucketStore, retention: Retention | None = None, *, hold: bool = False) -> str:
    about = About(retention=retention, legal_hold=hold)
    return store.put("archive", "deed", io.BytesIO(b"x"), about=about).version_id


def test_only_buckets_that_were_made_for_it_have_locks(store: BucketStore) -> None:
    put(store, "beach")
    for call in (
        lambda: store.set_retention("holiday", "beach", _until(1)),
        lambda: store.set_legal_hold("holiday", "beach", True),
        lambda: store.set_setting(
            "holiday", "object-lock", DefaultRetention("governance", 1).to_json()
        ),
        lambda: store.put("holiday", "b", io.BytesIO(b""), about=About(legal_hold=True)),
        lambda: store.put("holiday", "b", io.BytesIO(b""), about=About(retention=_until(1))),
    ):
        with pytest.raises(WrongState):
            call()
    store.set_versioning("holiday", Versioning.ENABLED)
    store.enable_object_lock("holiday")
    store.set_legal_hold("holiday", "beach", True)
    with pytest.raises(WrongState):
        store.set_versioning("holiday", Versioning.SUSPENDED)


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_a_version_is_kept_until_its_time(locked: BucketStore, mode: str) -> None:
    version = _put(locked, _until(10, mode))
    assert locked.head("archive", "deed").retention == _until(10, mode)
    marker = locked.delete("archive", "deed")
    assert marker.is_delete_marker, "a delete marker is always possible"
    with pytest.raises(Locked):
        locked.delete("archive", "deed", version_id=version)
    if mode == "compliance":
        with pytest.raises(Locked):
            locked.delete("archive", "deed", version_id=version, bypass_governance=True)
    [result] = locked.delete_many("archive", [("deed", version)])
    assert isinstance(result, Locked)
    _pass(locked, 10)
    assert locked.delete("archive", "deed", version_id=version) == Deleted("deed", version)


def test_governance_can_be_passed_by(locked: BucketStore) -> None:
    version = _put(locked, _until(10))
    with pytest.raises(Locked):
        locked.set_retention("archive", "deed", None)
    locked.set_retention("archive", "deed", _until(1), bypass_governance=True)
    locked.delete("archive", "deed", version_id=version, bypass_governance=True)
    assert locked.list_versions("archive").versions == ()


def test_a_retention_can_only_be_made_longer(locked: BucketStore) -> None:
    _put(locked, _until(10, "compliance"))
    for less in (None, _until(9, "compliance"), _until(20, "governance")):
        with pytest.raises(Locked):
            locked.set_retention("archive", "deed", less, bypass_governance=True)
    longer = _until(20, "compliance")
    assert locked.set_retention("archive", "deed", longer).retention == longer
    _pass(locked, 20)
    assert locked.set_retention("archive", "deed", None).retention is None
    for wrong in (_until(19), Retention("eternal", START + 99 * DAY)):
        with pytest.raises(InvalidValue):
            locked.set_retention("archive", "deed", wrong)


def test_a_legal_hold_is_taken_back_by_hand(locked: BucketStore) -> None:
    version = _put(locked, hold=True)
    with pytest.raises(Locked):
        locked.delete("archive", "deed", version_id=version, bypass_governance=True)
    assert locked.set_legal_hold("archive", "deed", False).legal_hold is False
    locked.delete("archive", "deed", version_id=version)


def test_a_bucket_may_keep_whatever_comes(locked: BucketStore) -> None:
    rule = DefaultRetention("compliance", 30)
    assert DefaultRetention.from_json(rule.to_json()) == rule
    locked.set_setting("archive", "object-lock", rule.to_json())
    _put(locked)
    assert locked.head("archive", "deed").retention == _until(30, "compliance")
    _put(locked, _until(1))
    assert locked.head("archive", "deed").retention == _until(1)
    upload = locked.uploads.begin(
        "archive", "film", about=About(retention=_until(2), legal_hold=True)
    )
    part = locked.uploads.put_part("archive", "film", upload.id, 1, io.BytesIO(b"x"))
    from pycloud.storage.records import PartChoice

    film = locked.uploads.complete("archive", "film", upload.id, [PartChoice(1, part.etag)])
    assert (film.retention, film.legal_hold) == (_until(2), True)
    for wrong in ('{"mode": "x", "days": 1}', '{"mode": "governance", "days": 0}', "{}"):
        with pytest.raises(InvalidValue):
            locked.set_setting("archive", "object-lock", wrong)
