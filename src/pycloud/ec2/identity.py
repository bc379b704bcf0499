"""Who one is: `sts:GetCallerIdentity`, which most tools ask first; and temporary credentials."""

from __future__ import annotations

from pycloud import limits
from pycloud.aws.actions import Actions, Answer
from pycloud.aws.callers import Caller, Credential
from pycloud.aws.errors import AWSError
from pycloud.aws.reader import Taken
from pycloud.ec2.call import Call
from pycloud.errors import InvalidValue
from pycloud.identity.identity import Identity

actions = Actions("sts", Taken({}))


class IdentityKeys:
    """The access keys of a cloud's own users."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """Return what the key stands for, or None."""
        found = self._identity.find(access_key_id, session_token)
        if found is None:
            return None
        user, is_temporary = found.user, session_token is not None
        caller = Caller(user.account, user.id, user.name, user.path, is_temporary)
        return Credential(found.secret, caller)


def refuse_temporary(call: Call) -> None:
    """Raise `AWSError` for a caller whose credentials end: none that last longer are made with
    them ("Permissions for GetSessionToken", IAM user guide).
    """
    if call.caller.is_temporary:
        raise AWSError(
            "AccessDenied", "Cannot do this with session credentials: sign with an access key"
        )


@actions.action("GetCallerIdentity")
def get_caller_identity(call: Call) -> Answer:
    """The account and the user whose key signed."""
    caller = call.caller
    return {"UserId": caller.user_id, "Account": caller.account, "Arn": caller.arn}


@actions.action("GetSessionToken", codes={InvalidValue: "ValidationError"})
def get_session_token(call: Call, *, duration_seconds: int = limits.SESSION_DEFAULT_S) -> Answer:
    """Credentials of the same user that end by themselves."""
    refuse_temporary(call)
    identity = call.cloud.identity
    if identity is None:
        raise AWSError("UnsupportedOperation", "Users of this cloud are kept elsewhere")
    user = identity.users.get(call.caller.user_name, account=call.account)
    made = identity.sessions.create(user, duration_s=duration_seconds)
    return {
        "Credentials": {
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret,
            "SessionToken": made.token,
            "Expiration": made.expires_at,
        }
    }
