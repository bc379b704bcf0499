"""Lifecycle rules: what they say, and that it is carried out ("Lifecycle configuration elements")."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from pycloud import limits
from pycloud.errors import InvalidValue, NotFound
from pycloud.storage.buckets import BucketStore
from pycloud.storage.lifecycle import LifecycleRule, LifecycleRules, is_due
from pycloud.storage.records import About, Versioning
from tests.storage.conftest import files, keys, put

START = datetime(2024, 1, 1, tzinfo=UTC)


def _pass(store: BucketStore, days: float) -> None:
    store.state.clock.advance(seconds=days * 86400)  # type: ignore[attr-defined]


def _rule(store: BucketStore, *rules: LifecycleRule) -> None:
    store.set_setting("holiday", "lifecycle", LifecycleRules(rules).to_json())


def test_days_end_at_midnight() -> None:
    noon = START + timedelta(hours=12)
    assert not is_due(noon, 1, START + timedelta(days=1, hours=23))
    assert is_due(noon, 1, START + timedelta(days=2))
    assert is_due(START, 1, START + timedelta(days=1))
    assert not is_due(noon, None, START + timedelta(days=900))


def test_rules_are_read_as_they_were_written() -> None:
    rules = LifecycleRules(
        (
            LifecycleRule(
                id="a", prefix="log/", tags={"k": "v"}, expire_days=3, larger_than_bytes=5
            ),
            LifecycleRule(enabled=False, expire_at=START, noncurrent_days=2, noncurrent_kept=1),
        )
    )
    assert LifecycleRules.from_json(rules.to_json()) == rules
    assert LifecycleRules.from_json('{"rules": [{"abort_days": 1, "other": []}]}').rules[
        0
    ] == LifecycleRule(abort_days=1)
    for wrong in ('{"rules": [1]}', '{"rules": [{"expire_at": "soon"}]}', '{"rules": 5}'):
        with pytest.raises(InvalidValue):
            LifecycleRules.from_json(wrong)
    with pytest.raises(InvalidValue):
        LifecycleRules.from_json(LifecycleRules((LifecycleRule(),) * 1001).to_json())


def test_objects_expire(store: BucketStore) -> None:
    _rule(
        store,
        LifecycleRule(prefix="log/", expire_days=2, tags={"k": "v"}),
        LifecycleRule(prefix="date/", expire_at=START + timedelta(days=5)),
        LifecycleRule(prefix="size/", expire_days=1, larger_than_bytes=3, smaller_than_bytes=6),
        LifecycleRule(prefix="off/", expire_days=1, enabled=False),
    )
    tagged = About(tags={"k": "v", "l": "w"})
    for key in ("log/1", "log/2"):
        store.put("holiday", key, io.BytesIO(b"x" * 20_000), about=tagged)
    for key in ("log/untagged", "date/1", "off/1"):
        put(store, key)
    for size in (3, 4, 6):
        put(store, f"size/{size}", b"x" * size)
    everything = keys(store)
    assert store.expire() == 0
    _pass(store, 1)
    assert store.expire() == 1
    _pass(store, 1)
    put(store, "log/2")  # written again, and without the tag
    assert store.expire() == 1
    assert sorted(set(everything) - set(keys(store))) == ["log/1", "size/4"]
    assert files(store) == []
    _pass(store, 3)
    assert store.tidy() == 1
    assert "date/1" not in keys(store)


def test_former_versions_and_lonely_markers_go(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    ids = [put(store, "a", bytes([n])) for n in range(4)]
    put(store, "b")
    store.delete("holiday", "b")
    _rule(
        store,
        LifecycleRule(noncurrent_days=3, noncurrent_kept=1),
        LifecycleRule(expire_delete_marker=True),
    )
    assert store.expire() == 0
    _pass(store, 3)
    assert store.expire() == 2
    assert [one.version_id for one in store.list_versions("holiday", prefix="a").versions] == [
        ids[3],
        ids[2],
    ]
    _rule(store, LifecycleRule(noncurrent_days=3), LifecycleRule(expire_delete_marker=True))
    assert store.expire() == 2
    assert store.expire() == 1
    assert [one.key for one in store.list_versions("holiday").versions] == ["a"]


def test_what_expires_in_a_bucket_with_versions_gets_a_marker(store: BucketStore) -> None:
    store.create_bucket("archive", object_lock=True)
    version = store.put("archive", "a", io.BytesIO(b"x"), about=About(legal_hold=True)).version_id
    rules = LifecycleRules((LifecycleRule(expire_days=1, noncurrent_days=1),))
    store.set_setting("archive", "lifecycle", rules.to_json())
    _pass(store, 1)
    assert store.expire() == 1
    assert keys(store, "archive") == []
    _pass(store, 2)
    assert store.expire() == 0, "a hold keeps it"
    store.set_legal_hold("archive", "a", False, version_id=version)
    assert store.expire() == 1
    assert store.expire() == 1, "the marker has nothing under it now"
    assert store.list_versions("archive").versions == ()


def test_uploads_that_nobody_completes_are_aborted(store: BucketStore) -> None:
    _rule(store, LifecycleRule(prefix="a", abort_days=7))
    old = store.uploads.begin("holiday", "a").id
    other = store.uploads.begin("holiday", "b").id
    store.uploads.put_part("holiday", "a", old, 1, io.BytesIO(b"x"))
    _pass(store, 7)
    young = store.uploads.begin("holiday", "a").id
    assert store.expire() == 1
    with pytest.raises(NotFound):
        store.uploads.get("holiday", "a", old)
    for key, upload in (("b", other), ("a", young)):
        assert store.uploads.get("holiday", key, upload)


def test_a_step_goes_on_where_the_last_one_ended(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EXPIRY_ROWS", 4)
    monkeypatch.setattr("pycloud.storage.expiry._PAGE_ROWS", 2)
    store.set_versioning("holiday", Versioning.ENABLED)
    for number in range(5):
        put(store, f"kept/{number}")
        put(store, f"log/{number}")
    _rule(store, LifecycleRule(prefix="log/", expire_days=1))
    _pass(store, 1)
    steps = [store.expire() for _ in range(4)]
    assert sum(steps) == 5
    assert max(steps) <= 4
    assert keys(store) == [f"kept/{number}" for number in range(5)]
