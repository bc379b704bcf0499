"""Objects copied, within this store."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_to_bytes

import attrs

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.errors import NotFound
from pycloud.s3 import checksums
from pycloud.s3.call import Call, new_actions
from pycloud.s3.conditional import SOURCE_CONDITIONS, check_source
from pycloud.s3.headers import (
    CUSTOMER_KEY,
    customer_key,
    encryption_members,
    quoted,
    version_member,
    whole_second,
)
from pycloud.s3.permissions import permission_of
from pycloud.s3.put import ABOUT, about_of, condition
from pycloud.storage.records import Bucket, StoredObject, Versioning

actions = new_actions()

SOURCE: Final = (
    "CopySource",
    *SOURCE_CONDITIONS,
    *(f"CopySource{name}" for name in CUSTOMER_KEY),
    "ExpectedSourceBucketOwner",
)
"""The members of requests that say what is copied."""


@attrs.frozen
class Source:
    """What is copied: an object that was found, and that the caller may read."""

    bucket: Bucket
    stored: StoredObject
    customer_key: bytes | None = attrs.field(repr=False)

    @property
    def version_id(self) -> str | None:
        """The version, so that it is the one that was looked at."""
        return None if self.bucket.versioning is Versioning.OFF else self.stored.version_id


@actions.action(
    "CopyObject",
    *ABOUT,
    *SOURCE,
    "ChecksumAlgorithm",
    "IfMatch",
    "IfNoneMatch",
    "MetadataDirective",
    "TaggingDirective",
)
def copy_object(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Make an object with the bytes of another."""
    source = source_of(call, given)
    if source.stored.size_bytes > limits.PUT_BYTES:
        raise AWSError(
            "InvalidRequest",
            f"The specified copy source is larger than the maximum allowable size for a copy source: "
            f"{limits.PUT_BYTES}",
        )
    _check_changes(call, given, source)
    stored = call.buckets.copy(
        source.bucket.name,
        source.stored.key,
        call.name,
        call.key,
        source_version=source.version_id,
        source_if_match=source.stored.etag,
        source_customer_key=source.customer_key,
        about=about_of(call, given),
        keep_metadata=given.get("MetadataDirective", "COPY") == "COPY",
        keep_tags=given.get("TaggingDirective", "COPY") == "COPY",
        algorithm=checksums.known(given.get("ChecksumAlgorithm")),
        if_match=condition(given, "IfMatch"),
        if_none_match=condition(given, "IfNoneMatch"),
    )
    return {
        "CopyObjectResult": {
            "ETag": quoted(stored.etag),
            "LastModified": whole_second(stored.created_at),
            **checksums.members_of(stored.checksum),
        },
        "CopySourceVersionId": source.version_id,
        **version_member(call.bucket, stored.version_id),
        **encryption_members(stored.encryption, given),
    }


def source_of(call: Call, given: dict[str, Any]) -> Source:
    """Return what is to be copied. Raises `AWSError`, `NotFound`."""
    name, key, version_id = _read_source(given["CopySource"])
    gate = call.gate_of(name)
    owner = given.get("ExpectedSourceBucketOwner")
    if owner is not None and owner != gate.bucket.account:
        raise AWSError("AccessDenied", "Access Denied")
    gate.check(permission_of("GetObject", version_id), key, version_id=version_id)
    try:
        stored = call.buckets.head(name, key, version_id=version_id)
    except NotFound:
        if gate.allows("s3:ListBucket"):
            raise
        raise AWSError("AccessDenied", "Access Denied") from None
    if stored.is_delete_marker:
        raise AWSError(
            "InvalidRequest",
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        )
    check_source(given, stored)
    return Source(gate.bucket, stored, customer_key(given, "CopySource"))


def _read_source(text: str) -> tuple[str, str, str | None]:
    """Read `/bucket/key?versionId=…`, percent-encoded."""
    path, mark, query = text.partition("?versionId=")
    try:
        place = unquote_to_bytes(path.encode("latin-1", "replace")).decode()
    except UnicodeDecodeError:
        raise AWSError("InvalidArgument", "The copy source is not UTF-8") from None
    bucket, _, key = place.removeprefix("/").partition("/")
    if not bucket or not key:
        raise AWSError(
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        )
    return bucket, key, query if mark else None


def _check_changes(call: Call, given: dict[str, Any], source: Source) -> None:
    """Refuse to copy an object to itself if nothing would change."""
    same = (source.bucket.name, source.stored.key) == (call.name, call.key)
    changes = given.get("MetadataDirective") == "REPLACE" or any(
        name in given
        for name in (
            "StorageClass",
            "ServerSideEncryption",
            "SSECustomerKey",
            "WebsiteRedirectLocation",
            "ChecksumAlgorithm",
        )
    )
    if same and not changes and source.stored.is_latest:
        raise AWSError(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without "
            "changing the object's metadata, storage class, website redirect location or encryption "
            "attributes.",
        )
