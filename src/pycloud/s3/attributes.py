"""What is known of an object, without its bytes or metadata."""

from __future__ import annotations

from typing import Any

from pycloud.aws.errors import AWSError
from pycloud.s3 import checksums
from pycloud.s3.call import Call, new_actions
from pycloud.s3.errors import S3Error
from pycloud.s3.get import delete_marker_headers
from pycloud.s3.headers import CUSTOMER_KEY, customer_key, version_member, whole_second
from pycloud.s3.listing import most_keys
from pycloud.storage.records import StoredObject

actions = new_actions()

_NAMES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})


@actions.action(
    "GetObjectAttributes",
    "VersionId",
    "ObjectAttributes",
    "MaxParts",
    "PartNumberMarker",
    *CUSTOMER_KEY,
    root="GetObjectAttributesResponse",
)
def get_object_attributes(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Those of its attributes that are asked for."""
    wanted = set(given["ObjectAttributes"])
    if not wanted or wanted - _NAMES:
        raise AWSError("InvalidArgument", "Invalid attribute name specified.")
    key = customer_key(given)
    version_id = given.get("VersionId")
    stored = call.buckets.head(call.name, call.key, version_id=version_id)
    if stored.is_delete_marker:
        raise S3Error(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            delete_marker_headers(stored),
        )
    if (stored.encryption == "customer") is not (key is not None):
        raise AWSError(
            "InvalidRequest",
            "The object was stored using a form of Server Side Encryption. The correct parameters must "
            "be provided to retrieve the object.",
        )
    return {
        "LastModified": whole_second(stored.created_at),
        **version_member(call.bucket, stored.version_id),
        **{name: value for name, value in _known(call, stored, given) if name in wanted},
    }


def _known(call: Call, stored: StoredObject, given: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [
        ("ETag", stored.etag),
        ("Checksum", checksums.members_of(stored.checksum) or None),
        ("StorageClass", stored.storage_class),
        ("ObjectSize", stored.size_bytes),
    ]
    if stored.part_count is not None and "ObjectParts" in given["ObjectAttributes"]:
        found.append(("ObjectParts", _parts(call, stored, given)))
    return found


def _parts(call: Call, stored: StoredObject, given: dict[str, Any]) -> dict[str, Any]:
    most = most_keys(given, "MaxParts")
    marker = given.get("PartNumberMarker", 0)
    parts = call.buckets.parts(
        call.name, call.key, version_id=given.get("VersionId"), after=marker, most=most + 1
    )
    page = parts[:most]
    answer: dict[str, Any] = {
        "TotalPartsCount": stored.part_count,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": page[-1].number if page else marker,
        "MaxParts": most,
        "IsTruncated": len(parts) > most,
    }
    if stored.checksum is not None:
        # S3 tells of single parts only where they have checksums.
        answer["Parts"] = [
            {
                "PartNumber": one.number,
                "Size": one.size_bytes,
                **(
                    {f"Checksum{one.checksum.algorithm}": one.checksum.value}
                    if one.checksum is not None
                    else {}
                ),
            }
            for one in page
        ]
    return answer
