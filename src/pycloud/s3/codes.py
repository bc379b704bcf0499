"""S3's codes, their statuses, and which of them stands for which error of pycloud ("Error
responses", S3 API reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pycloud.aws.errors import AWSError
from pycloud.aws.requests import SignatureError
from pycloud.errors import (
    Duplicate,
    InUse,
    InvalidValue,
    LimitExceeded,
    NotFound,
    NotOwner,
    Protected,
    PyCloudError,
    StateBusy,
    TryLater,
    WrongState,
)

_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    304: ("NotModified",),
    403: (
        "AccessDenied",
        "InvalidAccessKeyId",
        "InvalidObjectState",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "AccessForbidden",
    ),
    404: (
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchCORSConfiguration",
        "NoSuchConfiguration",
        "NoSuchKey",
        "NoSuchLifecycleConfiguration",
        "NoSuchObjectLockConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "NoSuchTagSet",
        "NoSuchUpload",
        "NoSuchVersion",
        "ObjectLockConfigurationNotFoundError",
        "OwnershipControlsNotFoundError",
        "ReplicationConfigurationNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
        "NoSuchWebsiteConfiguration",
    ),
    405: ("MethodNotAllowed",),
    409: (
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "BucketNotEmpty",
        "ConditionalRequestConflict",
        "InvalidBucketState",
        "OperationAborted",
    ),
    411: ("MissingContentLength",),
    412: ("PreconditionFailed",),
    416: ("InvalidRange",),
    500: ("InternalError",),
    501: ("NotImplemented",),
    503: ("ServiceUnavailable", "SlowDown"),
}
_STATUS_OF: Final = {code: status for status, codes in _STATUS.items() for code in codes}

_NOT_FOUND: Final = {
    "bucket": ("NoSuchBucket", "The specified bucket does not exist"),
    "object": ("NoSuchKey", "The specified key does not exist."),
    "version": ("NoSuchVersion", "The specified version does not exist."),
    "upload": (
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
        "been aborted or completed.",
    ),
    "part": (
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not have been "
        "uploaded, or the specified entity tag may not match the part's entity tag.",
    ),
}

_BY_KIND: Final[Mapping[type[PyCloudError], str]] = {
    Duplicate: "BucketAlreadyExists",
    InUse: "BucketNotEmpty",
    InvalidValue: "InvalidArgument",
    LimitExceeded: "InvalidRequest",
    NotOwner: "AccessDenied",
    Protected: "AccessDenied",
    StateBusy: "SlowDown",
    TryLater: "SlowDown",
    WrongState: "InvalidRequest",
}


def status_of(code: str) -> int:
    """Return the HTTP status that goes with a code."""
    return _STATUS_OF.get(code, 400)


def error_of(error: PyCloudError) -> AWSError:
    """Return the refusal that S3 has for `error`."""
    if isinstance(error, SignatureError):
        return AWSError(error.code, error.message)
    if isinstance(error, NotFound) and error.kind in _NOT_FOUND:
        return AWSError(*_NOT_FOUND[error.kind])
    for kind in type(error).__mro__:
        if kind in _BY_KIND:
            return AWSError(_BY_KIND[kind], str(error))
    return AWSError("InternalError", "We encountered an internal error. Please try again.")
