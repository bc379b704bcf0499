"""What requests and answers about objects have in common: versions, moments, ETags, keys of the
customer's own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pycloud.aws.errors import AWSError
from pycloud.storage.records import Bucket, StoredObject, Versioning

CUSTOMER_KEY: Final = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
"""The members of requests that bring the customer's own key."""

_KEY_BYTES: Final = 32


def quoted(etag: str) -> str:
    """Return an ETag as HTTP has it."""
    return f'"{etag}"'


def unquoted(etag: str) -> str:
    """Return an ETag without its quotes."""
    return etag.strip().removeprefix("W/").strip('"')


def whole_second(moment: datetime) -> datetime:
    """Return a moment as S3 keeps it: lists say no more of it than headers can."""
    return moment.replace(microsecond=0)


def version_member(bucket: Bucket, version_id: str | None) -> dict[str, Any]:
    """Return the member that names a version; a bucket that keeps none names none."""
    return {} if bucket.versioning is Versioning.OFF else {"VersionId": version_id}


def customer_key(given: Mapping[str, Any], prefix: str = "") -> bytes | None:
    """Return the customer's key of a request, None if there is none. Raises `AWSError`."""
    algorithm, text, md5 = (given.get(prefix + name) for name in CUSTOMER_KEY)
    if algorithm is None and text is None and md5 is None:
        return None
    if algorithm != "AES256":
        raise AWSError(
            "InvalidEncryptionAlgorithmError",
            "The encryption request you specified is not valid: the algorithm is AES256",
        )
    key = _decoded(text or "")
    if len(key) != _KEY_BYTES:
        raise AWSError("InvalidArgument", "The secret key was invalid for the specified algorithm.")
    if _decoded(md5 or "") != hashlib.md5(key, usedforsecurity=False).digest():
        raise AWSError(
            "InvalidArgument",
            "The calculated MD5 hash of the key did not match the hash that was provided.",
        )
    return key


def encryption_members(encryption: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an answer that say how an object is encrypted."""
    if encryption == "AES256":
        return {"ServerSideEncryption": "AES256"}
    if "SSECustomerKeyMD5" in given:
        return {name: given[name] for name in ("SSECustomerAlgorithm", "SSECustomerKeyMD5")}
    return {}


def lock_members(stored: StoredObject) -> dict[str, Any]:
    """Return the members of an answer that say how long an object is kept."""
    found: dict[str, Any] = {}
    if stored.retention is not None:
        found["ObjectLockMode"] = stored.retention.mode.upper()
        found["ObjectLockRetainUntilDate"] = stored.retention.until
    if stored.legal_hold:
        found["ObjectLockLegalHoldStatus"] = "ON"
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
