"""What else is said of a bucket, kept and given back: where its log goes, who pays."""

from __future__ import annotations

import json
from typing import Any

from pycloud.aws.errors import AWSError
from pycloud.errors import NotFound
from pycloud.s3.call import Call, new_actions, not_implemented

actions = new_actions()


@actions.action("GetBucketLogging", root="BucketLoggingStatus")
def get_bucket_logging(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Where the bucket's log goes; nowhere, unless it was said."""
    found: dict[str, Any] = json.loads(call.access.setting("logging") or "{}")
    return found


@actions.action("PutBucketLogging", "BucketLoggingStatus")
def put_bucket_logging(call: Call, given: dict[str, Any]) -> None:
    """Say where the bucket's log goes. Requests are logged by the server, not delivered."""
    asked = given.get("BucketLoggingStatus", {})
    target = asked.get("LoggingEnabled")
    if target is None:
        call.set_setting("logging", None)
        return
    try:
        bucket = call.buckets.get_bucket(target["TargetBucket"])
    except NotFound:
        bucket = None
    if bucket is None or bucket.account != call.bucket.account:
        raise AWSError(
            "InvalidTargetBucketForLogging",
            "The target bucket for logging does not exist, or is not owned by you",
        )
    call.set_setting("logging", json.dumps(asked))


@actions.action("GetBucketRequestPayment", root="RequestPaymentConfiguration")
def get_bucket_request_payment(_call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The owner pays; nobody is charged."""
    return {"Payer": "BucketOwner"}


@actions.action("PutBucketRequestPayment", "RequestPaymentConfiguration")
def put_bucket_request_payment(_call: Call, given: dict[str, Any]) -> None:
    """Say what is so anyway."""
    if given.get("RequestPaymentConfiguration", {}).get("Payer") != "BucketOwner":
        raise not_implemented("a requester who pays")
