"""Objects read: whole or in part, if they are what the client wants to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pycloud.aws.errors import AWSError
from pycloud.aws.rest_writer import header_safe
from pycloud.errors import NotFound, WrongKey
from pycloud.s3 import checksums, metadata
from pycloud.s3.call import Bytes, Call, Reply, new_actions
from pycloud.s3.conditional import CONDITIONS, check_conditions
from pycloud.s3.errors import S3Error
from pycloud.s3.headers import (
    CUSTOMER_KEY,
    customer_key,
    encryption_members,
    lock_members,
    quoted,
    version_member,
    whole_second,
)
from pycloud.s3.ranges import read_range
from pycloud.storage.reading import ObjectStream
from pycloud.storage.records import StoredObject, Versioning

actions = new_actions()

_RESPONSE: Final = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}
"""Parameters that replace a header of the answer."""
_NOTHING: Final = (0, -1)
_TAKEN: Final = (
    *CONDITIONS,
    *_RESPONSE,
    *CUSTOMER_KEY,
    "ChecksumMode",
    "PartNumber",
    "Range",
    "VersionId",
)


@actions.action("GetObject", *_TAKEN)
def get_object(call: Call, given: dict[str, Any]) -> Reply:
    """The bytes of an object, or a range of them."""
    stream = _opened(call, given)
    body = None
    try:
        reply, (first, last) = _reply(call, stream, given)
        if first <= last:
            spans = bool(call.request.environ.get("pycloud.sends_spans"))
            body = Bytes(stream, first, last, as_spans=spans)
    finally:
        if body is None:
            stream.close()
    return Reply(reply.members, reply.status, body, reply.headers)


@actions.action("HeadObject", *_TAKEN)
def head_object(call: Call, given: dict[str, Any]) -> Reply:
    """What GetObject says, without the bytes."""
    with _opened(call, given) as stream:
        return _reply(call, stream, given)[0]


def delete_marker_headers(marker: StoredObject) -> list[tuple[str, str]]:
    """Return the headers of a refusal that stands on a delete marker."""
    return [("x-amz-delete-marker", "true"), ("x-amz-version-id", marker.version_id)]


def refuse_delete_marker(call: Call, key: str, version_id: str | None) -> None:
    """Raise `AWSError` if a delete marker is what was asked for."""
    if call.bucket.versioning is Versioning.OFF:
        return
    if version_id is not None:
        stored = call.buckets.head(call.name, key, version_id=version_id)
        if stored.is_delete_marker:
            raise S3Error(
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                [*delete_marker_headers(stored), ("Allow", "DELETE")],
            )
        return
    page = call.buckets.list_versions(call.name, prefix=key, most=1)
    for version in page.versions:
        if version.key == key and version.is_latest and version.is_delete_marker:
            raise S3Error(
                "NoSuchKey", "The specified key does not exist.", delete_marker_headers(version)
            )


def _opened(call: Call, given: Mapping[str, Any]) -> ObjectStream:
    version_id = given.get("VersionId")
    try:
        if version_id is not None:
            refuse_delete_marker(call, call.key, version_id)
        return call.buckets.get(
            call.name, call.key, version_id=version_id, customer_key=customer_key(given)
        )
    except WrongKey as error:
        if (
            customer_key(given) is None
            or call.buckets.head(call.name, call.key, version_id=version_id).encryption
            != "customer"
        ):
            raise AWSError(
                "InvalidRequest",
                "The object was stored using a form of Server Side Encryption. The correct parameters "
                "must be provided to retrieve the object.",
            ) from error
        raise AWSError("AccessDenied", "Access Denied") from error
    except NotFound as error:
        if error.kind == "object" and call.access.allows("s3:ListBucket"):
            refuse_delete_marker(call, call.key, None)
        raise


def _reply(
    call: Call, stream: ObjectStream, given: Mapping[str, Any]
) -> tuple[Reply, tuple[int, int]]:
    """Return the answer without its bytes, and the first and the last of those."""
    stored = stream.stored
    members = _members(call, stored, given)
    if check_conditions(given, stored):
        kept = ("ETag", "LastModified", "VersionId", "CacheControl", "Expires")
        return Reply({key: members[key] for key in kept if key in members}, 304), _NOTHING
    span = _span(stream, given, members)
    whole = span is None
    if span is None:
        span = (0, stored.size_bytes - 1)
    first, last = span
    members["ContentLength"] = last - first + 1
    if whole and given.get("ChecksumMode") == "ENABLED":
        members |= checksums.members_of(stored.checksum)
    if not whole:
        members["ContentRange"] = f"bytes {first}-{last}/{stored.size_bytes}"
    return Reply(members, 200 if whole else 206, headers=_tag_count(stored)), span


def _members(call: Call, stored: StoredObject, given: Mapping[str, Any]) -> dict[str, Any]:
    members = {
        **metadata.members_of(stored),
        "AcceptRanges": "bytes",
        "ETag": quoted(stored.etag),
        "LastModified": whole_second(stored.created_at),
        **version_member(call.bucket, stored.version_id),
        **encryption_members(stored.encryption, given),
        **lock_members(stored),
    }
    if stored.storage_class != "STANDARD":
        members["StorageClass"] = stored.storage_class
    replaced = {key: given[name] for name, key in _RESPONSE.items() if name in given}
    if replaced and call.caller is None:
        raise AWSError(
            "InvalidRequest",
            "Request specific response headers cannot be used for anonymous GET requests.",
        )
    return members | {key: header_safe(str(text)) for key, text in replaced.items()}


def _span(
    stream: ObjectStream, given: Mapping[str, Any], members: dict[str, Any]
) -> tuple[int, int] | None:
    """Return the first and the last byte that are wanted, None for all."""
    size = stream.stored.size_bytes
    number = given.get("PartNumber")
    if number is None:
        return read_range(given.get("Range"), size)
    if "Range" in given:
        raise AWSError(
            "InvalidRequest", "Cannot specify both Range header and partNumber query parameter"
        )
    count = stream.stored.part_count
    if count is not None:
        members["PartsCount"] = count
    try:
        found = stream.part(number) if count is not None or size else (0, -1)
    except IndexError:
        found = None
    if found is None or (count is None and number != 1):
        raise AWSError("InvalidPartNumber", "The requested partnumber is not satisfiable")
    return found if size else None


def _tag_count(stored: StoredObject) -> tuple[tuple[str, str], ...]:
    return (("x-amz-tagging-count", str(len(stored.tags))),) if stored.tags else ()
