"""Conditional requests: whether an object is what the client wants to see.

Sources: "Conditional reads" (S3 user guide), RFC 9110, section 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pycloud.s3.errors import S3Error
from pycloud.s3.headers import unquoted, whole_second
from pycloud.storage.records import StoredObject

CONDITIONS: Final = ("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince")
SOURCE_CONDITIONS: Final = tuple(f"CopySource{name}" for name in CONDITIONS)


def check_conditions(given: Mapping[str, Any], stored: StoredObject) -> bool:
    """Return whether the client has the object already. Raises `S3Error` if it is not the one that
    it wants.
    """
    _check_match(given, stored, "")
    return _is_known(given, stored, "")


def check_source(given: Mapping[str, Any], stored: StoredObject) -> None:
    """Raise `S3Error` if the source of a copy is not the one that the client wants."""
    _check_match(given, stored, "CopySource")
    if _is_known(given, stored, "CopySource"):
        raise _failed("x-amz-copy-source-If-None-Match")


def _check_match(given: Mapping[str, Any], stored: StoredObject, prefix: str) -> None:
    wanted = given.get(f"{prefix}IfMatch")
    if wanted is not None:
        if not _matches(wanted, stored.etag):
            raise _failed("If-Match")
        return  # true, it makes up for a date that is not ("GetObject")
    moment = given.get(f"{prefix}IfUnmodifiedSince")
    if moment is not None and whole_second(stored.created_at) > moment:
        raise _failed("If-Unmodified-Since")


def _is_known(given: Mapping[str, Any], stored: StoredObject, prefix: str) -> bool:
    unwanted = given.get(f"{prefix}IfNoneMatch")
    if unwanted is not None:
        return _matches(unwanted, stored.etag)
    moment = given.get(f"{prefix}IfModifiedSince")
    return moment is not None and whole_second(stored.created_at) <= moment


def _matches(listed: str, etag: str) -> bool:
    names = [unquoted(name) for name in listed.split(",")]
    return "*" in names or etag in names


def _failed(name: str) -> S3Error:
    return S3Error(
        "PreconditionFailed",
        f"At least one of the pre-conditions you specified did not hold: {name}",
    )
