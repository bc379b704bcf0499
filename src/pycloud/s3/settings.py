"""Where a bucket's log goes, and who pays for it."""

from __future__ import annotations

import json
from typing import Any

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.errors import NotFound
from pycloud.s3.access_log import LOGGING, Target
from pycloud.s3.call import Call, new_actions, not_implemented

actions = new_actions()


@actions.action("GetBucketLogging", root="BucketLoggingStatus")
def get_bucket_logging(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Where the bucket's log goes; nothing if nowhere."""
    document = call.access.setting(LOGGING)
    return {} if document is None else {"LoggingEnabled": json.loads(document)}


@actions.action("PutBucketLogging", "BucketLoggingStatus")
def put_bucket_logging(call: Call, given: dict[str, Any]) -> None:
    """Say where the bucket's log goes, or that it goes nowhere."""
    if not call.access.is_owner:
        raise AWSError("AccessDenied", "Access Denied")
    asked = given.get("BucketLoggingStatus", {}).get("LoggingEnabled")
    if asked is None:
        call.set_setting(LOGGING, None)
        return
    if asked.get("TargetGrants"):
        raise not_implemented("grants on a log's objects; use the target bucket's policy")
    if "PartitionedPrefix" in asked.get("TargetObjectKeyFormat", {}):
        raise not_implemented("keys of log objects by date of the event; SimplePrefix is")
    kept = {"TargetPrefix": "", **asked}
    _check_target(call, Target(call.bucket.account, kept["TargetBucket"], kept["TargetPrefix"]))
    call.set_setting(LOGGING, json.dumps(kept))


def _check_target(call: Call, target: Target) -> None:
    try:
        found = call.known.get(target.bucket)
    except NotFound:
        found = None
    if found is None or found.account != target.account:
        raise AWSError(
            "InvalidTargetBucketForLogging",
            "The target bucket for logging does not exist or is not owned by you",
        )
    if len(target.key_at(call.now).encode()) > limits.KEY_BYTES:
        raise AWSError("KeyTooLongError", "The prefix leaves no room for the rest of the key")


@actions.action("GetBucketRequestPayment", root="RequestPaymentConfiguration")
def get_bucket_request_payment(_call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The owner pays; nobody is charged."""
    return {"Payer": "BucketOwner"}


@actions.action("PutBucketRequestPayment", "RequestPaymentConfiguration")
def put_bucket_request_payment(_call: Call, given: dict[str, Any]) -> None:
    """Say what is so anyway."""
    if given.get("RequestPaymentConfiguration", {}).get("Payer") != "BucketOwner":
        raise not_implemented("a requester who pays")
