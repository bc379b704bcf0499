"""Who one is: `sts:GetCallerIdentity`, which most tools ask first."""

from __future__ import annotations

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.reader import Taken
from pycloud.ec2.call import Call

actions = Actions("sts", Taken({}))


@actions.action("GetCallerIdentity")
def get_caller_identity(call: Call) -> Answer:
    """The account and the user whose key signed."""
    caller = call.caller
    return {"UserId": caller.user_id, "Account": caller.account, "Arn": caller.arn}
