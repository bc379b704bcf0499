"""Access control lists of buckets and objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pycloud.aws.errors import AWSError
from pycloud.s3.acls import BUCKET_MEMBERS, Acl, asked_acl, document_acl, stored_acl
from pycloud.s3.call import Call, new_actions
from pycloud.s3.headers import version_member

actions = new_actions()


@actions.action("GetBucketAcl", root="AccessControlPolicy")
def get_bucket_acl(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Who may do what with the bucket."""
    return call.access.acl.document


@actions.action("PutBucketAcl", *BUCKET_MEMBERS, "AccessControlPolicy")
def put_bucket_acl(call: Call, given: dict[str, Any]) -> None:
    """Say who may do what with the bucket."""
    acl = _asked(call, given, call.bucket.account)
    call.set_setting("acl", acl.to_json())


@actions.action("GetObjectAcl", "VersionId", root="AccessControlPolicy")
def get_object_acl(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Who may do what with an object."""
    stored = call.buckets.head(call.name, call.key, version_id=given.get("VersionId"))
    return stored_acl(stored.acl, stored.account).document


@actions.action("PutObjectAcl", *BUCKET_MEMBERS, "AccessControlPolicy", "VersionId")
def put_object_acl(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Say who may do what with an object."""
    version_id = given.get("VersionId")
    stored = call.buckets.head(call.name, call.key, version_id=version_id)
    acl = _asked(call, given, stored.account)
    call.buckets.set_acl(call.name, call.key, acl.to_json(), version_id=version_id)
    return {} if version_id is None else version_member(call.bucket, stored.version_id)


def check_public(acl: Acl, block: Mapping[str, bool]) -> None:
    """Raise `AWSError` for a public list where those are blocked."""
    if acl.is_public and block.get("BlockPublicAcls"):
        raise AWSError("AccessDenied", "Access Denied: public ACLs are blocked")


def _asked(call: Call, given: dict[str, Any], owner: str) -> Acl:
    """Return the list that headers or body say. Raises `AWSError`."""
    if call.access.ownership == "BucketOwnerEnforced":
        raise AWSError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    document = given.get("AccessControlPolicy")
    acl = asked_acl(given, owner, call.bucket.account)
    if (acl is None) is (document is None):
        if acl is not None:
            raise AWSError("UnexpectedContent", "This request does not support content")
        raise AWSError(
            "MissingSecurityHeader", "Your request was missing a required header: an ACL, or a body"
        )
    found = acl if document is None else document_acl(document, owner)
    assert found is not None  # one of the two was given
    check_public(found, call.access.public_access_block)
    return found
