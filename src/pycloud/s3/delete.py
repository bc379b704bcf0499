"""Objects deleted, one or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.errors import PyCloudError
from pycloud.s3.call import Call, new_actions, not_implemented
from pycloud.s3.codes import error_of
from pycloud.s3.headers import unquoted
from pycloud.s3.permissions import permission_of
from pycloud.storage.records import Deleted, Versioning

actions = new_actions()

_BYPASS = "s3:BypassGovernanceRetention"


@actions.action("DeleteObject", "VersionId", "BypassGovernanceRetention", "IfMatch")
def delete_object(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Delete an object, or one version of it."""
    bypass = bool(given.get("BypassGovernanceRetention"))
    if bypass:
        call.access.check(_BYPASS, call.key)
    wanted = given.get("IfMatch")
    deleted = call.buckets.delete(
        call.name,
        call.key,
        version_id=given.get("VersionId"),
        if_match=None if wanted is None else unquoted(wanted),
        bypass_governance=bypass,
    )
    if call.bucket.versioning is Versioning.OFF:
        return {}
    return {
        "VersionId": deleted.version_id,
        "DeleteMarker": True if deleted.is_delete_marker else None,
    }


@actions.action("DeleteObjects", "Delete", "BypassGovernanceRetention", root="DeleteResult")
def delete_objects(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Delete many objects, and say for each what became of it."""
    if "Delete" not in given:
        raise AWSError("MissingRequestBodyError", "Request body is empty.")
    wanted = given["Delete"]["Objects"]
    if len(wanted) > limits.DELETED_AT_ONCE:
        raise AWSError(
            "MalformedXML", f"At most {limits.DELETED_AT_ONCE} objects are deleted at once"
        )
    bypass = bool(given.get("BypassGovernanceRetention"))
    refusals = [_refusal(call, one, bypass=bypass) for one in wanted]
    allowed = [one for one, refusal in zip(wanted, refusals, strict=True) if refusal is None]
    outcomes = iter(_delete_all(call, allowed, bypass=bypass))
    results = [refusal or next(outcomes) for refusal in refusals]
    pairs = list(zip(wanted, results, strict=True))
    quiet = bool(given["Delete"].get("Quiet"))
    return {
        "Deleted": [
            _deleted(call, one, result)
            for one, result in pairs
            if isinstance(result, Deleted) and not quiet
        ],
        "Errors": [_error(one, result) for one, result in pairs if isinstance(result, AWSError)],
    }


def _refusal(call: Call, wanted: dict[str, Any], *, bypass: bool) -> AWSError | None:
    """Return why the caller may not delete that, None if they may."""
    for name in ("LastModifiedTime", "Size"):
        if name in wanted:
            return not_implemented(f"{name} of an object to delete")
    key, version_id = wanted["Key"], wanted.get("VersionId")
    permission = permission_of("DeleteObject", version_id)
    allows = call.access.allows
    if not allows(permission, key) or (bypass and not allows(_BYPASS, key)):
        return AWSError("AccessDenied", "Access Denied")
    return None


def _delete_all(
    call: Call, wanted: Sequence[dict[str, Any]], *, bypass: bool
) -> list[Deleted | AWSError]:
    if not wanted:
        return []
    if any("ETag" in one for one in wanted):
        return [_delete_one(call, one, bypass=bypass) for one in wanted]
    places = [(one["Key"], one.get("VersionId") or None) for one in wanted]
    outcomes = call.buckets.delete_many(call.name, places, bypass_governance=bypass)
    return [one if isinstance(one, Deleted) else _translated(one) for one in outcomes]


def _delete_one(call: Call, wanted: dict[str, Any], *, bypass: bool) -> Deleted | AWSError:
    etag = wanted.get("ETag")
    try:
        return call.buckets.delete(
            call.name,
            wanted["Key"],
            version_id=wanted.get("VersionId") or None,
            if_match=None if etag is None else unquoted(etag),
            bypass_governance=bypass,
        )
    except PyCloudError as error:
        return error_of(error)


def _translated(error: Exception) -> AWSError:
    if isinstance(error, PyCloudError):
        return error_of(error)
    raise error


def _deleted(call: Call, wanted: dict[str, Any], deleted: Deleted) -> dict[str, Any]:
    entry = {"Key": wanted["Key"], "VersionId": wanted.get("VersionId")}
    if deleted.is_delete_marker and call.bucket.versioning is not Versioning.OFF:
        entry |= {"DeleteMarker": True, "DeleteMarkerVersionId": deleted.version_id}
    return entry


def _error(wanted: dict[str, Any], error: AWSError) -> dict[str, Any]:
    return {
        "Key": wanted["Key"],
        "VersionId": wanted.get("VersionId"),
        "Code": error.code,
        "Message": error.message,
    }
