"""AWS's codes for the errors of pycloud ("Error codes for the Amazon EC2 API")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pycloud.aws.actions import ErrorCodes
from pycloud.aws.errors import AWSError
from pycloud.errors import (
    Duplicate,
    InUse,
    InvalidValue,
    LimitExceeded,
    NoAddress,
    NoRoom,
    NotFound,
    NotOwner,
    Protected,
    PyCloudError,
    StateBusy,
    WrongKey,
    WrongState,
)

_NOT_FOUND: Final = {
    "account": "NoSuchEntity",
    "access key": "NoSuchEntity",
    "allocation": "InvalidAllocationID.NotFound",
    "bucket": "InvalidManifest",
    "image": "InvalidAMIID.NotFound",
    "instance": "InvalidInstanceID.NotFound",
    "instance type": "InvalidParameterValue",
    "key pair": "InvalidKeyPair.NotFound",
    "launch template": "InvalidLaunchTemplateId.NotFound",
    "launch template version": "InvalidLaunchTemplateId.VersionNotFound",
    "network interface": "InvalidNetworkInterfaceID.NotFound",
    "object": "InvalidManifest",
    "permission": "InvalidPermission.NotFound",
    "placement group": "InvalidPlacementGroup.Unknown",
    "security group": "InvalidGroup.NotFound",
    "security group rule": "InvalidSecurityGroupRuleId.NotFound",
    "user": "NoSuchEntity",
    "zone": "InvalidParameterValue",
}
"""By the kind of thing that was looked for."""

_BY_KIND: Final[Mapping[type[PyCloudError], str]] = {
    Duplicate: "InvalidParameterValue",
    InUse: "DependencyViolation",
    InvalidValue: "InvalidParameterValue",
    LimitExceeded: "ResourceLimitExceeded",
    NoAddress: "InsufficientFreeAddressesInSubnet",
    NoRoom: "InsufficientInstanceCapacity",
    NotOwner: "AuthFailure",
    Protected: "OperationNotPermitted",
    StateBusy: "Unavailable",
    WrongKey: "InvalidManifest",
    WrongState: "IncorrectState",
}


def error_of(error: PyCloudError, codes: ErrorCodes) -> AWSError:
    """Return the refusal that AWS has for `error`; `codes` are the action's own."""
    for kind in type(error).__mro__:
        if kind in codes:
            return AWSError(codes[kind], str(error))
        if kind is NotFound:
            assert isinstance(error, NotFound)
            return AWSError(_NOT_FOUND.get(error.kind, "InvalidParameterValue"), str(error))
        if kind in _BY_KIND:
            return AWSError(_BY_KIND[kind], str(error))
    return AWSError("InternalError", "An internal error has occurred")
