"""`Gate`: who may do what in one bucket.

The account whose bucket it is may do all that the bucket's policy does not deny; others, and those
who do not say who they are, what its policy or an ACL allows. No request passes by it.

Source: "How Amazon S3 authorizes a request" (S3 user guide).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import attrs

from pycloud.aws.callers import Caller
from pycloud.aws.errors import AWSError
from pycloud.aws.requests import Authenticated
from pycloud.errors import NotFound
from pycloud.s3.acls import Acl, stored_acl
from pycloud.s3.permissions import BUCKET_ACL, OBJECT_ACL
from pycloud.s3.policy import Ask, Policy, Verdict, read_policy
from pycloud.s3.request import S3Request
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Bucket, StoredObject

_OWN_POLICY: Final = frozenset(
    {"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}
)
"""Never denied to the bucket's own account: nobody locks themselves out."""
_QUERY_KEYS: Final = {
    "s3:prefix": "prefix",
    "s3:delimiter": "delimiter",
    "s3:max-keys": "max-keys",
    "s3:versionid": "versionId",
}
_HEADER_KEYS: Final = (
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    "x-amz-object-ownership",
)


@attrs.frozen
class Asker:
    """Who asks, and how."""

    request: S3Request
    caller: Caller | None
    authenticated: Authenticated | None
    now: datetime


