"""Objects that arrive in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.s3 import checksums
from pycloud.s3.call import Call, new_actions
from pycloud.s3.copy import SOURCE, source_of
from pycloud.s3.headers import (
    CUSTOMER_KEY,
    customer_key,
    encryption_members,
    quoted,
    unquoted,
    version_member,
    whole_second,
)
from pycloud.s3.listing import encoder, most_keys
from pycloud.s3.owners import owner_of
from pycloud.s3.put import ABOUT, about_of, body_of, condition, expected_of
from pycloud.s3.ranges import read_source_range
from pycloud.storage.records import Part, PartChoice, Upload

actions = new_actions()

_KINDS = {"FULL_OBJECT": "full", "COMPOSITE": "composite"}
_WORDS = {kind: word for word, kind in _KINDS.items()}


@actions.action(
    "CreateMultipartUpload",
    *ABOUT,
    "ChecksumAlgorithm",
    "ChecksumType",
    root="InitiateMultipartUploadResult",
)
def create_multipart_upload(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Begin an upload."""
    algorithm = checksums.known(given.get("ChecksumAlgorithm"))
    kind = given.get("ChecksumType")
    if kind is not None and algorithm is None:
        raise AWSError(
            "InvalidRequest",
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    upload = call.buckets.uploads.begin(
        call.name,
        call.key,
        about=about_of(call, given),
        checksum_algorithm=algorithm,
        checksum_kind=None if kind is None else _KINDS[kind],
    )
    return {
        "Bucket": call.name,
        "Key": call.key,
        "UploadId": upload.id,
        **_checksum_words(upload),
        **encryption_members(upload.encryption, given),
    }


@actions.action("UploadPart", "UploadId", "PartNumber", *CUSTOMER_KEY, *checksums.MEMBERS)
def upload_part(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Store a part."""
    part = call.buckets.uploads.put_part(
        call.name,
        call.key,
        given["UploadId"],
        _number(given),
        body_of(call),
        expected=expected_of(call),
        customer_key=customer_key(given),
    )
    return {
        "ETag": quoted(part.etag),
        **_value(part),
        **encryption_members(None, given),
    }


@actions.action(
    "UploadPartCopy", "UploadId", "PartNumber", *SOURCE, "CopySourceRange", *CUSTOMER_KEY
)
def upload_part_copy(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Take a part from an object."""
    source = source_of(call, given)
    first, last = read_source_range(given.get("CopySourceRange"), source.stored.size_bytes)
    part = call.buckets.uploads.copy_part(
        call.name,
        call.key,
        given["UploadId"],
        _number(given),
        source.bucket.name,
        source.stored.key,
        source_version=source.version_id,
        source_if_match=source.stored.etag,
        source_customer_key=source.customer_key,
        first=first,
        last=last,
        customer_key=customer_key(given),
    )
    return {
        "CopyPartResult": {
            "ETag": quoted(part.etag),
            "LastModified": whole_second(part.created_at),
            **_value(part),
        },
        "CopySourceVersionId": source.version_id,
        **encryption_members(None, given),
    }


@actions.action(
    "CompleteMultipartUpload",
    "UploadId",
    "MultipartUpload",
    *checksums.MEMBERS,
    *CUSTOMER_KEY,
    "ChecksumType",
    "IfMatch",
    "IfNoneMatch",
    "MpuObjectSize",
)
def complete_multipart_upload(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Make the object of the parts."""
    chosen = [_choice(part) for part in given.get("MultipartUpload", {}).get("Parts", [])]
    if not chosen:
        raise AWSError("MalformedXML", "You must specify at least one part")
    if [one.number for one in chosen] != sorted({one.number for one in chosen}):
        raise AWSError(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. The parts list must be specified in order "
            "by part number.",
        )
    stored = call.buckets.uploads.complete(
        call.name,
        call.key,
        given["UploadId"],
        chosen,
        checksum=checksums.chosen(given),
        size_bytes=given.get("MpuObjectSize"),
        if_match=condition(given, "IfMatch"),
        if_none_match=condition(given, "IfNoneMatch"),
    )
    return {
        "Location": call.request.url_of(call.name, call.key),
        "Bucket": call.name,
        "Key": call.key,
        "ETag": quoted(stored.etag),
        **checksums.members_of(stored.checksum),
        **version_member(call.bucket, stored.version_id),
        **encryption_members(stored.encryption, given),
    }


@actions.action("AbortMultipartUpload", "UploadId")
def abort_multipart_upload(call: Call, given: dict[str, Any]) -> None:
    """Give an upload up."""
    call.buckets.uploads.abort(call.name, call.key, given["UploadId"])


@actions.action(
    "ListParts", "UploadId", "MaxParts", "PartNumberMarker", *CUSTOMER_KEY, root="ListPartsResult"
)
def list_parts(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """A page of the parts that are there."""
    most = most_keys(given, "MaxParts")
    marker = given.get("PartNumberMarker", 0)
    page = call.buckets.uploads.list_parts(
        call.name, call.key, given["UploadId"], after=marker, most=max(most, 1)
    )
    parts = page.parts if most else ()
    return {
        "Bucket": call.name,
        "Key": call.key,
        "UploadId": given["UploadId"],
        "PartNumberMarker": marker,
        "NextPartNumberMarker": parts[-1].number if parts else 0,
        "MaxParts": most,
        "IsTruncated": page.next is not None and bool(most),
        "Parts": [
            {
                "PartNumber": one.number,
                "LastModified": whole_second(one.created_at),
                "ETag": quoted(one.etag),
                "Size": one.size_bytes,
                **_value(one),
            }
            for one in parts
        ],
        **_whose(page.upload),
        "StorageClass": page.upload.storage_class,
        **_checksum_words(page.upload),
    }


@actions.action(
    "ListMultipartUploads",
    "Delimiter",
    "EncodingType",
    "KeyMarker",
    "MaxUploads",
    "Prefix",
    "UploadIdMarker",
    root="ListMultipartUploadsResult",
)
def list_multipart_uploads(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """A page of the uploads under way."""
    encode = encoder(given)
    most = most_keys(given, "MaxUploads")
    key_marker = given.get("KeyMarker", "")
    upload_marker = given.get("UploadIdMarker", "") if key_marker else ""
    page = call.buckets.uploads.list(
        call.name,
        prefix=given.get("Prefix", ""),
        delimiter=given.get("Delimiter", ""),
        key_marker=key_marker,
        upload_marker=upload_marker,
        most=max(most, 1),
    )
    shown = most > 0
    return {
        "Bucket": call.name,
        "KeyMarker": encode(key_marker),
        "UploadIdMarker": upload_marker,
        "NextKeyMarker": encode(page.next_key or ""),
        "NextUploadIdMarker": page.next_upload or "",
        "Prefix": encode(given.get("Prefix", "")),
        "Delimiter": encode(given["Delimiter"]) if given.get("Delimiter") else None,
        "MaxUploads": most,
        "EncodingType": given.get("EncodingType"),
        "IsTruncated": page.is_truncated and shown,
        "Uploads": [
            {
                "Key": encode(one.key),
                "UploadId": one.id,
                **_whose(one),
                "StorageClass": one.storage_class,
                "Initiated": whole_second(one.created_at),
                **_checksum_words(one),
            }
            for one in page.uploads
            if shown
        ],
        "CommonPrefixes": [{"Prefix": encode(one)} for one in page.prefixes if shown],
    }


def _number(given: Mapping[str, Any]) -> int:
    number: int = given["PartNumber"]
    if not 1 <= number <= limits.PARTS:
        raise AWSError(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {limits.PARTS}, inclusive",
        )
    return number


def _choice(part: Mapping[str, Any]) -> PartChoice:
    if "PartNumber" not in part or "ETag" not in part:
        raise AWSError("MalformedXML", "A part has a PartNumber and an ETag")
    return PartChoice(part["PartNumber"], unquoted(part["ETag"]), checksums.chosen(part))


def _value(part: Part) -> dict[str, Any]:
    """Return the checksum of a part; its kind is the upload's."""
    if part.checksum is None:
        return {}
    return {f"Checksum{part.checksum.algorithm}": part.checksum.value}


def _checksum_words(upload: Upload) -> dict[str, Any]:
    if upload.checksum_algorithm is None:
        return {}
    return {
        "ChecksumAlgorithm": upload.checksum_algorithm,
        "ChecksumType": _WORDS[upload.checksum_kind],
    }


def _whose(upload: Upload) -> dict[str, Any]:
    owner = owner_of(upload.account)
    return {"Initiator": owner, "Owner": owner}
