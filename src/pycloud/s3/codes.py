"""S3's codes, their statuses, and which of them stands for which error of pycloud ("Error
responses", S3 API reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pycloud.aws.errors import AWSError
from pycloud.aws.requests import SignatureError
from pycloud.errors import (
    BadDigest,
    Cannot,
    DiskFull,
    Duplicate,
    Incomplete,
    InUse,
    InvalidValue,
    LimitExceeded,
    Locked,
    NotFound,
    NotOwner,
    PreconditionFailed,
    Protected,
    PyCloudError,
    StateBusy,
    TooSmall,
    TryLater,
    WrongKey,
    WrongState,
)
from pycloud.s3.checksums import bad_digest
from pycloud.s3.errors import S3Error

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
_INTERNAL: Final = "We encountered an internal error. Please try again."
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
    Cannot: "InternalError",
    Duplicate: "BucketAlreadyExists",
    InUse: "BucketNotEmpty",
    Incomplete: "IncompleteBody",
    InvalidValue: "InvalidArgument",
    LimitExceeded: "EntityTooLarge",
    Locked: "AccessDenied",
    NotOwner: "AccessDenied",
    PreconditionFailed: "PreconditionFailed",
    Protected: "AccessDenied",
    StateBusy: "SlowDown",
    TooSmall: "EntityTooSmall",
    TryLater: "SlowDown",
    WrongKey: "InvalidRequest",
    WrongState: "InvalidRequest",
}


def status_of(error: AWSError) -> int:
    """Return the HTTP status of a refusal."""
    own = error.http_status if isinstance(error, S3Error) else None
    return own or _STATUS_OF.get(error.code, 400)


def error_of(error: PyCloudError) -> AWSError:
    """Return the refusal that S3 has for `error`."""
    if isinstance(error, SignatureError):
        return AWSError(error.code, error.message)
    if isinstance(error, NotFound) and error.kind in _NOT_FOUND:
        return AWSError(*_NOT_FOUND[error.kind])
    if isinstance(error, BadDigest):
        return bad_digest(error.algorithm)
    if isinstance(error, DiskFull):
        return S3Error("InternalError", "There is no space left for it", http_status=507)
    for kind in type(error).__mro__:
        if kind in _BY_KIND:
            code = _BY_KIND[kind]
            return AWSError(code, _INTERNAL if code == "InternalError" else str(error))
    return AWSError("InternalError", _INTERNAL)
