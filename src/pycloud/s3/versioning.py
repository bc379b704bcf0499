"""Whether a bucket keeps former versions."""

from __future__ import annotations

from typing import Any

from pycloud.aws.errors import AWSError
from pycloud.errors import WrongState
from pycloud.s3.call import Call, new_actions, not_implemented
from pycloud.storage.records import Versioning

actions = new_actions()

_WORDS = {Versioning.ENABLED: "Enabled", Versioning.SUSPENDED: "Suspended"}


@actions.action("GetBucketVersioning", root="VersioningConfiguration")
def get_bucket_versioning(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """What was said last; nothing, if nothing ever was."""
    return {"Status": _WORDS.get(call.bucket.versioning)}


@actions.action("PutBucketVersioning", "VersioningConfiguration")
def put_bucket_versioning(call: Call, given: dict[str, Any]) -> None:
    """Keep former versions from now on, or no more."""
    asked = given.get("VersioningConfiguration", {})
    if asked.get("MFADelete") == "Enabled":
        raise not_implemented("MfaDelete")
    status = asked.get("Status")
    if status is None:
        raise AWSError("IllegalVersioningConfigurationException", "Status is Enabled or Suspended")
    try:
        call.buckets.set_versioning(call.name, Versioning(status.lower()))
    except WrongState as error:
        raise AWSError("InvalidBucketState", str(error)) from None
