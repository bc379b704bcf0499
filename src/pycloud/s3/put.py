"""Objects stored: what a request says of a new object, and its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.aws.payloads import Readable
from pycloud.s3 import acls, checksums, metadata
from pycloud.s3.acl import check_public
from pycloud.s3.body import content_md5, length_of
from pycloud.s3.call import Call, new_actions, not_implemented
from pycloud.s3.headers import (
    CUSTOMER_KEY,
    customer_key,
    encryption_members,
    quoted,
    unquoted,
    version_member,
)
from pycloud.s3.tagging import checked_tags
from pycloud.storage.records import About, Expected, Retention, StoredObject

actions = new_actions()

LOCK: Final = ("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus")
ABOUT: Final = (
    *acls.MEMBERS,
    *metadata.MEMBERS,
    *CUSTOMER_KEY,
    *LOCK,
    "ServerSideEncryption",
    "StorageClass",
    "Tagging",
)
"""The members of requests that say what a new object shall be."""

_FRAMING_BYTES: Final = limits.PUT_BYTES // 100
"""Signatures of chunks and the like, which come with the bytes: the store counts exactly."""


@actions.action(
    "PutObject",
    *ABOUT,
    *checksums.MEMBERS,
    "IfMatch",
    "IfNoneMatch",
)
def put_object(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Store an object."""
    about = about_of(call, given)
    stored = call.buckets.put(
        call.name,
        call.key,
        body_of(call),
        about=about,
        expected=expected_of(call),
        if_match=condition(given, "IfMatch"),
        if_none_match=condition(given, "IfNoneMatch"),
    )
    return stored_members(call, stored, given)


def about_of(call: Call, given: Mapping[str, Any]) -> About:
    """Return what the new object shall be. Raises `AWSError`, also if the caller may not ask for
    that.
    """
    if given.get("ServerSideEncryption") not in (None, "AES256"):
        raise not_implemented("keys of a key management service; AES256 is")
    own = metadata.metadata_of(given)
    if sum(len((name + text).encode()) for name, text in own.items()) > limits.METADATA_BYTES:
        raise AWSError(
            "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size"
        )
    tags = _tags(call, given)
    return About(
        account=call.account,
        headers={"content-type": metadata.DEFAULT_TYPE} | metadata.headers_of(given),
        metadata=own,
        tags=tags,
        acl=_acl(call, given),
        storage_class=given.get("StorageClass", "STANDARD"),
        encryption=given.get("ServerSideEncryption"),
        customer_key=customer_key(given),
        retention=_retention(call, given),
        legal_hold=_legal_hold(call, given),
    )


def body_of(call: Call) -> Readable:
    """Return the bytes to store. Raises `AWSError` if too many, or who knows how many, are sent."""
    length = length_of(call.request)
    if length is not None and "content-length" not in call.request.headers:
        raise AWSError("MissingContentLength", "You must provide the Content-Length HTTP header.")
    if (length or 0) > limits.PUT_BYTES + _FRAMING_BYTES:
        raise AWSError(
            "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size."
        )
    return call.body


def expected_of(call: Call) -> Expected:
    """Return what the bytes must be. Raises `AWSError`."""
    headers = call.request.headers
    md5 = content_md5(headers)
    algorithm, value = checksums.announced(headers, call.trailers)
    return Expected(md5=None if md5 is None else md5.hex(), algorithm=algorithm, value=value)


def condition(given: Mapping[str, Any], name: str) -> str | None:
    """Return the ETag of a conditional write, or `*`."""
    text = given.get(name)
    return None if text is None else unquoted(text)


def stored_members(call: Call, stored: StoredObject, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer about an object that was stored."""
    return {
        "ETag": quoted(stored.etag),
        **version_member(call.bucket, stored.version_id),
        **checksums.members_of(stored.checksum),
        **encryption_members(stored.encryption, given),
    }


def _tags(call: Call, given: Mapping[str, Any]) -> dict[str, str]:
    if not given.get("Tagging"):
        return {}
    pairs = parse_qsl(given["Tagging"], keep_blank_values=True)
    tags = checked_tags(pairs, limits.OBJECT_TAGS)
    call.access.check(
        "s3:PutObjectTagging",
        call.key,
        more={f"s3:requestobjecttag/{name.lower()}": [value] for name, value in tags.items()},
    )
    return tags


def _acl(call: Call, given: Mapping[str, Any]) -> str | None:
    asked = acls.asked_acl(given, call.account, call.bucket.account)
    if asked is None:
        return None
    if call.access.ownership == "BucketOwnerEnforced":
        if given.get("ACL") == "bucket-owner-full-control":
            return None
        raise AWSError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    call.access.check_new_acl(call.key)
    check_public(asked, call.access.public_access_block)
    return asked.to_json()


def _retention(call: Call, given: Mapping[str, Any]) -> Retention | None:
    mode, until = given.get("ObjectLockMode"), given.get("ObjectLockRetainUntilDate")
    if mode is None and until is None:
        return None
    if mode is None or until is None:
        raise AWSError(
            "InvalidArgument",
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
        )
    _check_lockable(call)
    if until <= call.now:
        raise AWSError("InvalidArgument", "The retain until date must be in the future!")
    call.access.check("s3:PutObjectRetention", call.key)
    return Retention(mode.lower(), until)


def _legal_hold(call: Call, given: Mapping[str, Any]) -> bool:
    if "ObjectLockLegalHoldStatus" not in given:
        return False
    _check_lockable(call)
    call.access.check("s3:PutObjectLegalHold", call.key)
    return bool(given["ObjectLockLegalHoldStatus"] == "ON")


def _check_lockable(call: Call) -> None:
    if not call.bucket.object_lock:
        raise AWSError("InvalidRequest", "Bucket is missing Object Lock Configuration")
