"""Pages of keys and common prefixes, against what a few lines of Python say they are."""

from __future__ import annotations

import pytest

from pycloud.errors import InvalidValue, NotFound
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Listing, Versioning
from tests.storage.conftest import put

KEYS = [
    "a", "a/", "a/b", "a/b/c", "a//", "a0", "a\n", "a/\x7f", "b", "b/é", "b/ü/x", "B", "é", "é/", "é/a",
    "🏖/1", "🏖/2", "zz--top", "zz--", "zz-", "\x01",
]  # fmt: skip


def _expected(
    keys: list[str], prefix: str, delimiter: str, after: str, most: int
) -> tuple[list[str], list[str], str | None]:
    found: list[tuple[bytes, str, bool]] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        entry = key if at < 0 else key[: at + len(delimiter)]
        is_common = at >= 0
        passed = key.encode() <= after.encode()
        if passed or (is_common and after.startswith(entry)):
            continue
        if (entry.encode(), entry, is_common) not in found:
            found.append((entry.encode(), entry, is_common))
    page = found[:most]
    more = page[-1][1] if len(found) > most and page else None
    return [e for _, e, c in page if not c], [e for _, e, c in page if c], more


def _shape(listing: Listing) -> tuple[list[str], list[str], str | None]:
    return [one.key for one in listing.objects], list(listing.prefixes), listing.next


def test_objects_are_listed_by_their_bytes(store: BucketStore) -> None:
    for key in ("b", "B", "a", "é", "a/b"):
        put(store, key)
    listing = store.list("holiday")
    assert [one.key for one in listing.objects] == ["B", "a", "a/b", "b", "é"]
    assert not listing.is_truncated


def test_every_page_is_what_s3_would_give(store: BucketStore) -> None:
    for key in KEYS:
        put(store, key)
    with store.state.reading():  # one transaction for some hundred questions
        for prefix in ("", "a", "a/", "b", "é", "zz", "nothing"):
            for delimiter in ("", "/", "--", "é", "b"):
                for after in ("", *KEYS, "a/zzz", "zzzz"):
                    for most in (1, 3, 1000):
                        asked = (prefix, delimiter, after, most)
                        found = store.list(
                            "holiday", prefix=prefix, delimiter=delimiter, after=after, most=most
                        )
                        assert _shape(found) == _expected(KEYS, *asked), asked


def test_pages_follow_each_other(store: BucketStore) -> None:
    for key in KEYS:
        put(store, key)
    for delimiter in ("", "/"):
        whole = _shape(store.list("holiday", delimiter=delimiter))
        keys: list[str] = []
        prefixes: list[str] = []
        after: str | None = ""
        while after is not None:
            page = store.list("holiday", delimiter=delimiter, after=after, most=2)
            keys += [one.key for one in page.objects]
            prefixes += page.prefixes
            after = page.next
        assert (keys, prefixes, None) == whole


def test_a_page_may_be_empty_and_has_an_end(store: BucketStore) -> None:
    put(store, "a")
    assert store.list("holiday", most=0) == Listing()
    for most in (-1, 1001):
        with pytest.raises(InvalidValue):
            store.list("holiday", most=most)
    for text in ("\ud800",):
        with pytest.raises(InvalidValue):
            store.list("holiday", prefix=text)
    with pytest.raises(NotFound):
        store.list("elsewhere", delimiter="/")


def test_what_is_deleted_is_not_listed(store: BucketStore) -> None:
    store.set_versioning("holiday", Versioning.ENABLED)
    for key in ("a/1", "a/2", "b/1"):
        put(store, key)
    store.delete("holiday", "a/1")
    store.delete("holiday", "b/1")
    assert [one.key for one in store.each("holiday")] == ["a/2"]
    assert store.list("holiday", delimiter="/").prefixes == ("a/",)


def _versions(store: BucketStore, most: int, **asked: str) -> list[tuple[str, str, bool, bool]]:
    """Return all versions, read page by page."""
    found: list[tuple[str, str, bool, bool]] = []
    key, version = "", None
    while True:
        page = store.list_versions(
            "holiday", key_marker=key, version_marker=version, most=most, **asked
        )
        found += [
            (one.key, one.version_id, one.is_latest, one.is_delete_marker) for one in page.versions
        ]
        found += [(prefix, "", False, False) for prefix in page.prefixes]
        if page.next_key is None:
            return found
        key, version = page.next_key, page.next_version


def test_versions_are_listed_newest_first(store: BucketStore) -> None:
    put(store, "b")  # the null version
    store.set_versioning("holiday", Versioning.ENABLED)
    first, second = put(store, "b"), put(store, "b")
    marker = store.delete("holiday", "b").version_id or ""
    other = put(store, "a/x")
    expected = [
        ("a/x", other, True, False),
        ("b", marker, True, True),
        ("b", second, False, False),
        ("b", first, False, False),
        ("b", "null", False, False),
    ]
    for most in (1, 2, 1000):
        assert _versions(store, most) == expected
        assert _versions(store, most, prefix="b") == expected[1:]
        with_prefixes = _versions(store, most, delimiter="/")
        assert sorted(with_prefixes) == sorted([("a/", "", False, False), *expected[1:]])
    with pytest.raises(InvalidValue):
        store.list_versions("holiday", key_marker="b", version_marker="rubbish")
    with pytest.raises(InvalidValue):
        store.list_versions("holiday", key_marker="a/x", version_marker="null")


def test_uploads_are_listed_by_key_and_id(store: BucketStore) -> None:
    ids = {key: store.uploads.begin("holiday", key).id for key in ("b", "a/1", "a/2")}
    more = store.uploads.begin("holiday", "b").id
    expected = [
        ("a/1", ids["a/1"]),
        ("a/2", ids["a/2"]),
        *(("b", id_) for id_ in sorted([ids["b"], more])),
    ]
    for most in (1, 2, 1000):
        found: list[tuple[str, str]] = []
        key, upload = "", ""
        while True:
            page = store.uploads.list("holiday", key_marker=key, upload_marker=upload, most=most)
            found += [(one.key, one.id) for one in page.uploads]
            if page.next_key is None:
                break
            key, upload = page.next_key, page.next_upload or ""
        assert found == expected
    page = store.uploads.list("holiday", delimiter="/")
    assert page.prefixes == ("a/",)
    assert len(page.uploads) == 2
