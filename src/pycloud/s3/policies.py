"""The policies of buckets, and what else says who gets in: blocks of public access, ownership."""

from __future__ import annotations

import json
from typing import Any

from pycloud.aws.errors import AWSError
from pycloud.s3.call import Call, new_actions
from pycloud.s3.policy import read_policy

actions = new_actions()


@actions.action("GetBucketPolicy")
def get_bucket_policy(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The policy, as it was given."""
    document = call.access.setting("policy")
    if document is None:
        raise _no_policy()
    return {"Policy": document}


@actions.action("PutBucketPolicy", "Policy", "ConfirmRemoveSelfBucketAccess")
def put_bucket_policy(call: Call, given: dict[str, Any]) -> None:
    """Give the bucket a policy."""
    text = given.get("Policy", "")
    policy = read_policy(text, call.name)
    if policy.is_public and call.access.public_access_block.get("BlockPublicPolicy"):
        raise AWSError("AccessDenied", "Access Denied: public policies are blocked")
    call.set_setting("policy", text)


@actions.action("DeleteBucketPolicy")
def delete_bucket_policy(call: Call, _given: dict[str, Any]) -> None:
    """Take the policy away."""
    call.set_setting("policy", None)


@actions.action("GetBucketPolicyStatus")
def get_bucket_policy_status(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Whether the policy lets in people whom nobody named."""
    if call.access.policy is None:
        raise _no_policy()
    return {"PolicyStatus": {"IsPublic": call.access.policy.is_public}}


@actions.action("GetPublicAccessBlock")
def get_public_access_block(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Which kinds of public access are blocked."""
    document = call.access.setting("public-access-block")
    if document is None:
        raise AWSError(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        )
    return {"PublicAccessBlockConfiguration": json.loads(document)}


@actions.action("PutPublicAccessBlock", "PublicAccessBlockConfiguration")
def put_public_access_block(call: Call, given: dict[str, Any]) -> None:
    """Block kinds of public access."""
    asked = given.get("PublicAccessBlockConfiguration")
    if not asked:
        raise AWSError("MalformedXML", "The configuration says nothing")
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    call.set_setting(
        "public-access-block", json.dumps({name: asked.get(name, False) for name in names})
    )


@actions.action("DeletePublicAccessBlock")
def delete_public_access_block(call: Call, _given: dict[str, Any]) -> None:
    """Block nothing more."""
    call.set_setting("public-access-block", None)


@actions.action("GetBucketOwnershipControls")
def get_bucket_ownership_controls(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Whether ACLs count."""
    document = call.access.setting("ownership")
    if document is None:
        raise AWSError(
            "OwnershipControlsNotFoundError", "The bucket ownership controls were not found"
        )
    return {"OwnershipControls": json.loads(document)}


@actions.action("PutBucketOwnershipControls", "OwnershipControls")
def put_bucket_ownership_controls(call: Call, given: dict[str, Any]) -> None:
    """Say whether ACLs count."""
    rules = given.get("OwnershipControls", {}).get("Rules", [])
    if len(rules) != 1:
        raise AWSError("MalformedXML", "There is exactly one rule of ownership")
    call.set_setting("ownership", json.dumps({"Rules": rules}))


@actions.action("DeleteBucketOwnershipControls")
def delete_bucket_ownership_controls(call: Call, _given: dict[str, Any]) -> None:
    """Say nothing of ownership more."""
    call.set_setting("ownership", None)


def _no_policy() -> AWSError:
    return AWSError("NoSuchBucketPolicy", "The bucket policy does not exist")
