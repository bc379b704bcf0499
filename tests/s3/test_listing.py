"""Lists of objects and versions: prefixes, delimiters, markers, pages, encoding."""

from __future__ import annotations

from typing import Any

import pytest

from tests.s3.conftest import Served, refused

KEYS = ["a", "b/1", "b/2", "b/c/3", "d", "e/", "e/4", "\u00e9"]


@pytest.fixture
def full(s3: Any, bucket: str) -> str:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def _keys(page: Any) -> list[str]:
    return [one["Key"] for one in page.get("Contents", [])]


def _prefixes(page: Any) -> list[str]:
    return [one["Prefix"] for one in page.get("CommonPrefixes", [])]


@pytest.mark.parametrize("action", ["list_objects", "list_objects_v2"])
def test_prefix_and_delimiter(s3: Any, full: str, action: str) -> None:
    ask = getattr(s3, action)
    assert _keys(ask(Bucket=full)) == KEYS
    page = ask(Bucket=full, Delimiter="/")
    assert (_keys(page), _prefixes(page)) == (["a", "d", "é"], ["b/", "e/"])
    page = ask(Bucket=full, Delimiter="/", Prefix="b/")
    assert (_keys(page), _prefixes(page)) == (["b/1", "b/2"], ["b/c/"])
    page = ask(Bucket=full, Delimiter="/", Prefix="e/")
    assert (_keys(page), _prefixes(page)) == (["e/", "e/4"], [])
    page = ask(Bucket=full, Prefix="nothing")
    assert (_keys(page), page["IsTruncated"]) == ([], False)


@pytest.mark.parametrize("action", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_pages_make_the_whole(s3: Any, full: str, action: str, delimiter: str, size: int) -> None:
    options = {"Delimiter": delimiter} if delimiter else {}
    whole = getattr(s3, action)(Bucket=full, **options)
    pages = list(
        s3.get_paginator(action).paginate(
            Bucket=full, PaginationConfig={"PageSize": size}, **options
        )
    )
    assert [key for page in pages for key in _keys(page)] == _keys(whole)
    assert [one for page in pages for one in _prefixes(page)] == _prefixes(whole)
    assert all(len(_keys(page)) + len(_prefixes(page)) <= size for page in pages)
    assert [page["IsTruncated"] for page in pages] == [True] * (len(pages) - 1) + [False]


def test_the_second_way(s3: Any, full: str) -> None:
    page = s3.list_objects_v2(Bucket=full, StartAfter="b/2", MaxKeys=2, FetchOwner=True)
    assert (_keys(page), page["KeyCount"], page["StartAfter"]) == (["b/c/3", "d"], 2, "b/2")
    assert page["Contents"][0]["Owner"]["DisplayName"] == "000000000001"
    rest = s3.list_objects_v2(Bucket=full, ContinuationToken=page["NextContinuationToken"])
    assert _keys(rest) == ["e/", "e/4", "é"]
    assert "Owner" not in rest["Contents"][0]
    with refused("InvalidArgument"):
        s3.list_objects_v2(Bucket=full, ContinuationToken="nonsense")


def test_the_first_way(s3: Any, full: str) -> None:
    page = s3.list_objects(Bucket=full, Marker="b/2", MaxKeys=1)
    assert (_keys(page), page["Marker"]) == (["b/c/3"], "b/2")
    assert "NextMarker" not in page
    page = s3.list_objects(Bucket=full, Delimiter="/", MaxKeys=2)
    assert page["NextMarker"] == "b/"


def test_how_many(served: Served, s3: Any, full: str) -> None:
    page = s3.list_objects_v2(Bucket=full, MaxKeys=0)
    assert (_keys(page), page["IsTruncated"]) == ([], False)
    assert s3.list_objects_v2(Bucket=full, MaxKeys=5000)["MaxKeys"] == 1000
    with refused("InvalidArgument"):
        s3.list_objects_v2(Bucket=full, MaxKeys=-1)
    s3.put_bucket_acl(Bucket=full, ACL="public-read")
    assert served.ask("GET", f"/{full}?max-keys=many").code == "InvalidArgument"
    assert served.ask("GET", f"/{full}?encoding-type=base64").code == "InvalidArgument"
    assert served.ask("GET", f"/{full}?list-type=2&unknown=1").status == 200


def test_keys_are_encoded_if_asked(served: Served, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b+\x01/é", Body=b"")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    body = served.ask("GET", f"/{bucket}?encoding-type=url&prefix=a%20b").body
    assert b"<Key>a%20b%2B%01/%C3%A9</Key>" in body
    assert b"<Prefix>a%20b</Prefix>" in body
    assert "<Key>a b+\ufffd/é</Key>".encode() in served.ask("GET", f"/{bucket}").body


def test_versions(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=versioned, Key="a", Body=b"22")["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key="a")
    assert marker["DeleteMarker"] is True
    s3.put_object(Bucket=versioned, Key="b/c", Body=b"3")
    page = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [(one["VersionId"], one["IsLatest"], one["Size"]) for one in page["Versions"]] == [
        (second, False, 2),
        (first, False, 1),
    ]
    assert [(one["VersionId"], one["IsLatest"]) for one in page["DeleteMarkers"]] == [
        (marker["VersionId"], True)
    ]
    assert _prefixes(page) == ["b/"]
    pages = list(
        s3.get_paginator("list_object_versions").paginate(
            Bucket=versioned, PaginationConfig={"PageSize": 1}
        )
    )
    assert len(pages) == 4
    assert [one["VersionId"] for page in pages for one in page.get("Versions", [])][:2] == [
        second,
        first,
    ]
    with refused("InvalidArgument"):
        s3.list_object_versions(Bucket=versioned, VersionIdMarker=first)
