"""Object locks: of a bucket by default, and of single versions."""

from __future__ import annotations

from typing import Any

from pycloud.aws.errors import AWSError
from pycloud.errors import InvalidValue, WrongState
from pycloud.s3.call import Call, new_actions
from pycloud.storage.locks import DefaultRetention
from pycloud.storage.records import Retention, StoredObject

actions = new_actions()

_YEAR_DAYS = 365


@actions.action("GetObjectLockConfiguration")
def get_object_lock_configuration(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """How long versions are kept by default."""
    if not call.bucket.object_lock:
        raise AWSError(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        )
    document = call.access.setting("object-lock")
    found: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
    if document is not None:
        rule = DefaultRetention.from_json(document)
        found["Rule"] = {"DefaultRetention": {"Mode": rule.mode.upper(), "Days": rule.days}}
    return {"ObjectLockConfiguration": found}


@actions.action("PutObjectLockConfiguration", "ObjectLockConfiguration", "Token")
def put_object_lock_configuration(call: Call, given: dict[str, Any]) -> None:
    """Say how long versions are kept by default."""
    asked = given.get("ObjectLockConfiguration", {})
    if asked.get("ObjectLockEnabled") != "Enabled":
        raise AWSError("MalformedXML", "ObjectLockEnabled is Enabled")
    rule = asked.get("Rule", {}).get("DefaultRetention")
    document = None if rule is None else _default(rule).to_json()
    if not call.bucket.object_lock:
        try:
            call.buckets.enable_object_lock(call.name)
        except WrongState as error:
            raise AWSError("InvalidBucketState", str(error)) from None
    call.set_setting("object-lock", document)


@actions.action("GetObjectRetention", "VersionId")
def get_object_retention(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Until when a version is kept."""
    retention = _head(call, given).retention
    if retention is None:
        raise _not_locked()
    return {"Retention": {"Mode": retention.mode.upper(), "RetainUntilDate": retention.until}}


@actions.action("PutObjectRetention", "Retention", "VersionId", "BypassGovernanceRetention")
def put_object_retention(call: Call, given: dict[str, Any]) -> None:
    """Keep a version from being deleted until a date."""
    asked = given.get("Retention", {})
    bypass = bool(given.get("BypassGovernanceRetention"))
    if bypass:
        call.access.check("s3:BypassGovernanceRetention", call.key)
    mode, until = asked.get("Mode"), asked.get("RetainUntilDate")
    if (mode is None) is not (until is None):
        raise AWSError("MalformedXML", "A retention has a Mode and a RetainUntilDate")
    if until is not None and until <= call.now:
        raise AWSError("InvalidArgument", "The retain until date must be in the future!")
    _check_lockable(call)
    call.buckets.set_retention(
        call.name,
        call.key,
        None if mode is None else Retention(mode.lower(), until),
        version_id=given.get("VersionId"),
        bypass_governance=bypass,
    )


@actions.action("GetObjectLegalHold", "VersionId")
def get_object_legal_hold(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Whether a version is kept until somebody says otherwise."""
    return {"LegalHold": {"Status": "ON" if _head(call, given).legal_hold else "OFF"}}


@actions.action("PutObjectLegalHold", "LegalHold", "VersionId")
def put_object_legal_hold(call: Call, given: dict[str, Any]) -> None:
    """Keep a version until somebody says otherwise, or no more."""
    status = given.get("LegalHold", {}).get("Status")
    if status is None:
        raise AWSError("MalformedXML", "A legal hold has a Status: ON or OFF")
    _check_lockable(call)
    call.buckets.set_legal_hold(
        call.name, call.key, status == "ON", version_id=given.get("VersionId")
    )


def _default(rule: dict[str, Any]) -> DefaultRetention:
    days, years = rule.get("Days"), rule.get("Years")
    if "Mode" not in rule or (days is None) is (years is None):
        raise AWSError("MalformedXML", "A default retention has a Mode, and Days or Years")
    count: int = rule["Days"] if days is not None else rule["Years"] * _YEAR_DAYS
    if count <= 0:
        raise AWSError(
            "InvalidArgument", "Default retention period must be a positive integer value."
        )
    try:
        return DefaultRetention.from_json(DefaultRetention(rule["Mode"].lower(), count).to_json())
    except InvalidValue as error:
        raise AWSError("InvalidRetentionPeriod", str(error)) from None


def _head(call: Call, given: dict[str, Any]) -> StoredObject:
    _check_lockable(call)
    return call.buckets.head(call.name, call.key, version_id=given.get("VersionId"))


def _check_lockable(call: Call) -> None:
    if not call.bucket.object_lock:
        raise AWSError("InvalidRequest", "Bucket is missing Object Lock Configuration")


def _not_locked() -> AWSError:
    return AWSError(
        "NoSuchObjectLockConfiguration",
        "The specified object does not have a ObjectLock configuration",
    )
