"""Which permission each action takes: by the names of policies, and by those of ACLs.

Sources: "Actions, resources, and condition keys for Amazon S3" (service authorization reference),
"Mapping of ACL permissions and access policy permissions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NAMED: Final = {
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
"""Where an action's permission is not called like it."""

_OF_VERSIONS: Final = {
    "DeleteObject": "DeleteObjectVersion",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObject": "GetObjectVersion",
    "GetObjectAcl": "GetObjectVersionAcl",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectAcl": "PutObjectVersionAcl",
    "PutObjectTagging": "PutObjectVersionTagging",
}

BUCKET_ACL: Final[Mapping[str, str]] = {
    "s3:AbortMultipartUpload": "WRITE",
    "s3:DeleteObject": "WRITE",
    "s3:GetBucketAcl": "READ_ACP",
    "s3:ListBucket": "READ",
    "s3:ListBucketMultipartUploads": "READ",
    "s3:ListBucketVersions": "READ",
    "s3:ListMultipartUploadParts": "WRITE",
    "s3:PutBucketAcl": "WRITE_ACP",
    "s3:PutObject": "WRITE",
}
"""What a grant of the bucket's ACL allows."""

OBJECT_ACL: Final[Mapping[str, str]] = {
    "s3:GetObject": "READ",
    "s3:GetObjectAcl": "READ_ACP",
    "s3:GetObjectAttributes": "READ",
    "s3:GetObjectVersion": "READ",
    "s3:GetObjectVersionAcl": "READ_ACP",
    "s3:GetObjectVersionAttributes": "READ",
    "s3:PutObjectAcl": "WRITE_ACP",
    "s3:PutObjectVersionAcl": "WRITE_ACP",
}
"""What a grant of the object's ACL allows."""


def permission_of(action: str, version_id: str | None = None) -> str:
    """Return the permission that an action takes.

    >>> permission_of("HeadObject", "3HL4kqtJvjVBH40Nrjfkd")
    's3:GetObjectVersion'
    """
    name = _NAMED.get(action, action)
    return f"s3:{name if version_id is None else _OF_VERSIONS.get(name, name)}"