class Gate:
    """Decides for one bucket and one asker."""

    def __init__(self, buckets: BucketStore, bucket: Bucket, asker: Asker) -> None:
        self.bucket = bucket
        self.needed_acl = False
        """Whether anything was allowed that only an ACL grants."""
        self._buckets = buckets
        self._asker = asker

    @property
    def account(self) -> str | None:
        """The asker's account, None for the anonymous."""
        caller = self._asker.caller
        return None if caller is None else caller.account

    @property
    def is_owner(self) -> bool:
        """Whether the bucket is the asker's account's."""
        return self.account == self.bucket.account

    def check(
        self,
        permission: str,
        key: str = "",
        *,
        version_id: str | None = None,
        more: Mapping[str, list[str]] | None = None,
    ) -> None:
        """Raise `AWSError` unless the asker has the permission, on the key if one is given; `more`
        are conditions that only the action knows.
        """
        if not self.allows(permission, key, version_id=version_id, more=more):
            raise AWSError("AccessDenied", "Access Denied")

    def allows(
        self,
        permission: str,
        key: str = "",
        *,
        version_id: str | None = None,
        more: Mapping[str, list[str]] | None = None,
    ) -> bool:
        """Return whether the asker has the permission."""
        verdict = self._verdict(permission, key, version_id, more or {})
        if self.is_owner and (verdict is not Verdict.DENY or permission in _OWN_POLICY):
            return True
        if verdict is Verdict.DENY:
            return False
        if verdict is Verdict.ALLOW and not self._is_restricted:
            return True
        granted = self._granted(permission, key, version_id)
        self.needed_acl |= granted
        return granted

    def check_new_acl(self, key: str) -> None:
        """Raise `AWSError` unless the asker may give an ACL to an object that they write. Whoever
        may write by the bucket's ACL may, as there is no object yet that could grant it.
        """
        verdict = self._verdict("s3:PutObjectAcl", key, None, {})
        if verdict is Verdict.DENY or not (
            self.is_owner or verdict is Verdict.ALLOW or self._granted("s3:PutObject", key, None)
        ):
            raise AWSError("AccessDenied", "Access Denied")

    @cached_property
    def policy(self) -> Policy | None:
        """The bucket's policy."""
        text = self.setting("policy")
        return None if text is None else read_policy(text, self.bucket.name)

    @cached_property
    def acl(self) -> Acl:
        """The bucket's ACL."""
        return stored_acl(self.setting("acl"), self.bucket.account)

    @cached_property
    def public_access_block(self) -> Mapping[str, bool]:
        """Which kinds of public access are blocked, by S3's names."""
        found: dict[str, bool] = json.loads(self.setting("public-access-block") or "{}")
        return found

    @cached_property
    def ownership(self) -> str:
        """Whose the objects are that others write. ACLs count unless it is `BucketOwnerEnforced`."""
        rules = json.loads(self.setting("ownership") or "{}").get("Rules")
        return str(rules[0]["ObjectOwnership"]) if rules else "ObjectWriter"

    def setting(self, kind: str) -> str | None:
        """Return a document of the bucket's, or None."""
        return self.bucket.settings.get(kind)

    @property
    def _is_restricted(self) -> bool:
        """Whether a policy for all is only for the account itself ("RestrictPublicBuckets")."""
        return (
            bool(self.public_access_block.get("RestrictPublicBuckets"))
            and self.policy is not None
            and self.policy.is_public
        )

    def _verdict(
        self, permission: str, key: str, version_id: str | None, more: Mapping[str, list[str]]
    ) -> Verdict:
        if self.policy is None:
            return Verdict.SILENT
        caller = self._asker.caller
        resource = f"arn:aws:s3:::{self.bucket.name}" + (f"/{key}" if key else "")
        context = self._context | dict(more)
        if key and "existingobjecttag" in (self.setting("policy") or "").lower():
            context |= self._tags_of(key, version_id)
        return self.policy.decide(
            Ask(permission, resource, self.account, None if caller is None else caller.arn, context)
        )

    def _granted(self, permission: str, key: str, version_id: str | None) -> bool:
        """Return whether an ACL grants it."""
        if self.ownership == "BucketOwnerEnforced":
            return False
        ignore = bool(self.public_access_block.get("IgnorePublicAcls"))
        if permission in BUCKET_ACL:
            return self.acl.allows(BUCKET_ACL[permission], self.account, ignore_public=ignore)
        if permission not in OBJECT_ACL or not key:
            return False
        stored = self._head(key, version_id)
        return stored is not None and stored_acl(stored.acl, stored.account).allows(
            OBJECT_ACL[permission], self.account, ignore_public=ignore
        )

    def _head(self, key: str, version_id: str | None) -> StoredObject | None:
        try:
            return self._buckets.head(self.bucket.name, key, version_id=version_id)
        except NotFound:
            return None

    def _tags_of(self, key: str, version_id: str | None) -> dict[str, list[str]]:
        stored = self._head(key, version_id)
        tags = {} if stored is None else stored.tags
        return {f"s3:existingobjecttag/{name.lower()}": [value] for name, value in tags.items()}

    @cached_property
    def _context(self) -> dict[str, list[str]]:
        request, now = self._asker.request, self._asker.now
        found: dict[str, Any] = {
            "aws:currenttime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:epochtime": str(int(now.timestamp())),
            "aws:securetransport": "true" if request.is_secure else "false",
            "aws:sourceip": request.source,
            "aws:useragent": request.headers.get("user-agent"),
            "aws:referer": request.headers.get("referer"),
            **{key: request.query.get(name) for key, name in _QUERY_KEYS.items()},
            **{f"s3:{name}": request.headers.get(name) for name in _HEADER_KEYS},
            **self._identity(),
        }
        return {key: [value] for key, value in found.items() if value is not None}

    def _identity(self) -> dict[str, str]:
        caller, signed = self._asker.caller, self._asker.authenticated
        if caller is None or signed is None:
            return {"aws:principaltype": "Anonymous"}
        return {
            "aws:principalaccount": caller.account,
            "aws:principalarn": caller.arn,
            "aws:principaltype": "User",
            "aws:userid": caller.user_id,
            "aws:username": caller.user_name,
            "s3:authtype": "REST-HEADER" if signed.how == "header" else "REST-QUERY-STRING",
            "s3:signatureversion": "AWS4-HMAC-SHA256" if signed.version == 4 else "AWS",
        }
