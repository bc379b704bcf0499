"""What else can be said of a bucket, and is so anyway: where its log goes, who pays."""

from __future__ import annotations

from typing import Any

from pycloud.s3.call import Call, new_actions, not_implemented

actions = new_actions()


@actions.action("GetBucketLogging", root="BucketLoggingStatus")
def get_bucket_logging(_call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The bucket's log goes nowhere."""
    return {}


@actions.action("PutBucketLogging", "BucketLoggingStatus")
def put_bucket_logging(_call: Call, given: dict[str, Any]) -> None:
    """Say that the bucket's log goes nowhere. Requests are in the server's own log; to have them as
    objects would be another thing, and is refused.
    """
    if given.get("BucketLoggingStatus", {}).get("LoggingEnabled") is not None:
        raise not_implemented("delivery of a bucket's log")


@actions.action("GetBucketRequestPayment", root="RequestPaymentConfiguration")
def get_bucket_request_payment(_call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The owner pays; nobody is charged."""
    return {"Payer": "BucketOwner"}


@actions.action("PutBucketRequestPayment", "RequestPaymentConfiguration")
def put_bucket_request_payment(_call: Call, given: dict[str, Any]) -> None:
    """Say what is so anyway."""
    if given.get("RequestPaymentConfiguration", {}).get("Payer") != "BucketOwner":
        raise not_implemented("a requester who pays")
