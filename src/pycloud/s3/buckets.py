"""Buckets: made, listed, looked at, deleted."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.aws.writer import text_of
from pycloud.errors import Duplicate, InvalidValue
from pycloud.s3.acl import check_public
from pycloud.s3.acls import BUCKET_MEMBERS, Acl, asked_acl
from pycloud.s3.call import Call, Reply, new_actions
from pycloud.s3.documents import NAMESPACE
from pycloud.s3.owners import owner_of
from pycloud.s3.tagging import tags_of
from pycloud.storage.names import checked_bucket
from pycloud.storage.records import Bucket

actions = new_actions()


@actions.action(
    "ListBuckets",
    "MaxBuckets",
    "ContinuationToken",
    "Prefix",
    "BucketRegion",
    root="ListAllMyBucketsResult",
)
def list_buckets(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """The buckets of the caller's account."""
    account = call.account_of_caller
    most = given.get("MaxBuckets", limits.BUCKETS_PER_ACCOUNT)
    if not 1 <= most <= limits.BUCKETS_PER_ACCOUNT:
        raise AWSError("InvalidArgument", f"max-buckets is 1 to {limits.BUCKETS_PER_ACCOUNT}")
    after = _read_token(given.get("ContinuationToken", ""))
    prefix = given.get("Prefix", "")
    found = [
        bucket
        for bucket in call.buckets.list_buckets(account=account)
        if bucket.name.startswith(prefix) and bucket.name > after
    ]
    if given.get("BucketRegion", call.region) != call.region:
        found = []
    page, rest = found[:most], found[most:]
    return {
        "Owner": owner_of(account),
        "Buckets": [{"Name": one.name, "CreationDate": one.created_at} for one in page],
        "Prefix": given.get("Prefix"),
        "ContinuationToken": _token(page[-1].name) if rest else None,
    }


@actions.action(
    "CreateBucket",
    *BUCKET_MEMBERS,
    "CreateBucketConfiguration",
    "ObjectLockEnabledForBucket",
    "ObjectOwnership",
)
def create_bucket(call: Call, given: dict[str, Any]) -> Reply:
    """Make a bucket of the caller's account."""
    name, account = call.request.bucket, call.account_of_caller
    try:
        checked_bucket(name)
    except InvalidValue as error:
        raise AWSError("InvalidBucketName", f"The specified bucket is not valid: {error}") from None
    configuration = given.get("CreateBucketConfiguration", {})
    _check_location(call, configuration)
    acl = asked_acl(given, account, account)
    enforced = given.get("ObjectOwnership") == "BucketOwnerEnforced"
    if enforced and acl is not None and given.get("ACL") != "private":
        raise AWSError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )
    tags = tags_of(configuration["Tags"], limits.TAGS) if "Tags" in configuration else None
    lock = bool(given.get("ObjectLockEnabledForBucket"))
    _make(call, name, lock=lock)
    _keep(call, name, given, acl, tags)
    return Reply(headers=(("Location", f"/{name}"),))


@actions.action("HeadBucket")
def head_bucket(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Whether there is such a bucket, and the caller may look into it."""
    return {"BucketRegion": call.region, "AccessPointAlias": False}


@actions.action("DeleteBucket")
def delete_bucket(call: Call, _given: dict[str, Any]) -> None:
    """Delete an empty bucket."""
    call.buckets.delete_bucket(call.name)


@actions.action("GetBucketLocation", root="LocationConstraint")
def get_bucket_location(call: Call, _given: dict[str, Any]) -> Reply:
    """The region; its document is a root without members, which the model does not describe."""
    root = f'<LocationConstraint xmlns="{NAMESPACE}">{text_of(call.region)}</LocationConstraint>'
    return Reply(document=f'<?xml version="1.0" encoding="UTF-8"?>\n{root}')


def _make(call: Call, name: str, *, lock: bool) -> None:
    try:
        call.buckets.create_bucket(name, account=call.account_of_caller, object_lock=lock)
    except Duplicate:
        bucket: Bucket | None = call.buckets.find_bucket(name)
        if bucket is not None and bucket.account == call.account_of_caller:
            raise AWSError(
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
            ) from None
        raise AWSError(
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all users "
            "of the system. Please select a different name and try again.",
        ) from None


def _keep(
    call: Call, name: str, given: dict[str, Any], acl: Acl | None, tags: dict[str, str] | None
) -> None:
    """Keep what else was said of a new bucket."""
    if "ObjectOwnership" in given:
        rules = {"Rules": [{"ObjectOwnership": given["ObjectOwnership"]}]}
        call.buckets.set_setting(name, "ownership", json.dumps(rules))
    if acl is not None:
        check_public(acl, {})
        call.buckets.set_setting(name, "acl", acl.to_json())
    if tags:
        call.buckets.set_setting(name, "tagging", json.dumps(tags))


def _check_location(call: Call, configuration: dict[str, Any]) -> None:
    wanted = configuration.get("LocationConstraint")
    # What tools send that know no other region.
    if wanted not in (None, "", call.region, "us-east-1", "EU", "default"):
        raise AWSError(
            "InvalidLocationConstraint",
            f"The specified location-constraint is not valid: the region here is {call.region}",
        )
    for key in ("Location", "Bucket"):
        if key in configuration:
            raise AWSError("NotImplemented", "There are no directory buckets here")


def _token(name: str) -> str:
    return urlsafe_b64encode(name.encode()).decode()


def _read_token(text: str) -> str:
    try:
        return urlsafe_b64decode(text).decode()
    except ValueError:
        raise AWSError("InvalidArgument", "The continuation token provided is incorrect") from None
