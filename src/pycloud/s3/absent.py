"""What no bucket here has: tools read it of every bucket, and are told the truth. Setting it is not
implemented.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pycloud.aws.errors import AWSError
from pycloud.s3.call import Call, new_actions

actions = new_actions()


@actions.action("GetBucketAccelerateConfiguration", root="AccelerateConfiguration")
def get_bucket_accelerate_configuration(_call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Nothing is accelerated."""
    return {}


@actions.action("GetBucketNotificationConfiguration", root="NotificationConfiguration")
def get_bucket_notification_configuration(_call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """Nobody is notified."""
    return {}


@actions.action("GetBucketWebsite")
def get_bucket_website(_call: Call, _given: dict[str, Any]) -> NoReturn:
    """There is no website."""
    raise AWSError(
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    )


@actions.action("GetBucketReplication")
def get_bucket_replication(_call: Call, _given: dict[str, Any]) -> NoReturn:
    """Nothing is replicated."""
    raise AWSError(
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    )
