"""Lists of a bucket's objects and versions."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.s3.call import Call, new_actions
from pycloud.s3.headers import quoted, whole_second
from pycloud.s3.owners import owner_of
from pycloud.storage.records import Listing, StoredObject

actions = new_actions()

_COMMON = ("Prefix", "Delimiter", "MaxKeys", "EncodingType")
_HARMLESS = {"OptionalObjectAttributes": "nothing has been restored whose state it could ask for"}


@actions.action("ListObjects", *_COMMON, "Marker", root="ListBucketResult", harmless=_HARMLESS)
def list_objects(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """A page of objects, in the old way: from a marker on."""
    encode = encoder(given)
    marker = given.get("Marker", "")
    page = _page(call, given, marker)
    answer = _listed(call, given, page, with_owner=True)
    answer["Marker"] = encode(marker)
    if page.is_truncated and given.get("Delimiter"):
        answer["NextMarker"] = encode(page.next or "")
    return answer


@actions.action(
    "ListObjectsV2",
    *_COMMON,
    "ContinuationToken",
    "StartAfter",
    "FetchOwner",
    root="ListBucketResult",
    harmless=_HARMLESS,
)
def list_objects_v2(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """A page of objects, from where the last page's token says."""
    token = given.get("ContinuationToken")
    start = given.get("StartAfter", "")
    page = _page(call, given, start if token is None else _read_token(token))
    answer = _listed(call, given, page, with_owner=bool(given.get("FetchOwner")))
    answer["KeyCount"] = len(page.objects) + len(page.prefixes)
    answer["ContinuationToken"] = token
    answer["StartAfter"] = encoder(given)(start) if start else None
    answer["NextContinuationToken"] = _token(page.next) if page.next is not None else None
    return answer


@actions.action(
    "ListObjectVersions",
    *_COMMON,
    "KeyMarker",
    "VersionIdMarker",
    root="ListVersionsResult",
    harmless=_HARMLESS,
)
def list_object_versions(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """A page of all versions and delete markers."""
    encode = encoder(given)
    marker, version = given.get("KeyMarker", ""), given.get("VersionIdMarker") or None
    if version is not None and not marker:
        raise AWSError(
            "InvalidArgument", "A version-id marker cannot be specified without a key marker."
        )
    most = most_keys(given)
    page = call.buckets.list_versions(
        call.name,
        prefix=given.get("Prefix", ""),
        delimiter=given.get("Delimiter", ""),
        key_marker=marker,
        version_marker=version,
        most=most,
    )
    versions = [(one.is_delete_marker, _version(one, encode)) for one in page.versions]
    return {
        **_frame(call, given, most),
        "KeyMarker": encode(marker),
        "VersionIdMarker": version or "",
        "NextKeyMarker": None if page.next_key is None else encode(page.next_key),
        "NextVersionIdMarker": page.next_version,
        "IsTruncated": page.is_truncated,
        "Versions": [one for is_marker, one in versions if not is_marker],
        "DeleteMarkers": [one for is_marker, one in versions if is_marker],
        "CommonPrefixes": [{"Prefix": encode(one)} for one in page.prefixes],
    }


def encoder(given: dict[str, Any]) -> Callable[[str], str]:
    """Return how keys are written in the answer: as they are, or, with `encoding-type=url`, so that
    XML can carry any.
    """
    if given.get("EncodingType") == "url":
        return lambda text: quote(text, safe="/-_.*~")
    return lambda text: text


def most_keys(given: dict[str, Any], name: str = "MaxKeys") -> int:
    """Return how many keys a page has at most. Raises `AWSError`."""
    most: int = given.get(name, limits.LIST_KEYS)
    if not 0 <= most < 2**31:
        raise AWSError("InvalidArgument", f"{name} is between 0 and {2**31 - 1}, not {most}")
    return min(most, limits.LIST_KEYS)


def _page(call: Call, given: dict[str, Any], after: str) -> Listing:
    most = most_keys(given)
    if not most:
        return Listing()
    return call.buckets.list(
        call.name,
        prefix=given.get("Prefix", ""),
        delimiter=given.get("Delimiter", ""),
        after=after,
        most=most,
    )


def _listed(
    call: Call, given: dict[str, Any], page: Listing, *, with_owner: bool
) -> dict[str, Any]:
    encode = encoder(given)
    return {
        **_frame(call, given, most_keys(given)),
        "IsTruncated": page.is_truncated,
        "Contents": list(_contents(page.objects, encode, with_owner=with_owner)),
        "CommonPrefixes": [{"Prefix": encode(one)} for one in page.prefixes],
    }


def _frame(call: Call, given: dict[str, Any], most: int) -> dict[str, Any]:
    encode = encoder(given)
    return {
        "Name": call.name,
        "Prefix": encode(given.get("Prefix", "")),
        "Delimiter": encode(given["Delimiter"]) if given.get("Delimiter") else None,
        "MaxKeys": most,
        "EncodingType": given.get("EncodingType"),
    }


def _contents(
    objects: Iterable[StoredObject], encode: Callable[[str], str], *, with_owner: bool
) -> Iterable[dict[str, Any]]:
    for one in objects:
        entry = {
            "Key": encode(one.key),
            "LastModified": whole_second(one.created_at),
            "ETag": quoted(one.etag),
            "Size": one.size_bytes,
            "StorageClass": one.storage_class,
        }
        if one.checksum is not None:
            entry["ChecksumAlgorithm"] = [one.checksum.algorithm]
        if with_owner:
            entry["Owner"] = owner_of(one.account)
        yield entry


def _version(one: StoredObject, encode: Callable[[str], str]) -> dict[str, Any]:
    entry = {
        "Key": encode(one.key),
        "VersionId": one.version_id,
        "IsLatest": one.is_latest,
        "LastModified": whole_second(one.created_at),
        "Owner": owner_of(one.account),
    }
    if one.is_delete_marker:
        return entry
    return {
        **entry,
        "ETag": quoted(one.etag),
        "Size": one.size_bytes,
        "StorageClass": one.storage_class,
    }


def _token(after: str) -> str:
    return urlsafe_b64encode(after.encode()).decode()


def _read_token(text: str) -> str:
    try:
        after = urlsafe_b64decode(text.encode()).decode()
    except ValueError:
        after = ""
    if not after:
        raise AWSError("InvalidArgument", "The continuation token provided is incorrect")
    return after
