"""Access control lists as values: canned ones, from headers, from a document; who is granted what.

Source: "Access control list (ACL) overview" (S3 user guide).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.s3.owners import canonical_id, owner_of

ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS: Final = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY: Final = "http://acs.amazonaws.com/groups/s3/LogDelivery"
_GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY})
_PERMISSIONS: Final = frozenset({"FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"})
_HEADERS: Final = {
    "GrantFullControl": "FULL_CONTROL",
    "GrantRead": "READ",
    "GrantReadACP": "READ_ACP",
    "GrantWrite": "WRITE",
    "GrantWriteACP": "WRITE_ACP",
}
_GRANTEE = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*"?([^",]*)"?\s*', re.IGNORECASE)
_CANONICAL = re.compile("[0-9a-f]{64}")
_ACCOUNT = re.compile("[0-9]{12}")

MEMBERS: Final = ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP")
"""The members of requests that say what an object's list shall be."""
BUCKET_MEMBERS: Final = (*MEMBERS, "GrantWrite")
"""Likewise of a bucket."""


@attrs.frozen
class Grant:
    """One permission of one grantee."""

    permission: str
    canonical: str = ""
    group: str = ""
    name: str = ""
    """What people see of a canonical user."""


@attrs.frozen
class Acl:
    """Whose the thing is, and who else may do what."""

    owner: str
    """The owner's account."""
    grants: tuple[Grant, ...]

    def allows(self, permission: str, account: str | None, *, ignore_public: bool = False) -> bool:
        """Return whether the account (None: anybody) is granted the permission."""
        return any(
            grant.permission in (permission, "FULL_CONTROL")
            and _holds(grant, account)
            and not (ignore_public and _is_public(grant))
            for grant in self.grants
        )

    @property
    def is_public(self) -> bool:
        """Whether it grants anything to all, or to all who have a key."""
        return any(map(_is_public, self.grants))

    @property
    def document(self) -> dict[str, Any]:
        """As answers have it."""
        return {"Owner": owner_of(self.owner), "Grants": [_written(one) for one in self.grants]}

    def to_json(self) -> str:
        """Return it as it is stored."""
        return json.dumps(attrs.asdict(self))


def stored_acl(text: str | None, owner: str) -> Acl:
    """Return the list as it was stored; where none was, what is usual: the owner alone."""
    if text is None:
        return canned("private", owner, owner)
    found = json.loads(text)
    return Acl(found["owner"], tuple(Grant(**grant) for grant in found["grants"]))


def asked_acl(given: Mapping[str, Any], owner: str, bucket_owner: str) -> Acl | None:
    """Return the list that headers ask for, None if they say nothing. Raises `AWSError`."""
    named = [(_HEADERS[key], given[key]) for key in _HEADERS if key in given]
    if "ACL" in given:
        if named:
            raise AWSError(
                "InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed"
            )
        return canned(given["ACL"], owner, bucket_owner)
    if not named:
        return None
    return Acl(
        owner,
        tuple(grant for permission, text in named for grant in _read_header(permission, text)),
    )


def canned(name: str, owner: str, bucket_owner: str) -> Acl:
    """Return a canned list. Raises `AWSError` for a name that there is not."""
    more = _CANNED.get(name)
    if more is None:
        raise AWSError("InvalidArgument", f"There is no canned ACL {name[:80]!r}")
    return Acl(owner, (_own(owner), *more(bucket_owner)))


def document_acl(document: Mapping[str, Any], owner: str) -> Acl:
    """Return the list that a body says. Raises `AWSError`."""
    given = document.get("Owner", {}).get("ID")
    if given not in (None, owner, canonical_id(owner)):
        raise AWSError("AccessDenied", "The owner of an ACL can't be changed")
    grants = document.get("Grants", [])
    if len(grants) > limits.ACL_GRANTS:
        raise AWSError("InvalidRequest", f"An ACL has at most {limits.ACL_GRANTS} grants")
    return Acl(owner, tuple(_read_grant(grant) for grant in grants))


def _own(owner: str) -> Grant:
    return Grant("FULL_CONTROL", canonical=canonical_id(owner), name=owner)


_CANNED: Final[Mapping[str, Callable[[str], tuple[Grant, ...]]]] = {
    "private": lambda _: (),
    "public-read": lambda _: (Grant("READ", group=ALL_USERS),),
    "public-read-write": lambda _: (
        Grant("READ", group=ALL_USERS),
        Grant("WRITE", group=ALL_USERS),
    ),
    "authenticated-read": lambda _: (Grant("READ", group=AUTHENTICATED_USERS),),
    "aws-exec-read": lambda _: (),
    "bucket-owner-read": lambda owner: (Grant("READ", canonical=canonical_id(owner), name=owner),),
    "bucket-owner-full-control": lambda owner: (_own(owner),),
    "log-delivery-write": lambda _: (
        Grant("WRITE", group=LOG_DELIVERY),
        Grant("READ_ACP", group=LOG_DELIVERY),
    ),
}


def _read_header(permission: str, text: str) -> Iterator[Grant]:
    """Read `id="…", uri="…"`."""
    for part in text.split(","):
        found = _GRANTEE.fullmatch(part)
        if found is None:
            raise AWSError("InvalidArgument", f'A grantee is id="…" or uri="…", not {part[:80]!r}')
        kind = found[1].lower()
        yield _grant(permission, {"id": "ID", "uri": "URI"}.get(kind, "EmailAddress"), found[2])


def _read_grant(grant: Mapping[str, Any]) -> Grant:
    grantee = grant.get("Grantee", {})
    if grant.get("Permission") not in _PERMISSIONS:
        raise _malformed()
    for key in ("ID", "URI", "EmailAddress"):
        if grantee.get(key):
            return _grant(grant["Permission"], key, grantee[key].strip())
    raise _malformed()


def _grant(permission: str, kind: str, name: str) -> Grant:
    if kind == "URI":
        if name not in _GROUPS:
            raise AWSError("InvalidArgument", f"There is no group {name[:120]!r}")
        return Grant(permission, group=name)
    if kind == "ID":
        if _ACCOUNT.fullmatch(name):
            return Grant(permission, canonical=canonical_id(name), name=name)
        if _CANONICAL.fullmatch(name):
            return Grant(permission, canonical=name)
        raise AWSError("InvalidArgument", "Invalid id")
    raise AWSError(
        "UnresolvableGrantByEmailAddress",
        "The email address you provided does not match any account on record: give its id",
    )


def _written(grant: Grant) -> dict[str, Any]:
    if grant.group:
        grantee = {"Type": "Group", "URI": grant.group}
    else:
        grantee = {"Type": "CanonicalUser", "ID": grant.canonical}
        if grant.name:
            grantee["DisplayName"] = grant.name
    return {"Grantee": grantee, "Permission": grant.permission}


def _holds(grant: Grant, account: str | None) -> bool:
    if grant.group:
        return grant.group == ALL_USERS or (
            grant.group == AUTHENTICATED_USERS and account is not None
        )
    return account is not None and grant.canonical == canonical_id(account)


def _is_public(grant: Grant) -> bool:
    return grant.group in (ALL_USERS, AUTHENTICATED_USERS)


def _malformed() -> AWSError:
    return AWSError(
        "MalformedACLError",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
