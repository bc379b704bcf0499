"""`AWSError`: an answer that says no, in AWS's words."""

from __future__ import annotations

from typing import Final

_STATUS: Final = {
    "AccessDenied": 403,
    "AuthFailure": 401,
    "DeleteConflict": 409,
    "DryRunOperation": 412,
    "EntityAlreadyExists": 409,
    "InternalError": 500,
    "LimitExceeded": 409,
    "MethodNotAllowed": 405,
    "MissingAuthenticationToken": 403,
    "NoSuchEntity": 404,
    "RequestEntityTooLarge": 413,
    "SignatureDoesNotMatch": 403,
    "Unavailable": 503,
}
"""HTTP status by code where it is not 400 ("Error codes for the Amazon EC2 API", "Common errors" of
IAM).

`InsufficientInstanceCapacity` is not 500 as on AWS: SDKs repeat what answers 500, and a full cloud
is not emptier a second later.
"""


class AWSError(Exception):
    """A refusal with AWS's `code`, and a `message` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUS.get(self.code, 400)
